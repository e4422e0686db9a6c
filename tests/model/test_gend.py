"""The layout of the released GenD models: the reference's numbers, and what does not fit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import gendkit as gk
from gendkit.errors import (
    InvalidArgument,
    InvalidCheckpoint,
    MissingAsset,
    MissingMedia,
    OutputExists,
)
from gendkit.model.adapter import UNKNOWN
from gendkit.model.backbone import build_backbone
from gendkit.model.gend import CONFIG, TOWER, WEIGHTS, read_gend
from gendkit.model.gend_layouts import LAYOUTS, NAMES, SIZES
from gendkit.model.towers import clip_tower
from gendkit.plugin.manager import plugins

TINY = {
    "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "patch_size": 16, "image_size": 32,
}  # fmt: skip
DEPTH = {"num_hidden_layers": 1}


def write_model(
    folder: Path, *, name: str, tensors: dict[str, Tensor], sizes: object, head: str = "LinearNorm"
) -> Path:
    folder.mkdir()
    (folder / CONFIG).write_text(json.dumps({"backbone": name, "head": head}))
    (folder / SIZES).write_text(json.dumps(sizes))
    save_file(tensors, folder / WEIGHTS)
    return folder


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A CLIP of two blocks with random weights, written in Hugging Face's names."""
    torch.manual_seed(0)
    module, tensors = clip_tower(TINY), {}
    layout = LAYOUTS["clip"]
    for ours, tensor in module.state_dict().items():
        names = layout.names(ours)
        for theirs, part in zip(names, torch.randn_like(tensor).chunk(len(names)), strict=True):
            tensors[f"feature_extractor.{theirs}"] = part.clone()
    tensors["feature_extractor.visual_projection.weight"] = torch.randn(4, 8)
    tensors |= {"model.linear.weight": torch.randn(2, 8), "model.linear.bias": torch.randn(2)}
    return write_model(tmp_path / "tiny", name="openai/clip-tiny", tensors=tensors, sizes=TINY)


@pytest.fixture
def golden(shared: Path) -> Path:
    return shared / "golden" / "gend_clip_tiny"


def changed(folder: Path, change: Callable[[dict[str, Tensor]], None]) -> Path:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)
    return folder


def test_the_reference_s_features_logits_and_scores_are_met(golden: Path) -> None:
    detector = gk.load(golden, device="cpu")
    with np.load(golden / "expected.npz") as expected:
        pixels = torch.from_numpy(expected["pixel_values"])
        with torch.inference_mode():
            features = detector.backbone(pixels).numpy()
        found = detector.forward(pixels)
        np.testing.assert_allclose(features, expected["features"], rtol=0, atol=1e-4)
        np.testing.assert_allclose(found.logit, expected["logits"], rtol=0, atol=1e-4)
        crops = [expected[f"image_{i}_rgb"] for i in range(4)]
        np.testing.assert_allclose(detector.predict(crops), expected["p_fake"], rtol=0, atol=5e-3)


def test_what_is_written_is_what_was_read(golden: Path, tmp_path: Path) -> None:
    first = gk.load(golden, device="cpu")
    first.export(tmp_path / "out")
    theirs, ours = (load_file(f / WEIGHTS) for f in (golden, tmp_path / "out"))
    assert set(theirs) - set(ours) == {"feature_extractor.visual_projection.weight"}
    assert all(torch.equal(theirs[name], tensor) for name, tensor in ours.items())
    again = gk.load(tmp_path / "out", device="cpu")
    assert again.adapter.hash == first.adapter.hash
    assert again.adapter.header == first.adapter.header
    for name in ("backbone", "head"):
        told, known = (json.loads((f / CONFIG).read_text()) for f in (tmp_path / "out", golden))
        assert told[name] == known[name]


@pytest.mark.parametrize("part", ["pe-core-l14", "dinov3-vitl16", "clip-vitl14"])
def test_the_paper_s_encoders_go_through_the_layout_unchanged(part: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    name = NAMES[part]
    layout = next(layout for key, layout in LAYOUTS.items() if key in name)
    if part == "clip-vitl14":
        module = build_backbone(part, pretrained=False, depth=1)
    else:
        module = layout.build(name, DEPTH)[1]
    tensors = {
        f"feature_extractor.{theirs}": piece.clone()
        for ours, tensor in module.state_dict().items()
        for theirs, piece in zip(
            layout.names(ours), tensor.chunk(len(layout.names(ours))), strict=True
        )
    }
    tensors |= {"model.linear.weight": torch.randn(2, 1024), "model.linear.bias": torch.randn(2)}
    folder = write_model(tmp_path / "model", name=name, tensors=tensors, sizes=DEPTH)
    detector = gk.load(folder, device="cpu")
    read = detector.backbone.state_dict()
    assert read.keys() == module.state_dict().keys()
    assert all(torch.equal(read[k], t) for k, t in module.state_dict().items())
    out = load_file(detector.export(tmp_path / "out") / WEIGHTS)
    assert out.keys() == tensors.keys()
    assert all(torch.equal(out[k], t) for k, t in tensors.items())
    assert detector.preprocessing.resize == plugins().spec("backbone", part).resize


def test_clip_read_from_the_layout_and_clip_by_name_have_one_set_of_tensors() -> None:
    by_name = build_backbone("clip-vitl14", pretrained=False, depth=2).state_dict()
    spec, module = LAYOUTS["clip"].build(NAMES["clip-vitl14"], {"num_hidden_layers": 2})
    assert {k: t.shape for k, t in module.state_dict().items()} == {
        k: t.shape for k, t in by_name.items()
    }
    assert spec.dim == 1024


def test_a_linear_head_takes_the_features_as_they_are(tiny: Path) -> None:
    config = json.loads((tiny / CONFIG).read_text())
    (tiny / CONFIG).write_text(json.dumps({**config, "head": "linear"}))
    detector = gk.load(tiny, device="cpu")
    pixels = torch.randn(3, 3, 32, 32)
    with torch.inference_mode():
        features = detector.backbone(pixels)
    head = detector.adapter.head
    expected = features @ head["weight"].T + head["bias"]
    np.testing.assert_allclose(detector.forward(pixels).logit, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(detector.forward(pixels).embedding, axis=1), 1, 1e-6)
    adapter = gk.Adapter.read(detector.adapter.write(tiny / "adapter.safetensors"))
    assert adapter.header.normalised is False


def test_what_the_layer_norms_were_before_is_unknown(tiny: Path) -> None:
    checkpoint = read_gend(tiny)
    assert checkpoint.adapter.header.norms_hash == UNKNOWN
    assert len(checkpoint.adapter.norms) == 2 * (2 + 2 * TINY["num_hidden_layers"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("feature_extractor.vision_model.pre_layrnorm.bias"), "missing: .*pre_lay"),
        (lambda t: t.update({"feature_extractor.extra": torch.ones(1)}), "not used: .*extra"),
        (lambda t: t.update({"other": torch.ones(1)}), "not used: other"),
        (lambda t: t.pop("model.linear.bias"), r"model\.linear\.bias \(2,\), got .* None"),
        (
            lambda t: t.update({"model.linear.weight": torch.ones(2, 9)}),
            r"expected model\.linear\.weight \(2, 8\).* got \(2, 9\)",
        ),
        (
            lambda t: t.update({f"{TOWER}vision_model.post_layernorm.bias": torch.ones(9)}),
            "of another shape: .*post_layernorm",
        ),
    ],
)
def test_every_tensor_is_used_or_named(
    tiny: Path, change: Callable[[dict[str, Tensor]], None], words: str
) -> None:
    with pytest.raises(InvalidCheckpoint, match=words) as caught:
        gk.load(changed(tiny, change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"backbone": "openai/clip-tiny", "head": "MLP"}, "head 'MLP'; expected LinearNorm"),
        ({"backbone": "resnet50", "head": "linear"}, "'resnet50' is of no architecture"),
        ({"backbone": "facebook/dinov3-vits16", "head": "linear"}, "only vitl16 is known"),
        ({"backbone": "vit_pe_huge", "head": "linear"}, "timm has no model 'vit_pe_huge'"),
        ([], "holds list; expected an object"),
    ],
)
def test_a_configuration_that_is_not_known_is_told(tiny: Path, config: object, words: str) -> None:
    (tiny / CONFIG).write_text(json.dumps(config))
    with pytest.raises(InvalidCheckpoint, match=words):
        gk.load(tiny)


def test_sizes_that_are_not_known_are_asked_for(tiny: Path) -> None:
    (tiny / SIZES).unlink()
    with pytest.raises(InvalidCheckpoint, match=f"put them beside it in {SIZES}"):
        gk.load(tiny)
    (tiny / SIZES).write_text(json.dumps({**TINY, "hidden_act": "silu"}))
    with pytest.raises(InvalidCheckpoint, match="activation 'silu'"):
        gk.load(tiny)
    (tiny / SIZES).write_text(json.dumps({"hidden_size": 8}))
    with pytest.raises(InvalidCheckpoint, match="lack 'intermediate_size'"):
        gk.load(tiny)


def test_damaged_files_are_told(tiny: Path) -> None:
    (tiny / WEIGHTS).write_bytes((tiny / WEIGHTS).read_bytes()[:100])
    with pytest.raises(InvalidCheckpoint, match="no safetensors file, or damaged"):
        gk.load(tiny)
    (tiny / CONFIG).write_text("{")
    with pytest.raises(InvalidCheckpoint, match="is no JSON"):
        gk.load(tiny)
    with pytest.raises(MissingMedia, match=f"no {CONFIG}"):
        read_gend(tiny / "nowhere")


def test_a_hub_id_out_of_reach_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> str:
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(MissingAsset, match="owner/model is no file or folder here, and no model"):
        gk.load("owner/model")


def test_a_hub_id_is_read_as_a_folder(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def download(name: str, **_: object) -> str:
        asked.append(name)
        return str(shutil.copytree(tiny, tmp_path / "snapshot"))

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert gk.load("owner/model").adapter.hash == gk.load(tiny).adapter.hash
    assert asked == ["owner/model"]


def test_an_export_is_refused_where_it_cannot_be_right(
    tiny: Path, tmp_path: Path, detector: gk.Detector
) -> None:
    with pytest.raises(InvalidCheckpoint, match="knows no encoder such as"):
        detector.export(tmp_path / "out")
    with pytest.raises(InvalidArgument, match="no layout is named 'tflite'"):
        detector.export(tmp_path / "out", layout="tflite")  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.txt").write_text("four years")
    with pytest.raises(OutputExists):
        gk.load(tiny).export(tmp_path / "thesis", overwrite=True)


def as_ckpt(folder: Path, **content: object) -> Path:
    """Write a model as the reference's trainer does."""
    config = json.loads((folder / CONFIG).read_text())
    path = folder / "last.ckpt"
    torch.save(
        {
            "epoch": 3,
            "state_dict": load_file(folder / WEIGHTS),
            "hyper_parameters": {**config, "lr": 3e-4, "unfreeze_layers": ["norm"]},
            **content,
        },
        path,
    )
    return path


def test_a_training_checkpoint_holds_the_same_model(tiny: Path) -> None:
    path = as_ckpt(tiny)
    assert gk.load(path).adapter.hash == gk.load(tiny).adapter.hash
    assert gk.load(str(path)).adapter.header == gk.load(tiny).adapter.header


def test_a_state_dict_alone_is_read_with_the_configuration_beside_it(tiny: Path) -> None:
    torch.save(load_file(tiny / WEIGHTS), tiny / "weights.ckpt")
    assert gk.load(tiny / "weights.ckpt").adapter.hash == gk.load(tiny).adapter.hash
    (tiny / CONFIG).unlink()
    with pytest.raises(MissingMedia, match=f"no {CONFIG}"):
        gk.load(tiny / "weights.ckpt")


class Runs:
    """Runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> object:
        return open, (self.path, "w")


def test_a_checkpoint_that_could_run_code_is_not_read(tiny: Path, tmp_path: Path) -> None:
    path = as_ckpt(tiny, callbacks=Runs(tmp_path / "ran"))
    with pytest.raises(InvalidCheckpoint, match="which could run code") as caught:
        gk.load(path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no checkpoint", "could run code|no checkpoint, or damaged"),
        (b"", "no checkpoint, or damaged"),
    ],
)
def test_a_damaged_checkpoint_is_one_line(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.ckpt").write_bytes(content)
    with pytest.raises(InvalidCheckpoint, match=words):
        gk.load(tmp_path / "a.ckpt")
    with pytest.raises(MissingMedia, match="no checkpoint at"):
        gk.load(tmp_path / "b.ckpt")


def test_a_checkpoint_without_tensors_is_told(tiny: Path) -> None:
    with pytest.raises(InvalidCheckpoint, match="no state_dict of tensors"):
        gk.load(as_ckpt(tiny, state_dict={"a": 1}))
    path = as_ckpt(tiny, state_dict=load_file(tiny / WEIGHTS) | {"metrics.seen": torch.ones(1)})
    with pytest.raises(InvalidCheckpoint, match=r"not used: metrics\.seen"):
        gk.load(path)
