"""Rules about what lies on both sides of a split: pictures, by name and content, and concepts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.audit.findings import Finding, Skipped, some
from neuroalign.audit.material import Material
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.protocols import Protocol
from neuroalign.images.pictures import open_picture
from neuroalign.progress import track
from neuroalign.retrieval.gallery import cosine_blocks

PICTURE_ON_BOTH_SIDES = "picture-on-both-sides"
TEST_PICTURE_IN_TRAINING = "test-picture-in-training"
NEAR_DUPLICATES = "near-duplicate-pictures"
SHARED_CONCEPTS = "shared-concepts"

#: Two pictures are near duplicates from this cosine of their centred embeddings on. Of the 90,100
#: pairs of shipped pictures none reaches it (the nearest, two padlocks, have 0.89), while copies
#: that were mirrored, cropped by 5 % or saved again as JPEG mostly do (see docs/audit.md).
NEAR = 0.9
#: The same pixels, embedded twice, differ by rounding only: such pairs are decoded and compared.
_SAME = 0.99

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
    """Find test pictures that were trained on under another name, and near duplicates."""
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
    sha = pictures.table["sha256"].to_numpy(object)
    same = _equal(sha, tested, trained)
    near = np.zeros((0, 2), np.int64)
    if material.embeddings is None:
        paths = track(list(pictures.table["path"]), "Comparing pictures")
        pixels = np.array([_pixels(path) for path in paths], object)
        same = np.unique(np.concatenate([same, _equal(pixels, tested, trained)]), axis=0)
        why = (
            "no recipe says which encoder is to embed the pictures"
            if material.recipe is None
            else "the encoder is not at hand, so there are no embeddings"
        )
        yield Skipped(NEAR_DUPLICATES, "all", why)
    else:
        pairs, cosines = _near_pairs(material.embeddings.vectors, tested, trained)
        known = set(map(tuple, same.tolist()))
        fresh = np.array([tuple(p) not in known for p in pairs.tolist()], bool)
        alike = np.zeros(len(pairs), bool)
        for row in np.flatnonzero(fresh & (cosines > _SAME)):
            a, b = (_pixels(pictures.table["path"].iloc[i]) for i in pairs[row])
            alike[row] = a is not None and a == b
        same = np.concatenate([same, pairs[alike]])
        near = pairs[fresh & ~alike]
    names = pictures.table["stimulus"].to_numpy(object)
    if len(same):
        yield Finding(
            TEST_PICTURE_IN_TRAINING,
            "refusal",
            "pictures",
            f"{len(set(same[:, 0].tolist()))} of {len(tested)} test pictures are also training or "
            "validation pictures, under other names: the same file content, or the same pixels",
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
            f"training or validation picture (cosine of centred embeddings at least {NEAR:g})",
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
        concept = concept.mask(concept.isin(protocol.concepts.leave_out))
        test = trials["part"] == "test"
        tested, trained = set(concept[test].dropna()), set(concept[~test].dropna())
        if not tested:
            yield Skipped(
                SHARED_CONCEPTS, modality, "the concepts of the test trials are not known"
            )
            continue
        both = tested & trained
        if both:
            n_train = int((~test & concept.isin(list(both))).sum())
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
                some(sorted(both)),
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
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the pairs (test row, training row) above `NEAR`, and their cosines."""
    centred = vectors - vectors.mean(axis=0)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    pairs, cosines = [np.zeros((0, 2), np.int64)], [np.zeros(0)]
    for part, block in cosine_blocks(centred[tested], centred[trained]):
        a, b = np.nonzero(block >= NEAR)
        pairs.append(np.column_stack([tested[part][a], trained[b]]))
        cosines.append(block[a, b].astype(np.float64))
    return np.concatenate(pairs), np.concatenate(cosines)


def _pixels(path: str) -> str | None:
    """Hash the decoded pixels of a picture; None where its file is gone."""
    try:
        picture = open_picture(path)
    except NeuroalignError:
        return None
    return hashlib.sha256(f"{picture.size}".encode() + picture.tobytes()).hexdigest()
