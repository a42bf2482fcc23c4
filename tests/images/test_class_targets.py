import numpy as np
import pandas as pd
import pytest

from neuroalign.errors import NeuroalignError
from neuroalign.images import class_targets
from neuroalign.retrieval import Embeddings


def embed(labels, dims=16, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((len(labels), dims))
    items = pd.DataFrame({"kind": "picture", "label": pd.array(labels, dtype="string")})
    items["stimulus"] = [f"p{i}" for i in range(len(labels))]
    items["subject"] = pd.NA
    return Embeddings(vectors, items, "test")


def test_a_class_with_pictures_gets_the_mean_of_their_unit_vectors():
    pictures = embed(["face", "house", "face", None, "face"])
    found = class_targets(["house", "face", "house"], pictures)
    assert found.items["label"].tolist() == ["house", "face"] and found.space == "test"
    expected = pictures.vectors[[0, 2, 4]].mean(0)
    np.testing.assert_allclose(found.vectors[1], expected / np.linalg.norm(expected), atol=1e-6)
    np.testing.assert_allclose(found.vectors[0], pictures.vectors[1], atol=1e-6)
    assert found.items["target_source"].tolist() == ["mean of 1 picture", "mean of 3 pictures"]
    assert set(found.items["kind"]) == {"class"} and found.items["stimulus"].isna().all()


def test_a_class_without_pictures_gets_a_fixed_vector_orthogonal_to_the_rest():
    pictures = embed(["face"] * 4 + ["house"] * 4)
    found = class_targets(["bottle", "face", "chair", "house"], pictures)
    assert found.items["target_source"].tolist() == [
        "code vector (no pictures)",
        "mean of 4 pictures",
        "code vector (no pictures)",
        "mean of 4 pictures",
    ]
    cosines = found.vectors @ found.vectors.T
    for code in (0, 2):
        np.testing.assert_allclose(np.delete(cosines[code], code), 0, atol=1e-6)
        assert abs(found.vectors[code] @ pictures.vectors.mean(0)) < 1e-6
    again = class_targets(["house", "chair", "face", "bottle"], pictures)
    np.testing.assert_array_equal(found.vectors, again.vectors[[3, 2, 1, 0]])


def test_different_classes_get_different_codes():
    pictures = embed(["face"] * 3, dims=64)
    a = class_targets(["bottle"], pictures).vectors[0]
    b = class_targets(["shoe"], pictures).vectors[0]
    assert abs(a @ b) < 0.5


def test_a_space_without_room_is_refused():
    with pytest.raises(NeuroalignError, match="no room for a code vector"):
        class_targets(list("abcd"), embed(["a"] * 5, dims=3))


@pytest.mark.parametrize("labels", [[], [""], [pd.NA], ["a", None]])
def test_classes_need_names(labels):
    with pytest.raises(NeuroalignError, match="name for each"):
        class_targets(labels, embed(["a"]))
