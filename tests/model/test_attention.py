from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gendkit.errors import InvalidArgument
from gendkit.model.attention import (
    Watch,
    attention_weights,
    check_attention,
    patch_grid,
    pooling_of,
    watched,
)
from gendkit.model.timm_towers import lean

TOKENS = 17


def vit(**options: object) -> nn.Module:
    torch.manual_seed(0)
    made: nn.Module = timm.create_model(
        "vit_tiny_patch16_224", pretrained=False, img_size=64, num_classes=0, depth=2, **options
    )
    with torch.no_grad():
        for parameter in made.parameters():  # else biases are zero, and attention nearly even
            parameter.add_(torch.randn(parameter.shape) * 0.05)
    return made.eval()


def lean_vit() -> nn.Module:
    made = vit()
    lean(made)
    return made


def unfused() -> nn.Module:
    made = vit()
    for block in made.blocks:  # type: ignore[union-attr]
        block.attn.fused_attn = False
    return made


class Torch(nn.Module):
    """An encoder of torch's own parts, whose attention is a `torch.nn.MultiheadAttention`."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, 24, 16, 16)
        layer = nn.TransformerEncoderLayer(24, 2, 48, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.first = nn.Parameter(torch.randn(1, 1, 24))

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.patches(pixels).flatten(2).mT
        x = torch.cat([self.first.expand(len(x), -1, -1), x], dim=1)
        return self.blocks(x)[:, 0]


ENCODERS: dict[str, Callable[[], nn.Module]] = {
    "fused": vit, "exchanged": lean_vit, "written out": unfused, "torch": lambda: Torch().eval(),
}  # fmt: skip


@pytest.fixture
def pixels() -> Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def seen(module: nn.Module, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
    with torch.no_grad(), watched() as watch:
        out = module(pixels)
    return out, watch.weights


def pooled(module: nn.Module, pixels: Tensor, *, prefix: int) -> str:
    with torch.no_grad():
        _, weights = seen(module, pixels)
        return pooling_of(module, lambda: module(pixels), weights, prefix=prefix)


@pytest.mark.parametrize("kind", ENCODERS)
def test_every_block_gives_weights_that_add_up_to_one(kind: str, pixels: Tensor) -> None:
    _, weights = seen(ENCODERS[kind](), pixels)
    assert len(weights) == 2
    assert all(len(w) == 2 and w.shape[-1] == TOKENS for w in weights)
    for w in weights:
        torch.testing.assert_close(w.sum(dim=-1), torch.ones(w.shape[:-1]))


@pytest.mark.parametrize("kind", ["fused", "exchanged", "written out"])
def test_watching_changes_no_bit_of_the_result(kind: str, pixels: Tensor) -> None:
    module = ENCODERS[kind]()
    with torch.no_grad():
        assert torch.equal(module(pixels), seen(module, pixels)[0])


def test_the_weights_of_a_fused_attention_are_those_of_the_one_that_is_written_out(
    pixels: Tensor,
) -> None:
    for kind in ("fused", "exchanged"):
        for found, expected in zip(
            seen(ENCODERS[kind](), pixels)[1], seen(unfused(), pixels)[1], strict=True
        ):
            torch.testing.assert_close(found, expected[:, :, : found.shape[2]])


def test_the_weights_of_torch_s_own_attention_are_those_that_it_gives_itself() -> None:
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(24, 3, batch_first=True).eval()
    x = torch.randn(2, 5, 24)
    with torch.no_grad(), watched() as watch:
        attention(x, x, x, need_weights=False)
    with torch.no_grad():
        _, expected = attention(x, x, x, average_attn_weights=False)
    torch.testing.assert_close(watch.weights[0], expected)


@pytest.mark.parametrize("causal", [False, True])
def test_masks_scales_and_shared_heads_are_those_of_the_fused_operation(causal: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    query, value = (torch.randn(2, 4, 6, 8, generator=generator) for _ in range(2))
    key = torch.randn(2, 2, 6, 8, generator=generator)
    masks: tuple[Tensor | None, ...] = (None,)
    if not causal:
        added = torch.randn(6, 6, generator=generator)
        masks = None, added, added > -0.5
    for mask in masks:
        weights = attention_weights(query, key, mask=mask, causal=causal, scale=0.3)
        expected = F.scaled_dot_product_attention(
            query, key.repeat_interleave(2, dim=1), value, attn_mask=mask, is_causal=causal,
            scale=0.3,
        )  # fmt: skip
        torch.testing.assert_close(weights @ value, expected)


@pytest.mark.parametrize("kind", ENCODERS)
def test_gradients_by_the_weights_are_those_of_small_changes(kind: str, pixels: Tensor) -> None:
    module = ENCODERS[kind]()
    with watched(traced=True) as watch:
        out = module(pixels.requires_grad_())
        watch.keeps = False
        gradients = torch.autograd.grad(out.sum(), watch.weights)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    at = int(gradients[0][0].abs().argmax())
    assert len(watch.weights) == 2
    with torch.no_grad():
        torch.testing.assert_close(out, module(pixels), rtol=1e-4, atol=1e-4)

        def moved(step: float) -> float:
            """Add a step to one weight of the first block, and return the sum of the features."""
            with _Nudge(step, at):
                return float(module(pixels).double().sum())

        step = 0.01
        slope = (moved(step) - moved(-step)) / (2 * step)
    assert float(gradients[0][0].flatten()[at]) == pytest.approx(slope, rel=0.02)


class _Nudge(Watch):
    """Adds a step to one weight of the first attention, which changes what it gives."""

    def __init__(self, step: float, at: int) -> None:
        super().__init__(traced=True)
        self.step, self.at = step, at

    def _keep(self, weights: Tensor) -> None:
        super()._keep(weights)
        if len(self.weights) == 1:
            weights[0].view(-1)[self.at] += self.step


def test_how_a_feature_is_pooled_is_found_out(pixels: Tensor) -> None:
    assert pooled(vit(), pixels, prefix=1) == "first"
    assert pooled(lean_vit(), pixels, prefix=1) == "first"
    assert pooled(Torch().eval(), pixels, prefix=1) == "first"
    assert pooled(vit(global_pool="avg"), pixels, prefix=1) == "patches"
    assert pooled(vit(global_pool="avg", class_token=False), pixels, prefix=0) == "tokens"
    assert pooled(vit(global_pool="map", class_token=False), pixels, prefix=0) == "query"


def test_the_square_of_patches_is_found_whatever_stands_before_it() -> None:
    assert patch_grid(vit(reg_tokens=4), size=64, tokens=21) == (4, 5)
    assert patch_grid(nn.Linear(2, 2), size=64, tokens=17) == (4, 1)
    with pytest.raises(InvalidArgument, match=r"9 tokens at 64 px, expected .* 4 x 4"):
        patch_grid(vit(), size=64, tokens=9)


def test_an_encoder_without_attention_is_refused(pixels: Tensor) -> None:
    module = nn.Conv2d(3, 4, 3)
    with pytest.raises(InvalidArgument, match=r"Conv2d has no attention.*by occlusion"):
        check_attention(seen(module, pixels)[1], module)


def test_attention_within_windows_is_refused() -> None:
    weights = [torch.ones(8, 2, 4, 4), torch.ones(2, 2, 4, 4)]
    with pytest.raises(InvalidArgument, match=r"\(8, 2, 4, 4\), \(2, 2, 4, 4\).*all tokens"):
        check_attention(weights, nn.Identity())


def test_an_attention_that_adds_keys_is_refused() -> None:
    attention = nn.MultiheadAttention(24, 3, batch_first=True, add_zero_attn=True).eval()
    x = torch.randn(2, 5, 24)
    with torch.no_grad(), watched(), pytest.raises(InvalidArgument, match="masks or adds keys"):
        attention(x, x, x, need_weights=False)
