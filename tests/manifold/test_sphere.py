"""The sphere: identities of its geometry, and the concentration of points against integration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import vonmises_fisher

from gendkit.errors import InvalidEmbeddings
from gendkit.manifold.sphere import (
    bessel_ratio,
    concentration,
    exp_map,
    geodesic,
    log_map,
    mean_direction,
    transport,
)


def unit(n: int, dim: int, seed: int) -> np.ndarray:
    raw = np.random.default_rng(seed).normal(size=(n, dim))
    return raw / np.linalg.norm(raw, axis=1, keepdims=True)


SEEDS, DIMS = st.integers(0, 10_000), st.integers(2, 40)


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS, dim=DIMS)
def test_the_way_there_leads_there(seed: int, dim: int) -> None:
    x, y = unit(5, dim, seed), unit(5, dim, seed + 1)
    step = log_map(x, y)
    np.testing.assert_allclose(np.sum(step * x, axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(step, axis=1), geodesic(x, y), atol=1e-12)
    np.testing.assert_allclose(exp_map(x, step), y, atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS, dim=DIMS)
def test_what_is_carried_keeps_lengths_and_angles_and_comes_back(seed: int, dim: int) -> None:
    x, y = unit(4, dim, seed), unit(4, dim, seed + 1)
    v, w = (log_map(x, unit(4, dim, seed + k)) for k in (2, 3))
    there = transport(x, y, v)
    np.testing.assert_allclose(np.sum(there * y, axis=1), 0, atol=1e-9)
    np.testing.assert_allclose(
        np.sum(there * transport(x, y, w), axis=1), np.sum(v * w, axis=1), atol=1e-9
    )
    np.testing.assert_allclose(transport(y, x, there), v, atol=1e-9)
    np.testing.assert_allclose(transport(x, y, log_map(x, y)), -log_map(y, x), atol=1e-9)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 1.0, np.pi - 1e-9, np.pi])
def test_angles_are_exact_where_the_arc_cosine_is_not(angle: float) -> None:
    x, y = np.array([1.0, 0, 0]), np.array([np.cos(angle), np.sin(angle), 0])
    assert geodesic(x, y) == pytest.approx(angle, rel=1e-12, abs=1e-15)


def test_to_itself_and_to_its_opposite_no_direction_leads() -> None:
    x = unit(3, 5, 0)
    np.testing.assert_array_equal(log_map(x, x), 0)
    np.testing.assert_array_equal(log_map(x, -x), 0)


def test_the_mean_has_a_direction_and_a_length() -> None:
    mean, length = mean_direction([[1.0, 0], [0, 1.0]])
    np.testing.assert_allclose(mean, [2**-0.5, 2**-0.5])
    assert length == pytest.approx(2**-0.5)
    with pytest.raises(InvalidEmbeddings, match="cancel out"):
        mean_direction([[1.0, 0], [-1.0, 0]])
    with pytest.raises(InvalidEmbeddings, match="no point"):
        mean_direction(np.empty((0, 3)))


@pytest.mark.parametrize("dim", [2, 3, 10, 50])
@pytest.mark.parametrize("kappa", [0.01, 1.0, 30.0, 500.0])
def test_the_expected_length_is_that_of_integration(dim: int, kappa: float) -> None:
    def weight(t: float) -> float:
        return float(np.exp(kappa * (np.cos(t) - 1)) * np.sin(t) ** (dim - 2))

    width = min(np.pi, 20 / np.sqrt(kappa) if kappa > 10 else np.pi)
    above = quad(lambda t: np.cos(t) * weight(t), 0, width, limit=500)[0]
    below = quad(weight, 0, width, limit=500)[0]
    assert bessel_ratio(kappa, dim) == pytest.approx(above / below, rel=1e-6)


@pytest.mark.parametrize("dim", [2, 3, 48, 384, 1024, 4096])
@pytest.mark.parametrize("kappa", [1e-3, 1.0, 200.0, 1e5])
def test_concentration_is_the_inverse_of_the_expected_length(dim: int, kappa: float) -> None:
    assert concentration(bessel_ratio(kappa, dim), dim) == pytest.approx(kappa, rel=1e-6)


@pytest.mark.parametrize("dim", [3, 384])
def test_the_concentration_of_drawn_points_is_found(dim: int) -> None:
    centre = np.eye(dim)[0]
    points = vonmises_fisher(centre, 300.0).rvs(4000, random_state=np.random.default_rng(0))
    mean, length = mean_direction(points)
    assert concentration(length, dim) == pytest.approx(300, rel=0.05)
    assert mean @ centre > 0.99


def test_no_and_full_concentration() -> None:
    assert concentration(0.0, 8) == 0
    assert concentration(1.0, 8) == np.inf
    assert bessel_ratio(0.0, 8) == 0
