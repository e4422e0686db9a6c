"""The bootstrap: whole groups, the same resample for all statistics, factors that cross."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from gendkit.data.manifest import Manifest
from gendkit.errors import InvalidArgument, UndefinedMetric
from gendkit.measure.intervals import (
    Counts,
    Interval,
    bootstrap,
    components_of_mean,
    crossed,
    joint_components,
    rarer_components,
)

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


def mean_of(table: NDArray[np.float64], *names: str) -> Any:
    """A statistic: the mean of a table whose dimensions are factors."""

    def statistic(counts: Counts) -> Mapping[str, float]:
        weighted = table
        for name in reversed(names):
            weighted = np.average(weighted, axis=-1, weights=counts[name])
        return {"mean": float(weighted)}

    return statistic


def test_factors_are_drawn_as_often_as_they_have_levels_and_apart_from_each_other() -> None:
    seen: list[Counts] = []

    def statistic(counts: Counts) -> Mapping[str, float]:
        seen.append(counts)
        return {"seven": 7.0}

    found = crossed(statistic, {"component": 9, "seed": 4}, resamples=500)
    assert found == {"seven": Interval(value=7.0, low=7.0, high=7.0)}
    assert all((counts == 1).all() for counts in seen[0].values())
    drawn = seen[1:501]
    for name, size in (("component", 9), ("seed", 4)):
        counts = np.array([d[name] for d in drawn])
        assert counts.dtype == np.int64
        assert (counts.sum(1) == size).all()
        assert counts.mean(0) == pytest.approx(np.ones(size), abs=0.2)
    both = np.corrcoef([d["component"][0] for d in drawn], [d["seed"][0] for d in drawn])
    assert abs(both[0, 1]) < 0.15


def test_a_factor_s_draws_do_not_depend_on_the_others() -> None:
    seen: dict[str, list[list[int]]] = {"alone": [], "both": []}
    for name, sizes in (("alone", {"seed": 5}), ("both", {"component": 3, "seed": 5})):

        def statistic(counts: Counts, name: str = name) -> Mapping[str, float]:
            seen[name].append(counts["seed"].tolist())
            return {"one": 1.0}

        crossed(statistic, sizes, resamples=20)
    assert seen["alone"][1:21] == seen["both"][1:21]


def test_an_interval_of_many_levels_is_as_wide_as_theory_says() -> None:
    numbers = np.random.default_rng(2).normal(size=400)
    found = crossed(mean_of(numbers, "component"), {"component": 400}, resamples=4000)["mean"]
    assert found.value == pytest.approx(numbers.mean())
    width = 2 * 1.96 * numbers.std() / np.sqrt(400)
    assert found.high - found.low == pytest.approx(width, rel=0.07)


def test_both_factors_widen_the_interval() -> None:
    rng = np.random.default_rng(3)
    table = rng.normal(size=(30, 1)) + rng.normal(size=(1, 10))
    statistic = mean_of(table, "component", "seed")
    sizes = {"component": 30, "seed": 10}
    both = crossed(statistic, sizes, resamples=2000)["mean"]
    one = crossed(mean_of(table.mean(1), "component"), {"component": 30}, resamples=2000)["mean"]
    other = crossed(mean_of(table.mean(0), "seed"), {"seed": 10}, resamples=2000)["mean"]
    wide, *narrow = (i.high - i.low for i in (both, one, other))
    assert wide == pytest.approx(np.hypot(*narrow), rel=0.15)


def test_a_factor_with_one_level_does_not_vary() -> None:
    numbers = np.random.default_rng(4).normal(size=12)
    alone = crossed(mean_of(numbers, "component"), {"component": 12})
    other = crossed(mean_of(numbers[:, None], "component", "seed"), {"component": 12, "seed": 1})
    assert alone == other


def test_where_nothing_varies_no_interval_can_be_estimated() -> None:
    with pytest.warns(UndefinedMetric, match="there is one component, and one seed: no interval"):
        found = crossed(lambda counts: {"one": 1.0}, {"component": 1, "seed": 1})["one"]
    assert found.value == 1
    assert np.isnan([found.low, found.high]).all()


def test_an_interval_says_which_factor_it_is_made_of() -> None:
    rng = np.random.default_rng(7)
    table = rng.normal(size=(40, 1)) + 0.1 * rng.normal(size=(1, 8))
    found = crossed(mean_of(table, "component", "seed"), {"component": 40, "seed": 8})["mean"]
    parts = table.mean(1).var() / 40, table.mean(0).var() / 8
    assert found.parts["seed"] == pytest.approx(parts[1] / sum(parts), rel=0.5)
    assert sum(found.parts.values()) == pytest.approx(1)
    assert "component 9" in found._repr_html_()


def test_resamples_in_which_a_number_is_undefined_are_left_out_of_it_alone() -> None:
    def statistic(counts: Counts) -> Mapping[str, float]:
        there = float(counts["component"][0])
        return {"always": 1.0, "sometimes": 1.0 if there else float("nan"), "never": np.nan}

    found = crossed(statistic, {"component": 3}, resamples=100)
    assert found["sometimes"] == found["always"] == Interval(value=1.0, low=1.0, high=1.0)
    assert np.isnan([found["never"].value, found["never"].low, found["never"].high]).all()


@pytest.mark.parametrize(
    ("sizes", "options", "told"),
    [
        ({}, {}, "sizes is {}"),
        ({"seed": 0}, {}, "each with a level or more"),
        ({"seed": 2}, {"resamples": 0}, "resamples is 0"),
        ({"seed": 2}, {"level": 1.0}, "level 1.0"),
    ],
)
def test_impossible_factors_are_refused(
    sizes: dict[str, int], options: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidArgument, match=told):
        crossed(lambda counts: {"one": 1.0}, sizes, **options)


@pytest.mark.slow
def test_a_95_percent_interval_of_few_levels_covers_nearly_that_often() -> None:
    """The plain percentiles of 12 components and 5 seeds cover some 87 % of the time."""
    rng = np.random.default_rng(5)
    covered = plain = 0
    for seed in range(100):
        table = rng.normal(size=(12, 1)) / 2 + rng.normal(size=(1, 5)) / 3
        table += rng.normal(size=(12, 5)) / 10
        statistic = mean_of(table, "component", "seed")
        found = crossed(statistic, {"component": 12, "seed": 5}, resamples=300, seed=seed)["mean"]
        covered += found.low <= 0 <= found.high
        draws = [
            statistic({
                "component": rng.multinomial(12, np.full(12, 1 / 12)),
                "seed": rng.multinomial(5, np.full(5, 1 / 5)),
            })["mean"]
            for _ in range(200)
        ]  # fmt: skip
        low, high = np.quantile(draws, [0.025, 0.975])
        plain += low <= 0 <= high
    assert covered >= 89
    assert plain < covered


def test_a_mean_is_of_as_many_components_as_its_rarer_class_has_or_of_one() -> None:
    labels = np.array([0, 0, 0, 1, 1])
    one, other = (labels, np.array([0, 1, 2, 0, 1])), (labels, np.array([1, 2, 3, 1, 4]))
    assert [rarer_components(*part) for part in (one, other)] == [2, 2]
    assert components_of_mean([one, other]) == 3  # fakes of 0, 1 and 4
    single = labels, np.array([0, 1, 2, 5, 5])
    assert components_of_mean([one, single]) == 1
    assert components_of_mean([]) == 0


def manifest(dataset: str, *rows: tuple[str, int, str, str, str]) -> Manifest:
    """Make a manifest of clips: id, label, pair, who is seen, who lends the face."""
    return Manifest.from_rows(
        [
            {"sample": f"{dataset}/{video}/0/0", "dataset": dataset, "video": video,
             "label": label, "pair": pair, "target_identity": target, "donor_identity": donor}
            for video, label, pair, target, donor in rows
        ],
        Path(),
    )  # fmt: skip


def test_components_are_joined_across_manifests_that_share_reals() -> None:
    """The fakes of one manifest were made of the reals of the other."""
    reals = manifest(
        "ff", ("a", 0, "a", "ann", ""), ("b", 0, "b", "bob", ""), ("c", 0, "c", "", "")
    )
    fakes = manifest("ff", ("a-b", 1, "a", "ann", "bob"), ("d", 1, "d", "", ""))
    one, other = joint_components([reals, fakes])
    assert one.tolist() == [0, 0, 1]
    assert other.tolist() == [0, 2]
    assert reals.components().tolist() == [0, 1, 2]
    tables = joint_components([reals.table, fakes.table])
    assert [t.tolist() for t in tables] == [[0, 0, 1], [0, 2]]


def test_data_sets_are_alike_only_where_that_is_said() -> None:
    ff = manifest("ff", ("a", 0, "a", "ann", ""), ("b", 0, "b", "bob", ""))
    df40 = manifest("df40", ("x", 1, "", "ann", "bob"))
    other = manifest("other", ("x", 1, "", "ann", ""))
    apart = joint_components([ff, df40, other])
    assert [c.tolist() for c in apart] == [[0, 1], [2], [3]]
    said = joint_components([ff, df40, other], alike=[("ff", "df40")])
    assert [c.tolist() for c in said] == [[0, 0], [0], [1]]
    assert joint_components([]) == []
    with pytest.raises(InvalidArgument, match="'ff' stands twice"):
        joint_components([ff, df40, other], alike=[("ff", "df40"), ("ff", "other")])
    with pytest.raises(InvalidArgument, match="a table lacks pair, of which"):
        joint_components([ff.table.drop(columns="pair")])
    with pytest.raises(InvalidArgument, match="'dfdc' of alike is in no manifest; there is ff"):
        joint_components([ff], alike=[("ff", "dfdc")])


def test_a_number_of_few_levels_among_many_is_widened_as_they_are() -> None:
    """The ends lie further out by Student's t of the levels that it is of."""
    numbers = np.random.default_rng(6).normal(size=6)

    def statistic(counts: Counts) -> Mapping[str, float]:
        drawn = counts["component"][:6]
        return {"mean": float(drawn @ numbers / drawn.sum()) if drawn.sum() else np.nan}

    sizes = {"component": 200}
    of_all = crossed(statistic, sizes)["mean"]
    of_few = crossed(statistic, sizes, own={"mean": {"component": 6}})["mean"]
    assert of_few.high - of_few.low > 1.1 * (of_all.high - of_all.low)
    of_one = crossed(statistic, sizes, own={"mean": {"component": 1}})["mean"]
    assert (of_one.value, np.isnan([of_one.low, of_one.high]).all()) == (of_all.value, True)


def test_one_group_has_no_ends() -> None:
    found = bootstrap(lambda rows: {"mean": float(rows.mean())}, ["a"] * 5, resamples=10)["mean"]
    assert found.value == 2
    assert np.isnan([found.low, found.high]).all()


def test_clips_of_a_table_with_empty_cells_are_linked_by_what_is_there() -> None:
    table = pd.DataFrame({
        "dataset": ["a"] * 3, "video": ["1", "2", "3"], "pair": [np.nan, "1", None],
        "target_identity": [np.nan] * 3, "donor_identity": [None] * 3,
    })  # fmt: skip
    (found,) = joint_components([table])
    assert found.tolist() == [0, 0, 1]
