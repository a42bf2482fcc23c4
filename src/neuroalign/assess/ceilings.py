"""Ceilings of recorded data: computed beside the embeddings, stored with them, scored like them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.evaluation.ceilings import MatchScores, own_repeats
from neuroalign.evaluation.items import TestItems
from neuroalign.evaluation.own_class import own_class
from neuroalign.evaluation.reliability import halves, noise_ceiling, read_ncsnr, split_half_values
from neuroalign.files import atomic_file
from neuroalign.models.ridge import RidgeSolution
from neuroalign.recordings.container import Recordings
from neuroalign.recordings.schema import Modality
from neuroalign.retrieval.embeddings import Embeddings

FOLDER = "own-repeats"
CLASS_FOLDER = "own-class"
RELIABILITY = "reliability.parquet"
#: What repeats tell about each way to make test items; other averages have no ceiling of this kind.
_SINGLE = {"trials": True, "repeats": False}
Key = tuple[Modality, str]
_COLUMNS = {
    "modality": "string",
    "subject": "string",
    "stimulus": "string",
    "value": "float64",
    "n_averaged": "int64",
    "ncsnr_ceiling": "float64",
}


@dataclass(frozen=True, eq=False)
class Agreement:
    """How far the recordings agree with themselves.

    Parameters
    ----------
    repeats : dict
        Of each modality and item set, responses scored against the person's other responses.
    classes : dict
        Where there are none, responses scored against the person's other responses to each class.
    reliability : pandas.DataFrame
        A row a modality, person and picture: `value`, its part in the explainable variance of the
        averages (see `split_half_values`), `n_averaged`, and `ncsnr_ceiling`, the person's mean
        noise ceiling for that many trials (NaN unless the recordings bring an `ncsnr`).
    """

    repeats: Mapping[Key, MatchScores]
    classes: Mapping[Key, MatchScores]
    reliability: pd.DataFrame


def measure_agreement(
    recordings: Mapping[Modality, Recordings],
    items: Mapping[Modality, list[TestItems]],
    specs: Mapping[tuple[Modality, str], str],
    judge: Embeddings,
    maps: Mapping[Modality, Mapping[str, RidgeSolution]],
) -> Agreement:
    """Compute all of it from the test trials, and maps that were fitted to training trials.

    Parameters
    ----------
    recordings, items, maps : mapping
    specs : mapping from (modality, slug) to the item set's `spec`
    judge : Embeddings
        The candidate pictures, whose order is kept.
    """
    repeats: dict[Key, MatchScores] = {}
    classes: dict[Key, MatchScores] = {}
    tables = [pd.DataFrame(columns=list(_COLUMNS))]
    for modality, whole in recordings.items():
        test = whole.select(split="test")
        shown = set(test.trials["stimulus"].dropna().astype(str))
        candidates = [s for s in judge.items["stimulus"].astype(str) if s in shown]
        mapped = _mapped(test, maps[modality]) if len(candidates) > 1 else None
        for chosen in items[modality]:
            single = _SINGLE.get(specs[modality, chosen.slug])
            if single is not None and mapped is not None:
                found = own_repeats(test.trials, mapped, candidates, single_trials=single)
                if found is not None:
                    repeats[modality, chosen.slug] = found
                    continue
            view = chosen.view
            found = own_class(view.trials, _mapped(view, maps[modality]))
            if found is not None:
                classes[modality, chosen.slug] = found
        for subject, (table, first, second) in halves(test).items():
            ncsnr = read_ncsnr(whole, subject)
            ceiling = np.nan
            if ncsnr is not None:
                ceiling = float(noise_ceiling(ncsnr, table["n_averaged"].to_numpy()).mean())
            tables.append(
                table.assign(
                    modality=modality,
                    subject=subject,
                    value=split_half_values(first, second),
                    ncsnr_ceiling=ceiling,
                )
            )
    reliability = pd.concat([t for t in tables if len(t)] or tables, ignore_index=True)
    return Agreement(repeats, classes, reliability[list(_COLUMNS)].astype(_COLUMNS))


def _mapped(test: Recordings, maps: Mapping[str, RidgeSolution]) -> npt.NDArray[np.float32]:
    """Return trials, or averages, as the linear baseline maps them, before any normalisation."""
    dims = next(iter(maps.values())).target_mean.shape[-1]
    out = np.empty((len(test), dims), np.float32)
    for subject, positions, signals in test.blocks():
        out[positions] = maps[subject].predict(signals) - maps[subject].target_mean
    return out


def save_agreement(agreement: Agreement, folder: Path) -> None:
    """Write the tables and score matrices below an evaluation folder."""
    with atomic_file(folder / RELIABILITY) as partial:
        agreement.reliability.to_parquet(partial, index=False)
    for name, matches in ((FOLDER, agreement.repeats), (CLASS_FOLDER, agreement.classes)):
        for (modality, slug), found in matches.items():
            stem = folder / name / f"{modality}-{slug}"
            with atomic_file(stem.with_suffix(".parquet")) as partial:
                found.items.to_parquet(partial, index=False)
            with atomic_file(stem.with_suffix(".npy")) as partial:
                np.save(partial, found.scores)
            with atomic_file(folder / name / f"{modality}-{slug}-candidates.parquet") as partial:
                found.candidates.to_parquet(partial, index=False)


def load_agreement(folder: Path, repeats: Sequence[Key], classes: Sequence[Key]) -> Agreement:
    """Read what `save_agreement` wrote for these (modality, slug)."""
    return Agreement(
        {key: _load(folder / FOLDER, *key) for key in repeats},
        {key: _load(folder / CLASS_FOLDER, *key) for key in classes},
        pd.read_parquet(folder / RELIABILITY),
    )


def _load(folder: Path, modality: str, slug: str) -> MatchScores:
    stem = folder / f"{modality}-{slug}"
    return MatchScores(
        pd.read_parquet(stem.with_suffix(".parquet")),
        pd.read_parquet(folder / f"{modality}-{slug}-candidates.parquet"),
        np.load(stem.with_suffix(".npy"), allow_pickle=False),
    )
