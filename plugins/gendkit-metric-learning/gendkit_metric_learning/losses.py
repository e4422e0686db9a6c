"""Losses of pytorch-metric-learning, from a batch's unit embeddings (B, D) to one number.

Only `OnWeights` has parameters, which gendkit trains with the head. Where a batch has nothing to
compare, the loss is 0 with gradient 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from pytorch_metric_learning import losses
from torch import Tensor
from torch.nn import functional as F

from gendkit.plugin import LossInputs

CLASSES = 2
SHORTER = 1 - 1e-6


class OnBatch:
    """A loss on all pairs or triplets of the batch.

    Parameters
    ----------
    kind
        Name of a class in `pytorch_metric_learning.losses` that has no parameters.
    options
        Of that class; the defaults are its own.
    """

    def __init__(self, kind: str, /, **options: Any) -> None:
        self._loss = getattr(losses, kind)(**options)

    def __call__(self, inputs: LossInputs) -> Tensor:
        """Return the loss, computed in the embeddings' dtype whatever autocast is on."""
        z = inputs.embeddings
        with torch.autocast(z.device.type, enabled=False):
            value: Tensor = self._loss(z, inputs.labels)
        return value


class OnPairs:
    """The triplet loss where anchor and negative are a fake and its real.

    The negative then shows the same person, scene and light, so that only the manipulation is left
    to tell them apart. A batch holds many pairs if the recipe says `batches: paired`.

    Parameters
    ----------
    options
        Of `pytorch_metric_learning.losses.TripletMarginLoss`.
    """

    def __init__(self, **options: Any) -> None:
        self._loss = losses.TripletMarginLoss(**options)

    def __call__(self, inputs: LossInputs) -> Tensor:
        """Return the loss; 0 if no crop's pair of the other class is in the batch."""
        z = inputs.embeddings
        triplets = paired_triplets(inputs.labels, inputs.pair)
        with torch.autocast(z.device.type, enabled=False):
            value: Tensor = self._loss(z, inputs.labels, indices_tuple=triplets)
        return value


class OnCentres:
    """A softmax with a margin, whose weight vectors are the batch's class centres.

    The published losses learn one weight vector a class, as `OnWeights` does. Here it is the
    direction of the class's mean embedding in the batch, through which the gradient flows. Their
    softmax is no classifier: the head still needs cross-entropy.

    Parameters
    ----------
    kind
        `ArcFaceLoss` or `CosFaceLoss`.
    options
        Of that class, such as `margin` (in degrees for ArcFace) and `scale`.

    References
    ----------
    Wan et al., Generalized End-to-End Loss for Speaker Verification, ICASSP 2018, for a softmax
    over the similarities to the batch's centres.
    """

    def __init__(self, kind: str, /, **options: Any) -> None:
        # Its own weights are never used: each call puts the centres in their place.
        self._loss = getattr(losses, kind)(
            num_classes=CLASSES,
            embedding_size=1,
            weight_init_func=torch.nn.init.zeros_,
            **options,
        ).requires_grad_(False)
        self._loss.distance.normalize_embeddings = False

    def __call__(self, inputs: LossInputs) -> Tensor:
        """Return the loss; 0 if the batch has one class only, as there is one centre only."""
        z, labels = inputs.embeddings, inputs.labels
        with torch.autocast(z.device.type, enabled=False):
            if len(labels) == 0 or bool((labels == labels[0]).all()):
                return (z * 0).sum()
            weights = {"W": class_centres(z, labels).T}
            value: Tensor = torch.func.functional_call(self._loss, weights, (z, labels))
        return value


class OnWeights(torch.nn.Module):
    """A softmax with a margin to one learned weight vector a class, as published.

    Weights and embeddings count by their direction. The weights are trained with the head, and are
    no part of the adapter.

    Parameters
    ----------
    kind
        `ArcFaceLoss` or `CosFaceLoss`.
    dim
        Length D of an embedding.
    seed
        Of the weights (D, 2), standard normal at first as in the library.
    options
        Of that class, such as `margin` (in degrees for ArcFace) and `scale`.
    """

    def __init__(self, kind: str, /, *, dim: int, seed: int, **options: Any) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.loss = getattr(losses, kind)(
            num_classes=CLASSES,
            embedding_size=dim,
            weight_init_func=partial(torch.nn.init.normal_, generator=generator),
            **options,
        )

    def forward(self, inputs: LossInputs) -> Tensor:
        """Return the loss, computed in the embeddings' dtype whatever autocast is on."""
        z = inputs.embeddings
        with torch.autocast(z.device.type, enabled=False):
            value: Tensor = self.loss(z, inputs.labels)
        return value


def class_centres(z: Tensor, labels: Tensor) -> Tensor:
    """Return the directions (2, D) of the mean embeddings of real and of fake crops.

    They are a millionth shorter than 1: the only sample of a class lies on its centre, where the
    angle's derivative would be infinite.
    """
    members = F.one_hot(labels.long(), CLASSES).to(z.dtype)
    return SHORTER * F.normalize(members.T @ z, dim=1)


def paired_triplets(labels: Tensor, pair: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
    """Return the indices of all anchors, positives and negatives, (T,) each.

    A positive has the anchor's class; a negative has the other class and the anchor's pair. Crops
    whose pair is unknown (empty) are no anchors.
    """
    numbers: dict[str, int] = {}
    number = [numbers.setdefault(p, len(numbers)) if p else -1 for p in pair]
    pairs = torch.tensor(number or [-1] * len(labels), device=labels.device)
    same = labels[:, None] == labels[None, :]
    negative = ~same & (pairs[:, None] == pairs[None, :]) & (pairs >= 0)[:, None]
    positive = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    anchors, positives, negatives = torch.where(positive[:, :, None] & negative[:, None, :])
    return anchors, positives, negatives
