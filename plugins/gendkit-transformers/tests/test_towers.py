"""The towers against transformers' own models, and what is refused when weights are read."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from gendkit.errors import CorruptAsset, InvalidCheckpoint, InvalidSpec, MissingAsset
from gendkit.model.backbone import build_backbone, frozen_hash, norms_hash
from gendkit.model.memory import hold_frozen, recompute_blocks
from gendkit.model.tuning import tune_layer_norms
from gendkit.plugin import plugins

ASKS = {"clip", "siglip"}
TUNED = {"clip": 6, "siglip": 6, "naflex": 6}
"""Layer norms of two blocks and around them; five of the other architectures."""


@pytest.fixture
def folder(saved: Callable[[str], Any], tmp_path: Path) -> Path:
    """A CLIP of one's own, to break."""
    return Path(shutil.copytree(saved("clip").folder, tmp_path / "clip"))


def features(module: nn.Module, pixels: Tensor) -> Tensor:
    with torch.inference_mode():
        out: Tensor = module(pixels)
    return out


def own(tower: Any, pixels: Tensor, **options: Any) -> Tensor:
    """Return a model's own feature; of NaFlex, by its own image processor's patches."""
    if isinstance(tower, hf.Siglip2VisionModel):
        side = pixels.shape[-1]
        processor = hf.Siglip2ImageProcessor(
            patch_size=8, max_num_patches=(side // 8) ** 2, do_resize=False, do_rescale=False,
            do_normalize=False,
        )  # fmt: skip
        inputs = processor(list(pixels), return_tensors="pt")
    else:
        inputs = {"pixel_values": pixels, **options}
    with torch.inference_mode():
        out: Tensor = tower(**inputs).pooler_output
    return out


def near(a: Tensor, b: Tensor, tolerance: float = 1e-6) -> bool:
    return float((a - b).abs().max()) <= tolerance * float(b.abs().max())


def test_a_feature_is_the_model_s_own(one: Any, pixels: Tensor) -> None:
    spec = plugins().spec("backbone", one.backbone)
    found = features(build_backbone(spec, image_size=pixels.shape[-1]), pixels)
    assert found.shape == (3, spec.dim)
    assert near(found, own(one.tower, pixels))
    assert found.std(0).mean() > 0.01  # they do depend on the input


def test_at_another_size_a_feature_is_the_model_s_own(one: Any) -> None:
    pixels = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(1))
    options = {"interpolate_pos_encoding": True} if one.name in ASKS else {}
    expected = own(one.tower, pixels, **options)
    assert near(features(build_backbone(one.backbone, image_size=48), pixels), expected)


def test_clip_is_the_class_token_after_the_last_norm(saved: Any, pixels: Tensor) -> None:
    tower = saved("clip-with-projection").tower
    with torch.inference_mode():
        token = tower(pixel_values=pixels).last_hidden_state[:, 0]
        expected = tower.post_layernorm(token)
    backbone = build_backbone(saved("clip-with-projection").backbone)
    assert near(features(backbone, pixels), expected)


def test_layer_norms_are_what_is_tuned(one: Any) -> None:
    tuned = tune_layer_norms(build_backbone(one.backbone))
    assert len(tuned.names) == 2 * TUNED.get(one.name, 5)
    assert tuned.numbers == 32 * len(tuned.names)


def hashes(backbone: str) -> tuple[str, str]:
    spec = plugins().spec("backbone", backbone)
    module = build_backbone(spec)
    return frozen_hash(module, spec), norms_hash(module, spec)


def test_a_tower_has_one_hash_alone_and_as_a_part(whole: tuple[Any, Any]) -> None:
    model, tower = whole
    assert hashes(model.backbone) == hashes(tower.backbone)


def test_a_part_s_features_are_those_of_the_tower(whole: tuple[Any, Any], pixels: Tensor) -> None:
    first, second = (features(build_backbone(s.backbone, image_size=32), pixels) for s in whole)
    assert torch.equal(first, second)


def test_shards_have_the_hash_of_one_file(saved: Any, tmp_path: Path) -> None:
    saved("clip").tower.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    assert hashes(f"transformers:{tmp_path}") == hashes(saved("clip").backbone)
    next(tmp_path.glob("model-00002*")).unlink()
    with pytest.raises(MissingAsset, match="lacks model-00002"):
        build_backbone(f"transformers:{tmp_path}")


def test_a_damaged_list_of_shards_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(InvalidCheckpoint, match=r"index\.json is damaged"):
        build_backbone(f"transformers:{folder}")


def test_weights_in_half_precision_are_held_in_single(saved: Any, tmp_path: Path) -> None:
    saved("clip").tower.save_pretrained(tmp_path)
    state = {k: t.bfloat16() for k, t in load_file(tmp_path / "model.safetensors").items()}
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    module = build_backbone(f"transformers:{tmp_path}")
    assert {p.dtype for p in module.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    "name", ["encoder.layers.1.layer_norm2.bias", "encoder.layers.0.self_attn.q_proj.weight"]
)
def test_a_tensor_that_the_file_lacks_is_not_drawn_at_random(folder: Path, name: str) -> None:
    state = load_file(folder / "model.safetensors")
    del state[name]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InvalidCheckpoint, match=r"missing \['visual\.transformer\.resblocks"):
        build_backbone(f"transformers:{folder}")
    build_backbone(f"transformers:{folder}", pretrained=False)


def test_a_tensor_of_another_shape_is_not_drawn_at_random(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    state["post_layernorm.bias"] = torch.zeros(5)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InvalidCheckpoint, match=r"of another shape \['post_layernorm\.bias'\]"):
        build_backbone(f"transformers:{folder}")


def test_a_file_without_the_mask_token_is_whole(saved: Any, tmp_path: Path) -> None:
    saved("dinov2").tower.save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    del state["embeddings.mask_token"]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert hashes(f"transformers:{tmp_path}") == hashes(saved("dinov2").backbone)


def test_a_damaged_file_is_refused(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(CorruptAsset, match="are damaged"):
        build_backbone(f"transformers:{folder}")


def test_pickled_weights_are_never_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("a file was unpickled"))
    with pytest.raises(MissingAsset, match=r"nothing is unpickled here.*save_pretrained"):
        build_backbone(f"transformers:{folder}")
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(MissingAsset, match=r"has no model\.safetensors"):
        build_backbone(f"transformers:{folder}")


def test_code_that_lies_beside_a_model_is_not_run(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "mine.Mine", "AutoModel": "mine.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "mine.py").write_text("raise SystemExit('this was run')")
    assert build_backbone(f"transformers:{folder}")


def test_attention_is_torch_s_whatever_the_configuration_says(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["attn_implementation"] = config["_attn_implementation"] = "someone/kernels"
    (folder / "config.json").write_text(json.dumps(config))
    for pretrained in (True, False):
        module: Any = build_backbone(f"transformers:{folder}", pretrained=pretrained)
        assert module.tower.config._attn_implementation == "sdpa"


def test_depth_leaves_the_last_blocks_out(one: Any, pixels: Tensor) -> None:
    shallow = build_backbone(one.backbone, image_size=32, depth=1)
    blocks = next(m for m in one.tower.modules() if isinstance(m, nn.ModuleList))
    last = blocks[-1]
    del blocks[-1]
    try:
        assert near(features(shallow, pixels), own(one.tower, pixels))
    finally:
        blocks.append(last)


@pytest.mark.parametrize("depth", [0, 3])
def test_a_depth_that_it_does_not_have_is_refused(saved: Any, depth: int) -> None:
    with pytest.raises(InvalidSpec, match=f"has 2 blocks; a depth of {depth}"):
        build_backbone(saved("clip").backbone, depth=depth)


def test_a_side_that_is_no_number_of_patches_is_refused(one: Any) -> None:
    with pytest.raises(InvalidSpec, match="multiples of its patch of 8 pixels, got 36"):
        build_backbone(one.backbone, image_size=36, pretrained=False)


def test_random_weights_need_no_file(one: Any, tmp_path: Path) -> None:
    shutil.copy(one.folder / "config.json", tmp_path)
    module = build_backbone(f"transformers:{tmp_path}", pretrained=False, image_size=32)
    assert features(module, torch.zeros(1, 3, 32, 32)).isfinite().all()


def test_it_pickles(one: Any, pixels: Tensor) -> None:
    module = build_backbone(one.backbone, image_size=32)
    again = pickle.loads(pickle.dumps(module))
    assert torch.equal(features(again, pixels), features(module, pixels))


def gradients(module: nn.Module, pixels: Tensor, dtype: torch.dtype | None) -> list[Tensor]:
    parameters = [p for p in module.parameters() if p.requires_grad]
    with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
        out = module(pixels)
    return [out.detach(), *torch.autograd.grad(out.float().square().mean(), parameters)]


def test_in_bfloat16_held_weights_give_the_same_to_the_bit(one: Any, pixels: Tensor) -> None:
    spec = plugins().spec("backbone", one.backbone)
    module = build_backbone(spec, image_size=32)
    tune_layer_norms(module)
    before = gradients(module, pixels, torch.bfloat16)
    single = gradients(module, pixels, None)
    assert all(t.isfinite().all() for t in before)
    assert near(before[0].float(), single[0], 0.05)
    known = frozen_hash(module, spec)
    hold_frozen(module, spec, torch.bfloat16, known=known)
    after = gradients(module, pixels, torch.bfloat16)
    assert all(map(torch.equal, before, after))
    assert frozen_hash(module, spec) == known


def test_all_of_it_runs_in_bfloat16(one: Any, pixels: Tensor) -> None:
    module = build_backbone(one.backbone, image_size=32).bfloat16()
    found = features(module, pixels.bfloat16())
    assert found.dtype == torch.bfloat16
    assert near(found.float(), own(one.tower, pixels), 0.1)


def test_recomputed_blocks_give_the_same_gradients(one: Any, pixels: Tensor) -> None:
    module = build_backbone(one.backbone, image_size=32)
    tune_layer_norms(module)
    before = gradients(module, pixels, None)
    assert recompute_blocks(module) == 2
    for a, b in zip(before, gradients(module, pixels, None), strict=True):
        torch.testing.assert_close(a, b)


def onto_cuda(module: nn.Module) -> nn.Module:
    """Do what `module.to("cuda")` does, which does not run on fake tensors."""
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            part._parameters[name] = nn.Parameter(torch.empty(parameter.shape, device="cuda"))
        for name, buffer in part.named_buffers(recurse=False):
            part._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device="cuda")
    return module


def test_nothing_is_left_on_the_cpu(one: Any, pixels: Tensor) -> None:
    for _ in range(2):  # nothing fake of the first pass is met in the second
        module = build_backbone(one.backbone, pretrained=False, image_size=48)
        with FakeTensorMode(), torch.device("cuda"):
            assert onto_cuda(module)(torch.empty(2, 3, 48, 48)).device.type == "cuda"
    assert features(build_backbone(one.backbone, image_size=32), pixels).isfinite().all()
