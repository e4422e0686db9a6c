"""Image towers of open_clip models, without the projection to the text space."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gendkit.errors import InvalidCheckpoint

ACTIVATIONS = ("quick_gelu", "gelu")


class PackedAttention(nn.MultiheadAttention):
    """Self-attention with one projection to queries, keys and values, on (B, N, D) as it is.

    Its tensors and numbers are those of `torch.nn.MultiheadAttention`, which would turn the input
    to (N, B, D) first: under autocast on a CPU that makes each projection many times slower.
    """

    @classmethod
    def of(cls, attention: nn.MultiheadAttention) -> PackedAttention:
        """Return one that holds the tensors of another; they are shared."""
        made = cls.__new__(cls)
        made.__dict__ = attention.__dict__
        return made

    def forward(  # type: ignore[override]
        self, query: Tensor, key: Tensor, value: Tensor, **options: Any
    ) -> tuple[Tensor, None]:
        """Attend to all of `query` (B, N, D), which must be key and value too."""
        if not (query is key is value) or options.get("attn_mask") is not None:
            out, _ = super().forward(query, key, value, **options)
            return out, None
        joined = nn.functional.linear(query, self.in_proj_weight, self.in_proj_bias)
        batch, tokens, _ = query.shape
        q, k, v = joined.view(batch, tokens, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        out = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.out_proj(out.transpose(1, 2).reshape(batch, tokens, -1)), None


class _QuickGelu(torch.autograd.Function):
    """x sigmoid(1.702 x), which keeps x alone for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        product: Tensor = x * torch.sigmoid(1.702 * x)
        return product

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        gate = torch.sigmoid(1.702 * x)
        slope: Tensor = gate + 1.702 * x * gate * (1 - gate)
        return grad * slope


class LeanQuickGelu(nn.Module):
    """open_clip's QuickGELU, which would keep the input and the sigmoid for the backward pass.

    Both are four times as wide as the tower; the sigmoid is computed again instead.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return x sigmoid(1.702 x)."""
        out: Tensor = _QuickGelu.apply(x)
        return out


class OpenClipVisual(nn.Module):
    """The image tower of an open_clip model without its projection.

    Its attentions and activations are replaced by ones of the same numbers that are faster and keep
    less for the backward pass.
    """

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual
        for module in list(visual.modules()):
            for name, child in module.named_children():
                if type(child) is nn.MultiheadAttention and _packs(child):
                    setattr(module, name, PackedAttention.of(child))
                elif type(child).__name__ == "QuickGELU":
                    setattr(module, name, LeanQuickGelu())

    def forward(self, pixels: Tensor) -> Tensor:
        """From normalised pixels (B, 3, H, W) to pooled features (B, D)."""
        out = self.visual(pixels)
        pooled: Tensor = out[0] if isinstance(out, tuple) else out
        return pooled


def _packs(attention: nn.MultiheadAttention) -> bool:
    plain = attention.bias_k is None and not attention.add_zero_attn and not attention.dropout
    return plain and attention.batch_first and attention.in_proj_weight is not None


def clip_tower(sizes: Mapping[str, Any]) -> OpenClipVisual:
    """Build a CLIP image tower with random weights.

    Parameters
    ----------
    sizes
        As Hugging Face names them in a CLIP vision configuration: `hidden_size`,
        `intermediate_size`, `num_hidden_layers`, `num_attention_heads`, `patch_size`, `image_size`,
        and, where they differ from OpenAI's, `hidden_act` and `layer_norm_eps`.

    Raises
    ------
    InvalidCheckpoint
        If a size is missing or an activation is unknown.
    """
    from open_clip.transformer import LayerNorm, QuickGELU, VisionTransformer

    activation = sizes.get("hidden_act", "quick_gelu")
    if activation not in ACTIVATIONS:
        raise InvalidCheckpoint(
            f"activation {activation!r} is not known here; there is {', '.join(ACTIVATIONS)}."
        )
    try:
        width, hidden = int(sizes["hidden_size"]), int(sizes["intermediate_size"])
        visual = VisionTransformer(
            image_size=int(sizes["image_size"]),
            patch_size=int(sizes["patch_size"]),
            width=width,
            layers=int(sizes["num_hidden_layers"]),
            heads=int(sizes["num_attention_heads"]),
            mlp_ratio=hidden / width,
            output_dim=width,
            act_layer=QuickGELU if activation == "quick_gelu" else nn.GELU,
            norm_layer=partial(LayerNorm, eps=float(sizes.get("layer_norm_eps", 1e-5))),
        )
    except KeyError as error:
        raise InvalidCheckpoint(f"the sizes of a CLIP tower lack {error.args[0]!r}.") from None
    visual.proj = None
    return OpenClipVisual(visual).eval()
