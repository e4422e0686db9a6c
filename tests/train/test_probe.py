"""The frozen probe: scikit-learn's logistic regression, written as a head of two logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from gendkit.errors import InvalidLabels, InvalidRecipe
from gendkit.model.head import Head
from gendkit.train import probe
from gendkit.train.probe import fit_probe

DIM = 6
Points = tuple[NDArray[np.float32], NDArray[np.int64]]


@pytest.fixture(scope="module")
def points() -> Points:
    """60 unit vectors of two classes that overlap."""
    rng = np.random.default_rng(0)
    labels = (np.arange(60) % 3 == 0).astype(np.int64)
    raw = rng.normal(size=(60, DIM)) + labels[:, None] * 0.7
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32), labels


@pytest.mark.parametrize("c", [0.1, 1.0, 100.0])
def test_its_probabilities_are_those_of_the_regression(points: Points, c: float) -> None:
    z, labels = points
    expected = LogisticRegression(C=c, max_iter=2000).fit(z.astype(np.float64), labels)
    logits = Head.of(fit_probe(z, labels, c=c))(torch.from_numpy(z))
    found = logits.softmax(dim=1).detach().numpy()
    np.testing.assert_allclose(found, expected.predict_proba(z), atol=1e-5)
    assert found[:, 1].std() > 0.05  # not the same answer to all


def test_its_two_logits_are_opposite(
    points: Points,
) -> None:
    head = fit_probe(*points)
    assert head["weight"].shape == (2, DIM)
    assert head["bias"].shape == (2,)
    assert all(t.dtype == torch.float32 for t in head.values())
    assert all(torch.equal(t[0], -t[1]) for t in head.values())


def test_a_weaker_penalty_gives_larger_weights(
    points: Points,
) -> None:
    lengths = [float(fit_probe(*points, c=c)["weight"].norm()) for c in (0.1, 1.0, 10.0)]
    assert lengths == sorted(lengths)
    assert lengths[-1] > 2 * lengths[0]


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_only_is_refused(points: Points, label: int) -> None:
    z, labels = points
    with pytest.raises(InvalidLabels, match="only one class"):
        fit_probe(z, np.full_like(labels, label))


def test_a_regression_that_does_not_converge_is_told_so(
    points: Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "STEPS", 2)
    with pytest.raises(InvalidRecipe, match="not converge in 2 steps with probe_c 1000; lower it"):
        fit_probe(*points, c=1000.0)
