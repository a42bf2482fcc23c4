"""What each training trial is pulled towards: its picture, or its class where none is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.retrieval.embeddings import Embeddings


@dataclass(frozen=True)
class Targets:
    """The distinct targets of a data set.

    Attributes
    ----------
    embeddings : Embeddings
        One item per distinct target: pictures first, then classes.
    by_stimulus, by_label : pandas.Series
        Row of `embeddings` for each picture or class name.
    classes : pandas.DataFrame
        Label and `target_source` of each class target.
    """

    embeddings: Embeddings
    by_stimulus: pd.Series
    by_label: pd.Series
    classes: pd.DataFrame

    def of(self, trials: pd.DataFrame, where: str) -> npt.NDArray[np.int64]:
        """Return the target row of each trial.

        Raises
        ------
        NeuroalignError
            A picture or class has no embedding.
        """
        rows = trials["stimulus"].map(self.by_stimulus)
        labels = trials["label"].map(self.by_label)
        rows = rows.where(trials["stimulus"].notna(), labels)
        if rows.isna().any():
            bad = trials.loc[rows.isna(), ["stimulus", "label"]].drop_duplicates()
            names = ", ".join(str(s) if pd.notna(s) else str(c) for s, c in bad.to_numpy()[:5])
            raise NeuroalignError(
                f"{where}: {int(rows.isna().sum())} trial(s) show {len(bad)} picture(s) or "
                f"class(es) without an embedding (such as {names}). Check that the picture set of "
                "the recipe is the one that was shown, and that its names match the trial table"
                + "".join(f": it has names such as {name}" for name in self.by_stimulus.index[:1])
                + "."
            )
        return rows.to_numpy(np.int64)


def make_targets(pictures: Embeddings, classes: Embeddings | None) -> Targets:
    """Join picture embeddings and class targets.

    Parameters
    ----------
    pictures : Embeddings
    classes : Embeddings or None
        See `images.targets.class_targets`; None where every trial's picture is known.

    Raises
    ------
    NeuroalignError
        A picture is named twice.
    """
    stimuli = pictures.items["stimulus"].astype(str)
    if stimuli.duplicated().any():
        raise NeuroalignError(
            f"The picture set names {stimuli[stimuli.duplicated()].iloc[0]!r} twice."
        )
    by_stimulus = pd.Series(np.arange(len(pictures)), index=stimuli.to_numpy())
    if classes is None:
        none = pd.DataFrame(columns=["label", "target_source"])
        return Targets(pictures, by_stimulus, pd.Series(dtype="int64"), none)
    columns = ["kind", "stimulus", "label", "subject"]
    joined = Embeddings(
        np.concatenate([pictures.vectors, classes.vectors]),
        pd.concat([pictures.items[columns], classes.items[columns]], ignore_index=True),
        pictures.space,
    )
    names = classes.items["label"].astype(str).to_numpy()
    by_label = pd.Series(np.arange(len(names)) + len(pictures), index=names)
    return Targets(joined, by_stimulus, by_label, classes.items[["label", "target_source"]])
