"""Facts about files that tell the label are found, over clips and people, and chance is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

import gendkit as gk
from gendkit.data.manifest import Manifest
from gendkit.measure.leaks import BOUND, CATEGORIES, NUMBERS, Leak, find_leaks, interval

Facts = Callable[[int, int, np.random.Generator], dict[str, Any]]


def same(person: int, label: int, rng: np.random.Generator) -> dict[str, Any]:
    """Facts that say nothing of the label."""
    return {
        "source_width": int(rng.choice([640, 1280])), "source_height": 480,
        "source_codec": str(rng.choice(["h264", "hevc"])), "source_pixel_format": "yuv420p",
        "source_frame_rate": float(rng.choice([25, 30])), "source_duration": rng.uniform(5, 20),
        "source_bytes": int(rng.integers(1000, 9000)), "source_quantisation": rng.uniform(5, 9),
        "source_tables": str(rng.choice(["a", "b", "c"])),
    }  # fmt: skip


def manifest(
    people: int, facts: Facts = same, *, fakes: int = 2, frames: int = 1, seed: int = 0
) -> Manifest:
    """Real clips of so many people, each with fakes made of it."""
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(people):
        for clip in range(fakes + 1):
            label = int(clip > 0)
            known = facts(person, label, rng)
            rows += [
                {
                    "sample": f"{person}/{clip}/{frame}", "dataset": "d", "label": label,
                    "video": f"{person}-{clip}", "pair": f"{person}-0", "method": "m" * label,
                    "target_identity": f"p{person}", "frame": frame, **known,
                }
                for frame in range(frames)
            ]  # fmt: skip
    return Manifest.from_rows(rows, Path())


def found(rows: Manifest, **options: Any) -> dict[str, Leak]:
    return {leak.fact: leak for leak in find_leaks(rows, **options)}


def flagged(rows: Manifest, **options: Any) -> set[str]:
    return {fact for fact, leak in found(rows, **options).items() if leak.flagged}


def telling(**values: Callable[[int, np.random.Generator], Any]) -> Facts:
    """Facts of which some depend on the label."""

    def facts(person: int, label: int, rng: np.random.Generator) -> dict[str, Any]:
        return {**same(person, label, rng), **{n: f(label, rng) for n, f in values.items()}}

    return facts


def test_facts_that_say_nothing_are_not_flagged() -> None:
    result = found(manifest(60))
    assert set(result) == {*NUMBERS, *CATEGORIES}
    assert flagged(manifest(60)) == set()
    assert all(leak.auroc < BOUND for leak in result.values())
    assert {leak.real for leak in result.values()} == {60}
    assert {leak.fake for leak in result.values()} == {120}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (telling(source_width=lambda y, _: 640 + y), {"source_width", "frame_size"}),
        (telling(source_height=lambda y, _: 480 - y), {"source_height", "frame_size"}),
        (telling(source_frame_rate=lambda y, _: 25.0 + y), {"source_frame_rate"}),
        (telling(source_codec=lambda y, _: ("h264", "mpeg4")[y]), {"source_codec"}),
        (telling(source_pixel_format=lambda y, _: ("a", "b")[y]), {"source_pixel_format"}),
        (telling(source_quantisation=lambda y, r: r.uniform(5, 9) + 9 * y),
         {"source_quantisation"}),
        (telling(source_tables=lambda y, r: f"{r.choice(list('abc'))}{y}"), {"source_tables"}),
        (telling(source_bytes=lambda y, r: int(r.integers(1000, 2000)) * (1 + 40 * y)),
         {"source_bytes", "bit_rate"}),
    ],
)  # fmt: skip
def test_each_fact_that_tells_the_label_is_flagged_and_no_other(
    facts: Facts, expected: set[str]
) -> None:
    assert flagged(manifest(40, facts)) == expected


def test_a_bit_rate_can_tell_where_size_and_length_do_not() -> None:
    def facts(person: int, label: int, rng: np.random.Generator) -> dict[str, Any]:
        seconds = float(rng.choice([1, 100]))
        size = int(1000 * seconds * (1 + label))
        return {**same(person, label, rng), "source_duration": seconds, "source_bytes": size}

    result = found(manifest(60, facts))
    assert result["bit_rate"].auroc == 1
    assert result["bit_rate"].tells == "median 8,000 bit/s of reals, 16,000 bit/s of fakes"
    assert not result["source_duration"].flagged


def test_the_direction_is_told_and_either_counts() -> None:
    up, down = (
        found(manifest(40, telling(source_frame_rate=lambda y, _, s=sign: 25.0 + s * y)))
        for sign in (1, -1)
    )
    for leaks in (up, down):
        assert leaks["source_frame_rate"].auroc == 1
    assert up["source_frame_rate"].tells == "median 25 1/s of reals, 26 1/s of fakes"
    assert down["source_frame_rate"].tells == "median 25 1/s of reals, 24 1/s of fakes"


def test_a_size_between_others_is_found_as_a_category() -> None:
    """Fakes are neither wider nor narrower, so no order of numbers would tell them."""
    facts = telling(source_width=lambda y, r: 960 if y else int(r.choice([640, 1280])))
    result = found(manifest(60, facts))
    assert result["frame_size"].flagged
    assert result["frame_size"].tells == "960 x 480: 0% of reals, 100% of fakes"


@pytest.mark.parametrize(
    ("fact", "value", "expected"),
    [
        ("source_frame_rate", lambda y, r: 25.0 if y else float(r.choice([24, 30])), "25 to 25"),
        ("source_duration", lambda y, r: 5.0 if y else r.uniform(0, 10), "5 to "),
        ("source_bytes", lambda y, r: int(r.normal(1e6, 1e4 if y else 4e5)), ""),
        ("source_quantisation", lambda y, r: 7.0 if y else float(r.choice([3, 11])), "7 to 7"),
    ],
)  # fmt: skip
def test_a_number_between_others_is_found_as_well(
    fact: str, value: Callable[[int, np.random.Generator], float], expected: str
) -> None:
    """Its order tells nothing, but the tenth in which it lies does."""
    leak = found(manifest(60, telling(**{fact: value})))[fact]
    assert leak.flagged
    assert leak.auroc is not None
    assert leak.auroc > 0.85
    assert leak.tells.startswith(expected)
    assert "of reals" in leak.tells


def test_a_category_that_half_of_the_reals_have_is_not_made_less_of_from_fold_to_fold() -> None:
    """Half of the reals and no fake: of all pairs three in four are told, half of the rest won."""
    rows = manifest(60, lambda p, y, r: {
        **same(p, y, r), "source_codec": "hevc" if not y and p % 2 else "h264"})  # fmt: skip
    assert found(rows)["source_codec"].auroc == pytest.approx(0.75, abs=0.005)


@pytest.mark.parametrize("value", [float("inf"), -1.0, -float("inf")])
@pytest.mark.parametrize("fact", ["source_duration", "source_frame_rate", "source_quantisation"])
def test_a_number_that_cannot_be_counts_as_not_known(fact: str, value: float) -> None:
    leak = found(manifest(20, telling(**{fact: lambda y, r: value})))[fact]
    assert not leak.recorded


def test_a_category_is_judged_by_other_people() -> None:
    """Tables that each person has for himself say nothing of new people."""
    facts = telling()
    rows = manifest(40, lambda p, y, r: {**facts(p, y, r), "source_tables": f"{p}-{y}"})
    leak = found(rows)["source_tables"]
    assert leak.auroc == pytest.approx(0.5, abs=0.1)
    assert not leak.flagged


def test_a_category_that_all_have_is_exactly_chance() -> None:
    leak = found(manifest(23, fakes=3))["source_pixel_format"]
    assert leak.auroc == 0.5
    assert leak.tells == "yuv420p in all"


@pytest.mark.parametrize("people", [1, 2, 3, 5])
def test_a_few_clips_do_not_shout(people: int) -> None:
    facts = telling(
        source_width=lambda y, _: 640 + y,
        source_codec=lambda y, _: "ab"[y],
        source_bytes=lambda y, _: 1000 + 1000 * y,
    )
    result = found(manifest(people, facts))
    assert result["source_width"].auroc == 1
    assert flagged(manifest(people, facts)) == set()


def test_many_clips_of_a_few_people_are_few() -> None:
    def facts(person: int, label: int, rng: np.random.Generator) -> dict[str, Any]:
        return {**same(person, label, rng), "source_width": 640 + label}

    rows = manifest(60, facts)
    three = [f"p{n // 3 % 3}" for n in range(len(rows))]
    few = Manifest.from_rows(
        [{**row, "target_identity": name} for row, name in
         zip(rows.table.to_dict("records"), three, strict=True)], Path()
    )  # fmt: skip
    assert found(rows)["source_width"].people == pytest.approx(60)
    assert found(few)["source_width"].people == pytest.approx(3)
    assert "source_width" in flagged(rows)
    assert flagged(few) == set()


def test_frames_are_not_counted_as_clips() -> None:
    facts = telling(source_width=lambda y, _: 640 + y)
    one, many = found(manifest(8, facts)), found(manifest(8, facts, frames=50))
    for fact, leak in one.items():
        assert (leak.real, leak.fake, leak.people) == (8, 16, many[fact].people)


def test_without_a_class_or_a_fact_nothing_is_estimated() -> None:
    reals = manifest(20, fakes=0)
    assert all(leak.auroc is None and not leak.flagged for leak in find_leaks(reals))
    assert found(reals)["source_width"].tells == "not estimable: of no fake clip it is recorded"
    none = manifest(20, lambda p, y, r: {})
    assert {leak.tells for leak in find_leaks(none)} == {"not estimable: not recorded"}
    assert not any(leak.recorded for leak in find_leaks(none))
    assert len(find_leaks(Manifest.from_rows([], Path()))) == len(NUMBERS) + len(CATEGORIES)


def test_what_is_known_of_one_class_only_is_a_fact_too() -> None:
    def facts(person: int, label: int, rng: np.random.Generator) -> dict[str, Any]:
        known = same(person, label, rng)
        rendered = {k: known[k] for k in ("source_width", "source_height")}
        return rendered if label else known

    result = find_leaks(manifest(40, facts))
    last = result[-1]
    assert last.kind == "recorded"
    assert last.flagged
    assert last.tells == "known of 100% of reals, 0% of fakes"
    assert "source_codec" in last.fact
    assert "source_width" not in last.fact
    assert sum(leak.kind == "recorded" for leak in result) == 1
    codec = next(leak for leak in result if leak.fact == "source_codec")
    assert codec.auroc is None


def test_clips_without_a_label_are_left_out() -> None:
    rows = manifest(20)
    table = rows.table.assign(label=[-1] * 3 + rows.table["label"].tolist()[3:])
    assert found(Manifest(table=table, root=Path()))["source_width"].real == 19


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (3, 5), (5, 5), (60, 100)])
def test_the_interval_is_that_of_a_share(hits: int, n: int) -> None:
    expected = binomtest(hits, n).proportion_ci(0.95, "exact")
    assert interval(hits / n, n) == pytest.approx((expected.low, expected.high))


def test_the_interval_covers_chance_at_least_as_often_as_it_says() -> None:
    """Of labels that say nothing, at most one fact in twenty may seem surely better than chance."""
    trials = [leak for seed in range(12) for leak in find_leaks(manifest(20, seed=seed), bound=0.5)]
    numbers = [leak for leak in trials if leak.kind == "number"]
    assert len(numbers) == 84
    assert sum(leak.low > 0.5 for leak in numbers) <= 4


def test_a_table_of_leaks_has_a_row_a_fact() -> None:
    table = gk.leaks(manifest(40, telling(source_width=lambda y, _: 640 + y)))
    assert table.index.tolist() == [*NUMBERS, *CATEGORIES]
    assert table.index[table["flagged"]].tolist() == ["source_width", "frame_size"]
    assert table.loc["source_width", "auroc"] == 1
    assert gk.leaks(manifest(1, fakes=0))["auroc"].isna().all()
