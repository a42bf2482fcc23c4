"""A catalogue of spoiled data sets: each is caught by its rule alone; its clean twin passes."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps
from poison import CATEGORIES, PEOPLE, RUNS, STANDARDISED, World, clean_world

from neuroalign.audit import RULES, Audit, audit_run
from neuroalign.audit.material import open_material
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.protocols import ConceptRule, Protocol, load_protocol
from neuroalign.images.pictures import pictures_from_folder, shipped_pictures
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


def another_file(world: World) -> World:
    """The twin of a copied file: one that no trial shows."""
    table = shipped_pictures().table
    own = table[table["category"] == CATEGORIES[0]].drop_duplicates("label")
    return replace(world, files=world.files | {one_of(world, "train"): read(own["path"].iloc[-1])})


def read(path: object) -> bytes:
    return Path(str(path)).read_bytes()


def its_own_pixels_in_another_format(world: World) -> World:
    name = one_of(world, "train")
    copy = {name: reencode(world.files[name])}
    return replace(world, files=world.files | copy, suffix={name: ".bmp"})


def copied_into_validation(world: World) -> World:
    with tempfile.TemporaryDirectory() as folder:
        trials = open_material(world.write(Path(folder))).trials["eeg"]
    name = str(trials.loc[trials["part"] == "validation", "stimulus"].min())
    return replace(world, files=world.files | {name: world.files[one_of(world, "test")]})


def noise_for_a_trial(world: World) -> World:
    signals = {p: x.copy() for p, x in world.signals.items()}
    signals["a"][world.rows("a", "train")[5]] = np.random.default_rng(9).standard_normal((4, 20))
    return replace(world, signals=signals)


def sessions(world: World, *columns: str) -> World:
    """Four sessions in the order of some columns; training first, test in the last run of each."""
    shown = world.trials.drop(columns=["session", "run", "onset_s"])
    parts = []
    for _, own in shown.groupby("subject"):
        table = own.sort_values(list(columns), kind="stable") if columns else own
        table = table.assign(session=(np.arange(len(own)) * 4 // len(own) + 1).astype(str))
        table = table.sort_values(["session", "split"], ascending=[True, False], kind="stable")
        parts.append(table.assign(run=np.where(table["split"] == "test", "2", "1")))
    trials = pd.concat(parts, ignore_index=True)
    trials["onset_s"] = trials.groupby(["subject", "session", "run"]).cumcount() * 2.0
    return replace(world, trials=trials)


def a_session_for_each_class(world: World) -> World:
    return sessions(world, "label")


def a_person_for_each_class(world: World) -> World:
    """Of two classes; each person saw one of them."""
    own = dict(zip(PEOPLE, CATEGORIES[:2], strict=True))
    rows = world.trials["label"] == world.trials["subject"].map(own)
    signals = {
        p: x[rows[world.trials["subject"] == p].to_numpy(bool)] for p, x in world.signals.items()
    }
    return replace(world, trials=world.trials[rows].reset_index(drop=True), signals=signals)


def nameless_classes(world: World) -> World:
    """Neither trials nor the folders of pictures tell a class."""

    def flat(name: str) -> str:
        return name.replace("/", "_")

    stimulus = world.trials["stimulus"].map(flat)
    return replace(
        world,
        files={flat(k): v for k, v in world.files.items()},
        trials=world.trials.assign(stimulus=stimulus, label=pd.NA),
    )


def new_concepts(world: World) -> World:
    """Test pictures are of other concepts than training pictures."""
    return world.with_trials(
        lambda t: t.assign(label=t["label"].where(t["split"] == "train", "new " + t["label"]))
    )


def training_without_labels(world: World) -> World:
    bare = nameless_classes(world)
    return replace(bare, trials=bare.trials.assign(label=world.trials["label"].where(
        world.trials["split"] == "test"
    )))  # fmt: skip


def concepts_spelled_otherwise(world: World) -> World:
    return world.with_trials(
        lambda t: t.assign(label=t["label"].where(t["split"] == "train", t["label"].str.upper()))
    )


def large(world: World) -> World:
    return clean_world(pictures_each=10, test_each=6)


def fewer_pictures_of_a_class(world: World) -> World:
    whole = large(world)
    test = whole.trials[whole.trials["split"] == "test"]
    names = test.loc[test["label"] == CATEGORIES[0], "stimulus"].drop_duplicates().iloc[:3]
    keep = ~whole.trials["stimulus"].isin(names)
    signals = {
        p: x[keep[whole.trials["subject"] == p].to_numpy(bool)] for p, x in whole.signals.items()
    }
    return replace(whole, trials=whole.trials[keep].reset_index(drop=True), signals=signals)


def as_it_is(world: World) -> World:
    return world


ZERO_SHOT = load_protocol().model_copy(update={"concepts": ConceptRule(zero_shot=True)})


@dataclass(frozen=True)
class Entry:
    """A spoiled data set, the rule that finds it, how bad it is, and its clean twin."""

    rule: str
    severity: str
    poison: Poison
    twin: Poison = as_it_is
    protocol: Protocol | None = None


def fitted(said: str | None, name: str = "z-score") -> Poison:
    return steps(Step(name="split"), Step(name=name, fitted_on=said))


def clock(poison: Poison, twin: Poison = as_it_is) -> Entry:
    return Entry("class-from-time", "refusal", poison, twin)


def shared(poison: Poison) -> Entry:
    return Entry("shared-concepts", "refusal", poison, new_concepts, ZERO_SHOT)


def provenance(severity: str, poison: Poison, twin: str = "training trials of all people") -> Entry:
    return Entry("fitted-on-test", severity, poison, fitted(twin))


CATALOGUE: dict[str, Entry] = {
    "same file": Entry(
        "test-picture-in-training", "refusal", same_file_under_another_name, another_file
    ),
    "same pixels": Entry(
        "test-picture-in-training", "refusal", same_pixels_in_another_format,
        its_own_pixels_in_another_format,
    ),
    "copied into validation": Entry(
        "test-picture-in-training", "refusal", copied_into_validation, another_file
    ),
    "mirrored": Entry("near-duplicate-pictures", "warning", mirrored_copy),
    "trial copied": Entry(
        "recording-twice", "refusal", test_trial_copied_into_training, noise_for_a_trial
    ),
    "run copied and rescaled": Entry("recording-twice", "refusal", run_copied_to_another_person),
    "training trial twice": Entry(
        "recording-twice", "warning", training_trial_twice, noise_for_a_trial
    ),
    "fitted on all": provenance("refusal", fitted("all trials")),
    "fitted on held-out trials": provenance("refusal", fitted("training and held-out trials")),
    "fitted on the entire set": provenance(
        "refusal", fitted("entire data set, before the training started"), "all training trials"
    ),
    "fitted before the split": provenance("refusal", steps(STANDARDISED, Step(name="split"))),
    "fitted on who knows": provenance(
        "warning", fitted("a sample", "pca"), "training trials (test trials excluded)"
    ),
    "fitted on nothing said": provenance("warning", fitted(None)),
    "fitted on mixed runs": provenance("warning", fitted("per run, unsupervised")),
    "trained repeat": Entry("picture-on-both-sides", "refusal", trained_repeat_of_a_test_picture),
    "validated on trained pictures": Entry("picture-on-both-sides", "warning", validation_by_run),
    "block design": clock(block_design),
    "fixed order": clock(fixed_order_in_every_run),
    "a session for each class": clock(a_session_for_each_class, sessions),
    "a person for each class": clock(a_person_for_each_class),
    "block design, no classes known": clock(
        lambda w: nameless_classes(block_design(w)), nameless_classes
    ),
    "concepts shared": shared(as_it_is),
    "concepts unknown": shared(training_without_labels),
    "concepts spelled otherwise": shared(concepts_spelled_otherwise),
    "person without training": Entry("untrained-people", "warning", person_without_training),
    "crowded": Entry("overlapping-trials", "warning", crowded_trials),
    "few": Entry("few-test-items", "note", as_it_is, large),
    "unequal": Entry("unequal-classes", "note", fewer_pictures_of_a_class, large),
}  # fmt: skip


@pytest.mark.parametrize("name", CATALOGUE)
def test_each_poison_is_caught_by_its_rule_alone(name: str, tmp_path: Path) -> None:
    entry = CATALOGUE[name]
    audit = audit_run(entry.poison(clean_world()).write(tmp_path), entry.protocol)
    assert checked(audit) == ({entry.rule} if entry.severity != "note" else set())
    assert {f.severity for f in audit.findings if f.rule == entry.rule} == {entry.severity}
    if entry.severity == "note":
        assert {f.rule for f in audit.findings} == {entry.rule}


TWINS = {(e.twin, e.protocol is None): (name, e) for name, e in CATALOGUE.items()}


@pytest.mark.parametrize("name", [name for name, _ in TWINS.values()])
def test_its_clean_twin_passes(name: str, tmp_path: Path) -> None:
    entry = CATALOGUE[name]
    audit = audit_run(entry.twin(clean_world()).write(tmp_path), entry.protocol)
    assert checked(audit) == set()
    assert entry.rule == "few-test-items" or entry.rule not in {f.rule for f in audit.findings}


def test_no_rule_is_without_a_poison_and_a_twin() -> None:
    """Those that need a trained run are spoiled in test_audited_runs.py."""
    assert {e.rule for e in CATALOGUE.values()} | {e.rule for e in RUNS.values()} == set(RULES)
    assert all(e.twin is not e.poison for e in CATALOGUE.values())


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
    assert serious(recipe, zero_shot(leave_out=[c.upper() for c in CATEGORIES])) == set()
    meg_only = zero_shot().model_copy(update={"modalities": ("meg",)})
    with pytest.raises(NeuroalignError, match="is for meg recordings"):
        audit_run(recipe, meg_only)
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
