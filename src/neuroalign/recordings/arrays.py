"""Read fMRI volume series (NumPy arrays or NIfTI) with a trial table into a recordings folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.container import Modality, Recordings
from neuroalign.recordings.preparation import prepare
from neuroalign.recordings.readers.arrays import ArraysReader
from neuroalign.recordings.readers.own_files import ArraysOptions
from neuroalign.recordings.splits import TestRule

ZScore = Literal["run", "train", "none"]


def prepare_arrays(
    signals: str | Path | Mapping[str, str | Path],
    trials_tsv: str | Path | None,
    out: str | Path,
    *,
    modality: Modality = "fmri",
    test_runs: TestRule = "last",
    zscore: ZScore = "run",
    detrend: bool = False,
    lag: int = 0,
    mask: str | Path | None = None,
    voxel_index: str | Path | None = None,
    index_base: int = 0,
    index_order: Literal["C", "F"] = "C",
    volume_shape: tuple[int, int, int] | None = None,
    subject_column: str = "subject",
    run_column: str = "run",
    label_column: str = "label",
    stimulus_column: str = "stimulus",
    split_column: str = "split",
    drop_labels: Sequence[str] = ("rest",),
    classes: Sequence[str] | None = None,
    overwrite: bool = False,
    source: str = "",
    licence: str = "",
    subjects: Sequence[str] | None = None,
    jobs: int = 1,
    dask: str | None = None,
) -> Recordings:
    """Prepare volume series: one row of the trial table for each volume, in the same order.

    Volumes are read in blocks, person by person; an interrupted preparation goes on with the
    people who are not done.

    Parameters
    ----------
    signals : Path, or mapping from subject to Path
        A .npy array of shape (volumes, voxels), or a 4-D NIfTI series (with `mask`). One path for
        several people holds their rows in the order of the table; `{subject}` in a path stands
        for each person's name. A folder: what is in it, see `neuroalign datasets arrays`.
    trials_tsv : Path or None
        A row a volume; tab-separated (or .csv). None: the one in the folder `signals`.
    out : Path
        The recordings folder to make.
    modality : {"fmri"}
        Epochs of EEG and MEG come from BIDS or from MNE's epochs files.
    test_runs : "last", share, names or None
        The runs to hold out; see `neuroalign.recordings.splits.choose_test_runs`. Not looked at
        where the table has a column `split_column` (train or test).
    zscore : {"run", "train", "none"}
        "run": each voxel within each run, from that run's own volumes, without labels. "train":
        with the mean and spread of the person's training volumes.
    detrend : bool
        Take a straight line out of each voxel and run first.
    lag : int
        Pair each label with the volume recorded `lag` volumes later in its run, for the delay of
        the blood's response. Only for series in which no volumes are missing.
    mask : Path, optional
        A NIfTI mask, for a NIfTI series; it may have `{subject}` in its path.
    voxel_index : Path, optional
        A .npy array of flat voxel indices for a 2-D array, counted from `index_base` in
        `index_order` ("F": column-major, as in MATLAB and R); needs `volume_shape`. It may have
        `{subject}` in its path.
    subject_column, run_column, label_column, stimulus_column, split_column : str
        Names in the table; the last three may be absent (but not both label and stimulus). All
        other columns stay in the trial table.
    drop_labels : sequence of str
        Volumes with these labels are no trials (they still serve detrending and z-scores).
    classes : sequence of str, optional
        Keep only these labels.
    overwrite : bool
    source, licence : str
        Kept in recordings.json.
    subjects : sequence of str, optional
        Only these people of the table.
    jobs, dask
        Processes, or the address of a Dask scheduler; see `neuroalign.recordings.preparation`.

    Returns
    -------
    Recordings

    Raises
    ------
    NeuroalignError
        Files are missing or disagree about the number of volumes or voxels, a column is missing,
        or no trials are left to train on.
    """
    if modality != "fmri":
        raise NeuroalignError(
            f"`prepare_arrays` reads fMRI volumes, not {modality}. Epochs of EEG and MEG: use "
            "`prepare_bids` or `prepare_epochs`; arrays that are ready: `write_recordings`."
        )
    given = signals if isinstance(signals, Mapping) else Path(signals)
    folder = given if isinstance(given, Path) and given.is_dir() else None
    if folder is None and trials_tsv is None:
        raise NeuroalignError(
            f"A series ({signals}) needs its table: name it (--trials), or give the folder in "
            "which the two lie."
        )
    try:
        options = ArraysOptions.model_validate(
            {
                "signals": None if folder else given,
                "trials": trials_tsv,
                "test_runs": tuple(test_runs) if isinstance(test_runs, list) else test_runs,
                "zscore": zscore,
                "detrend": detrend,
                "lag": lag,
                "mask": mask,
                "voxel_index": voxel_index,
                "index_base": index_base,
                "index_order": index_order,
                "volume_shape": volume_shape,
                "subject_column": subject_column,
                "run_column": run_column,
                "label_column": label_column,
                "stimulus_column": stimulus_column,
                "split_column": split_column,
                "drop_labels": tuple(drop_labels),
                "classes": None if classes is None else tuple(classes),
                "source": source,
                "licence": licence,
            }
        )
    except ValidationError as error:
        lines = [f"  {e['loc'][0]}: {e['msg']}, got {e['input']!r}" for e in error.errors()]
        raise NeuroalignError("These options do not fit:\n" + "\n".join(lines)) from error
    return prepare(
        ArraysReader(),
        folder or Path(str(trials_tsv)).parent,
        out,
        options=options,
        subjects=subjects,
        jobs=jobs,
        dask=dask,
        overwrite=overwrite,
    )
