"""What the attentions of an encoder weigh in one pass: a backbone and its input enter, maps leave.

Attentions are found by what is computed, whatever the modules are called: fused ones, which never
give their weights, are watched, and the weights are computed once more from queries and keys.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from gendkit.device import exact
from gendkit.errors import InvalidArgument
from gendkit.model import timm_towers, towers

Pooling = Literal["first", "query", "patches", "tokens"]
"""How the feature comes of the last attention: of its first token; of queries that are no tokens;
of the mean of the patches, or of all tokens."""

FIRST_TOKEN = (
    towers.FirstTokenBlock, timm_towers.FirstTokenBlock, timm_towers.FirstTokenEvaBlock,
)  # fmt: skip
SOFTMAXES = (torch.softmax, Tensor.softmax, F.softmax)
MULTI_HEAD: Callable[..., tuple[Tensor, Tensor | None]] = F.multi_head_attention_forward


class Watch(TorchFunctionMode):
    """Keeps the weights (B, heads, queries, keys) of each attention inside its block.

    Parameters
    ----------
    traced
        Whether the weights are in the graph of what is computed of them; the fused operation is
        then exchanged for its parts, which differ from it by rounding.
    """

    def __init__(self, *, traced: bool = False) -> None:
        super().__init__()
        self.weights: list[Tensor] = []
        self.traced = traced
        self.keeps = True
        """Switched off before a backward pass, which may run blocks once more."""
        self.silenced: tuple[int, slice] | None = None
        """An attention by its number, and queries whose result there is set to zero."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Do the operation, and keep its weights if it is an attention."""
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return self._scaled(*args, **kwargs)
        if func is MULTI_HEAD:
            return self._multi_head(args, kwargs)
        out = func(*args, **kwargs)
        # Written out, as in timm without its fused kernel: as many keys as queries in each head.
        if func in SOFTMAXES and out.ndim == 4 and 1 < out.shape[-1] == out.shape[-2]:
            self._keep(out)
        return out

    def _keep(self, weights: Tensor) -> None:
        if self.keeps:
            self.weights.append(weights)

    def _silence(self, out: Tensor) -> Tensor:
        if self.silenced is not None and self.silenced[0] == len(self.weights) - 1:
            out = out.clone()
            out[..., self.silenced[1], :] = 0
        return out

    def _scaled(
        self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
        dropout_p: float = 0.0, is_causal: bool = False, **options: Any,
    ) -> Tensor:  # fmt: skip
        weights = attention_weights(
            query, key, mask=attn_mask, causal=is_causal, scale=options.get("scale")
        )
        self._keep(weights)
        if self.traced:
            return weights.to(value.dtype) @ _as_many(value, query)
        return self._silence(
            F.scaled_dot_product_attention(
                query, key, value, attn_mask=attn_mask, dropout_p=dropout_p, is_causal=is_causal,
                **options,
            )
        )  # fmt: skip

    def _multi_head(self, args: tuple[Any, ...], kwargs: Any) -> tuple[Tensor, Tensor | None]:
        given = inspect.signature(MULTI_HEAD).bind(*args, **kwargs)
        given.apply_defaults()
        weights, value = _multi_head_weights(given.arguments)
        self._keep(weights)
        if self.traced:
            joined = (weights.to(value.dtype) @ value).permute(2, 0, 1, 3).flatten(2)
            out = given.arguments["out_proj_weight"], given.arguments["out_proj_bias"]
            return F.linear(joined, *out), None
        plain: tuple[Tensor, Tensor | None] = MULTI_HEAD(*given.args, **given.kwargs)
        return self._silence(plain[0].transpose(0, 1)).transpose(0, 1), plain[1]


def _multi_head_weights(given: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Return weights (B, heads, Q, K) and values of `multi_head_attention_forward`.

    Raises
    ------
    InvalidArgument
        If it is of a kind that no image encoder is known to have.
    """
    unusual = ("key_padding_mask", "bias_k", "bias_v", "static_k", "static_v")
    if given["add_zero_attn"] or any(given[name] is not None for name in unusual):
        raise InvalidArgument(
            "an attention masks or adds keys, of which no roll-out can be made; explain it by "
            "occlusion, which needs no attention."
        )
    parts = given["in_proj_bias"].chunk(3) if given["in_proj_bias"] is not None else [None] * 3
    names = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
    separate = given["use_separate_proj_weight"]
    ways = [given[name] for name in names] if separate else given["in_proj_weight"].chunk(3)
    query, key, value = (
        _by_head(F.linear(given[name], way, bias), given["num_heads"])
        for name, way, bias in zip(("query", "key", "value"), ways, parts, strict=True)
    )
    mask, causal = given["attn_mask"], given["is_causal"]
    return attention_weights(query, key, mask=mask, causal=causal and mask is None), value


def attention_weights(
    query: Tensor,
    key: Tensor,
    *,
    mask: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """Return the weights (B, heads, Q, K) of `torch.nn.functional.scaled_dot_product_attention`.

    Parameters
    ----------
    query, key
        (B, heads, Q, d) and (B, heads, K, d); there may be fewer heads of keys.
    mask
        As there: True, or a number that is added, where a key counts.
    causal
        Whether a query sees only keys that are not after it.
    scale
        Of the products; None is the root of 1 / d.
    """
    with exact(query.device):
        factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
        scores = factor * (query.float() @ _as_many(key, query).float().mT)
        if causal:
            mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        if mask is not None and mask.dtype == torch.bool:
            scores = scores.masked_fill(~mask, float("-inf"))
        elif mask is not None:
            scores = scores + mask
        return scores.softmax(dim=-1)


def _as_many(keys: Tensor, query: Tensor) -> Tensor:
    """Repeat heads that several heads of queries share."""
    times = query.shape[-3] // keys.shape[-3]
    return keys if times == 1 else keys.repeat_interleave(times, dim=-3)


def _by_head(x: Tensor, heads: int) -> Tensor:
    """View (N, B, D) as (B, heads, N, D / heads)."""
    return x.view(*x.shape[:2], heads, -1).permute(1, 2, 0, 3)


@contextmanager
def watched(*, traced: bool = False) -> Iterator[Watch]:
    """Keep the weights of all attentions inside the block; see `Watch`."""
    with Watch(traced=traced) as watch:
        yield watch


def check_attention(weights: Sequence[Tensor], backbone: nn.Module) -> None:
    """Refuse a pass of which no roll-out can be made.

    Raises
    ------
    InvalidArgument
        If there is no attention, or one that does not see all tokens at once.
    """
    name, way = type(backbone).__name__, "explain it by occlusion, which needs no attention"
    if not weights:
        raise InvalidArgument(f"{name} has no attention, expected some for a roll-out; {way}.")
    kinds = {(len(w), w.shape[-1]) for w in weights}
    square = all(w.shape[-1] == w.shape[-2] for w in weights[:-1])
    if len(kinds) > 1 or not square:
        shapes = ", ".join(dict.fromkeys(str(tuple(w.shape)) for w in weights))
        raise InvalidArgument(
            f"the attentions of {name} have weights {shapes}; a roll-out needs some from all "
            f"tokens to all tokens, block after block: {way}."
        )


def pooling_of(
    backbone: nn.Module, run: Callable[[], Tensor], weights: Sequence[Tensor], *, prefix: int
) -> Pooling:
    """Find out how a backbone's feature comes of its last attention, by trying.

    What part of the last attention's result may be lost without the feature being another?

    Parameters
    ----------
    run
        Gives the features (B, D) of always the same input.
    weights
        Of the attentions in that pass.
    prefix
        How many tokens before the patches there are.
    """
    queries, keys = weights[-1].shape[-2:]
    if queries != keys:
        by_type = any(isinstance(module, FIRST_TOKEN) for module in backbone.modules())
        return "first" if queries == 1 and by_type else "query"
    with watched():  # which may exchange a fused operation, as below
        whole = run()
    tries: dict[Pooling, slice] = {"first": slice(1, None), "patches": slice(0, prefix)}
    for pooling, lost in tries.items():
        if pooling == "patches" and not prefix:
            continue
        with watched() as watch:
            watch.silenced = len(weights) - 1, lost
            found = run()
        if torch.allclose(found, whole, rtol=1e-5, atol=1e-6):
            return pooling
    return "tokens"


def patch_grid(backbone: nn.Module, *, size: int, tokens: int) -> tuple[int, int]:
    """Return the side of the square of patches, and how many tokens come before them.

    Patches are known by the first convolution whose steps do not overlap; without one the largest
    square is taken that the tokens can hold.

    Raises
    ------
    InvalidArgument
        If there are fewer tokens than patches.
    """
    side = math.isqrt(tokens)
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d) and module.stride == module.kernel_size != (1, 1):
            side = size // int(module.stride[0])
            break
    if side < 1 or side**2 > tokens:
        raise InvalidArgument(
            f"{type(backbone).__name__} attends to {tokens} tokens at {size} px, expected at least "
            f"one for each of {side} x {side} patches; explain it by occlusion."
        )
    return side, tokens - side**2
