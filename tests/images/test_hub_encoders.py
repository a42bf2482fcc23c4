"""The real `transformers` code path, on tiny models with random weights."""

import json
import shutil

import huggingface_hub.constants
import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from transformers import (
    BitImageProcessorPil,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    Dinov2Config,
    Dinov2Model,
    DINOv3ViTConfig,
    DINOv3ViTModel,
    Siglip2Config,
    Siglip2ImageProcessorPil,
    Siglip2Model,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
    ViTImageProcessorPil,
)

from neuroalign.errors import NeuroalignError
from neuroalign.images import load_encoder

VISION = {
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
TEXT = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 50,
    "max_position_embeddings": 8,
    "eos_token_id": 49,
    "bos_token_id": 48,
    "pad_token_id": 1,
}
SQUARE = {"height": 32, "width": 32}


def save_clip(folder):
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(vision_config=VISION, text_config=TEXT, projection_dim=12)).eval()
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    return save(folder, model, processor)


def save_siglip(folder):
    torch.manual_seed(1)
    config = SiglipConfig(vision_config=VISION, text_config={**TEXT, "projection_size": 24})
    return save(folder, SiglipModel(config).eval(), SiglipImageProcessorPil(size=SQUARE))


def save_siglip2(folder):
    torch.manual_seed(2)
    vision = {k: v for k, v in VISION.items() if k != "image_size"} | {"num_patches": 16}
    config = Siglip2Config(vision_config=vision, text_config={**TEXT, "projection_size": 24})
    processor = Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16)
    return save(folder, Siglip2Model(config).eval(), processor)


def save_dinov2(folder):
    torch.manual_seed(3)
    processor = BitImageProcessorPil(size={"shortest_edge": 36}, crop_size=SQUARE)
    return save(folder, Dinov2Model(Dinov2Config(**VISION)).eval(), processor)


def save_dinov3(folder):
    torch.manual_seed(4)
    processor = ViTImageProcessorPil(size=SQUARE)
    model, processor = save(folder, DINOv3ViTModel(DINOv3ViTConfig(**VISION)).eval(), processor)
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    settings["image_processor_type"] = "DINOv3ViTImageProcessorFast"  # as on the hub
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return model, processor


def save(folder, model, processor):
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    sizes = [(40, 50), (64, 48), (32, 32)]
    return [Image.fromarray(rng.integers(0, 255, (*s, 3), dtype=np.uint8)) for s in sizes]


def direct(model, processor, images, **options):
    inputs = processor(images=images, return_tensors="pt")
    with torch.no_grad():
        return model(**inputs, **options), inputs


def test_clip_gives_the_projected_cls_token(tmp_path, images):
    model, processor = save_clip(tmp_path)
    encoder = load_encoder(f"hf:{tmp_path}")
    pixels = processor(images=images, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        pooled = model.vision_model(pixels).pooler_output
        expected = model.visual_projection(pooled)
    found = encoder.encode(images)
    assert found.dtype == np.float32 and found.shape == (3, encoder.dim) == (3, 12)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-6)
    assert encoder.id.startswith("hf:clip@sha256-")
    assert encoder.id.endswith("/image_embeds")


@pytest.mark.parametrize(("layer", "position"), [(0, 0), (2, 2), (-1, 3)])
def test_clip_layers_give_the_cls_token_of_that_hidden_state(tmp_path, images, layer, position):
    model, processor = save_clip(tmp_path)
    encoder = load_encoder(f"hf:{tmp_path}", layer=layer)
    out, _ = direct(model.vision_model, processor, images, output_hidden_states=True)
    expected = out.hidden_states[position][:, 0]
    np.testing.assert_allclose(encoder.encode(images), expected.numpy(), rtol=1e-4, atol=1e-5)
    assert encoder.dim == 24
    assert encoder.id.endswith(f"/layer{position}-cls")


def test_clip_settings_in_the_hub_s_old_format_are_read(tmp_path, images):
    model, _ = save_clip(tmp_path)
    old = {
        "crop_size": 32,
        "do_center_crop": True,
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "size": 32,
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(old))
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    out, _ = direct(model.vision_model, processor, images)
    expected = model.visual_projection(out.pooler_output).detach().numpy()
    found = load_encoder(f"hf:{tmp_path}").encode(images)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("save_model", [save_siglip, save_siglip2])
def test_siglip_gives_its_pooled_output_and_layers_their_mean_patch(tmp_path, images, save_model):
    model, processor = save_model(tmp_path)
    out, inputs = direct(model.vision_model, processor, images, output_hidden_states=True)
    encoder = load_encoder(f"hf:{tmp_path}")
    np.testing.assert_allclose(
        encoder.encode(images), out.pooler_output.numpy(), rtol=1e-4, atol=1e-5
    )
    assert encoder.dim == 24 and encoder.id.endswith("/pooler_output")
    hidden = out.hidden_states[1].numpy()
    mask = np.ones(hidden.shape[:2])
    if "pixel_attention_mask" in inputs:
        mask = inputs["pixel_attention_mask"].numpy()
    expected = [h[m.astype(bool)].mean(0) for h, m in zip(hidden, mask, strict=True)]
    layer = load_encoder(f"hf:{tmp_path}", layer=1)
    np.testing.assert_allclose(layer.encode(images), expected, rtol=1e-4, atol=1e-5)
    assert layer.id.endswith("/layer1-mean")


@pytest.mark.parametrize("save_model", [save_dinov2, save_dinov3])
def test_dino_gives_its_cls_token(tmp_path, images, save_model):
    model, processor = save_model(tmp_path)
    out, _ = direct(model, processor, images, output_hidden_states=True)
    encoder = load_encoder(f"hf:{tmp_path}")
    expected = out.last_hidden_state[:, 0].numpy()
    np.testing.assert_allclose(encoder.encode(images), expected, rtol=1e-4, atol=1e-5)
    assert encoder.dim == 24 and encoder.id.endswith("/cls")
    found = load_encoder(f"hf:{tmp_path}", layer=2).encode(images)
    np.testing.assert_allclose(found, out.hidden_states[2][:, 0].numpy(), rtol=1e-4, atol=1e-5)


def test_a_copied_folder_keeps_its_id_and_other_weights_mean_another(tmp_path):
    save_clip(tmp_path / "a")
    before = load_encoder(f"hf:{tmp_path / 'a'}").id
    copy = shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert load_encoder(f"hf:{copy}").id == before
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert load_encoder(f"hf:{copy}").id != before


def test_half_precision_weights_are_computed_with_in_single(tmp_path, images):
    model, processor = save_clip(tmp_path)
    model.half().save_pretrained(tmp_path)
    single = model.float()  # the values that survived half precision
    out, _ = direct(single.vision_model, processor, images)
    expected = single.visual_projection(out.pooler_output).detach().numpy()
    found = load_encoder(f"hf:{tmp_path}").encode(images)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_weights_that_would_be_random_are_refused(tmp_path, images):
    vision = CLIPVisionModel(CLIPVisionConfig(**VISION, projection_dim=12))
    save(tmp_path, vision, CLIPImageProcessorPil(size=SQUARE, crop_size=SQUARE))
    with pytest.raises(NeuroalignError, match=r"lacks 1 of the weights .*visual_projection"):
        load_encoder(f"hf:{tmp_path}").encode(images)
    assert load_encoder(f"hf:{tmp_path}", layer=3).encode(images).shape == (3, 24)


def test_pickled_weights_are_refused(tmp_path, images):
    model, _ = save_clip(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(NeuroalignError, match=r"not a complete model folder.*model\.safetensors"):
        load_encoder(f"hf:{tmp_path}").encode(images)


def test_a_model_that_is_out_of_reach_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(NeuroalignError) as caught:
        load_encoder("hf:openai/clip-vit-large-patch14@0123abc")
    message = str(caught.value)
    assert "hf download openai/clip-vit-large-patch14`" in message
    for hint in ("HF_HOME", "hf:/path/to/folder", "encoder: offline"):
        assert hint in message


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """A stored download of a model, laid out as the hub's client does, and no network."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    model = tmp_path / "models--lab--tiny-clip"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(commit)
    (model / "snapshots" / commit).mkdir(parents=True)
    save_clip(model / "snapshots" / commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    return commit, model


@pytest.mark.parametrize("revision", ["", "@main"])
def test_the_commit_of_a_stored_download_is_part_of_the_id(hub_cache, images, revision):
    commit, model = hub_cache
    encoder = load_encoder(f"hf:lab/tiny-clip{revision}")
    assert encoder.id == f"hf:lab/tiny-clip@{commit}/image_embeds"
    same = load_encoder(f"hf:{model / 'snapshots' / commit}")
    np.testing.assert_array_equal(encoder.encode(images), same.encode(images))


def test_a_folder_that_is_not_there_or_empty_is_named(tmp_path):
    with pytest.raises(NeuroalignError, match="nowhere is not a folder"):
        load_encoder(f"hf:{tmp_path}/nowhere")
    with pytest.raises(NeuroalignError, match=r"not a complete model folder.*config\.json"):
        load_encoder(f"hf:{tmp_path}")


def test_a_model_without_pictures_is_refused(tmp_path):
    transformers.BertConfig(num_hidden_layers=1).save_pretrained(tmp_path)
    with pytest.raises(NeuroalignError, match=r"'bert'.*dinov2"):
        load_encoder(f"hf:{tmp_path}")


@pytest.mark.parametrize("layer", [4, -5])
def test_a_layer_that_is_not_there_is_refused(tmp_path, layer):
    save_clip(tmp_path)
    with pytest.raises(NeuroalignError, match=rf"layers 0 to 3 .*layer {layer}"):
        load_encoder(f"hf:{tmp_path}", layer=layer)


@pytest.mark.parametrize("spec", ["clip", "hf:", "", "HF:name"])
def test_unknown_specs_name_the_choices(spec):
    with pytest.raises(NeuroalignError, match=r"'offline'.*'hf:NAME'"):
        load_encoder(spec)
