"""The demo: the whole job on shipped pictures and simulated recordings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from neuroalign.assess import IDEAL, evaluate_run
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.scores import Score
from neuroalign.images.cache import embed_pictures
from neuroalign.images.pictures import shipped_pictures
from neuroalign.recipe import Recipe, make_recipe
from neuroalign.recordings.container import Recordings
from neuroalign.recordings.schema import Modality
from neuroalign.recordings.spectrograms import write_spectrograms
from neuroalign.report.html import write_report
from neuroalign.run import train_run
from neuroalign.simulation.config import SimulationConfig
from neuroalign.simulation.generate import simulate

MODALITIES: tuple[Modality, ...] = ("eeg", "meg", "fmri")


def run_demo(
    out: str | Path,
    *,
    encoder: str = "offline",
    simulation: dict[str, Any] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Path, list[Score]]:
    """Simulate, train the presets `default` and `paper`, score both, and write the report.

    Parameters
    ----------
    out : Path
        The run folder, with the second run in `out/paper`; the simulated recordings lie beside it,
        in `<out>-data`, and those of an earlier demo are replaced.
    encoder : str
        A name for `load_encoder`.
    simulation : dict, optional
        Overrides of `SimulationConfig` for every modality.
    say : callable
        Receives a line before each step.

    Returns
    -------
    report : Path
    scores : list of Score
        On averaged test trials: of both presets, of ridge on the first's recordings, and of the
        ideal observer.

    Raises
    ------
    NeuroalignError
        `out` is there already, or `<out>-data` holds something else than simulated recordings.
    """
    out = Path(out)
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise NeuroalignError(
            f"{out} already exists. Choose another folder with --out, or delete it to run the demo "
            "there again."
        )
    # Beside the run, not in it: a run folder holds nothing that it was not trained into.
    data = out.with_name(f"{out.name}-data")
    _refuse_what_is_not_simulated(data)
    say("Embedding the pictures that ship with the package")
    pictures = embed_pictures(shipped_pictures(), encoder)
    folders: dict[Modality, Path] = {}
    for modality in MODALITIES:
        say(f"Simulating {modality} recordings")
        config = SimulationConfig(modality=modality, **(simulation or {}))
        folders[modality] = data / modality
        recordings = simulate(config, pictures, folders[modality], overwrite=True)
        if modality == "eeg":
            spectrograms = data / "eeg-spectrogram"
            write_spectrograms(recordings, spectrograms, overwrite=True)
    default = demo_recipe("default", folders, encoder)
    paper = demo_recipe("paper", folders | {"eeg": spectrograms}, encoder)
    say("Training the preset `default`")
    run = train_run(default, out)
    say("Scoring it, beside ridge regression and the ideal observer")
    scores = evaluate_run(out)
    say("Training the preset `paper`")
    beside = train_run(paper, out / "paper")
    ideal = [s for s in scores if s.model == IDEAL]
    theirs = evaluate_run(beside.path, ceiling=ideal)
    say("Writing the report")
    report = write_report(run.path, [beside.path])
    both = scores + [s for s in theirs if s.model == beside.model_name]
    return report, [s for s in both if "single trials" not in s.items]


def demo_recipe(preset: str, folders: dict[Modality, Path], encoder: str) -> Recipe:
    """Return the demo's recipe for one preset."""
    return make_recipe(
        {
            "name": f"demo-{preset}",
            "preset": preset,
            "pictures": "shipped",
            "encoder": encoder,
            "modalities": {
                m: {"recordings": str(path.resolve()), "test_items": ["repeats", "trials"]}
                for m, path in folders.items()
            },
        }
    )


def _refuse_what_is_not_simulated(data: Path) -> None:
    for path in data.glob("[!.]*"):
        try:
            replaceable = Recordings(path).info.simulated
        except NeuroalignError:
            replaceable = False
        if not replaceable:
            raise NeuroalignError(
                f"The demo would write its simulated recordings into {data}, but {path} is there "
                "and is not an earlier demo's. Choose another folder with --out."
            )
