"""A catalogue of spoiled data sets: each is caught by its rule alone; its clean twin passes."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps
from poison import CATEGORIES, PEOPLE, STANDARDISED, World, clean_world

from neuroalign.audit import Audit, audit_run
from neuroalign.evaluation.protocols import ConceptRule, Protocol, load_protocol
from neuroalign.images.pictures import pictures_from_folder
from neuroalign.recordings import Recordings, Step
from neuroalign.recordings.regroup import names_of_content
from neuroalign.recordings.resplit import write_split

Poison = Callable[[World], World]


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache of embeddings, so that each picture is embedded once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEUROALIGN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def serious(path: Path, protocol: Protocol | None = None) -> set[str]:
    return checked(audit_run(path, protocol))


def checked(audit: Audit) -> set[str]:
    """Return the rules that refuse or warn, after a look at what every audit must hold."""
    found = {f.rule for f in audit.findings if f.severity != "note"}
    refused = any(f.severity == "refusal" for f in audit.findings)
    expected = "refused" if refused else "passed with warnings" if found else "passed"
    assert audit.verdict == expected
    assert audit.exit_status == {"passed": 0, "passed with warnings": 1, "refused": 2}[expected]
    for finding in audit.findings:
        assert 0 < finding.count <= finding.total
        assert finding.why
        assert finding.remedy
    return found


def reencode(content: bytes, change: Callable[[Image.Image], Image.Image] = lambda im: im) -> bytes:
    out = io.BytesIO()
    change(Image.open(io.BytesIO(content)).convert("RGB")).save(out, "BMP")
    return out.getvalue()


def one_of(world: World, split: str) -> str:
    return str(world.trials.loc[world.trials["split"] == split, "stimulus"].min())


def same_file_under_another_name(world: World) -> World:
    copy = {one_of(world, "train"): world.files[one_of(world, "test")]}
    return replace(world, files=world.files | copy)


def same_pixels_in_another_format(world: World) -> World:
    name = one_of(world, "train")
    copy = {name: reencode(world.files[one_of(world, "test")])}
    return replace(world, files=world.files | copy, suffix={name: ".bmp"})


def mirrored_copy(world: World) -> World:
    name = one_of(world, "train")
    copy = {name: reencode(world.files[one_of(world, "test")], ImageOps.mirror)}
    return replace(world, files=world.files | copy, suffix={name: ".bmp"})


def test_trial_copied_into_training(world: World) -> World:
    signals = {p: x.copy() for p, x in world.signals.items()}
    signals["a"][world.rows("a", "train")[5]] = signals["a"][world.rows("a", "test")[2]]
    return replace(world, signals=signals)


test_trial_copied_into_training.__test__ = False  # type: ignore[attr-defined]


def run_copied_to_another_person(world: World) -> World:
    """The channels of the copy have another gain and offset, as after standardising."""
    gain, offset = np.array([[2.0], [0.5], [1.7], [1.1]]), np.array([[0.1], [0.0], [-3.0], [0.7]])
    signals = dict(world.signals)
    rows = np.concatenate([world.rows("a", "test")[:9], world.rows("a", "train")[:9]])
    onto = np.concatenate([world.rows("b", "train")[:9], world.rows("b", "test")[:9]])
    signals["b"] = signals["b"].copy()
    signals["b"][onto] = signals["a"][rows] * gain + offset
    return replace(world, signals=signals)


def training_trial_twice(world: World) -> World:
    signals = {p: x.copy() for p, x in world.signals.items()}
    first, second = world.rows("a", "train")[:2]
    signals["a"][second] = signals["a"][first]
    return replace(world, signals=signals)


def steps(*names: Step) -> Poison:
    return lambda world: replace(world, steps=names)


def trained_repeat_of_a_test_picture(world: World) -> World:
    def change(trials: pd.DataFrame) -> pd.DataFrame:
        row = trials.index[trials["stimulus"] == one_of(world, "test")][0]
        return trials.assign(split=trials["split"].mask(trials.index == row, "train"))

    return world.with_trials(change)


def validation_by_run(world: World) -> World:
    return replace(world, recipe={"validation": {"by": "run", "fraction": 0.3}})


def block_design(world: World) -> World:
    """Each class is recorded in one go, as in ImageNetEEG."""

    def change(trials: pd.DataFrame) -> pd.DataFrame:
        place = trials[["session", "run", "onset_s"]]
        shown = trials.drop(columns=place.columns)
        order = shown.sort_values(["subject", "label"], kind="stable")
        return pd.concat([order.reset_index(drop=True), place], axis=1)

    return world.with_trials(change)


def fixed_order_in_every_run(world: World) -> World:
    """Every run shows the classes in the same order."""

    def change(trials: pd.DataFrame) -> pd.DataFrame:
        labels = trials["label"].unique()
        wanted = pd.Series(labels[np.arange(len(trials)) % 24 // 6], trials.index)
        return block_of_six(trials, wanted)

    return world.with_trials(change)


def block_of_six(trials: pd.DataFrame, wanted: pd.Series) -> pd.DataFrame:
    """Hand each slot of a label a picture of that label, test pictures in the last run."""
    out = trials.assign(label=wanted)
    last = out["run"] == "4"
    out["split"] = np.where(last, "test", "train")
    pictures = trials.drop_duplicates("stimulus")
    for label, rows in out.groupby("label").groups.items():
        for side in ("train", "test"):
            own = pictures[(pictures["label"] == label) & (pictures["split"] == side)]["stimulus"]
            here = rows[(out.loc[rows, "split"] == side).to_numpy(bool)]
            out.loc[here, "stimulus"] = np.resize(own.to_numpy(object), len(here))
    return out


def person_without_training(world: World) -> World:
    def change(trials: pd.DataFrame) -> pd.DataFrame:
        return trials[(trials["subject"] == "a") | (trials["split"] == "test")]

    changed = world.with_trials(change)
    return replace(
        changed, signals=world.signals | {"b": world.signals["b"][world.rows("b", "test")]}
    )


def crowded_trials(world: World) -> World:
    return replace(world, sfreq=5.0)  # four seconds a trial, one every two


CATALOGUE: dict[str, tuple[str, Poison]] = {
    "same file": ("test-picture-in-training", same_file_under_another_name),
    "same pixels": ("test-picture-in-training", same_pixels_in_another_format),
    "mirrored": ("near-duplicate-pictures", mirrored_copy),
    "trial copied": ("recording-twice", test_trial_copied_into_training),
    "run copied and rescaled": ("recording-twice", run_copied_to_another_person),
    "training trial twice": ("recording-twice", training_trial_twice),
    "fitted on all": (
        "fitted-on-test", steps(Step(name="split"), Step(name="z-score", fitted_on="all trials")),
    ),
    "fitted before the split": ("fitted-on-test", steps(STANDARDISED, Step(name="split"))),
    "fitted on who knows": ("fitted-on-test", steps(Step(name="pca", fitted_on="a sample"))),
    "fitted on mixed runs": (
        "fitted-on-test", steps(Step(name="z-score", fitted_on="per run, unsupervised")),
    ),
    "trained repeat": ("picture-on-both-sides", trained_repeat_of_a_test_picture),
    "validated on trained pictures": ("picture-on-both-sides", validation_by_run),
    "block design": ("class-from-time", block_design),
    "fixed order": ("class-from-time", fixed_order_in_every_run),
    "person without training": ("untrained-people", person_without_training),
    "crowded": ("overlapping-trials", crowded_trials),
}  # fmt: skip

REFUSED = {
    *("same file", "same pixels", "trial copied", "run copied and rescaled", "fitted on all"),
    *("fitted before the split", "trained repeat", "block design", "fixed order"),
}


@pytest.mark.parametrize("name", CATALOGUE)
def test_each_poison_is_caught_by_its_rule_alone(name: str, tmp_path: Path) -> None:
    rule, poison = CATALOGUE[name]
    recipe = poison(clean_world()).write(tmp_path)
    audit = audit_run(recipe)
    assert checked(audit) == {rule}
    assert (audit.exit_status == 2) == (name in REFUSED)


@pytest.mark.parametrize("seed", range(2))
def test_the_clean_twin_passes(seed: int, tmp_path: Path) -> None:
    assert serious(clean_world(seed).write(tmp_path)) == set()


def zero_shot(**changes: object) -> Protocol:
    concepts = ConceptRule.model_validate({"zero_shot": True} | changes)
    return load_protocol().model_copy(update={"concepts": concepts})


def test_concepts_may_be_shared_unless_the_protocol_is_zero_shot(tmp_path: Path) -> None:
    world = clean_world()
    recipe = world.write(tmp_path)
    assert serious(recipe, load_protocol()) == set()
    assert serious(recipe, zero_shot()) == {"shared-concepts"}
    assert serious(recipe, zero_shot(leave_out=CATEGORIES)) == set()
    meg_only = zero_shot().model_copy(update={"modalities": ("meg",)})
    assert serious(recipe, meg_only) == set()
    write_split(Recordings(tmp_path / "eeg"), tmp_path / "new", by="concept", test=["food"])
    recipe.write_text(recipe.read_text().replace("recordings: eeg", "recordings: new"))
    assert serious(recipe, zero_shot()) == set()


def test_a_split_by_picture_keeps_copies_together(tmp_path: Path) -> None:
    recipe = same_file_under_another_name(clean_world()).write(tmp_path)
    assert serious(recipe) == {"test-picture-in-training"}
    copies = names_of_content(pictures_from_folder(tmp_path / "pictures").table)
    assert len(copies) == 1
    world = Recordings(tmp_path / "eeg")
    write_split(world, tmp_path / "new", by="picture", test=list(copies), one_picture=copies)
    recipe.write_text(recipe.read_text().replace("recordings: eeg", "recordings: new"))
    assert serious(recipe) == set()
    assert Recordings(tmp_path / "new").select(split="test").trials["stimulus"].nunique() == 2


def test_pictures_shared_with_another_modality_are_a_warning(tmp_path: Path) -> None:
    world = clean_world()
    recipe = world.write(tmp_path)
    flipped = world.with_trials(
        lambda t: t.assign(split=t["split"].map({"train": "test", "test": "train"}))
    )
    flipped.write(tmp_path / "other")
    meg = tmp_path / "other" / "eeg"
    described = (meg / "recordings.json").read_text()
    (meg / "recordings.json").write_text(described.replace('"eeg"', '"meg"'))
    recipe.write_text(
        recipe.read_text().replace(
            "recordings: eeg", f"recordings: eeg\n  meg:\n    recordings: {meg}"
        )
    )
    # Nothing links a person's EEG to their MEG here, so only the pictures are found.
    audit = audit_run(recipe)
    assert checked(audit) == {"picture-on-both-sides"}
    assert audit.exit_status == 1


def test_the_design_is_read_from_order_alone_where_nothing_else_is_known(tmp_path: Path) -> None:
    bare = {"session": pd.NA, "run": pd.NA, "onset_s": np.nan}
    clean = clean_world().with_trials(lambda t: t.assign(**bare))
    assert serious(clean.write(tmp_path / "clean")) == set()
    assert serious(block_design(clean).write(tmp_path / "blocks")) == {"class-from-time"}


def test_without_an_encoder_pictures_are_compared_by_their_pixels(tmp_path: Path) -> None:
    out_of_reach = {"encoder": f"hf:{tmp_path / 'nothing'}"}
    clean = replace(clean_world(), recipe=out_of_reach)
    assert serious(clean.write(tmp_path / "clean")) == set()
    spoiled = same_pixels_in_another_format(clean).write(tmp_path / "spoiled")
    audit = audit_run(spoiled)
    assert checked(audit) == {"test-picture-in-training"}
    assert "near-duplicate-pictures" in {s.rule for s in audit.skipped}


def test_people_are_compared_and_not_only_their_names(tmp_path: Path) -> None:
    assert PEOPLE == ("a", "b")
    world = clean_world()
    same = replace(world, signals=dict.fromkeys(PEOPLE, world.signals["a"]))
    assert serious(same.write(tmp_path)) == {"recording-twice"}


def with_table(recordings: Path, folder: Path) -> Path:
    """List the picture files beside the recordings, as prepared public data sets do."""
    table = pictures_from_folder(folder / "pictures").table[["stimulus", "path"]]
    table.to_csv(recordings / "pictures.tsv", sep="\t", index=False)
    return recordings


@pytest.mark.parametrize("poison", [same_file_under_another_name, same_pixels_in_another_format])
def test_recordings_that_list_their_pictures_are_compared_by_content(
    poison: Poison, tmp_path: Path
) -> None:
    for name, world, found in (
        ("clean", clean_world(), set()),
        ("spoiled", poison(clean_world()), {"test-picture-in-training"}),
    ):
        world.write(tmp_path / name)
        audit = audit_run(with_table(tmp_path / name / "eeg", tmp_path / name))
        assert checked(audit) == found
        (skipped,) = [s for s in audit.skipped if "picture" in s.rule]
        assert skipped.rule == "near-duplicate-pictures"
        assert "no recipe says which encoder" in skipped.reason


def test_each_reason_why_pictures_were_not_compared_is_its_own(tmp_path: Path) -> None:
    def reasons() -> set[str]:
        skipped = audit_run(folder).skipped
        return {s.reason for s in skipped if s.rule == "test-picture-in-training"}

    world = clean_world()
    world.write(tmp_path)
    folder = tmp_path / "eeg"
    (reason,) = reasons()
    assert reason.startswith("trials name 24 pictures, but not their files")
    listed = pd.read_csv(with_table(folder, tmp_path) / "pictures.tsv", sep="\t")
    assert reasons() == set()
    listed.iloc[2:].to_csv(folder / "pictures.tsv", sep="\t", index=False)
    (reason,) = reasons()
    assert reason.startswith("2 of 24 pictures of the trials are not listed in")
    listed.assign(path="lost.png").to_csv(folder / "pictures.tsv", sep="\t", index=False)
    (reason,) = reasons()
    assert reason.startswith("the pictures of the trials cannot be looked at: 24 picture file(s)")
    nameless = world.with_trials(lambda t: t.assign(stimulus=pd.array([pd.NA] * len(t), "string")))
    nameless.write(tmp_path / "nameless")
    folder = tmp_path / "nameless" / "eeg"
    assert reasons() == {"no trial names its picture"}
