"""The common direction of people's steps: 1 for equal steps, and 0 on average for random ones."""

from __future__ import annotations

import numpy as np
import pytest

from gendkit.manifold.directions import Directions

PEOPLE, EACH, DIM = 12, 3, 16
MEMBER = np.repeat(np.arange(PEOPLE), EACH)
ONCE = np.ones(PEOPLE)


def random_steps(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(PEOPLE * EACH, DIM))


def slow(steps: np.ndarray) -> float:
    """The mean cosine over all pairs of steps of two people, one after another."""
    unit = steps / np.linalg.norm(steps, axis=1, keepdims=True)
    pairs = [
        unit[i] @ unit[j]
        for i in range(len(unit))
        for j in range(len(unit))
        if MEMBER[i] != MEMBER[j]
    ]
    return float(np.mean(pairs))


def test_equal_directions_have_consistency_1_whatever_their_lengths() -> None:
    lengths = np.linspace(0.1, 2, PEOPLE * EACH)[:, None]
    found = Directions.of(lengths * np.eye(DIM)[0], MEMBER, PEOPLE)
    assert found.consistency(ONCE) == pytest.approx(1.0)
    low, high = np.quantile(found.null(draws=400, seed=0), [0.025, 0.975])
    assert low < 0 < high < 0.5


def test_random_directions_lie_within_their_null() -> None:
    inside = 0
    for seed in range(100):
        found = Directions.of(random_steps(seed), MEMBER, PEOPLE)
        low, high = np.quantile(found.null(draws=400, seed=1), [0.025, 0.975])
        inside += bool(low <= found.consistency(ONCE) <= high)
    assert 88 <= inside <= 100


def test_the_fast_sum_is_the_mean_over_pairs() -> None:
    steps = random_steps(0) + 0.5
    assert Directions.of(steps, MEMBER, PEOPLE).consistency(ONCE) == pytest.approx(slow(steps))


def test_opposite_halves_have_a_negative_consistency_inside_the_null() -> None:
    """They lie along one axis; that people move the same way along it cannot be found."""
    signs = np.where(MEMBER % 2, 1.0, -1.0)[:, None]
    found = Directions.of(signs * np.eye(DIM)[0], MEMBER, PEOPLE)
    assert found.consistency(ONCE) == pytest.approx(-1 / (PEOPLE - 1))
    assert found.null(draws=50, seed=0).min() >= -1 / (PEOPLE - 1) - 1e-12


def test_steps_of_no_length_and_people_alone_have_no_direction() -> None:
    steps = random_steps(0)
    steps[EACH:] = 0
    found = Directions.of(steps, MEMBER, PEOPLE)
    assert found.counts.tolist() == [EACH, *[0] * (PEOPLE - 1)]
    assert np.isnan(found.consistency(ONCE))
    assert np.isnan(found.null(draws=3, seed=0)).all()


def test_who_is_drawn_twice_adds_nothing_with_themselves() -> None:
    steps = random_steps(0)
    times = np.zeros(PEOPLE)
    times[0] = 2
    assert np.isnan(Directions.of(steps, MEMBER, PEOPLE).consistency(times))
