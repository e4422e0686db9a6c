"""The linear head on the sphere: from unit embeddings (B, D) to two logits (B, 2)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gendkit.device import exact

CLASSES = ("real", "fake")


class Head(nn.Module):
    """logits = scale (W z + b), columns real and fake.

    The method has no scale (it is 1). A scale is part of training only: `folded` gives the weight
    and bias of the plain linear head with the same logits, and only those are kept.

    Parameters
    ----------
    dim
        Length D of an embedding.
    generator
        For the initial weights, uniform within 1 / sqrt(D) as in `torch.nn.Linear`.
    scale
        Factor on the logits.
    """

    def __init__(self, dim: int, *, generator: torch.Generator, scale: float = 1.0) -> None:
        super().__init__()
        bound = dim**-0.5
        weight = torch.empty(len(CLASSES), dim).uniform_(-bound, bound, generator=generator)
        bias = torch.empty(len(CLASSES)).uniform_(-bound, bound, generator=generator)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)
        self.scale = scale

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Head:
        """Return the head with the given `weight` (2, D) and `bias` (2,)."""
        head = cls(tensors["weight"].shape[1], generator=torch.Generator())
        head.load_state_dict(dict(tensors))
        return head

    def forward(self, z: Tensor) -> Tensor:
        """Return logits (B, 2), computed in the weights' dtype without TF32."""
        with exact(z.device):
            return self.scale * nn.functional.linear(
                z.to(self.weight.dtype), self.weight, self.bias
            )

    def folded(self) -> dict[str, Tensor]:
        """Return `weight` (2, D) and `bias` (2,) of the equal head without scale."""
        return {
            "weight": (self.scale * self.weight).detach().clone(),
            "bias": (self.scale * self.bias).detach().clone(),
        }
