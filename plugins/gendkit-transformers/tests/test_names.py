"""Canonical names against gendkit's own encoders, with the same weights in both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import timm
import torch
from torch import nn

from gendkit.builtin.dinov2 import DinoV2
from gendkit.model.adapter import Adapter, header_of
from gendkit.model.backbone import (
    build_backbone,
    canonical_state,
    frozen_hash,
    norms_hash,
    norms_of,
)
from gendkit.model.towers import clip_tower
from gendkit.model.tuning import copy_of
from gendkit.plugin import BackboneSpec, plugins
from gendkit_transformers import names

SIZES = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "image_size": 32, "patch_size": 8,
}  # fmt: skip


def eva(name: str, **options: Any) -> nn.Module:
    model: nn.Module = timm.create_model(
        name, img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=2, num_classes=0,
        global_pool="token", **options,
    )  # fmt: skip
    return model


class Swiglu(nn.Module):
    """timm's DINOv2 with a gated MLP, in the place that it has in the embedded encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.vit = timm.create_model(
            "vit_giant_patch14_dinov2", img_size=32, patch_size=8, embed_dim=32, depth=2,
            num_heads=2, num_classes=0, global_pool="token", mlp_ratio=88 * 2 / 32,
        )  # fmt: skip

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        feature: torch.Tensor = self.vit(pixels)
        return feature


OURS: dict[str, Callable[[], nn.Module]] = {
    "clip": lambda: clip_tower(SIZES),
    "dinov2-swiglu": Swiglu,
    "dinov3": lambda: eva("vit_large_patch16_dinov3_qkvb", mlp_ratio=2),
    "dinov3-gated": lambda: eva("vit_huge_plus_patch16_dinov3_qkvb", mlp_ratio=2),
}


def as_ours(spec: BackboneSpec) -> BackboneSpec:
    """Declare gendkit's own encoder of an architecture, whose names are canonical."""
    return BackboneSpec(
        name="ours", summary="ours", licence="MIT", dim=spec.dim, image_size=spec.image_size,
        build=spec.build,
    )  # fmt: skip


@pytest.mark.parametrize("name", OURS)
def test_our_encoder_with_the_same_weights_is_the_same(
    name: str, saved: Callable[[str], Any], pixels: torch.Tensor
) -> None:
    spec = plugins().spec("backbone", saved(name).backbone)
    theirs = build_backbone(spec, image_size=32)
    own, ours = as_ours(spec), OURS[name]().eval()
    ours.load_state_dict(canonical_state(theirs, spec), strict=True)
    with torch.inference_mode():
        torch.testing.assert_close(theirs(pixels), ours(pixels), rtol=1e-5, atol=1e-5)
    assert frozen_hash(theirs, spec) == frozen_hash(ours, own)
    assert norms_hash(theirs, spec) == norms_hash(ours, own)


@pytest.mark.parametrize("name", OURS)
def test_an_adapter_of_our_encoder_fits(name: str, saved: Callable[[str], Any]) -> None:
    spec = plugins().spec("backbone", saved(name).backbone)
    theirs = build_backbone(spec, image_size=32)
    own, ours = as_ours(spec), OURS[name]().eval()
    ours.load_state_dict(canonical_state(theirs, spec), strict=True)
    header = header_of(ours, own, own.preprocessing, source="tests")
    norms = {key: t + 1 for key, t in copy_of(norms_of(ours, own)).items()}
    head = {"weight": torch.zeros(2, 32), "bias": torch.zeros(2)}
    Adapter(header=header, norms=norms, head=head).apply(theirs, spec)
    for key, tensor in norms_of(theirs, spec).items():
        assert torch.equal(tensor, norms[key])


def test_dinov2_of_hugging_face_is_the_embedded_encoder(tmp_path: Any) -> None:
    """At the true width and position embedding, one block deep; at 224 px, resampled."""
    import transformers as hf

    config = hf.Dinov2Config(
        hidden_size=384, num_attention_heads=6, num_hidden_layers=1, image_size=518, patch_size=14
    )
    model = hf.Dinov2Model(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.1, generator=torch.Generator().manual_seed(parameter.numel()))
    model.save_pretrained(tmp_path)
    spec = plugins().spec("backbone", f"transformers:{tmp_path}")
    theirs, ours = build_backbone(spec), DinoV2(depth=1).eval()
    ours.load_state_dict(canonical_state(theirs, spec), strict=True)
    embedded = replace(plugins().spec("backbone", "dinov2-vits14"), name="ours")
    assert spec.preprocessing == embedded.preprocessing
    assert frozen_hash(theirs, spec) == frozen_hash(ours, embedded)
    assert norms_hash(theirs, spec) == norms_hash(ours, embedded)
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(theirs(pixels), ours(pixels), rtol=1e-5, atol=1e-5)


def test_a_part_of_a_state_has_the_names_of_the_whole(one: Any) -> None:
    spec = plugins().spec("backbone", one.backbone)
    module = build_backbone(spec, image_size=32)
    whole, norms = canonical_state(module, spec), norms_of(module, spec)
    assert norms.keys() <= whole.keys()
    for name, parameter in norms.items():
        assert torch.equal(parameter, whole[name])


def test_siglip_keeps_its_names(saved: Callable[[str], Any]) -> None:
    for name in ("siglip", "siglip-with-text"):
        spec = plugins().spec("backbone", saved(name).backbone)
        found = canonical_state(build_backbone(spec), spec)
        assert found.keys() == saved("siglip").tower.state_dict().keys()


def test_names_of_earlier_releases_are_understood() -> None:
    """Files still have the names that attention and towers had then."""
    x = torch.zeros(1)
    old = {
        f"encoder.layer.0.attention.attention.{part}.bias": x + i
        for i, part in enumerate(("query", "key", "value"))
    }
    old["encoder.layer.0.attention.output.dense.bias"] = x
    found = names.dinov2(old)
    assert found.keys() == {"vit.blocks.0.attn.qkv.bias", "vit.blocks.0.attn.proj.bias"}
    assert found["vit.blocks.0.attn.qkv.bias"].tolist() == [0, 1, 2]
    assert names.clip({"vision_model.pre_layrnorm.bias": x}).keys() == {"visual.ln_pre.bias"}
    assert names.siglip({"tower.vision_model.head.probe": x}).keys() == {"head.probe"}


def test_queries_without_keys_stay_apart() -> None:
    alone = {"tower.encoder.layers.0.self_attn.q_proj.weight": torch.zeros(1)}
    expected = "visual.transformer.resblocks.0.attn.q_proj.weight"
    assert names.clip(alone).keys() == {expected}
