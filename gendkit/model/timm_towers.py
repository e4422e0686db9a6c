"""Parts of timm's transformers, exchanged for ones of the same numbers that are faster.

They keep less for the backward pass while projections are frozen, and the last block computes its
first token alone where the feature is that token. The names of tensors stay as they are.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import Mlp, apply_rot_embed_cat
from timm.layers.attention import Attention
from timm.models.eva import Eva, EvaAttention, EvaBlock
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from gendkit.model.kernels import activation_of, again, attend, attend_first, frozen_mlp


class PackedAttention(Attention):
    """timm's attention where it has neither norms nor a gate."""

    def forward(
        self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """Attend to all of x (B, N, D)."""
        if attn_mask is not None or is_causal:
            masked: Tensor = super().forward(x, attn_mask=attn_mask, is_causal=is_causal)
            return masked
        out: Tensor = self.proj(attend(self.qkv(x), self.num_heads))
        return out

    def first(self, x: Tensor) -> Tensor:
        """Attend from the first token alone to all of x (B, N, D); return (B, 1, D)."""
        out: Tensor = self.proj(attend_first(x, self.qkv.weight, self.qkv.bias, self.num_heads))
        return out


class FrozenMlp(Mlp):
    """timm's MLP where it has no norm."""

    def forward(self, x: Tensor) -> Tensor:
        """Go through both layers."""
        out = frozen_mlp(x, self.fc1, self.fc2, activation_of(self.act))
        return super().forward(x) if out is None else out


class FirstTokenBlock(Block):
    """The last block of a tower whose feature is its first token: it computes that token alone."""

    def forward(self, x: Tensor, *args: Any, **options: Any) -> Tensor:
        """From all tokens (B, N, D) to the first (B, 1, D)."""
        if type(self.attn) is not PackedAttention or type(self.attn.qkv) is not nn.Linear:
            every: Tensor = super().forward(x, *args, **options)  # since exchanged
            return every[:, :1]
        return again(self._first, x)

    def _first(self, x: Tensor) -> Tensor:
        first = x[:, :1] + self.ls1(self.attn.first(self.norm1(x)))
        out: Tensor = first + self.ls2(self.mlp(self.norm2(first)))
        return out


class FirstTokenEvaBlock(EvaBlock):
    """The same of EVA, with rotary positions, of which a prefix has none."""

    def forward(self, x: Tensor, rope: Tensor | None = None, **options: Any) -> Tensor:
        """From all tokens (B, N, D) to the first (B, 1, D)."""
        if type(self.attn) is not EvaAttention or type(self.attn.qkv) is not nn.Linear:
            every: Tensor = super().forward(x, rope, **options)  # since exchanged
            return every[:, :1]
        return again(self._first, x, rope)

    def _first(self, x: Tensor, rope: Tensor | None) -> Tensor:
        attended, first = self._attended(self.norm1(x), rope), x[:, :1]
        first = first + (attended if self.gamma_1 is None else self.gamma_1 * attended)
        hidden = self.mlp(self.norm2(first))
        out: Tensor = first + (hidden if self.gamma_2 is None else self.gamma_2 * hidden)
        return out

    def _attended(self, x: Tensor, rope: Tensor | None) -> Tensor:
        attention = self.attn
        bias = None
        if attention.q_bias is not None:
            bias = torch.cat((attention.q_bias, attention.k_bias, attention.v_bias))

        def turn(keys: Tensor) -> Tensor:
            prefix, rest = keys.tensor_split([attention.num_prefix_tokens], dim=2)
            turned = apply_rot_embed_cat(rest, rope, half=attention.rotate_half)
            return torch.cat([prefix, turned], dim=2).type_as(keys)

        out: Tensor = attention.proj(
            attend_first(
                x, attention.qkv.weight, bias, attention.num_heads,
                turn=None if rope is None else turn,
            )
        )  # fmt: skip
        return out


def lean(model: Any) -> None:
    """Exchange the parts of a timm model whose kind is known."""
    for module in list(model.modules()):
        if type(module) is Attention and _is_plain(module):
            module.__class__ = PackedAttention
        elif type(module) is Mlp and type(module.norm) is nn.Identity and _never_drops(module):
            module.__class__ = FrozenMlp
    if not _uses_first_token(model):
        return
    last = model.blocks[-1]
    if type(last) is Block and type(last.attn) is PackedAttention:
        last.__class__ = FirstTokenBlock
    elif type(last) is EvaBlock and _is_plain_eva(last.attn):
        last.__class__ = FirstTokenEvaBlock


def _uses_first_token(model: Any) -> bool:
    return (
        type(model) in (VisionTransformer, Eva)
        and model.global_pool == "token"
        and model.attn_pool is None
        and model.cls_token is not None
        and len(model.blocks) > 0
    )


def _is_plain(attention: Any) -> bool:
    norms = (attention.q_norm, attention.k_norm, attention.norm)
    plain = attention.gate is None and all(type(n) is nn.Identity for n in norms)
    return plain and attention.fused_attn and _never_drops(attention)


def _is_plain_eva(attention: Any) -> bool:
    return (
        type(attention) is EvaAttention
        and attention.qkv is not None
        and attention.num_prefix_tokens > 0
        and _is_plain(attention)
    )


def _never_drops(module: nn.Module) -> bool:
    return all(m.p == 0 for m in module.modules() if isinstance(m, nn.Dropout))
