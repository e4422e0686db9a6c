"""What a frozen transformer block computes, with less kept for the backward pass and less work.

Only layer norms are tuned: the weights of projections need no gradient, so that nothing has to be
kept for it. The numbers are those of the plain operations, to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.overrides import has_torch_function
from torch.utils.checkpoint import checkpoint

from gendkit.device import works_in_parts

SLOPE = 1.702
ATTENTION_BYTES, HIDDEN_BYTES = 2 << 20, 8 << 20
"""How large a part of the attention weights, and of an MLP's hidden layer, may be on a CPU."""


@dataclass(frozen=True, kw_only=True)
class Activation:
    """An activation act(s u) / s and its slope.

    Attributes
    ----------
    scale
        s, which the products before and after take in.
    forward
        From s u to act(s u).
    backward
        From a gradient and s u to the gradient before the activation, written over the former.
    """

    scale: float
    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor], Tensor]


def _silu_backward(grad: Tensor, u: Tensor) -> Tensor:
    out: Tensor = torch.ops.aten.silu_backward.grad_input(grad, u, grad_input=grad)
    return out


def _gelu_backward(grad: Tensor, u: Tensor) -> Tensor:
    out: Tensor = torch.ops.aten.gelu_backward.grad_input(
        grad, u, approximate="none", grad_input=grad
    )
    return out


QUICK_GELU = Activation(scale=SLOPE, forward=F.silu, backward=_silu_backward)
"""x sigmoid(1.702 x), as in CLIP: SiLU(1.702 x) / 1.702."""
GELU = Activation(scale=1.0, forward=F.gelu, backward=_gelu_backward)
"""x Phi(x), by the error function."""


def activation_of(module: nn.Module) -> Activation | None:
    """Return what is known of torch's own activation; None if it is not known."""
    exact = isinstance(module, nn.GELU) and module.approximate == "none"
    return GELU if exact else None


def frozen_mlp(
    x: Tensor, first: nn.Module, second: nn.Module, activation: Activation | None
) -> Tensor | None:
    """Two linear layers with an activation between them, where their weights get no gradient.

    The hidden layer before its activation is all that is kept for the backward pass.

    Parameters
    ----------
    x
        (..., D).
    first, second
        From D to H numbers, and back.
    activation
        Between them; see `activation_of`.

    Returns
    -------
    Tensor or None
        (..., D), in the autocast dtype where autocast is on; None if the layers are not plain,
        frozen ones with a bias, the activation is another, or a compiler does this work.
    """
    plain = _plain(first) and _plain(second)
    if activation is None or not plain or torch.compiler.is_compiling():
        return None
    out: Tensor = _Mlp.apply(x, first.weight, first.bias, second.weight, second.bias, activation)
    return out


def _plain(layer: nn.Module) -> bool:
    if type(layer) is not nn.Linear or layer.bias is None:
        return False
    return not (layer.weight.requires_grad or layer.bias.requires_grad)


def attend(joined: Tensor, heads: int) -> Tensor:
    """Self-attention of packed queries, keys and values, without mask or dropout.

    On a CPU `joined` is all that is kept for the backward pass, which computes the attention
    weights again.

    Parameters
    ----------
    joined
        (B, N, 3 D): queries, keys and values of `heads` heads each, as one projection gives them.
    heads
        Their number; D is a multiple of it.

    Returns
    -------
    Tensor
        (B, N, D).
    """
    keeps = torch.is_grad_enabled() and joined.requires_grad and not torch.compiler.is_compiling()
    # Who looks at each operation, such as `gendkit.model.attention`, shall see those in here too.
    if keeps and works_in_parts(joined.device) and not has_torch_function((joined,)):
        out: Tensor = _Attend.apply(joined, heads)
        return out
    return _attended(joined, heads)


def attend_first(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    heads: int,
    *,
    turn: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Attention of the first token alone, from its projection to queries, keys and values.

    Parameters
    ----------
    x
        (B, N, D).
    weight, bias
        (3 A, D) and (3 A,) of one projection to queries, keys and values.
    heads
        As for `attend`.
    turn
        Rotates the keys (B, heads, N, A / heads), where positions are rotary; the first token has
        none.

    Returns
    -------
    Tensor
        (B, 1, A).
    """
    width = len(weight) // 3
    first, rest = (None, None) if bias is None else (bias[:width], bias[width:])
    (q,) = _split(F.linear(x[:, :1], weight[:width], first), 1, heads)
    k, v = _split(F.linear(x, weight[width:], rest), 2, heads)
    k = k if turn is None else turn(k)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def again(block: Callable[..., Tensor], x: Tensor, *args: Any, **options: Any) -> Tensor:
    """Run part of an encoder so that x alone is kept; the backward pass runs it once more."""
    if not torch.is_grad_enabled() or has_torch_function((x,)):  # as in `attend`
        return block(x, *args, **options)
    out: Tensor = checkpoint(
        block, x, *args, use_reentrant=False, preserve_rng_state=False, **options
    )
    return out


class _Mlp(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, activation: Activation
    ) -> Tensor:
        kind = x.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
        scale = activation.scale
        rows = x.reshape(-1, x.shape[-1])
        keeps = ctx.needs_input_grad[0]
        hidden = rows.new_empty(len(rows) if keeps else 0, len(w1), dtype=dtype)
        out = rows.new_empty(len(rows), len(w2), dtype=dtype)
        with torch.autocast(kind, enabled=False):
            weights = [t.to(dtype) for t in (w1, b1, w2, b2)]
            for part in _parts(len(rows), len(w1) * dtype.itemsize, x.device, HIDDEN_BYTES):
                u = torch.addmm(
                    weights[1], rows[part].to(dtype), weights[0].T, beta=scale, alpha=scale,
                    out=hidden[part] if keeps else None,
                )  # fmt: skip
                torch.addmm(
                    weights[3], activation.forward(u), weights[2].T, alpha=1 / scale, out=out[part]
                )
        if keeps:
            ctx.save_for_backward(hidden, w1, w2)
            ctx.activation, ctx.dtype, ctx.shape = activation, x.dtype, x.shape
        return out.view(*x.shape[:-1], len(w2))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        hidden, w1, w2 = ctx.saved_tensors
        dtype, activation = hidden.dtype, ctx.activation
        rows = grad.reshape(-1, grad.shape[-1])
        out = rows.new_empty(len(rows), w1.shape[1], dtype=dtype)
        with torch.autocast(grad.device.type, enabled=False):
            w1, w2 = w1.to(dtype), w2.to(dtype)
            for part in _parts(len(rows), len(w1) * dtype.itemsize, grad.device, HIDDEN_BYTES):
                slope = activation.backward(torch.mm(rows[part].to(dtype), w2), hidden[part])
                torch.mm(slope, w1, out=out[part])
        return out.view(ctx.shape).to(ctx.dtype), None, None, None, None, None


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, joined: Tensor, heads: int) -> Tensor:
        ctx.save_for_backward(joined)
        ctx.heads = heads
        return _attended(joined, heads)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (joined,) = ctx.saved_tensors
        out = torch.empty_like(joined)
        bytes_an_image = ctx.heads * joined.shape[1] ** 2 * 4
        with torch.autocast(joined.device.type, enabled=False):
            for part in _parts(len(joined), bytes_an_image, joined.device, ATTENTION_BYTES):
                _attention_gradient(joined[part], ctx.heads, grad[part], out=out[part])
        return out, None


def _parts(count: int, size: int, device: torch.device, most: int) -> Iterator[slice]:
    """Cut `count` items of `size` bytes into parts of `most` bytes, at least one item each."""
    step = max(1, most // size) if works_in_parts(device) else max(1, count)
    for i in range(0, count, step):
        yield slice(i, min(i + step, count))


def _attended(joined: Tensor, heads: int) -> Tensor:
    q, k, v = _split(joined, 3, heads)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def _attention_gradient(joined: Tensor, heads: int, grad: Tensor, *, out: Tensor) -> None:
    """Write the gradient of packed queries, keys and values (b, N, 3 D) into `out`.

    Attention weights and their gradient are computed in float32 or more, products with them in the
    dtype of `joined`, as in torch's fused attention.
    """
    dtype = joined.dtype
    wide = torch.promote_types(dtype, torch.float32)
    places = _split(out, 3, heads)
    q, k, v, g = (
        x.flatten(0, 1) for x in (*_split(joined, 3, heads), *_split(grad.to(dtype), 1, heads))
    )
    scale = q.shape[-1] ** -0.5
    nothing = torch.zeros((), dtype=wide, device=joined.device)
    scores = torch.baddbmm(nothing, q.to(wide), k.to(wide).mT, beta=0, alpha=scale)
    weights = scores.softmax(dim=-1)
    slope = torch.bmm(g.to(wide), v.to(wide).mT)
    slope = torch._softmax_backward_data(slope, weights, -1, wide).to(dtype)
    for place, made, factor in zip(
        places,
        (torch.bmm(slope, k), torch.bmm(slope.mT, q), torch.bmm(weights.to(dtype).mT, g)),
        (scale, scale, 1.0),
        strict=True,
    ):
        torch.mul(made.view(place.shape), factor, out=place)


def _split(x: Tensor, parts: int, heads: int) -> tuple[Tensor, ...]:
    """View (B, N, parts D) as `parts` tensors (B, heads, N, D / heads)."""
    batch, tokens, _ = x.shape
    return x.view(batch, tokens, parts, heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
