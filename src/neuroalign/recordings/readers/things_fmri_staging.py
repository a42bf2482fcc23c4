"""What the two forms of THINGS-fMRI do alike with a session's betas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.quality import Finding
from neuroalign.recordings.readers.contract import Part, Staged, StagedPart
from neuroalign.recordings.schema import Dropped
from neuroalign.recordings.volumes import VoxelWatch

_HALF = 0.5


def blank_lost(block: npt.NDArray[np.float32], part: Part, first: int) -> npt.NDArray[np.float32]:
    """Put 0 for NaN and infinite values: their voxels are left out later.

    Raises
    ------
    NeuroalignError
        Half of a trial or more is missing: then it is the trial that is lost, not voxels.
    """
    lost = ~np.isfinite(block)
    share = lost.mean(axis=1)
    if (share >= _HALF).any():
        trial = int(np.flatnonzero(share >= _HALF)[0])
        raise NeuroalignError(
            f"{part.name}: trial {first + trial} of this session holds NaN or infinite values in "
            f"{share[trial]:.0%} of the voxels that are read (so do {int((share > 0).sum()) - 1} "
            f"more, in part). {part.files[0].name} is damaged there: copy or download it again."
        )
    return np.where(lost, np.float32(0), block) if lost.any() else block


def copied_runs(parts: Sequence[StagedPart]) -> list[Finding]:
    """Find runs of which half the trials or more are those of one earlier run.

    Half a session's trials would be too coarse a measure: betas are published run by run.
    """
    seen: dict[int, tuple[str, str]] = {}
    found = []
    for part in parts:
        for run, trials in part.trials.groupby("run"):
            digests = part.digests[trials["staged_row"].to_numpy(int)].tolist()
            shared = [seen[d] for d in digests if d in seen]
            if shared:
                (name, other), count = Counter(shared).most_common(1)[0]
                if count >= _HALF * len(digests):
                    what = (
                        f"run {run}: {count} of {len(digests)} trials hold the same signals as "
                        f"those of run {other} of {name}: one was copied over the other"
                    )
                    found.append(Finding(part.part.name, what, "fatal", count))
            seen |= {d: (part.part.name, str(run)) for d in digests if d not in seen}
    return found


def staged(
    part: Part,
    trials: pd.DataFrame,
    watch: VoxelWatch,
    dropped: tuple[Dropped, ...] = (),
) -> Staged:
    """Return what is said of a session, with the voxels that cannot be used in it."""
    facts = {
        "voxels": len(watch.usable),
        "unusable": np.flatnonzero(~watch.usable).tolist(),
    }
    findings = tuple(
        Finding(
            part.name,
            f"{count} of {len(watch.usable)} voxels cannot be used in this session: {why}",
            "warning",
            count,
        )
        for count, why in watch.reasons("the same value in all training trials")
    )
    return Staged(trials, facts, dropped, findings)
