"""Noise by seed and place: normal, of no memory, and the same in tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from gendkit.data.noise import normal, normal_batch, quantiles


def test_the_numbers_are_normal() -> None:
    z = normal((3, 0), (400, 400)).astype(float).ravel()
    assert abs(z.mean()) < 4 / 400
    assert z.std() == pytest.approx(1, abs=4 / (400 * 2**0.5))
    assert (z**4).mean() == pytest.approx(3, abs=0.15)
    assert kstest(z, "norm").pvalue > 0.001


def test_seeds_and_places_have_nothing_in_common() -> None:
    z = np.stack([normal(seed, (10_000,)) for seed in ((0, 0), (0, 1), (1, 0), (2**62, 0), (5,))])
    between = np.corrcoef(z)[np.triu_indices(len(z), 1)]
    assert np.abs(between).max() < 4 / 100
    for far in (1, 2, 3, 64, 256, 4096):
        along = [np.corrcoef(one[far:], one[:-far])[0, 1] for one in z]
        assert np.abs(along).max() < 4.5 / (10_000 - far) ** 0.5


def test_equal_seeds_give_equal_numbers_and_a_longer_row_begins_alike() -> None:
    np.testing.assert_array_equal(normal((7, 2), (6, 5)).ravel(), normal((7, 2), (40,))[:30])


def test_tensors_hold_the_same_numbers_to_the_bit() -> None:
    seeds = [(1, 0), (2**63 - 1, 3), (0, 0)]
    places = torch.arange(5 * 7 * 3, dtype=torch.int32).view(5, 7, 3)
    found = normal_batch(seeds, places).numpy()
    for seed, one in zip(seeds, found, strict=True):
        np.testing.assert_array_equal(one, normal(seed, (5, 7, 3)))


def test_the_quantiles_are_even_and_not_to_be_changed() -> None:
    q = quantiles()
    assert (np.diff(q) > 0).all()
    np.testing.assert_array_equal(q, -q[::-1])
    assert q[-1] == pytest.approx(4.32, abs=0.01)
    with pytest.raises(ValueError, match="read-only"):
        q[0] = 0
