"""The command line: thin commands over the package, which can all be called from Python too."""

from __future__ import annotations

import errno
import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from neuroalign import __version__
from neuroalign.errors import NeuroalignError

# Each command imports what it needs: `neuroalign --help` must not wait for PyTorch and MNE.

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="EEG, MEG and fMRI in one picture space: decoding, encoding and modality conversion.",
)
prepare = typer.Typer(no_args_is_help=True, help="Turn recordings of a lab into Recordings.")
app.add_typer(prepare, name="prepare")
out_console, err_console = Console(), Console(stderr=True)

# Typer once used click and now brings a copy of it: this is the UsageError that it raises.
_UsageError: Any = typer.BadParameter.__base__
_INTERRUPTED = 130  # what some versions of Typer make of Ctrl-C


class Modality(StrEnum):
    """A modality."""

    eeg = "eeg"
    meg = "meg"
    fmri = "fmri"


class Continuous(StrEnum):
    """A modality whose recordings are continuous."""

    eeg = "eeg"
    meg = "meg"


class Features(StrEnum):
    """What a trial of EEG or MEG consists of."""

    epochs = "epochs"
    spectrogram = "spectrogram"


class IndexOrder(StrEnum):
    """In which order flat voxel indices count."""

    C = "C"
    F = "F"


class ZScore(StrEnum):
    """Whose statistics voxels are standardised with."""

    run = "run"
    train = "train"
    none = "none"


Out = Annotated[Path, typer.Option("--out", help="The folder to make.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the folder if it exists, once complete.")
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
TestRuns = Annotated[
    str,
    typer.Option(
        help="Held-out runs: `last`, a share such as 0.25, or names separated by commas "
        "(run-06, sub-01_ses-02_run-01)."
    ),
]
Items = Annotated[
    str | None,
    typer.Option(
        help="Test items: trials, repeats, `by COLUMN`, `groups of N` (the recipe's first)."
    ),
]
Top = Annotated[int, typer.Option("--top", min=1, help="Items to retrieve for each query.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Grid = Annotated[
    Path | None, typer.Option(help="Also draw the queries and what they retrieved into this PNG.")
]


@prepare.command("bids")
def prepare_bids_command(
    root: Annotated[Path, typer.Argument(help="A BIDS folder.")],
    out: Out,
    datatype: Annotated[Continuous, typer.Option()] = Continuous.eeg,
    task: Annotated[str | None, typer.Option(help="Only this task.")] = None,
    subjects: Annotated[str | None, typer.Option(help="Only these people: 01,02.")] = None,
    tmin: Annotated[float | None, typer.Option(help="Start of an epoch, seconds.")] = None,
    tmax: Annotated[float | None, typer.Option(help="End of an epoch, seconds.")] = None,
    l_freq: Annotated[float | None, typer.Option(help="High-pass, Hz; 0: none.")] = None,
    h_freq: Annotated[float | None, typer.Option(help="Low-pass, Hz; 0: none.")] = None,
    resample: Annotated[float | None, typer.Option(help="New sampling rate, Hz; 0: as is.")] = None,
    reject_uv: Annotated[
        float | None, typer.Option(help="Leave out epochs of a larger peak-to-peak, uV; 0: none.")
    ] = None,
    test_runs: TestRuns = "last",
    min_trials: Annotated[int, typer.Option(help="Leave out people with fewer trials.")] = 50,
    features: Annotated[Features, typer.Option()] = Features.epochs,
    label_column: Annotated[str, typer.Option(help="Column of the class.")] = "trial_type",
    stimulus_column: Annotated[str, typer.Option(help="Column of the picture.")] = "stim_file",
    classes: Annotated[str | None, typer.Option(help="Only these classes: face,house.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Prepare EEG or MEG stored as BIDS."""
    from neuroalign.recordings.bids import prepare_bids

    recordings = prepare_bids(
        root,
        out,
        datatype=datatype.value,
        task=task,
        subjects=_listed(subjects),
        tmin=tmin,
        tmax=tmax,
        l_freq=l_freq,
        h_freq=h_freq,
        resample=resample,
        reject_uv=reject_uv,
        test_runs=_test_rule(test_runs),
        min_trials=min_trials,
        features=features.value,
        label_column=label_column,
        stimulus_column=stimulus_column,
        classes=_listed(classes),
        overwrite=overwrite,
    )
    _say_prepared(recordings)


@prepare.command("arrays")
def prepare_arrays_command(
    signals: Annotated[Path, typer.Argument(help="A .npy (volumes x voxels) or NIfTI series.")],
    trials: Annotated[Path, typer.Option(help="A .tsv with a row a volume.")],
    out: Out,
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
    overwrite: Overwrite = False,
) -> None:
    """Prepare fMRI volumes or betas with a table of trials."""
    from neuroalign.recordings.arrays import prepare_arrays

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
        volume_shape=_shape(volume_shape),
        test_runs=_test_rule(test_runs),
        drop_labels=_listed(drop_labels) or (),
        classes=_listed(classes),
        source=source,
        licence=licence,
        overwrite=overwrite,
    )
    _say_prepared(recordings)


@prepare.command("epochs")
def prepare_epochs_command(
    files: Annotated[
        list[str], typer.Argument(help="SUBJECT=FILE-epo.fif, in the order of recording.")
    ],
    out: Out,
    modality: Annotated[Continuous, typer.Option()] = Continuous.eeg,
    label_column: Annotated[str, typer.Option(help="Metadata column of the class.")] = "label",
    stimulus_column: Annotated[
        str, typer.Option(help="Metadata column of the picture.")
    ] = "stimulus",
    split_column: Annotated[str, typer.Option(help="Column of train and test.")] = "split",
    test_runs: TestRuns = "last",
    features: Annotated[Features, typer.Option()] = Features.epochs,
    overwrite: Overwrite = False,
) -> None:
    """Prepare epochs that MNE saved, one file per run and person."""
    from neuroalign.recordings.epochs_file import prepare_epochs

    paths: dict[str, list[str | Path]] = {}
    for entry in files:
        subject, sign, file = entry.partition("=")
        if not sign:
            raise NeuroalignError(
                f"Expected SUBJECT=FILE, such as sub-01=a-epo.fif; got {entry!r}."
            )
        paths.setdefault(subject, []).append(file)
    recordings = prepare_epochs(
        paths,
        out,
        modality=modality.value,
        label_column=label_column,
        stimulus_column=stimulus_column,
        split_column=split_column,
        test_runs=_test_rule(test_runs),
        features=features.value,
        overwrite=overwrite,
    )
    _say_prepared(recordings)


@app.command("simulate")
def simulate_command(
    modality: Modality,
    out: Out,
    pictures: Annotated[str, typer.Option(help="`shipped`, a folder or a table.")] = "shipped",
    encoder: Annotated[str, typer.Option(help="`offline` or `hf:NAME`.")] = "offline",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A field of SimulationConfig: snr=0.02.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Simulate recordings of people looking at pictures, with a known ideal observer."""
    from neuroalign.simulation.generate import simulate

    recordings = simulate(
        _simulation(modality, settings), _embedded(pictures, encoder), out, overwrite=overwrite
    )
    _say_prepared(recordings)


@app.command("power")
def power_command(
    modality: Modality,
    vary: Annotated[
        str, typer.Option(help="subjects, training_pictures, training_repeats, test_repeats, snr.")
    ],
    values: Annotated[str, typer.Option(help="Values to try: 1,2,4,8.")],
    pictures: Annotated[str, typer.Option(help="`shipped`, a folder or a table.")] = "shipped",
    encoder: Annotated[str, typer.Option(help="`offline` or `hf:NAME`.")] = "offline",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A field of SimulationConfig: snr=0.02.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=2, help="Repetitions of each experiment.")] = 5,
    jobs: Annotated[int, typer.Option(help="Processes.")] = 1,
) -> None:
    """Power analysis: simulated decoding score against the size of the experiment."""
    from neuroalign.simulation.power import power_curve

    table = power_curve(
        _simulation(modality, settings),
        _embedded(pictures, encoder),
        vary,
        [float(v) if "." in v else int(v) for v in values.split(",")],
        seeds=seeds,
        jobs=jobs,
    )
    _say(f"Simulated {modality.value}: 2-way score against {vary}")
    _print_table(table.round(3))


@app.command("train")
def train_command(
    recipe: Annotated[Path, typer.Argument(help="A recipe (YAML).")],
    out: Annotated[
        Path | None, typer.Option(help="The run folder; runs/NAME unless given.")
    ] = None,
    devices: Annotated[int, typer.Option(min=1, help="Processes or GPUs.")] = 1,
) -> None:
    """Train a recipe. An interrupted training goes on when the command is given again."""
    from neuroalign.recipe import load_recipe
    from neuroalign.run import train_run

    loaded = load_recipe(recipe)
    run = train_run(loaded, out or Path("runs") / loaded.name, devices=devices)
    if _is_further_process():
        return
    record = run.record
    seconds = record["seconds"]
    _say(
        f"Trained {', '.join(record['recordings'])} in {seconds['training']:.0f} s, after "
        f"{seconds['pictures']:.0f} s for the embeddings of the pictures."
    )
    for label, source in record["targets"].items():
        _say(f"  class {label}: {source}")
    _say(f"Next: neuroalign evaluate {run.path}")


@app.command("evaluate")
def evaluate_command(run: RunFolder, as_json: AsJson = False) -> None:
    """Score the three tasks on the test trials of a run."""
    from neuroalign.assess import evaluate_run
    from neuroalign.evaluation.tables import to_json

    scores = evaluate_run(run)
    if as_json:
        sys.stdout.write(to_json(scores) + "\n")
        return
    _print_scores([s for s in scores if s.subject == "all"])
    _say(f"All scores, per person too: {run / 'scores.json'}")
    _say(f"Next: neuroalign report {run}")


@app.command("decode")
def decode_command(
    run: RunFolder,
    modality: Modality,
    items: Items = None,
    query: Annotated[int | None, typer.Option(help="Only this item; all unless given.")] = None,
    gallery: Annotated[
        str | None, typer.Option(help="Your own pictures: a folder or a table.")
    ] = None,
    top: Top = 5,
    as_json: AsJson = False,
    grid: Grid = None,
) -> None:
    """Rank pictures for test recordings."""
    from neuroalign.retrieve import decode_run

    answer = decode_run(run, modality.value, items=items, query=query, gallery=gallery, k=top)
    _say_answer(answer, run, as_json, grid)


@app.command("encode")
def encode_command(
    run: RunFolder,
    modality: Modality,
    picture: Annotated[
        str | None,
        typer.Option(
            help="A test picture's name, or a file or folder of pictures; all unless given."
        ),
    ] = None,
    items: Items = None,
    top: Top = 5,
    as_json: AsJson = False,
    grid: Grid = None,
) -> None:
    """Rank test recordings for pictures."""
    from neuroalign.retrieve import encode_run

    answer = encode_run(run, modality.value, items=items, picture=picture, k=top)
    _say_answer(answer, run, as_json, grid)


@app.command("convert")
def convert_command(
    run: RunFolder,
    source: Modality,
    target: Modality,
    items: Items = None,
    query: Annotated[int | None, typer.Option(help="Only this item; all unless given.")] = None,
    top: Top = 5,
    as_json: AsJson = False,
    grid: Grid = None,
) -> None:
    """Rank test recordings of one modality for those of another."""
    from neuroalign.retrieve import convert_run

    answer = convert_run(run, source.value, target.value, items=items, query=query, k=top)
    _say_answer(answer, run, as_json, grid)


@app.command("report")
def report_command(
    run: RunFolder,
    beside: Annotated[
        list[Path] | None, typer.Option(help="Another evaluated run to set beside this one.")
    ] = None,
) -> None:
    """Write the HTML report of an evaluated run."""
    from neuroalign.report.html import write_report

    _say(f"Open {write_report(run, beside or [])}")


@app.command("demo")
def demo_command(
    out: Annotated[Path, typer.Option(help="The run folder.")] = Path("runs/demo"),
    encoder: Annotated[str, typer.Option(help="`offline` or `hf:NAME`.")] = "offline",
) -> None:
    """Run everything on shipped pictures and simulated recordings."""
    from neuroalign.demo import headline, run_demo

    report, scores = run_demo(
        out, encoder=encoder, say=lambda line: err_console.print(f"[bold]{line}[/bold]")
    )
    _print_scores(headline(scores))
    out_console.print("All recordings above are simulated.")
    _say(f"Open {report}")


def _print_scores(scores: list[Any]) -> None:
    from neuroalign.evaluation.tables import rich_table

    for task in dict.fromkeys(s.task for s in scores):
        part = [s for s in scores if s.task == task]
        simulated = "simulated recordings, " if any(s.simulated for s in part) else ""
        out_console.print(rich_table(part, title=f"{task} ({simulated}95 % intervals)"))


def _say_prepared(recordings: Any) -> None:
    _say(str(recordings))
    splits = recordings.trials.groupby(["subject", "split"]).size().unstack(fill_value=0)
    _print_table(splits.reset_index())
    for dropped in recordings.info.dropped:
        _say(f"left out: {dropped.where}: {dropped.trials} trials: {dropped.reason}")


def _say_answer(answer: Any, run: Path, as_json: bool, grid: Path | None) -> None:
    table = answer.ranking.table()
    wanted = [
        "query", "query_subject", "query_stimulus", "query_label",
        "rank", "score", "found_subject", "found_stimulus", "found_label",
    ]  # fmt: skip
    table = table[[c for c in wanted if c in table and table[c].notna().any()]]
    if as_json:
        sys.stdout.write(json.dumps(json.loads(table.to_json(orient="records")), indent=1) + "\n")
    else:
        if answer.simulated:
            out_console.print("Simulated recordings.")
        shown = table[["query", "rank", "score"]].assign(found=_described(table, "found"))
        shown.insert(1, "asked", _described(table, "query"))
        _print_table(shown)
    if grid is not None:
        from neuroalign.report.grids import answer_grid
        from neuroalign.report.picture_files import PictureFiles
        from neuroalign.run import Run

        answer_grid(answer, grid, pictures=PictureFiles.from_items(Run(run).pictures.items))
        _say(f"Drawn into {grid}", err_console)


def _described(table: Any, side: str) -> list[str]:
    """Name each item of one side of a retrieval: person, picture, class."""
    columns = [f"{side}_{c}" for c in ("subject", "stimulus", "label") if f"{side}_{c}" in table]
    rows = table[columns].astype("string").fillna("").itertuples(index=False)
    return [", ".join(filter(None, row)) for row in rows]


def _print_table(table: Any) -> None:
    from rich.table import Table

    shown = Table(*map(str, table.columns))
    for row in table.itertuples(index=False):
        shown.add_row(*(_cell(value) for value in row))
    out_console.print(shown)


def _cell(value: Any) -> str:
    if value != value or value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else escape(str(value))


def _say(line: str, console: Console = out_console) -> None:
    """Print a line as it is: paths stay whole and may hold brackets."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _embedded(pictures: str, encoder: str) -> Any:
    from neuroalign.images.cache import embed_pictures
    from neuroalign.run import picture_set

    return embed_pictures(picture_set(pictures), encoder)


def _simulation(modality: Modality, settings: list[str] | None) -> Any:
    import yaml
    from pydantic import ValidationError

    from neuroalign.simulation.config import SimulationConfig

    fields: dict[str, Any] = {"modality": modality.value}
    for entry in settings or []:
        name, sign, value = entry.partition("=")
        if not sign:
            raise NeuroalignError(f"Expected --set FIELD=VALUE, got {entry!r}.")
        fields[name] = yaml.safe_load(value)
    try:
        return SimulationConfig(**fields)
    except ValidationError as error:
        raise NeuroalignError(f"These settings do not make a simulation: {error}") from error


def _listed(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def _shape(text: str | None) -> tuple[int, int, int] | None:
    if text is None:
        return None
    try:
        x, y, z = (int(part) for part in text.split(","))
    except ValueError as error:
        raise NeuroalignError(
            f"A volume's shape is three numbers such as 40,64,64; got {text!r}."
        ) from error
    return x, y, z


def _test_rule(text: str) -> Any:
    if text == "last":
        return "last"
    try:
        return float(text)
    except ValueError:
        return _listed(text)


def _show_version(wanted: bool) -> None:
    if wanted:
        out_console.print(f"neuroalign {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Options of the program itself."""


def main() -> None:
    """Run the command line; an error the user can put right exits with status 2."""
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """Run one command and return its exit status: 0, or 2 with an explanation on stderr."""
    try:
        status = app(arguments, prog_name="neuroalign", standalone_mode=False)
    except typer.Exit as error:
        return error.exit_code
    except _UsageError as error:
        error.show()
        return 2
    except NeuroalignError as error:
        return _explain(str(error))
    except (KeyboardInterrupt, typer.Abort):
        status = _INTERRUPTED
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return _explain(
                f"The disk is full ({error.filename or 'while writing'}). Free some space, then "
                "give the same command again."
            )
        if error.filename is not None:
            return _explain(
                f"{error.filename} cannot be read or written: {error.strerror}. Check the path "
                "and its permissions."
            )
        raise
    except RuntimeError as error:
        if _is_further_process() and "by peer" in str(error):  # the first is gone and said why
            return 2
        raise
    if status == _INTERRUPTED:
        return _explain(
            "Interrupted. Nothing half-written was left in place; give the same command again to "
            "go on (training continues from its last epoch)."
        )
    return status if isinstance(status, int) else 0


def _is_further_process() -> bool:
    """Whether this is one of the processes that `--devices` starts beside the first."""
    return os.environ.get("LOCAL_RANK", "0") != "0"


def _explain(message: str) -> int:
    if not _is_further_process():
        err_console.print(
            f"[bold red]Error:[/bold red] {escape(message)}", highlight=False, soft_wrap=True
        )
    return 2
