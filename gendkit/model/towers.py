"""Image towers of open_clip models, without the projection to the text space."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from open_clip.transformer import (
    LayerNorm,
    QuickGELU,
    ResidualAttentionBlock,
    VisionTransformer,
)
from torch import Tensor, nn

from gendkit.errors import InvalidCheckpoint
from gendkit.model.kernels import (
    QUICK_GELU,
    Activation,
    activation_of,
    again,
    attend,
    attend_first,
    frozen_mlp,
)

ACTIVATIONS = ("quick_gelu", "gelu")


class PackedAttention(nn.MultiheadAttention):
    """Self-attention with one projection to queries, keys and values, on (B, N, D) as it is.

    Its tensors and numbers are those of `torch.nn.MultiheadAttention`, which would turn the input
    to (N, B, D) first: under autocast on a CPU that makes each projection many times slower.
    """

    def forward(  # type: ignore[override]
        self, query: Tensor, key: Tensor, value: Tensor, **options: Any
    ) -> tuple[Tensor, None]:
        """Attend to all of `query` (B, N, D), which must be key and value too."""
        if not (query is key is value) or options.get("attn_mask") is not None:
            out, _ = super().forward(query, key, value, **options)
            return out, None
        joined = nn.functional.linear(query, self.in_proj_weight, self.in_proj_bias)
        return self.out_proj(attend(joined, self.num_heads)), None

    def first(self, x: Tensor) -> Tensor:
        """Attend from the first token alone to all of x (B, N, D); return (B, 1, D)."""
        joined = attend_first(x, self.in_proj_weight, self.in_proj_bias, self.num_heads)
        out: Tensor = self.out_proj(joined)
        return out


class FrozenMlp(nn.Sequential):
    """The MLP of a block, which keeps less for the backward pass while its weights are frozen."""

    def forward(self, input: Tensor) -> Tensor:
        """Go through both layers."""
        first, activation, second = self
        out = frozen_mlp(input, first, second, _activation(activation))
        if out is None:
            out = super().forward(input)  # type: ignore[no-untyped-call]
        return out


class FirstTokenBlock(ResidualAttentionBlock):
    """The last block of a tower whose feature is its first token: it computes that token alone.

    Keys and values of all tokens, nearly all that it would keep for the backward pass, are computed
    again there.
    """

    def forward(self, q_x: Tensor, *args: Any, **options: Any) -> Tensor:
        """From all tokens (B, N, D) to the first (B, 1, D)."""
        if type(self.attn) is not PackedAttention:  # since exchanged for something else
            every: Tensor = super().forward(q_x, *args, **options)
            return every[:, :1]
        return again(self._first, q_x)

    def _first(self, x: Tensor) -> Tensor:
        first = x[:, :1] + self.ls_1(self.attn.first(self.ln_1(x)))
        out: Tensor = first + self.ls_2(self.mlp(self.ln_2(first)))
        return out


class OpenClipVisual(nn.Module):
    """The image tower of an open_clip model without its projection.

    Parts of it are exchanged for ones of the same numbers that are faster and keep less for the
    backward pass: attentions, MLPs, and the last block where only its first token is used.
    """

    def __init__(self, visual: Any) -> None:
        super().__init__()
        self.visual = visual
        for module in list(visual.modules()):
            if type(module) is nn.MultiheadAttention and _packs(module):
                module.__class__ = PackedAttention
            elif _is_mlp(module):
                module.__class__ = FrozenMlp
        if _uses_first_token(visual):
            visual.transformer.resblocks[-1].__class__ = FirstTokenBlock

    def forward(self, pixels: Tensor) -> Tensor:
        """From normalised pixels (B, 3, H, W) to pooled features (B, D)."""
        out = self.visual(pixels)
        pooled: Tensor = out[0] if isinstance(out, tuple) else out
        return pooled


def _activation(module: nn.Module) -> Activation | None:
    return QUICK_GELU if type(module) is QuickGELU else activation_of(module)


def _is_mlp(module: nn.Module) -> bool:
    if type(module) is not nn.Sequential or len(module) != 3:
        return False
    first, activation, second = module
    return type(first) is type(second) is nn.Linear and _activation(activation) is not None


def _uses_first_token(visual: Any) -> bool:
    return (
        type(visual) is VisionTransformer
        and visual.attn_pool is None
        and visual.pool_type == "tok"
        and len(visual.transformer.resblocks) > 0
        and type(visual.transformer.resblocks[-1]) is ResidualAttentionBlock
        and isinstance(visual.transformer.resblocks[-1].attn, PackedAttention)
    )


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
