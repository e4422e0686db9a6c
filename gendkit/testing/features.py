"""The features of a backbone under check: a tensor, and one that a gradient can go back from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gendkit.testing.rules import RuleBroken, demand


def features_of(module: nn.Module, pixels: Tensor) -> Tensor:
    """Return what a module makes of pixels (B, 3, H, W), without gradients.

    Raises
    ------
    RuleBroken
        If it is no tensor.
    """
    with torch.no_grad():
        return tensor(module(pixels))


def tensor(found: object) -> Tensor:
    """Return what a module gave, if it is a tensor."""
    if not isinstance(found, Tensor):
        raise RuleBroken(f"it gave a {type(found).__name__}; expected a tensor (B, D).")
    return found


def tunable(found: object) -> Tensor:
    """Return features, if a gradient can go back from them."""
    features = tensor(found)
    demand(
        features.requires_grad,
        "its features carry no gradient; leave no_grad, detach and numpy out of its forward.",
    )
    return features
