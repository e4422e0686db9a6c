"""Exchanged parts of timm's transformers give the numbers of timm's own."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import timm
import torch
from timm.models.eva import EvaBlock
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from gendkit.model.timm_towers import (
    FirstTokenBlock,
    FirstTokenEvaBlock,
    FrozenMlp,
    PackedAttention,
    lean,
)
from gendkit.model.tuning import norm_parameters, tune_layer_norms

MODELS = {
    "dinov2": ("vit_small_patch14_dinov2", {"img_size": 56}, FirstTokenBlock),
    "dinov3": (
        "vit_small_patch16_dinov3_qkvb", {"img_size": 64, "global_pool": "token"},
        FirstTokenEvaBlock,
    ),
    "dinov3-average": (
        "vit_small_patch16_dinov3_qkvb", {"img_size": 64, "global_pool": "avg"}, EvaBlock,
    ),
    "pe": ("vit_pe_core_tiny_patch16_384", {"img_size": 64}, EvaBlock),
    "vit-average": ("vit_tiny_patch16_224", {"img_size": 64, "global_pool": "avg"}, Block),
}  # fmt: skip


def model(name: str) -> Any:
    """Build one, three blocks deep, of which every number matters."""
    key, options, _ = MODELS[name]
    torch.manual_seed(0)
    made = timm.create_model(key, depth=3, num_classes=0, **options).double().eval()
    for parameter in made.parameters():
        if parameter.ndim == 1:  # layer scales begin at 1e-5, which would hide a block
            nn.init.normal_(parameter, std=0.5)
    return made


@pytest.mark.parametrize("name", MODELS)
def test_features_and_gradients_are_those_of_timm(name: str) -> None:
    plain = model(name)
    ours = copy.deepcopy(plain)
    lean(ours)
    assert type(ours.blocks[-1]) is MODELS[name][2]
    assert {type(m) for m in ours.modules()} & {PackedAttention, FrozenMlp}
    assert ours.state_dict().keys() == plain.state_dict().keys()
    side = MODELS[name][1]["img_size"]
    pixels = torch.randn(2, 3, side, side, dtype=torch.float64)
    weights: Tensor | None = None
    results = []
    for module in (plain, ours):
        tune_layer_norms(module)
        features = module(pixels)
        weights = torch.randn_like(features) if weights is None else weights
        (features * weights).sum().backward()
        grads = {n: p.grad for n, p in norm_parameters(module).items()}
        results.append((features.detach(), grads))
    (expected, theirs), (found, own) = results
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-11)
    for key, gradient in theirs.items():
        assert gradient is not None
        torch.testing.assert_close(own[key], gradient, rtol=1e-9, atol=1e-9)


class Nothing(nn.Linear):
    """In place of a projection."""

    def forward(self, input: Tensor) -> Tensor:
        return torch.zeros(*input.shape[:-1], self.out_features, dtype=input.dtype)


@pytest.mark.parametrize("name", ["dinov2", "dinov3"])
def test_a_projection_that_was_exchanged_is_asked_in_the_last_block(name: str) -> None:
    plain = model(name)
    plain.blocks[-1].attn.qkv = Nothing(384, 3 * 384, bias=False)
    if name == "dinov3":
        plain.blocks[-1].attn.q_bias = None
    ours = copy.deepcopy(plain)
    lean(ours)
    side = MODELS[name][1]["img_size"]
    pixels = torch.randn(1, 3, side, side, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(ours(pixels), plain(pixels), rtol=0, atol=1e-11)


def test_an_attention_with_a_mask_is_left_to_timm() -> None:
    plain = model("dinov2").blocks[0].attn
    packed = copy.deepcopy(plain)
    packed.__class__ = PackedAttention
    x = torch.randn(2, 5, 384, dtype=torch.float64)
    mask = torch.ones(5, 5, dtype=torch.bool).tril()
    torch.testing.assert_close(packed(x, attn_mask=mask), plain(x, attn_mask=mask))
    torch.testing.assert_close(packed(x), plain(x))
    assert not torch.allclose(packed(x, attn_mask=mask), packed(x))


@pytest.mark.parametrize("options", [{"qk_norm": True}, {"attn_drop_rate": 0.1}])
def test_an_unusual_attention_stays_as_it_is(options: dict[str, Any]) -> None:
    made = timm.create_model("vit_tiny_patch16_224", depth=2, num_classes=0, **options)
    lean(made)
    assert not any(isinstance(m, PackedAttention) for m in made.modules())
    assert type(made.blocks[-1]) is Block
