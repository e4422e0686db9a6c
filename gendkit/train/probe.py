"""The frozen linear probe: a logistic regression on unit embeddings (N, D)."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from gendkit.errors import InvalidLabels, InvalidRecipe

STEPS = 2000


def fit_probe(
    embeddings: NDArray[np.float32], labels: NDArray[np.int64], *, c: float = 1.0
) -> dict[str, Tensor]:
    """Fit a head on frozen embeddings.

    Parameters
    ----------
    embeddings
        (N, D) unit vectors.
    labels
        (N,) 0 real, 1 fake.
    c
        Inverse strength of the L2 penalty.

    Returns
    -------
    dict
        `weight` (2, D) and `bias` (2,): the two logits are opposite, their difference is that of
        the regression.

    Raises
    ------
    InvalidLabels
        If a class is missing.
    InvalidRecipe
        If the regression does not converge.
    """
    if len(np.unique(labels)) != 2:
        raise InvalidLabels("a probe needs real and fake crops; only one class is there.")
    model = LogisticRegression(C=c, max_iter=STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            model.fit(embeddings.astype(np.float64), labels)
        except ConvergenceWarning:
            raise InvalidRecipe(
                f"the probe does not converge in {STEPS} steps with probe_c {c:g}; lower it."
            ) from None
    weight = torch.tensor(model.coef_[0], dtype=torch.float32) / 2
    bias = torch.tensor(model.intercept_[0], dtype=torch.float32) / 2
    return {"weight": torch.stack([-weight, weight]), "bias": torch.stack([-bias, bias])}
