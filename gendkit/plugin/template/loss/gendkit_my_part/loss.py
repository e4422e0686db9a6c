"""The focal loss: from the logits (B, 2) of a batch to one number."""

from __future__ import annotations

from gendkit.errors import InvalidOption
from gendkit.plugin import LossInputs
from torch import Tensor
from torch.nn import functional as F


class Focal:
    """Cross-entropy of each crop, weighted by (1 - p)^gamma, where p is that of its own class.

    Parameters
    ----------
    gamma
        How fast a crop loses its weight as it gets right; 0 is cross-entropy.

    Raises
    ------
    InvalidOption
        For a gamma between 0 and 1, whose gradient is infinite where p is 1, or below 0.

    References
    ----------
    Lin et al., Focal Loss for Dense Object Detection, ICCV 2017.
    """

    def __init__(self, *, gamma: float) -> None:
        if gamma != 0 and not gamma >= 1:
            raise InvalidOption(f"gamma is {gamma}; expected 0, or 1 or more.")
        self._gamma = gamma

    def __call__(self, inputs: LossInputs) -> Tensor:
        """Return the mean over the batch, which makes the loss separable."""
        each = F.cross_entropy(inputs.logits, inputs.labels, reduction="none")
        wrong = -(-each).expm1()  # 1 - p, which is exact near 0
        return (wrong**self._gamma * each).mean()
