"""The common space against plain NumPy."""

import numpy as np
import pytest

from neuroalign.errors import NeuroalignError
from neuroalign.models.space import CommonSpace, fit_space, identity_space
from neuroalign.retrieval import Embeddings


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def with_vectors(pictures, vectors, name="test-encoder"):
    return Embeddings(vectors, pictures.items, name)


def test_the_papers_space_changes_nothing(picture_set):
    for space in (identity_space(picture_set), fit_space(picture_set, centre=False)):
        assert np.array_equal(space.transform(picture_set).vectors, picture_set.vectors)
        assert space.name == picture_set.space
        assert space.dim == 6


def test_centring_subtracts_the_mean_and_normalises(picture_set):
    x = picture_set.vectors.astype(float)
    centred = fit_space(picture_set).transform(picture_set).vectors
    np.testing.assert_allclose(centred, unit(x - x.mean(0)), atol=1e-6)


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize(("components", "power"), [(3, 0.0), (3, 0.25), (6, 0.5), (None, 0.5)])
def test_components_and_power_equal_an_eigendecomposition(picture_set, centre, components, power):
    x = picture_set.vectors.astype(float)
    moved = x - x.mean(0) if centre else x
    variance, directions = np.linalg.eigh(moved.T @ moved / len(x))
    largest = np.argsort(variance)[::-1][:components]
    expected = unit(moved @ directions[:, largest] * variance[largest] ** -power)
    space = fit_space(picture_set, centre=centre, components=components, power=power)
    ours = space.transform(picture_set).vectors
    assert ours.shape == (30, components or 6)
    # the sign of a component is free: compare what is left when it is
    np.testing.assert_allclose(ours @ ours.T, expected @ expected.T, atol=1e-4)


def test_power_one_half_whitens(picture_set):
    space = fit_space(picture_set, power=0.5)
    x = (picture_set.vectors - space.mean) @ space.projection
    np.testing.assert_allclose(x.T @ x / len(x), np.eye(6), atol=1e-4)


def test_no_more_components_than_the_pictures_span(picture_set):
    few = picture_set.take(np.arange(4))
    assert fit_space(few, components=50).dim == 3  # four points, centred
    assert fit_space(picture_set, components=50).dim == 6


def test_pictures_that_are_all_alike_are_refused(picture_set):
    alike = with_vectors(picture_set, np.ones((30, 6)))
    with pytest.raises(NeuroalignError, match="30 pictures"):
        fit_space(alike, components=2)


def test_spaces_of_different_content_have_different_names(picture_set):
    other = with_vectors(picture_set, picture_set.vectors[:, ::-1].copy())
    spaces = [
        identity_space(picture_set),
        *(fit_space(p, centre=c, components=k, power=a)
          for p in (picture_set, other)
          for c in (True, False)
          for k, a in ((3, 0.0), (3, 0.5), (4, 0.0))),
        fit_space(picture_set),
        CommonSpace("another-encoder", fit_space(picture_set).mean),
    ]  # fmt: skip
    assert len({s.name for s in spaces}) == len(spaces)
    assert fit_space(picture_set, components=3).name == fit_space(picture_set, components=3).name


def test_pictures_of_another_encoder_are_refused(picture_set):
    strangers = with_vectors(picture_set, picture_set.vectors, "hf:other")
    with pytest.raises(NeuroalignError, match=r"'hf:other', but .* 'test-encoder'"):
        fit_space(picture_set).transform(strangers)


def test_what_was_transformed_is_not_transformed_twice(picture_set):
    space = fit_space(picture_set, components=3)
    with pytest.raises(NeuroalignError, match="centred-3"):
        space.transform(space.transform(picture_set))
