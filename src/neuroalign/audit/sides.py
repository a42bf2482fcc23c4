"""Rules about what lies on both sides of a split: pictures, by name and content, and concepts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.audit.copies import copies
from neuroalign.audit.findings import Finding, Skipped, some
from neuroalign.audit.material import Material
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.protocols import Protocol
from neuroalign.images.cache import embed_pictures
from neuroalign.images.thumbnails import Thumbnails
from neuroalign.retrieval.gallery import cosine_blocks

PICTURE_ON_BOTH_SIDES = "picture-on-both-sides"
TEST_PICTURE_IN_TRAINING = "test-picture-in-training"
NEAR_DUPLICATES = "near-duplicate-pictures"
SHARED_CONCEPTS = "shared-concepts"

#: Two pictures are near duplicates from this cosine of their centred embeddings on. Of the 90,100
#: pairs of shipped pictures none reaches it (the nearest, two padlocks, have 0.89), while copies
#: that were mirrored, cropped by 5 % or saved again as JPEG mostly do (see docs/audit.md).
NEAR = 0.9

_Names = set[str]


def picture_on_both_sides(material: Material) -> Iterator[Finding | Skipped]:
    """Find pictures that were shown, under one name, in training (or validation) and in test."""
    known = False
    for modality, trials in material.trials.items():
        shown = trials.dropna(subset=["stimulus"])
        known |= len(shown) > 0
        sides = {
            p: set(shown.loc[shown["part"] == p, "stimulus"])
            for p in ("train", "validation", "test")
        }
        both = (sides["train"] | sides["validation"]) & sides["test"]
        if both:
            here = shown["stimulus"].isin(list(both)) & (shown["part"] == "test")
            yield Finding(
                PICTURE_ON_BOTH_SIDES,
                "refusal",
                modality,
                f"{len(both)} of {len(sides['test'])} test pictures were also shown in training "
                f"trials; {int(here.sum())} test trials show them",
                len(both),
                len(sides["test"]),
                "The model has learnt these very pictures: recognising them again says nothing "
                "about pictures that it has not seen.",
                "hold out whole pictures (`neuroalign split --by picture`).",
                some(sorted(both)),
            )
        held = sides["train"] & sides["validation"]
        if held:
            yield Finding(
                PICTURE_ON_BOTH_SIDES,
                "warning",
                modality,
                f"{len(held)} of {len(sides['validation'])} validation pictures are trained on too",
                len(held),
                len(sides["validation"]),
                "Validation then rewards what was learnt by heart, and training goes on for too "
                "long. Test scores stay right.",
                "set `validation: {by: stimulus}` in the recipe.",
                some(sorted(held)),
            )
    yield from _across_modalities(material)
    if not known:
        yield Skipped(PICTURE_ON_BOTH_SIDES, "all", "no trial names its picture")


def _across_modalities(material: Material) -> Iterator[Finding]:
    for modality, trials in material.trials.items():
        tested = set(trials.loc[trials["part"] == "test", "stimulus"].dropna())
        for other, others in material.trials.items():
            trained = set(others.loc[others["part"] != "test", "stimulus"].dropna())
            both = tested & trained
            if other == modality or not both:
                continue
            yield Finding(
                PICTURE_ON_BOTH_SIDES,
                "warning",
                f"{modality}, {other}",
                f"{len(both)} of {len(tested)} test pictures of {modality} were shown in training "
                f"trials of {other}",
                len(both),
                len(tested),
                f"Decoding {modality} is hardly helped by it, but the common space was fitted to "
                f"these pictures, and conversion to {other} meets pictures that its module learnt.",
                "hold out the same pictures in every modality (`neuroalign split --by picture "
                "--test NAMES`).",
                some(sorted(both)),
            )


def test_picture_in_training(material: Material) -> Iterator[Finding | Skipped]:
    """Find copies of test pictures that were trained on, and pictures much like them."""
    pictures = material.pictures
    if pictures is None:
        for rule in (TEST_PICTURE_IN_TRAINING, NEAR_DUPLICATES):
            yield Skipped(rule, "all", material.no_pictures)
        return
    if material.no_pictures:
        yield Skipped(TEST_PICTURE_IN_TRAINING, "pictures", material.no_pictures)
    tested, trained = _positions_by_side(material)
    if len(tested) == 0 or len(trained) == 0:
        yield Skipped(TEST_PICTURE_IN_TRAINING, "all", "one side has no pictures")
        return
    same = _equal(pictures.table["sha256"].to_numpy(object), tested, trained)
    near = np.zeros((0, 2), np.int64)
    try:
        thumbnails = embed_pictures(pictures, Thumbnails()).vectors
    except NeuroalignError as error:  # their files are compared by content all the same
        yield Skipped(TEST_PICTURE_IN_TRAINING, "thumbnails", str(error))
    else:
        same = np.concatenate([same, copies(thumbnails, tested, trained)])
        near = copies(thumbnails, tested, trained, mirrored=True)
    same = np.unique(same, axis=0)
    if material.embeddings is None:
        why = (
            "no recipe says which encoder is to embed the pictures"
            if material.recipe is None
            else "the encoder is not at hand, so there are no embeddings"
        )
        yield Skipped(NEAR_DUPLICATES, "all", f"{why}: mirrored copies are looked for, no others")
    else:
        near = np.concatenate([near, _near_pairs(material.embeddings.vectors, tested, trained)])
    near = np.unique(near, axis=0)
    known = set(map(tuple, same.tolist()))
    near = near[np.array([tuple(pair) not in known for pair in near.tolist()], bool)]
    names = pictures.table["stimulus"].to_numpy(object)
    if len(same):
        yield Finding(
            TEST_PICTURE_IN_TRAINING,
            "refusal",
            "pictures",
            f"{len(set(same[:, 0].tolist()))} of {len(tested)} test pictures are also training or "
            "validation pictures, under other names: the same file, or the same picture saved "
            "again (as their thumbnails show)",
            len(set(same[:, 0].tolist())),
            len(tested),
            "The model was trained on these very pictures.",
            "give one picture one name, then hold out whole pictures (`neuroalign split --by "
            "picture`), or whole concepts.",
            some([f"{names[a]} = {names[b]}" for a, b in same]),
        )
    if len(near):
        yield Finding(
            NEAR_DUPLICATES,
            "warning",
            "pictures",
            f"{len(set(near[:, 0].tolist()))} of {len(tested)} test pictures look almost like a "
            f"training or validation picture (mirrored, or a cosine of centred embeddings of at "
            f"least {NEAR:g})",
            len(set(near[:, 0].tolist())),
            len(tested),
            "A crop or a mirrored copy of a training picture is no new picture.",
            "look at these pairs; where they are copies, hold out both (`neuroalign split --by "
            "concept` keeps those of a concept together).",
            some([f"{names[a]} ~ {names[b]}" for a, b in near]),
        )


def shared_concepts(
    material: Material, protocol: Protocol | None = None
) -> Iterator[Finding | Skipped]:
    """Find concepts of the test set that occur in training, where the protocol forbids it."""
    if protocol is None or not protocol.concepts.zero_shot:
        yield Skipped(SHARED_CONCEPTS, "all", "no protocol says that the task is zero-shot")
        return
    for modality, trials in material.trials.items():
        if modality not in (protocol.modalities or material.trials):
            continue
        concept = material.concepts(modality)
        left_out = one_spelling(pd.Series(protocol.concepts.leave_out, dtype="string"))
        concept = concept.mask(one_spelling(concept).isin(set(left_out)), "")
        test = trials["part"] == "test"
        yield from _unknown_concepts(modality, concept, test)
        named = concept.mask(concept == "").dropna()
        same = one_spelling(named)
        both = set(same[test]) & set(same[~test])
        if both:
            tested, n_train = set(same[test]), int(same[~test].isin(list(both)).sum())
            yield Finding(
                SHARED_CONCEPTS,
                "refusal",
                modality,
                f"{len(both)} of {len(tested)} test concepts occur in {n_train} of "
                f"{int((~test).sum())} training trials",
                len(both),
                len(tested),
                "Zero-shot means that no picture of a test concept was trained on: other pictures "
                "of the same concept make the task easier.",
                "leave the training trials of these concepts out (`neuroalign split --by concept "
                "--keep-test`), hold out whole concepts, or use another protocol.",
                some([" = ".join(sorted(set(named[same == name]))) for name in sorted(both)]),
            )


def one_spelling(names: pd.Series[str]) -> pd.Series[str]:
    """Return names as they are compared: `Aircraft-Carrier ` is `aircraft_carrier`."""
    plain = names.astype("string").str.casefold().str.replace(r"[\s_-]+", "_", regex=True)
    return plain.str.strip("_")


def _unknown_concepts(
    modality: str, concept: pd.Series[str], test: pd.Series[bool]
) -> Iterator[Finding]:
    """Refuse what nobody can look up: a trial without a concept may be of any."""
    for side, here in (("training", ~test), ("test", test)):
        unknown, total = int(concept[here].isna().sum()), int(here.sum())
        if unknown:
            yield Finding(
                SHARED_CONCEPTS,
                "refusal",
                modality,
                f"the concepts of {unknown} of {total} {side} trials are not known",
                unknown,
                total,
                "Nothing tells then whether a concept of the test was trained on, so that nobody "
                "could call the score one of new concepts.",
                "give these trials a `label`, or their pictures one (a folder for each concept), "
                "or use another protocol.",
            )


test_picture_in_training.__test__ = False  # type: ignore[attr-defined]


def _positions_by_side(
    material: Material,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the picture rows of the test trials, and those of all other trials."""
    assert material.pictures is not None
    tested: _Names = set()
    trained: _Names = set()
    for trials in material.trials.values():
        shown = trials.dropna(subset=["stimulus"])
        test = shown["part"] == "test"
        tested |= set(shown.loc[test, "stimulus"])
        trained |= set(shown.loc[~test, "stimulus"])
    names = material.pictures.table["stimulus"]
    return (
        np.flatnonzero(names.isin(list(tested))),
        np.flatnonzero(names.isin(list(trained - tested))),  # one name is another rule's business
    )


def _equal(
    keys: npt.NDArray[np.object_], tested: npt.NDArray[np.int64], trained: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return the pairs (test row, training row) whose keys are equal."""
    left = pd.DataFrame({"key": keys[tested], "a": tested}).dropna()
    right = pd.DataFrame({"key": keys[trained], "b": trained}).dropna()
    return left.merge(right, on="key")[["a", "b"]].to_numpy(np.int64)


def _near_pairs(
    vectors: npt.NDArray[np.float32], tested: npt.NDArray[np.int64], trained: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return the pairs (test row, training row) whose embeddings are above `NEAR`."""
    centred = vectors - vectors.mean(axis=0)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    pairs = [np.zeros((0, 2), np.int64)]
    for part, block in cosine_blocks(centred[tested], centred[trained]):
        a, b = np.nonzero(block >= NEAR)
        pairs.append(np.column_stack([tested[part][a], trained[b]]))
    return np.concatenate(pairs)
