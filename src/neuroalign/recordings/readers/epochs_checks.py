"""What is odd about epochs that were made elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.inspection import UNIT_OF, plausible_range
from neuroalign.recordings.quality import Finding, Severity
from neuroalign.recordings.readers.contract import StagedPart

_FAR, _NOISY = 10.0, 10.0


class EpochsInspector:
    """Looks at epochs, some at a time.

    Parameters
    ----------
    where : str
        The name of the file's run, for the findings.
    names, kinds : sequence of str
        Of the channels.
    """

    def __init__(self, where: str, names: Sequence[str], kinds: Sequence[str]) -> None:
        self._where, self._names, self._kinds = where, list(names), np.array(kinds)
        self._ranges: list[npt.NDArray[np.float64]] = []
        self._low = np.full(len(names), np.inf)
        self._high = np.full(len(names), -np.inf)

    def add(self, data: npt.NDArray[Any]) -> None:
        """Take epochs of shape (n_trials, channels, samples), in SI units."""
        if len(data) == 0:
            return
        self._ranges.append(np.ptp(data, axis=2))
        self._low = np.fmin(self._low, np.nanmin(data, axis=(0, 2)))
        self._high = np.fmax(self._high, np.nanmax(data, axis=(0, 2)))

    def flat(self) -> list[str]:
        """Return the channels that never change."""
        return [n for n, still in zip(self._names, self._low == self._high, strict=True) if still]

    def usual_range(self) -> float:
        """Return the median over channels of the usual range of an epoch, in SI units."""
        ranges = self._all()
        return float(np.median(np.median(ranges, axis=0))) if len(ranges) else 0.0

    def findings(self) -> list[Finding]:
        """Return what is odd: flat or noisy channels, dead or wild epochs, another unit."""
        where, ranges = self._where, self._all()
        if len(ranges) == 0:
            return [Finding(where, "no epochs", "error", 0)]
        found = [
            Finding(f"{where} {n}", "flat: the channel never changes", "error", len(ranges), n)
            for n in self.flat()
        ]
        usual = np.median(ranges, axis=0)
        dead = (ranges == 0).any(axis=1) & (usual > 0).all()
        if dead.any():
            what = "epoch(s) with a channel that stands still"
            found.append(Finding(where, what, "warning", int(dead.sum())))
        wild = (ranges > 10 * np.maximum(usual, 1e-30)).any(axis=1)
        if wild.any():
            what = "epoch(s) with more than 10 times the usual range on a channel (artefacts)"
            found.append(Finding(where, what, "note", int(wild.sum())))
        for kind in dict.fromkeys(self._kinds.tolist()):
            found += self._amplitudes(kind, usual)
        return found

    def _amplitudes(self, kind: str, usual: npt.NDArray[np.float64]) -> list[Finding]:
        own = np.flatnonzero((self._kinds == kind) & (usual > 0))
        if len(own) == 0 or kind not in UNIT_OF:
            return []
        middle = float(np.median(usual[own]))
        unit, factor = UNIT_OF[kind]
        low, high = plausible_range(kind)
        found = []
        if not low <= middle <= high:
            what = (
                f"{kind} channels with a usual range of {middle * factor:.3g} {unit} in an epoch, "
                f"expected {low * factor:.3g} to {high * factor:.3g}: another unit than the file "
                "says?"
            )
            found.append(Finding(self._where, what, "warning", len(own)))
        if len(own) >= 3:
            found += [
                Finding(
                    f"{self._where} {self._names[i]}",
                    f"{usual[i] / middle:.0f} times as noisy as others",
                    "note",
                    1,
                    self._names[i],
                )
                for i in own
                if usual[i] > _NOISY * middle
            ]
        return found

    def _all(self) -> npt.NDArray[np.float64]:
        return np.concatenate(self._ranges) if self._ranges else np.zeros((0, len(self._names)))


def refuse_unlike(first: Mapping[str, Any], part: StagedPart) -> None:
    """Hold what a file says of its epochs against the facts of the first file.

    Raises
    ------
    NeuroalignError
        Channels, times or modality differ.
    """
    wanted, found = _outline(first), _outline(part.facts)
    for what, value in found.items():
        if value != wanted[what]:
            raise NeuroalignError(
                f"{part.part.where['path']} differs from the first file in its {what}: {value} "
                f"against {wanted[what]}. All files of one recordings folder must agree."
            )


def _outline(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "modality": facts["modality"],
        "channels": [c["name"] for c in facts["channels"]],
        "types of channels": [c["type"] for c in facts["channels"]],
        "samples per second": facts["sfreq"],
        "samples per epoch": facts["samples"],
        "start of the epoch": round(facts["tmin"], 6),
    }


def compare(parts: Sequence[StagedPart]) -> list[Finding]:
    """Compare files: people on another scale, and channels that are flat in all of a person's."""
    people: dict[str, list[StagedPart]] = {}
    for part in parts:
        people.setdefault(part.part.subject, []).append(part)
    usual = {s: float(np.median([p.facts["usual_range"] for p in o])) for s, o in people.items()}
    found = []
    for subject, own in people.items():
        others = [u for s, u in usual.items() if s != subject and u > 0]
        ratio = usual[subject] / float(np.median(others)) if others else 1.0
        if usual[subject] > 0 and not 1 / _FAR <= ratio <= _FAR:
            what = f"signals {ratio:.3g} times as large as other people's: another unit?"
            found.append(Finding(subject, what, "warning", len(own)))
        flat = set.intersection(*(set(p.facts["flat"]) for p in own))
        if flat:
            what = f"channels that never change in any file: {', '.join(sorted(flat))}. Leave them "
            found.append(Finding(subject, f"{what}out", "fatal", len(flat)))
        orders: dict[str, StagedPart] = {}
        for part in own:
            key = part.trials[["label", "stimulus", "onset_s"]].to_csv(index=False)
            if key in orders and len(part.trials) >= 10:
                other = orders[key]
                what = f"the same events as {other.part.name}, at the same times: copied?"
                # A file saved again in single precision is the same but for the last digits.
                one, two = float(part.facts["usual_range"]), float(other.facts["usual_range"])
                twice = math.isclose(one, two, rel_tol=1e-4)
                if twice:
                    what = f"the same events and signals as {other.part.name}: saved twice?"
                severity: Severity = "warning" if twice else "note"
                found.append(Finding(part.part.name, what, severity, len(part.trials)))
            orders.setdefault(key, part)
    return [*found, *_baselines(parts)]


def _baselines(parts: Sequence[StagedPart]) -> list[Finding]:
    first = parts[0].facts["baseline"]
    found = []
    for part in parts:
        own = part.facts["baseline"]
        if own != first:
            what = f"baseline {_told(own)}, that of the first file is {_told(first)}"
            found.append(Finding(part.part.name, what, "warning", len(part.trials)))
    return found


def _told(baseline: Any) -> str:
    return "none" if baseline is None else "{:g} to {:g} s".format(*baseline)
