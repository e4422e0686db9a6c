"""The bootstrap: whole groups, the same resample for all statistics, and a seed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from gendkit.measure.intervals import Interval, bootstrap

Rows = NDArray[np.int64]


def test_a_constant_has_a_point_as_its_interval() -> None:
    found = bootstrap(lambda rows: {"seven": 7.0}, ["a", "b", "c"], resamples=50)
    assert found == {"seven": Interval(value=7.0, low=7.0, high=7.0)}


def test_the_value_is_that_of_all_rows() -> None:
    numbers = np.array([1.0, 2.0, 6.0])
    found = bootstrap(lambda rows: {"mean": numbers[rows].mean()}, list("abc"), resamples=100)
    assert found["mean"].value == 3
    assert 1 <= found["mean"].low < 3 < found["mean"].high <= 6


def test_groups_are_resampled_as_wholes() -> None:
    groups = ["a", "b", "a", "c", "b", "a"]
    seen: list[Rows] = []

    def statistic(rows: Rows) -> Mapping[str, float]:
        seen.append(rows)
        return {"n": float(len(rows))}

    bootstrap(statistic, groups, resamples=100)
    names = np.array(groups)
    for rows in seen[1:]:
        counts = np.bincount(rows, minlength=6)
        for group in "abc":
            assert len(set(counts[names == group])) == 1
    assert max(np.bincount(rows, minlength=6).max() for rows in seen[1:]) > 1


def test_differences_are_paired() -> None:
    """Two numbers that move together differ by a constant, whatever is drawn."""
    numbers = np.random.default_rng(0).normal(size=40)

    def statistic(rows: Rows) -> Mapping[str, float]:
        one = float(numbers[rows].mean())
        return {"one": one, "other": one + 0.25, "difference": (one + 0.25) - one}

    found = bootstrap(statistic, [str(i) for i in range(40)], resamples=200)
    assert found["one"].high - found["one"].low > 0.3
    assert found["difference"].low == pytest.approx(0.25)
    assert found["difference"].high == pytest.approx(0.25)


def test_intervals_of_a_mean_are_as_wide_as_theory_says() -> None:
    numbers = np.random.default_rng(2).normal(size=400)
    found = bootstrap(
        lambda rows: {"mean": numbers[rows].mean()}, [str(i) for i in range(400)], resamples=2000
    )["mean"]
    width = 2 * 1.96 * numbers.std() / np.sqrt(400)
    assert found.high - found.low == pytest.approx(width, rel=0.1)


def test_rows_of_one_person_count_as_one() -> None:
    """Copying every row ten times within its group leaves the interval as it was."""
    numbers = np.random.default_rng(3).normal(size=20)
    once = bootstrap(lambda r: {"m": numbers[r].mean()}, [str(i) for i in range(20)], seed=1)
    many = np.repeat(numbers, 10)
    copied = bootstrap(lambda r: {"m": many[r].mean()}, [str(i // 10) for i in range(200)], seed=1)
    assert copied["m"].high - copied["m"].low == pytest.approx(
        once["m"].high - once["m"].low, rel=0.15
    )


def test_one_seed_gives_one_interval_and_another_another() -> None:
    numbers = np.random.default_rng(4).normal(size=30)

    def interval(seed: int) -> Interval:
        groups = [str(i) for i in range(30)]
        return bootstrap(lambda r: {"m": numbers[r].mean()}, groups, resamples=50, seed=seed)["m"]

    assert interval(1) == interval(1)
    assert interval(1) != interval(2)


def test_a_wider_level_gives_a_wider_interval() -> None:
    numbers = np.random.default_rng(5).normal(size=30)
    widths = []
    for level in (0.5, 0.9, 0.99):
        found = bootstrap(
            lambda r: {"m": numbers[r].mean()}, [str(i) for i in range(30)], level=level
        )["m"]
        widths.append(found.high - found.low)
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]


def test_resamples_in_which_a_statistic_is_undefined_are_left_out() -> None:
    def statistic(rows: Rows) -> Mapping[str, float]:
        return {"m": 1.0 if 0 in rows else float("nan")}

    found = bootstrap(statistic, ["a", "b"], resamples=100)
    assert found["m"] == Interval(value=1.0, low=1.0, high=1.0)


def test_a_statistic_that_is_never_defined_has_no_interval() -> None:
    found = bootstrap(lambda rows: {"m": float("nan")}, ["a", "b"], resamples=10)["m"]
    assert np.isnan([found.value, found.low, found.high]).all()
