"""Sessions of the Natural Scenes Dataset put together: repeats, voxels, scaling, averages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.quality import Finding
from neuroalign.recordings.readers.card import Card
from neuroalign.recordings.readers.contract import Settled, StagedPart
from neuroalign.recordings.readers.nsd_betas import PER_PERCENT, Betas, read_ncsnr, read_region
from neuroalign.recordings.readers.nsd_design import SHOWN, read_info, stimulus_names
from neuroalign.recordings.readers.nsd_files import BRICK
from neuroalign.recordings.schema import Dropped, RecordingsInfo
from neuroalign.recordings.writer import RecordingsWriter
from neuroalign.signals.steps import record

if TYPE_CHECKING:
    from neuroalign.recordings.readers.nsd import NsdOptions

#: In percent signal change; betas of the published files vary by about 1 to 3.
_USUAL_SPREAD = (0.05, 50.0)
_BLOCK_BYTES = 8 * 2**20
_AT_ONCE = 32
_MOST_AVERAGED_BYTES = 128 * 2**20

Signals = npt.NDArray[np.float32]


def odd_values(name: str, betas: Betas) -> Iterator[Finding]:
    """Find what is odd about the betas of a session, as stored; shape (trials, voxels)."""
    limits = np.iinfo(np.int16)
    if betas.min() == limits.min or betas.max() == limits.max:
        cut = int(((betas == limits.min) | (betas == limits.max)).sum())
        what = f"value(s) at the limit of int16: cut off, not {limits.max / PER_PERCENT:.0f} %"
        yield Finding(name, f"{cut} {what}", "warning", cut)
    # Every tenth trial tells as much, and takes a tenth of the time.
    spread = float(np.median(betas[::10].std(axis=0, dtype=np.float32))) / PER_PERCENT
    if not _USUAL_SPREAD[0] <= spread <= _USUAL_SPREAD[1]:
        yield Finding(
            name,
            f"voxels vary by {spread:.3g} percent signal change (median), usually 1 to 3: are "
            f"these betas times {PER_PERCENT}?",
            "warning",
            1,
        )


def settle_sessions(parts: Sequence[StagedPart], options: NsdOptions, card: Card) -> Settled:
    """Decide what is written: see `Reader.settle`."""
    own: dict[str, list[StagedPart]] = {}
    for part in parts:
        own.setdefault(part.part.subject, []).append(part)
    people: dict[str, tuple[StagedPart, ...]] = {}
    dropped: list[Dropped] = []
    findings: list[Finding] = []
    for subject, sessions in own.items():
        people[subject] = _numbered_repeats(sessions)
        left_out = list(_still_voxels(subject, sessions))
        dropped += left_out
        findings += [Finding(d.where, f"{d.reason}: left out", "warning", 1) for d in left_out]
        findings += _wrong_counts(subject, sessions)
    steps = [
        record("percent signal change", divided_by=PER_PERCENT),
        record("mask", roi=options.roi, values=list(options.roi_values)),
    ]
    if options.zscore == "session":
        steps.append(record("z-score", fitted_on="training trials of each person and session"))
    if options.repeats == "averaged":
        steps.append(record("average of a person's trials with a picture"))
    info = RecordingsInfo(
        modality="fmri",
        axes=("voxels",),
        units="z-score" if options.zscore == "session" else "percent signal change",
        steps=tuple(steps),
        dropped=tuple(dropped),
        source=f"{card.title}, {options.betas}, {options.roi}; {card.citation}",
        licence=card.licence,
    )
    return Settled(people, info, tuple(findings), _pictures(parts))


def _numbered_repeats(sessions: Sequence[StagedPart]) -> tuple[StagedPart, ...]:
    seen = pd.concat([s.trials["stimulus"] for s in sessions], ignore_index=True)
    numbers = (seen.groupby(seen).cumcount() + 1).to_numpy()
    ends = np.cumsum([len(s.trials) for s in sessions])
    pieces = np.split(numbers, ends[:-1])
    return tuple(
        replace(s, trials=s.trials.assign(repetition=n))
        for s, n in zip(sessions, pieces, strict=True)
    )


def _still(sessions: Sequence[StagedPart]) -> dict[int, list[str]]:
    """Return the voxels that never change in some session, and in which."""
    still: dict[int, list[str]] = {}
    for session in sessions:
        for voxel in session.facts["still"]:
            still.setdefault(int(voxel), []).append(str(session.trials["session"].iloc[0]))
    return still


def _still_voxels(subject: str, sessions: Sequence[StagedPart]) -> Iterator[Dropped]:
    still, voxels = _still(sessions), int(sessions[0].facts["voxels"])
    if len(still) == voxels:
        raise NeuroalignError(
            f"{subject}: each of the {voxels} voxels of the mask never changes over the training "
            "trials of some session, so none can be used. Leave out the sessions that hold no "
            "betas (--sessions), or this person (--subjects)."
        )
    by_sessions: dict[tuple[str, ...], int] = {}
    for names in still.values():
        by_sessions[tuple(names)] = by_sessions.get(tuple(names), 0) + 1
    for where, count in sorted(by_sessions.items()):
        yield Dropped(
            where=f"{subject}, {count} of {voxels} voxels",
            trials=0,
            reason=f"never change over the training trials of session {', '.join(where)}",
        )


def _wrong_counts(subject: str, sessions: Sequence[StagedPart]) -> Iterator[Finding]:
    trials = pd.concat([s.trials for s in sessions])
    expected = SHOWN.get(len(sessions))
    shown = trials.drop_duplicates("stimulus")["split"]
    found = (len(shown), int((shown == "test").sum()))
    if expected is not None and found != expected:
        yield Finding(
            subject,
            f"{found[0]} pictures ({found[1]} of them for testing) in {len(sessions)} sessions, "
            f"published {expected[0]} ({expected[1]})",
            "fatal",
            abs(found[0] - expected[0]),
        )


def _pictures(parts: Sequence[StagedPart]) -> pd.DataFrame:
    trials = pd.concat([p.trials[["nsd_id", "split"]] for p in parts]).drop_duplicates("nsd_id")
    trials = trials.sort_values("nsd_id", ignore_index=True)
    ids = trials["nsd_id"].to_numpy(np.int64)
    where = parts[0].part.where
    stimuli = where["stimuli"]
    table = pd.DataFrame(
        {
            "stimulus": stimulus_names(ids),
            "label": pd.NA,
            "path": pd.NA if stimuli is None else [f"{stimuli}::{BRICK}/{i}" for i in ids.tolist()],
            "nsd_id": ids,
            "shared": trials["split"] == "test",
        }
    )
    if where["info"] is not None:
        info = read_info(Path(where["info"])).table
        for column, name in (("cocoId", "coco_id"), ("cocoSplit", "coco_split")):
            if column in info:
                table[name] = info.loc[ids, column].to_numpy()
    return table


def finish_person(
    subject: str, sessions: Sequence[StagedPart], options: NsdOptions, writer: RecordingsWriter
) -> None:
    """Write a person's trials; see `Reader.finish`."""
    where = sessions[0].part.where
    region = read_region(Path(where["roi"]), options.roi_values)
    kept = np.delete(np.arange(len(region.index)), list(_still(sessions)))
    voxels = kept if len(kept) < len(region.index) else None
    scalings = [_scaling(s, voxels) if options.zscore == "session" else None for s in sessions]
    if options.repeats == "averaged":
        _write_averages(subject, sessions, scalings, voxels, writer)
    else:
        for session, scaling in zip(sessions, scalings, strict=True):
            for signals, trials in _scaled(session, scaling, voxels):
                writer.append(subject, signals, trials.drop(columns="staged_row"))
    writer.set_volume(subject, region.index[kept], region.shape, region.affine)
    if where["ncsnr"] is not None:
        ratio = read_ncsnr(Path(where["ncsnr"]), region)[kept]
        writer.add_array("ncsnr", subject, np.where(np.isfinite(ratio) & (ratio > 0), ratio, 0))


@dataclass(frozen=True, eq=False)
class _Scaling:
    """Mean and standard deviation of the voxels over a session's training trials."""

    mean: Signals
    scale: Signals

    def apply(self, signals: Signals) -> None:
        """Standardise trials in place."""
        signals -= self.mean
        signals /= self.scale


def _scaling(session: StagedPart, voxels: npt.NDArray[np.int64] | None) -> _Scaling:
    training = replace(session, trials=session.trials[session.trials["split"] == "train"])
    # Plain sums will do: betas are of the size of their spread, and sums are of 64 bits.
    sums, squares = np.zeros(1), np.zeros(1)
    for signals, _ in _scaled(training, None, voxels):
        for start in range(0, len(signals), _AT_ONCE):
            some = signals[start : start + _AT_ONCE].astype(np.float64)
            sums = sums + some.sum(axis=0)
            squares = squares + np.einsum("ij,ij->j", some, some)
    mean = sums / len(training.trials)
    scale = np.sqrt(squares / len(training.trials) - mean**2)
    return _Scaling(mean.astype(np.float32), scale.astype(np.float32))


def _scaled(
    session: StagedPart, scaling: _Scaling | None, voxels: npt.NDArray[np.int64] | None
) -> Iterator[tuple[Signals, pd.DataFrame]]:
    """Yield the trials of a session block by block: kept voxels, scaled."""
    width = int(session.facts["voxels"])
    for signals, trials in session.blocks(max(1, _BLOCK_BYTES // (4 * width))):
        chosen = signals if voxels is None else signals[:, voxels]
        if scaling is not None:
            scaling.apply(chosen)
        yield chosen, trials


def _write_averages(
    subject: str,
    sessions: Sequence[StagedPart],
    scalings: Sequence[_Scaling | None],
    voxels: npt.NDArray[np.int64] | None,
    writer: RecordingsWriter,
) -> None:
    """Write the average of each picture's trials, in the order in which they were first shown."""
    trials = pd.concat([s.trials for s in sessions], ignore_index=True)
    trials["picture"] = trials.groupby("stimulus", sort=False).ngroup()
    table = _averaged_table(trials)
    ends = np.cumsum([len(s.trials) for s in sessions])
    own = np.split(trials["picture"].to_numpy(), ends[:-1])
    width = sessions[0].facts["voxels"] if voxels is None else len(voxels)
    count = max(1, _MOST_AVERAGED_BYTES // (4 * width))
    for start in range(0, len(table), count):
        block = table.iloc[start : start + count]
        sums = np.zeros((len(block), width), np.float32)
        for session, scaling, pictures in zip(sessions, scalings, own, strict=True):
            here = (pictures >= start) & (pictures < start + len(block))
            if not here.any():
                continue
            part = replace(session, trials=session.trials[here].assign(picture=pictures[here]))
            for signals, rows in _scaled(part, scaling, voxels):
                for signal, picture in zip(signals, rows["picture"], strict=True):
                    sums[picture - start] += signal
        sums /= block["n_averaged"].to_numpy(np.float32)[:, None]
        writer.append(subject, sums, block)


def _averaged_table(trials: pd.DataFrame) -> pd.DataFrame:
    """Return a row a picture; the session and run only where all its trials are of one."""
    groups = trials.groupby("picture")
    table = groups[["nsd_id", "stimulus", "split", "session"]].first()
    table["session"] = table["session"].where(groups["session"].max() == table["session"])
    table["n_averaged"] = groups.size()
    return table.reset_index(drop=True)
