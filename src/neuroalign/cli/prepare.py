"""`neuroalign prepare`: recordings of a lab into Recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuroalign.cli.arguments import (
    Continuous,
    Dask,
    Features,
    IndexOrder,
    Jobs,
    OfSingleRun,
    Out,
    Overwrite,
    SingleRun,
    Subjects,
    TestRuns,
    ZScore,
    by_person,
    listed,
    numbers,
    shape,
)
from neuroalign.cli.output import say_prepared

prepare = typer.Typer(no_args_is_help=True, help="Turn recordings of a lab into Recordings.")


@prepare.command("bids")
def prepare_bids_command(
    root: Annotated[Path, typer.Argument(help="A BIDS folder.")],
    out: Out,
    datatype: Annotated[
        Continuous | None, typer.Option(help="Otherwise what is there, EEG before MEG.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="Only this task.")] = None,
    subjects: Annotated[str | None, typer.Option(help="Only these people: 01,02.")] = None,
    tmin: Annotated[float | None, typer.Option(help="Start of an epoch, seconds.")] = None,
    tmax: Annotated[float | None, typer.Option(help="End of an epoch, seconds.")] = None,
    l_freq: Annotated[float | None, typer.Option(help="High-pass, Hz; 0: none.")] = None,
    h_freq: Annotated[float | None, typer.Option(help="Low-pass, Hz; 0: none.")] = None,
    resample: Annotated[float | None, typer.Option(help="New sampling rate, Hz; 0: as is.")] = None,
    notch: Annotated[
        str | None, typer.Option(help="Mains frequencies to take out, Hz: 50,100.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Seconds whose mean is subtracted: -0.1,0; or none.")
    ] = None,
    reject_uv: Annotated[
        float | None, typer.Option(help="Leave out epochs of a larger peak-to-peak, uV; 0: none.")
    ] = None,
    reject_ft: Annotated[
        float | None,
        typer.Option(help="The same for MEG: fT for magnetometers, fT/cm for gradiometers."),
    ] = None,
    test_runs: TestRuns = "last",
    single_run: OfSingleRun = SingleRun.hold_out,
    min_trials: Annotated[int, typer.Option(help="Leave out people with fewer trials.")] = 50,
    features: Annotated[Features, typer.Option()] = Features.epochs,
    label_column: Annotated[str, typer.Option(help="Column of the class.")] = "trial_type",
    stimulus_column: Annotated[str, typer.Option(help="Column of the picture.")] = "stim_file",
    classes: Annotated[str | None, typer.Option(help="Only these classes: face,house.")] = None,
    jobs: Jobs = 1,
    dask: Dask = None,
    overwrite: Overwrite = False,
) -> None:
    """Prepare EEG or MEG stored as BIDS."""
    from neuroalign.recordings.bids import prepare_bids
    from neuroalign.recordings.written import as_interval, as_test_rule

    recordings = prepare_bids(
        root,
        out,
        datatype=None if datatype is None else datatype.value,
        task=task,
        subjects=listed(subjects),
        tmin=tmin,
        tmax=tmax,
        l_freq=l_freq,
        h_freq=h_freq,
        notch=numbers(notch),
        resample=resample,
        baseline=as_interval(baseline),
        reject_uv=reject_uv,
        reject_ft=reject_ft,
        test_runs=as_test_rule(test_runs),
        single_run=single_run.value,
        min_trials=min_trials,
        features=features.value,
        label_column=label_column,
        stimulus_column=stimulus_column,
        classes=listed(classes),
        jobs=jobs,
        dask=dask,
        overwrite=overwrite,
    )
    say_prepared(recordings)


@prepare.command("arrays")
def prepare_arrays_command(
    signals: Annotated[
        Path,
        typer.Argument(
            help="A .npy (volumes x voxels) or NIfTI series, {subject} in it for each person's "
            "name; or the folder of one table and its series."
        ),
    ],
    out: Out,
    trials: Annotated[Path | None, typer.Option(help="A .tsv with a row a volume.")] = None,
    subjects: Subjects = None,
    zscore: Annotated[
        ZScore, typer.Option(help="By each run's own volumes, or the training volumes.")
    ] = ZScore.run,
    detrend: Annotated[bool, typer.Option("--detrend", help="Remove a line per run.")] = False,
    lag: Annotated[int, typer.Option(help="Volumes from a picture to its response.")] = 0,
    mask: Annotated[Path | None, typer.Option(help="A NIfTI mask.")] = None,
    voxel_index: Annotated[Path | None, typer.Option(help="A .npy of flat voxel indices.")] = None,
    index_base: Annotated[int, typer.Option(help="First index: 0 or 1.")] = 0,
    index_order: Annotated[
        IndexOrder, typer.Option(help="C, or F for column-major.")
    ] = IndexOrder.C,
    volume_shape: Annotated[str | None, typer.Option(help="Such as 40,64,64.")] = None,
    test_runs: TestRuns = "last",
    drop_labels: Annotated[str, typer.Option(help="Labels of no trial.")] = "rest",
    classes: Annotated[str | None, typer.Option(help="Only these classes.")] = None,
    source: Annotated[str, typer.Option(help="Where the data are from; kept with them.")] = "",
    licence: Annotated[str, typer.Option(help="Their licence; kept with them.")] = "",
    jobs: Jobs = 1,
    dask: Dask = None,
    overwrite: Overwrite = False,
) -> None:
    """Prepare fMRI volumes or betas with a table of trials."""
    from neuroalign.recordings.arrays import prepare_arrays
    from neuroalign.recordings.written import as_test_rule

    recordings = prepare_arrays(
        signals,
        trials,
        out,
        zscore=zscore.value,
        detrend=detrend,
        lag=lag,
        mask=mask,
        voxel_index=voxel_index,
        index_base=index_base,
        index_order=index_order.value,
        volume_shape=shape(volume_shape),
        test_runs=as_test_rule(test_runs),
        drop_labels=listed(drop_labels) or (),
        classes=listed(classes),
        source=source,
        licence=licence,
        subjects=listed(subjects),
        jobs=jobs,
        dask=dask,
        overwrite=overwrite,
    )
    say_prepared(recordings)


@prepare.command("epochs")
def prepare_epochs_command(
    files: Annotated[
        list[str],
        typer.Argument(help="SUBJECT=FILE-epo.fif, in the order of recording; or a folder."),
    ],
    out: Out,
    modality: Annotated[
        Continuous | None, typer.Option(help="Otherwise what is there, MEG before EEG.")
    ] = None,
    label_column: Annotated[str, typer.Option(help="Metadata column of the class.")] = "label",
    stimulus_column: Annotated[
        str, typer.Option(help="Metadata column of the picture.")
    ] = "stimulus",
    split_column: Annotated[str, typer.Option(help="Column of train and test.")] = "split",
    test_runs: TestRuns = "last",
    single_run: OfSingleRun = SingleRun.hold_out,
    min_trials: Annotated[int, typer.Option(help="Leave out people with fewer trials.")] = 50,
    features: Annotated[Features, typer.Option()] = Features.epochs,
    jobs: Jobs = 1,
    dask: Dask = None,
    overwrite: Overwrite = False,
) -> None:
    """Prepare epochs that MNE saved, one file per run and person."""
    from neuroalign.recordings.epochs_file import prepare_epochs
    from neuroalign.recordings.written import as_test_rule

    recordings = prepare_epochs(
        Path(files[0]) if len(files) == 1 and Path(files[0]).is_dir() else by_person(files),
        out,
        modality=None if modality is None else modality.value,
        label_column=label_column,
        stimulus_column=stimulus_column,
        split_column=split_column,
        test_runs=as_test_rule(test_runs),
        single_run=single_run.value,
        min_trials=min_trials,
        features=features.value,
        jobs=jobs,
        dask=dask,
        overwrite=overwrite,
    )
    say_prepared(recordings)
