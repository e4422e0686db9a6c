"""Losses on the unit sphere, from embeddings z (B, D) and labels (B,) to one number.

On the sphere |a - b|^2 = 2 - 2 a.b, so that one Gram matrix gives alignment and uniformity. It is
computed in float32 (float64 stays float64) with autocast and TF32 off, in the backward pass too: a
bfloat16 product turns a mean squared distance of .001 into 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from gendkit.device import exact
from gendkit.errors import InvalidEmbeddings, InvalidLabels
from gendkit.plugin.protocols import LossInputs

UNIFORMITY_T = 2.0

Points = Tensor | NDArray[Any]
Labels = Tensor | NDArray[Any] | Sequence[int]


def normalise(features: Tensor) -> Tensor:
    """Project features (B, D) onto the unit sphere, in float32 or float64.

    A feature of length 0 stays 0 and has a finite gradient.
    """
    with torch.autocast(features.device.type, enabled=False):
        return F.normalize(_full(features), dim=-1)


def alignment(z: Points, labels: Labels) -> Tensor:
    """Mean squared distance over all pairs of one class.

    0 if no class has two samples; the gradient is then 0.

    Parameters
    ----------
    z
        (B, D) unit vectors.
    labels
        (B,) class of each.

    Raises
    ------
    InvalidEmbeddings, InvalidLabels
        If these are not numbers of such shapes.

    References
    ----------
    Wang and Isola, Understanding Contrastive Representation Learning through Alignment and
    Uniformity on the Hypersphere, ICML 2020.
    """
    gram = _gram(_points(z))
    return _alignment(gram, _labels(labels, len(gram)).to(gram.device))


def uniformity(z: Points) -> Tensor:
    """Logarithm of the mean of exp(-2 |zi - zj|^2) over all pairs; from -8 (poles) to 0 (a point).

    0 for a single sample; the gradient is then 0.

    Parameters
    ----------
    z
        (B, D) unit vectors.

    Raises
    ------
    InvalidEmbeddings
        If these are not numbers of that shape.

    References
    ----------
    Wang and Isola, ICML 2020, as for `alignment`.
    """
    return _uniformity(_gram(_points(z)))


class CrossEntropy:
    """Cross-entropy of the two classes, 0 real and 1 fake."""

    def __call__(self, inputs: LossInputs) -> Tensor:
        """Return the mean over the batch."""
        return F.cross_entropy(_full(inputs.logits), inputs.labels)


class Alignment:
    """`alignment` as a loss."""

    def __call__(self, inputs: LossInputs) -> Tensor:
        """Return the mean squared distance over same-class pairs of the batch."""
        return alignment(inputs.embeddings, inputs.labels)


class Uniformity:
    """`uniformity` as a loss."""

    def __call__(self, inputs: LossInputs) -> Tensor:
        """Return the log mean Gaussian potential over all pairs of the batch."""
        return uniformity(inputs.embeddings)


class PairRanking:
    """Logistic loss of each fake's margin less that of the real clip it was made from.

    A person, pose or light that moves both alike costs nothing. 0, without a gradient, if no fake
    of the batch has its real there: `batches: paired` keeps them together.

    References
    ----------
    Burges et al., Learning to Rank using Gradient Descent, ICML 2005.
    """

    def __call__(self, inputs: LossInputs) -> Tensor:
        """Return the mean over the pairs of the batch."""
        margin = _full(inputs.logits[:, 1] - inputs.logits[:, 0])
        _, code = np.unique(np.asarray(inputs.pair, dtype=str), return_inverse=True)
        known = torch.tensor([bool(pair) for pair in inputs.pair], device=margin.device)
        pair = torch.from_numpy(code.astype(np.int64)).to(margin.device)
        fake = (inputs.labels == 1) & known
        real = (inputs.labels == 0) & known
        of = (pair[:, None] == pair[None, :]) & fake[:, None] & real[None, :]
        difference = (margin[:, None] - margin[None, :])[of]
        return F.softplus(-difference).sum() / max(1, len(difference))


@contextmanager
def shared_gram() -> Iterator[None]:
    """Let all metric terms of the same embeddings inside the block use one Gram matrix."""
    token = _SHARED.set({})
    try:
        yield
    finally:
        _SHARED.reset(token)


_SHARED: ContextVar[dict[int, tuple[Tensor, Tensor]] | None] = ContextVar("gram", default=None)


class _Gram(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        ctx.save_for_backward(z)
        with exact(z.device):
            return z @ z.T

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (z,) = ctx.saved_tensors
        with exact(z.device):
            product: Tensor = (grad + grad.T) @ z
            return product


def _gram(z: Tensor) -> Tensor:
    shared = _SHARED.get()
    if shared is not None and id(z) in shared:
        return shared[id(z)][1]
    product: Tensor = _Gram.apply(_full(z))
    if shared is not None:
        shared[id(z)] = (z, product)
    return product


def _points(z: Points) -> Tensor:
    try:
        points = z if isinstance(z, Tensor) else torch.as_tensor(np.array(z))
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidEmbeddings(
            f"embeddings are a tensor or array (B, D), got {type(z).__name__}: {error}"
        ) from None
    if points.ndim != 2 or points.is_complex():
        raise InvalidEmbeddings(
            f"embeddings are real numbers of shape (B, D), got {points.dtype} of shape "
            f"{tuple(points.shape)}."
        )
    return points


def _labels(labels: Labels, count: int) -> Tensor:
    try:
        classes = labels if isinstance(labels, Tensor) else torch.as_tensor(np.array(labels))
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidLabels(
            f"labels are a list, array or tensor (B,) of integers, got {type(labels).__name__}: "
            f"{error}"
        ) from None
    if classes.shape != (count,):
        got = f"{len(classes)}" if classes.ndim == 1 else f"shape {tuple(classes.shape)} of"
        raise InvalidLabels(f"{got} labels for {count} embeddings; give one each.")
    return classes


def _squared_distances(gram: Tensor) -> Tensor:
    return (2 - 2 * gram).clamp_min(0)


def _alignment(gram: Tensor, labels: Tensor) -> Tensor:
    with torch.autocast(gram.device.type, enabled=False):
        same = (labels[:, None] == labels[None, :]).to(gram.dtype).triu(1)
        return (_squared_distances(gram) * same).sum() / same.sum().clamp_min(1)


def _uniformity(gram: Tensor) -> Tensor:
    n = len(gram)
    if n < 2:
        return gram.sum() * 0
    with torch.autocast(gram.device.type, enabled=False):
        exponent = -UNIFORMITY_T * _squared_distances(gram)
        exponent = exponent.masked_fill(
            torch.ones_like(gram, dtype=torch.bool).tril(), float("-inf")
        )
        pairs = torch.tensor(n * (n - 1) / 2, dtype=gram.dtype, device=gram.device)
        return exponent.flatten().logsumexp(0) - pairs.log()


def _full(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
