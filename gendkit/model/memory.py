"""What training holds in memory: frozen weights once, and of each block no more than its input."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from gendkit.errors import InvalidRecipe
from gendkit.model.backbone import HELD, Held, Seen, norms_of
from gendkit.model.kernels import again
from gendkit.model.lora import summed
from gendkit.plugin.specs import BackboneSpec

ROUNDED = (nn.Linear, nn.Conv2d, nn.MultiheadAttention)
"""Layers that autocast computes in the narrower dtype, whatever dtype their weights have."""


def hold_frozen(module: nn.Module, spec: BackboneSpec, dtype: torch.dtype, *, known: str) -> None:
    """Round frozen weights to the compute dtype once, instead of in each pass under autocast.

    Features and gradients are the same to the bit. Layer norms and what else is tuned stay as they
    are, and so do the few frozen numbers that are added or multiplied and not part of a product
    (class token, positions, layer scales), nor weights to which low-rank factors are added before
    the product. The hash of the backbone is that from before.

    Parameters
    ----------
    module
        On its device: moving it later counts as a change of its weights.
    spec
        Of the module.
    dtype
        Such as `torch.bfloat16`.
    known
        The hash of the backbone; see `frozen_hash`.
    """
    norms = {id(p) for p in norms_of(module, spec).values()}
    wide = norms | {id(p) for p in summed(module)}
    for layer in module.modules():
        if isinstance(layer, ROUNDED):
            for parameter in layer.parameters(recurse=False):
                if not parameter.requires_grad and id(parameter) not in wide:
                    parameter.data = parameter.data.to(dtype)
    frozen = [t for t in (*module.parameters(), *module.buffers()) if id(t) not in norms]
    seen = tuple(Seen.of(t) for t in frozen if not t.requires_grad)
    setattr(module, HELD, Held(hash=known, dtype=dtype, seen=seen))


def recompute_blocks(module: nn.Module) -> int:
    """Let each block keep its input alone for the backward pass, which runs it once more.

    Numbers stay the same; a training step takes about a third longer. Blocks are the members of
    the outermost lists of modules of one class that hold something to tune.

    Returns
    -------
    int
        How many blocks.

    Raises
    ------
    InvalidRecipe
        If there is no such list.
    """
    blocks = _blocks(module)
    if not blocks:
        raise InvalidRecipe(
            f"recompute is true, but {type(module).__name__} has no list of equal blocks with "
            "something to tune; leave it out, or give a micro_batch."
        )
    for block in blocks:
        block.forward = partial(again, block.forward)
    return len(blocks)


def _blocks(module: nn.Module) -> list[nn.Module]:
    children = list(module.children())
    if isinstance(module, nn.ModuleList | nn.Sequential) and len(children) > 1:
        alike = all(isinstance(child, type(children[0])) for child in children)
        if alike and any(p.requires_grad for p in module.parameters()):
            return children
    return [block for child in children for block in _blocks(child)]
