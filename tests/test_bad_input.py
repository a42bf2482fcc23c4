"""Bad input: what was found, where, and what to do; status 2; nothing lost, nothing half-written.

Ctrl-C while training and evaluating is in test_run.py and test_assess.py.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from laboratory import DEADLINE_S, Laboratory, Process, listing, neuroalign, plain
from moments import Moment
from neuroalign.images.pictures import shipped_pictures

RUNS, VOLUMES, VOXELS = 4, 12, 6


class Refusal:
    """Gives commands that must be refused, and checks that they touched nothing."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys

    def __call__(self, *arguments: object, says: tuple[str, ...]) -> str:
        before = listing(self.folder)
        self._capsys.readouterr()
        assert neuroalign(*arguments) == 2
        shown = plain(self._capsys.readouterr().err)
        for part in says:
            assert part in shown, shown
        assert shown.startswith("Error: ")
        assert "Traceback" not in shown
        assert listing(self.folder) == before
        return shown


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refusal:
    return Refusal(tmp_path, capsys)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A folder with a simulated volume series and its table, ready for `prepare arrays`."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "scans"
    folder.mkdir()
    np.save(folder / "bold.npy", rng.normal(800, 10, (RUNS * VOLUMES, VOXELS)).astype("f4"))
    table = pd.DataFrame(
        {
            "subject": "sub-01",
            "run": np.repeat(np.arange(RUNS), VOLUMES),
            "label": (["face"] * 6 + ["house"] * 6) * RUNS,
        }
    )
    table.to_csv(folder / "volumes.tsv", sep="\t", index=False)
    return folder


def prepare(scans: Path, *options: str) -> list[object]:
    trials, out = scans / "volumes.tsv", scans.parent / "out"
    return ["prepare", "arrays", scans / "bold.npy", "--trials", trials, "--out", out, *options]


def change_table(scans: Path, change: Callable[[pd.DataFrame], object]) -> None:
    table = pd.read_csv(scans / "volumes.tsv", sep="\t")
    changed = change(table)
    table = changed if isinstance(changed, pd.DataFrame) else table
    table.to_csv(scans / "volumes.tsv", sep="\t", index=False)


def test_the_scans_are_fine_as_they_are(scans: Path) -> None:
    assert neuroalign(*prepare(scans)) == 0


# --- preparing -----------------------------------------------------------------------------------


def a_missing_array(scans: Path) -> None:
    (scans / "bold.npy").unlink()


def a_missing_table(scans: Path) -> None:
    (scans / "volumes.tsv").unlink()


def an_unreadable_array(scans: Path) -> None:
    (scans / "bold.npy").write_bytes(b"this is no array" * 10)


def an_array_cut_short(scans: Path) -> None:
    whole = (scans / "bold.npy").read_bytes()
    (scans / "bold.npy").write_bytes(whole[: len(whole) // 2])


def an_unreadable_table(scans: Path) -> None:
    (scans / "volumes.tsv").write_bytes(bytes(range(128, 256)) * 9)


def an_empty_table(scans: Path) -> None:
    (scans / "volumes.tsv").write_text("")


def a_table_without_rows(scans: Path) -> None:
    (scans / "volumes.tsv").write_text("subject\trun\tlabel\n")


def an_array_of_another_layout(scans: Path) -> None:
    np.save(scans / "bold.npy", np.load(scans / "bold.npy").reshape(RUNS, VOLUMES, VOXELS))


def an_array_of_words(scans: Path) -> None:
    np.save(scans / "bold.npy", np.load(scans / "bold.npy").astype(str))


def a_table_without_runs(scans: Path) -> None:
    change_table(scans, lambda t: t.drop(columns="run"))


def a_table_that_is_too_short(scans: Path) -> None:
    change_table(scans, lambda t: t.iloc[:-5])


def a_person_who_is_only_tested(scans: Path) -> None:
    change_table(scans, lambda t: t.assign(split="test"))


def a_split_of_another_name(scans: Path) -> None:
    change_table(scans, lambda t: t.assign(split=["train", "holdout"] * (len(t) // 2)))


def nothing_but_nan(scans: Path) -> None:
    np.save(scans / "bold.npy", np.full((RUNS * VOLUMES, VOXELS), np.nan, "f4"))


def nothing_but_constants(scans: Path) -> None:
    np.save(scans / "bold.npy", np.full((RUNS * VOLUMES, VOXELS), 7, "f4"))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (a_missing_array, ("bold.npy", "does not exist")),
        (a_missing_table, ("volumes.tsv", "does not exist")),
        (an_unreadable_array, ("bold.npy", "not a readable")),
        (an_array_cut_short, ("bold.npy", "not a readable")),
        (an_unreadable_table, ("volumes.tsv", "not a readable table")),
        (an_empty_table, ("volumes.tsv", "not a readable table")),
        (a_table_without_rows, ("volumes.tsv",)),
        (an_array_of_another_layout, ("bold.npy", "(4, 12, 6)")),
        (an_array_of_words, ("bold.npy",)),
        (a_table_without_runs, ("volumes.tsv", "lacks the column(s) run")),
        (a_table_that_is_too_short, ("48", "43")),
        (a_person_who_is_only_tested, ("sub-01", "no training volumes")),
        (a_split_of_another_name, ("holdout", "'train' or 'test'")),
        (nothing_but_nan, ("sub-01",)),
        (nothing_but_constants, ("sub-01",)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_prepare_refuses(
    scans: Path, refused: Refusal, damage: Callable[[Path], None], says: tuple[str, ...]
) -> None:
    damage(scans)
    refused(*prepare(scans), says=says)


def test_prepare_refuses_a_class_that_is_empty(scans: Path, refused: Refusal) -> None:
    refused(*prepare(scans, "--classes", "face,house,cat"), says=("cat",))


def test_prepare_drops_useless_voxels_and_lists_them(
    scans: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bold = np.load(scans / "bold.npy")
    bold[3, 1], bold[:, 4] = np.nan, 800
    np.save(scans / "bold.npy", bold)
    assert neuroalign(*prepare(scans)) == 0
    shown = plain(capsys.readouterr().out)
    assert "left out: sub-01" in shown
    info = json.loads((scans.parent / "out" / "recordings.json").read_text())
    assert info["subjects"]["sub-01"]["shape"] == [4]


def test_prepare_refuses_other_layouts(tmp_path: Path, refused: Refusal) -> None:
    out = ("--out", tmp_path / "out")
    refused("prepare", "bids", tmp_path / "none", *out, says=("none",))
    (tmp_path / "empty").mkdir()
    refused("prepare", "bids", tmp_path / "empty", *out, says=("empty",))
    refused("prepare", "epochs", f"a={tmp_path / 'a-epo.fif'}", *out, says=("a-epo.fif",))
    (tmp_path / "b-epo.fif").write_bytes(b"no epochs at all" * 100)
    refused("prepare", "epochs", f"b={tmp_path / 'b-epo.fif'}", *out, says=("b-epo.fif",))


def test_a_folder_that_holds_something_is_kept(
    lab: Laboratory, scans: Path, tmp_path: Path, refused: Refusal
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("do not touch")
    says = ("out already exists", "--overwrite")
    refused(*prepare(scans), says=says)
    refused(*lab.simulation("fmri", tmp_path / "out"), says=says)
    refused("train", lab.recipe, "--out", tmp_path / "out", says=("out already exists",))
    refused("demo", "--out", tmp_path / "out", says=("out already exists",))
    (tmp_path / "new-data" / "eeg").mkdir(parents=True)
    refused("demo", "--out", tmp_path / "new", says=("not an earlier demo's", "--out"))
    shutil.copytree(lab.run, tmp_path / "run")
    refused("train", lab.recipe, "--out", tmp_path / "run", says=("already holds a finished run",))
    assert neuroalign(*prepare(scans, "--overwrite")) == 0
    assert not (tmp_path / "out" / "thesis.txt").exists()


# --- pictures ------------------------------------------------------------------------------------


def test_pictures_that_cannot_be_used(lab: Laboratory, tmp_path: Path, refused: Refusal) -> None:
    pictures = shutil.copytree(lab.pictures, tmp_path / "pictures")
    damaged = next(pictures.rglob("*.*"))
    damaged.write_bytes(b"not a picture")
    (pictures / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    recipe = lab.recipe_with(tmp_path / "recipe.yaml", pictures=str(pictures))
    says = ("2 picture file(s) cannot be decoded", str(damaged), "cut.png", "leave them out")
    source = ("--pictures", pictures, "--encoder", "offline")
    refused("simulate", "fmri", "--out", tmp_path / "out", *source, says=says)
    refused("decode", lab.run, "eeg", "--gallery", pictures, says=says)
    assert neuroalign("train", recipe, "--out", tmp_path / "run") == 2
    (tmp_path / "nothing").mkdir()
    source = ("--pictures", tmp_path / "nothing", "--encoder", "offline")
    says = ("nothing holds no pictures",)
    refused("simulate", "fmri", "--out", tmp_path / "out", *source, says=says)
    source = ("--pictures", tmp_path / "none.tsv", "--encoder", "offline")
    says = ("none.tsv is not a readable table of pictures",)
    refused("simulate", "fmri", "--out", tmp_path / "out", *source, says=says)
    source = ("--pictures", lab.pictures, "--encoder", "magic")
    says = ("no image encoder 'magic'", "offline")
    refused("simulate", "fmri", "--out", tmp_path / "out", *source, says=says)


def test_too_few_pictures_to_simulate(lab: Laboratory, tmp_path: Path, refused: Refusal) -> None:
    command = lab.simulation("fmri", tmp_path / "out", "test_pictures=39")
    refused(*command, says=("40 pictures cannot be split", "39"))


def test_embeddings_of_another_encoder(lab: Laboratory, tmp_path: Path, refused: Refusal) -> None:
    import torch
    from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModelWithProjection

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    sizes |= {"num_attention_heads": 2, "image_size": 32, "patch_size": 16, "projection_dim": 8}
    torch.manual_seed(0)
    CLIPVisionModelWithProjection(CLIPVisionConfig(**sizes)).save_pretrained(tmp_path / "tiny")
    square = {"height": 32, "width": 32}
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=square).save_pretrained(
        tmp_path / "tiny"
    )
    run = shutil.copytree(lab.run, tmp_path / "run")
    text = (run / "recipe.yaml").read_text()
    other = f"encoder: hf:{tmp_path / 'tiny'}"
    (run / "recipe.yaml").write_text(text.replace("encoder: offline", other))
    both = ("hf:clip_vision_model", "offline:efficientnet-lite2")
    refused("decode", run, "eeg", says=(*both, "Embed the pictures with that encoder"))
    refused("evaluate", run, says=(*both, "different-encoders", "train with the recipe's encoder"))


# --- recordings and recipes ----------------------------------------------------------------------


@pytest.fixture
def recipe(lab: Laboratory, tmp_path: Path) -> Path:
    """A recipe for fMRI alone, whose recordings may be damaged."""
    shutil.copytree(lab.data / "fmri", tmp_path / "fmri")
    path = lab.recipe_with(tmp_path / "recipe.yaml")
    text = path.read_text()
    start = text.index("modalities:\n")
    end = text.index("name:")
    fmri = "modalities:\n  fmri: {recordings: fmri}\n"
    path.write_text(text[:start] + fmri + text[end:])
    return path


def trials_of(data: Path) -> pd.DataFrame:
    return pd.read_parquet(data / "trials.parquet")


def change_trials(data: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    change(trials_of(data)).to_parquet(data / "trials.parquet", index=False)


def change_signals(data: Path, change: Callable[[np.ndarray], object]) -> None:
    signals = np.load(data / "signals" / "fmri-02.npy")
    changed = change(signals)
    np.save(
        data / "signals" / "fmri-02.npy", changed if isinstance(changed, np.ndarray) else signals
    )


def no_recordings(data: Path) -> None:
    shutil.rmtree(data)


def no_description(data: Path) -> None:
    (data / "recordings.json").unlink()


def a_damaged_description(data: Path) -> None:
    (data / "recordings.json").write_text("{")


def a_damaged_table(data: Path) -> None:
    (data / "trials.parquet").write_bytes(b"PAR1 no more")


def missing_signals(data: Path) -> None:
    (data / "signals" / "fmri-02.npy").unlink()


def too_few_signals(data: Path) -> None:
    change_signals(data, lambda x: x[:-3])


def too_few_rows(data: Path) -> None:
    change_trials(data, lambda t: t.iloc[:-3])


def a_trial_that_stands_twice(data: Path) -> None:
    change_trials(data, lambda t: t.assign(array_row=t["array_row"].replace(1, 0)))


def a_person_without_training_trials(data: Path) -> None:
    change_trials(
        data, lambda t: t.assign(split=t["split"].where(t["subject"] != "fmri-02", "test"))
    )


def nobody_with_training_trials(data: Path) -> None:
    change_trials(data, lambda t: t.assign(split="test"))


def a_picture_that_is_not_in_the_set(data: Path) -> None:
    first = trials_of(data).query("split == 'train'").index[0]
    change_trials(
        data, lambda t: t.assign(stimulus=t["stimulus"].where(t.index != first, "unicorn"))
    )


def a_class_without_pictures(data: Path) -> None:
    nothing = pd.Series(pd.NA, range(len(trials_of(data))), dtype="string")
    change_trials(data, lambda t: t.assign(stimulus=nothing, label="unicorn"))


def nan_in_the_signals(data: Path) -> None:
    trials = trials_of(data).query("subject == 'fmri-02' and split == 'train'")
    change_signals(data, lambda x: x.__setitem__((trials["array_row"].iloc[0], 2), np.nan))


def a_voxel_that_never_changes(data: Path) -> None:
    change_signals(data, lambda x: x.__setitem__((slice(None), 2), 1.5))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (no_recordings, ("fmri is not a recordings folder", "neuroalign prepare")),
        (no_description, ("fmri is not a recordings folder",)),
        (a_damaged_description, ("recordings.json is not valid JSON",)),
        (a_damaged_table, ("trials.parquet is not a readable Parquet table",)),
        (missing_signals, ("fmri-02.npy is missing",)),
        (too_few_signals, ("fmri-02.npy holds", "expects")),
        (too_few_rows, ("fmri-02", "rows in the trial table")),
        (a_trial_that_stands_twice, ("`array_row`", "duplicates: [0]")),
        (a_person_without_training_trials, ("fmri-02", "no training trials")),
        (nobody_with_training_trials, ("no training trials",)),
        (a_picture_that_is_not_in_the_set, ("unicorn", "without an embedding")),
        (a_class_without_pictures, ("validation by 'stimulus'", "`validation: {by: run}`")),
        (nan_in_the_signals, ("fmri-02", "NaN")),
        (a_voxel_that_never_changes, ("fmri-02", "do not change")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_train_refuses_recordings(
    recipe: Path,
    tmp_path: Path,
    damage: Callable[[Path], None],
    says: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(tmp_path / "fmri")
    before = listing(tmp_path)
    assert neuroalign("train", recipe, "--out", tmp_path / "run") == 2
    shown = plain(capsys.readouterr().err)
    for part in says:
        assert part in shown, shown
    # at most the recipe is kept: a corrected one may take the folder over
    left = listing(tmp_path)
    assert {name for name in left if name not in before} <= {"run", "run/recipe.yaml"}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("encoder: offline", "encoder: [", ("recipe.yaml is not a readable YAML file",)),
        ("encoder: offline", "encodr: offline", ("recipe.yaml", "encodr")),
        ("preset: default", "preset: best", ("no preset 'best'", "default, paper")),
        ("epochs: 12", "epochs: many", ("training.epochs", "many")),
        ("fmri: {recordings: fmri}", "eeg: {recordings: fmri}", ("as eeg", "fmri recordings")),
        ("fmri: {recordings: fmri}", "fmri: {recordings: .}", (" is not a recordings folder",)),
    ],
)
def test_train_refuses_recipes(
    recipe: Path, refused: Refusal, old: str, new: str, says: tuple[str, ...]
) -> None:
    text = recipe.read_text()
    assert old in text
    recipe.write_text(text.replace(old, new))
    refused("train", recipe, "--out", recipe.parent / "run", says=says)


# --- runs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("bundle/model.safetensors", ("model.safetensors cannot be read", "train it again")),
        ("bundle/config.json", ("config.json is not the config of a neuroalign bundle",)),
        ("recipe.yaml", ("recipe.yaml",)),
        ("run.json", ("run.json",)),
        ("split.parquet", ("split.parquet",)),
    ],
)
@pytest.mark.parametrize("task", ["evaluate", "decode"])
def test_damaged_runs_are_refused(
    lab: Laboratory, tmp_path: Path, refused: Refusal, file: str, says: tuple[str, ...], task: str
) -> None:
    run = shutil.copytree(lab.run, tmp_path / "run")
    (run / file).write_bytes(b"\x00\x01 damaged {")
    refused(task, run, *(["eeg"] if task == "decode" else []), says=says)


def test_a_damaged_checkpoint_is_refused(lab: Laboratory, tmp_path: Path, refused: Refusal) -> None:
    run = shutil.copytree(lab.run, tmp_path / "run")
    (run / "run.json").unlink()
    (run / "checkpoints" / "eeg-search.pt").write_bytes(b"half a checkpoint")
    says = ("eeg-search.pt cannot be resumed from", "delete it")
    refused("train", lab.recipe, "--out", run, says=says)


def test_damaged_scores_are_refused_by_the_report(
    lab: Laboratory, tmp_path: Path, refused: Refusal
) -> None:
    run = shutil.copytree(lab.run, tmp_path / "run")
    (run / "scores.json").write_text("[{]")
    refused("report", run, says=("scores.json",))


# --- a full disk ---------------------------------------------------------------------------------

FULL_DISK = textwrap.dedent(
    """
    import contextlib, io, json, subprocess, sys
    from pathlib import Path

    sys.path.insert(0, sys.argv[1])
    from laboratory import listing, neuroalign

    found = {}
    for name, (kilobytes, copies, arguments) in json.load(sys.stdin).items():
        folder = Path(sys.argv[2]) / name
        folder.mkdir()
        size = f"size={kilobytes}k"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], check=True)
        for source, target in copies:
            subprocess.run(["cp", "-r", source, folder / target], check=True)
        before = sorted(listing(folder))
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
                status = neuroalign(*[a.replace("DISK", str(folder)) for a in arguments])
        except BaseException as error:
            status = repr(error)
        new = sorted(set(listing(folder)) - set(before))
        found[name] = {"status": status, "said": said.getvalue(), "new": new}
    print(json.dumps(found))
    """
)


def test_a_full_disk(lab: Laboratory, scans: Path, tmp_path: Path) -> None:
    """On file systems of a few kilobytes, in a mount namespace of its own."""
    isolated = ["unshare", "--mount", "--map-root-user", "--user"]
    (tmp_path / "disks").mkdir()
    probe = ["mount", "-t", "tmpfs", "tmpfs", str(tmp_path / "disks")]
    try:
        subprocess.run([*isolated, *probe], check=True, capture_output=True, timeout=DEADLINE_S)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small file system cannot be mounted here: {error}")
    train = ["train", str(lab.recipe), "--out", "DISK/run"]
    files = [p.relative_to(lab.run) for p in lab.run.rglob("*") if p.is_file()]
    scored = [p for p in files if p.parts[0] in ("evaluation", "scores.json")]
    size = {p: -(-(lab.run / p).stat().st_size // 4096) * 4 for p in files}  # in pages, as there
    full = sum(size.values())
    needed = full - sum(size[p] for p in scored)
    run = [(str(lab.run), "run")]
    cases: dict[str, tuple[int, list[tuple[str, str]], list[str]]] = {
        "prepare": (1, [], [*map(str, prepare(scans)[:-1]), "DISK/out"]),
        "simulate": (100, [], [str(a) for a in lab.simulation("eeg", Path("DISK/eeg"))]),
        **{f"train-{s}": (max(4, int(s * needed)), [], train) for s in (0, 0.3, 0.95)},
        "evaluate": (full + 8, run, ["evaluate", "DISK/run"]),
        "report": (full + 300, run, ["report", "DISK/run"]),
        "grid": (8, [], ["decode", str(lab.run), "eeg", "--grid", "DISK/grid.png"]),
    }
    command = [*isolated, sys.executable, "-c", FULL_DISK, str(Path(__file__).parent)]
    done = subprocess.run(
        [*command, str(tmp_path / "disks")],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found.keys() == cases.keys()
    for name, result in found.items():
        assert result["status"] == 2, (name, result)
        assert "disk is full" in plain(result["said"]), (name, result)
        assert not [p for p in result["new"] if "partial" in p], (name, result)
        assert "run/run.json" not in result["new"], (name, result)


# --- Ctrl-C --------------------------------------------------------------------------------------


def interrupted(process: Process) -> None:
    assert process.wait() == 2
    assert "Error: Interrupted." in plain(process.output)
    assert "Traceback" not in process.output


def test_ctrl_c_while_preparing(tmp_path: Path, start: Callable[..., Process]) -> None:
    people, volumes, voxels = 4, 24, 20
    (tmp_path / "scans").mkdir()
    signals = np.random.default_rng(0).normal(size=(people * volumes, voxels)).astype("f4")
    np.save(tmp_path / "scans" / "bold.npy", signals)
    pd.DataFrame(
        {
            "subject": np.repeat([f"s{i}" for i in range(people)], volumes),
            "run": np.tile(np.repeat(["1", "2"], volumes // 2), people),
            "label": np.tile(["face", "house"], people * volumes // 2),
        }
    ).to_csv(tmp_path / "scans" / "volumes.tsv", sep="\t", index=False)
    moment = Moment("open", "*/people/.s2*.npy")
    interrupted(start(*prepare(tmp_path / "scans"), moment=moment))
    assert {p.name for p in tmp_path.iterdir()} == {"scans", ".out.unfinished"}
    kept = tmp_path / ".out.unfinished"
    assert sorted(p.name for p in (kept / "people").iterdir()) == ["s0", "s1"]
    assert neuroalign(*prepare(tmp_path / "scans")) == 0  # goes on where it was
    expected = tmp_path / "expected"
    (tmp_path / "out").rename(expected)
    assert neuroalign(*prepare(tmp_path / "scans")) == 0
    assert listing(tmp_path / "out") == listing(expected)
    assert {p.name for p in tmp_path.iterdir()} == {"scans", "out", "expected"}


def test_ctrl_c_while_embedding(tmp_path: Path, start: Callable[..., Process]) -> None:
    many = ("simulate", "eeg", "--out", tmp_path / "eeg", "--encoder", "offline")
    cache = tmp_path / "cache"
    process = start(*many, NEUROALIGN_CACHE=cache)
    total = len(shipped_pictures())
    process.interrupt_when(lambda: f"32/{total}" in plain(process.output))
    interrupted(process)
    assert [p.name for p in tmp_path.iterdir()] == ["cache"]
    shards = list(cache.rglob("*.npz"))
    assert len(shards) == 1  # what had been embedded is kept, and whole
    with np.load(shards[0]) as shard:
        assert len(shard["keys"]) == len(shard["vectors"]) >= 32
    assert not list(cache.rglob("*partial*"))


def test_ctrl_c_while_simulating(
    lab: Laboratory, tmp_path: Path, start: Callable[..., Process]
) -> None:
    moment = Moment("open", "*/..eeg.partial-*/signals/eeg-02.npy")
    interrupted(start(*lab.simulation("eeg", tmp_path / "eeg"), moment=moment))
    assert not list(tmp_path.iterdir())


def test_ctrl_c_while_reporting(
    lab: Laboratory, tmp_path: Path, start: Callable[..., Process]
) -> None:
    run = shutil.copytree(lab.run, tmp_path / "run")
    (run / "report.html").write_text("an older report")
    before = listing(run)
    moment = Moment("open", "*/.figures.partial-*/*", count=3)
    interrupted(start("report", run, moment=moment))
    assert listing(run) == before


def test_a_file_size_limit_is_named(scans: Path) -> None:
    limited = "ulimit -f 1; exec " + " ".join([sys.executable, "-m", "neuroalign"])
    arguments = " ".join(str(a) for a in prepare(scans))
    done = subprocess.run(
        ["sh", "-c", f"{limited} {arguments}"],
        capture_output=True,
        text=True,
        env=dict(os.environ),
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "limit" in plain(done.stderr)
    assert not list(scans.parent.glob("*out*"))
