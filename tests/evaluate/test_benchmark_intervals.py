"""Intervals of a comparison: the same numbers as by repeating rows, and what is drawn together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.metrics import roc_auc_score, roc_curve

from gendkit.evaluate.benchmark.clips import ALL, Clips
from gendkit.evaluate.benchmark.intervals import GRID, RocCurve, answered
from gendkit.measure.intervals import crossed

METHODS = (ALL, "swap", "lips")
PEOPLE = 12


def clips(
    detector: int = 0, dataset: int = 0, *, seeds: int = 1, first: int = 0, skill: float = 1.0,
    draw: int = 0,
) -> Clips:  # fmt: skip
    """A real clip and a fake of two methods of each of some people."""
    rng = np.random.default_rng([draw, dataset])
    table = pd.DataFrame(
        [
            {
                "dataset": f"s{dataset}",
                "video": f"{first + person} {m}",
                "label": int(bool(m)),
                "method": m,
                "component": first + person,
            }
            for person in range(PEOPLE)
            for m in ("", "swap", "lips")
        ]
    )
    scores = rng.normal(size=(seeds, len(table))) + skill * table["label"].to_numpy()
    return Clips(detector=detector, dataset=dataset, table=table,
                 scores=np.round(1 / (1 + np.exp(-scores)), 2))  # fmt: skip


def ask(*given: Clips, resamples: int = 40, left_out: tuple[int, ...] = ()) -> xr.Dataset:
    detectors = [f"d{i}" for i in sorted({c.detector for c in given})]
    datasets = [f"s{i}" for i in sorted({c.dataset for c in given})]
    return answered(
        given, detectors=detectors, datasets=datasets, methods=METHODS, left_out=left_out,
        resamples=resamples,
    )  # fmt: skip


def of(ds: xr.Dataset, name: str, **at: object) -> list[float]:
    return [float(ds[f"{name}{end}"].sel(at)) for end in ("", "_low", "_high")]


def test_the_numbers_are_those_of_rows_that_are_repeated_as_often_as_they_are_drawn() -> None:
    given = clips(seeds=2)

    def naive(counts: Mapping[str, np.ndarray]) -> dict[str, float]:
        rows = np.repeat(np.arange(36), counts["component"][given.components])
        seeds = np.repeat(np.arange(2), counts["seed of 0"])
        y = given.labels[rows]
        if len(set(y)) < 2:
            return dict.fromkeys(("auroc", "fpr"), float("nan"))
        return {
            "auroc": float(np.mean([roc_auc_score(y, given.scores[s][rows]) for s in seeds])),
            "fpr": float(np.mean(given.scores[seeds][:, rows[y == 0]] > 0.5)),
        }

    expected = crossed(naive, {"component": PEOPLE, "seed of 0": 2}, resamples=15)
    ds = ask(given, resamples=15)
    for name, at in (("auroc", {"method": ALL}), ("fpr", {})):
        e = expected[name]
        found = of(ds, name, detector="d0", dataset="s0", **at)
        np.testing.assert_allclose(found, (e.value, e.low, e.high), atol=1e-12)


def test_a_curve_is_that_of_the_repeated_clips() -> None:
    given, weights = clips(), np.random.default_rng(0).integers(0, 3, 36)
    found = RocCurve(given.labels, given.scores[0]).at(weights.astype(float))
    rows = np.repeat(np.arange(36), weights)
    fpr, tpr, _ = roc_curve(given.labels[rows], given.scores[0][rows], drop_intermediate=False)
    np.testing.assert_allclose(found, np.interp(GRID, fpr, tpr), atol=1e-12)


def test_a_mean_over_data_sets_stands_beside_the_auroc_of_all_clips_together() -> None:
    a, b = clips(), clips(dataset=1, first=PEOPLE, skill=0.3)
    ds = ask(a, b, left_out=(1,))
    own = [roc_auc_score(c.labels, c.scores[0]) for c in (a, b)]
    together = roc_auc_score(np.tile(a.labels, 2), np.concatenate([a.scores[0], b.scores[0]]))
    expected = [together, np.mean(own), own[0]]
    np.testing.assert_allclose(ds["overall"].sel(detector="d0"), expected)
    methods = [float(ds["auroc"].sel({"detector": "d0", "dataset": "s0", "method": m}))
               for m in ("swap", "lips")]  # fmt: skip
    assert of(ds, "method_mean", detector="d0", dataset="s0")[0] == pytest.approx(np.mean(methods))


def test_people_whom_two_data_sets_share_are_drawn_together() -> None:
    a = clips()
    same = Clips(detector=0, dataset=1, table=a.table, scores=a.scores)
    apart = Clips(detector=0, dataset=1, scores=a.scores,
                  table=a.table.assign(component=a.table["component"] + PEOPLE))  # fmt: skip
    shared, unlinked = (ask(a, b, resamples=100) for b in (same, apart))
    one = of(shared, "auroc", detector="d0", dataset="s0", method=ALL)
    mean = of(shared, "overall", detector="d0", summary="mean")
    np.testing.assert_allclose(mean, one, atol=1e-9)
    narrower = of(unlinked, "overall", detector="d0", summary="mean")
    assert narrower[2] - narrower[1] < 0.95 * (mean[2] - mean[1])


def test_a_difference_is_paired_and_the_same_from_either_side() -> None:
    a = clips()
    copy = Clips(detector=1, dataset=0, table=a.table, scores=a.scores)
    ds = ask(a, copy)
    assert of(ds, "difference", detector="d0", other="d1", dataset="s0") == [0, 0, 0]
    ds = ask(a, clips(detector=1, skill=0.1, draw=1))
    there = of(ds, "difference", detector="d0", other="d1", dataset="s0")
    back = of(ds, "difference", detector="d1", other="d0", dataset="s0")
    assert back == [-there[0], -there[2], -there[1]]
    assert np.isnan(ds["difference"].sel(detector="d0", other="d0")).all()


def test_a_difference_is_of_the_clips_that_both_have() -> None:
    """What one of them did not examine says nothing about which is better."""
    a, b = clips(seeds=2), clips(detector=1, skill=0.3, draw=1)
    some, others = np.arange(36) % 7 != 0, np.arange(36) % 5 != 0
    cut = [
        replace(c, table=c.table[rows].reset_index(drop=True), scores=c.scores[:, rows])
        for c, rows in ((a, some), (b, others))
    ]
    common = [c.at(some & others) for c in (a, b)]
    assert [len(c.table) for c in (*cut, *common)] == [30, 28, 24, 24]
    ds, expected = ask(*cut), ask(*common)
    for name, at in (("difference", {"dataset": "s0"}), ("overall_difference", {})):
        for suffix in ("", "_low", "_high"):
            np.testing.assert_allclose(
                ds[f"{name}{suffix}"].sel(detector="d0", other="d1", **at),
                expected[f"{name}{suffix}"].sel(detector="d0", other="d1", **at),
            )
    alone = ds["auroc"].sel({"dataset": "s0", "method": ALL}).to_numpy()
    own = [np.mean([roc_auc_score(c.labels, s) for s in c.scores]) for c in cut]
    np.testing.assert_allclose(alone, own)
    assert abs(float(ds["difference"][0, 1, 0]) - (own[0] - own[1])) > 1e-3
    assert ds["difference_clips"].to_numpy()[[0, 1], [1, 0], 0].tolist() == [24, 24]


def test_only_the_data_set_that_is_cut_is_asked_anew() -> None:
    """One detector has all clips of three data sets, the other not all of one."""
    given = [
        clips(d, k, first=k * PEOPLE, skill=1 - 0.5 * d, draw=d) for d in (0, 1) for k in range(3)
    ]
    some = np.arange(36) % 5 != 0
    given[4] = given[4].at(some)
    ds = ask(*given)
    alike = ask(given[0], given[1].at(some), *given[2:])
    pair = {"detector": "d0", "other": "d1"}
    for name in ("difference", "overall_difference"):
        for suffix in ("", "_low", "_high"):
            np.testing.assert_allclose(
                ds[f"{name}{suffix}"].sel(pair), alike[f"{name}{suffix}"].sel(pair)
            )
    apart = ds["auroc"].sel({"method": ALL}).diff("detector").to_numpy()[0]
    whole = ds["difference"].sel(pair).to_numpy() == -apart
    assert whole.tolist() == [True, False, True]
    mean = ds["difference"].sel(pair).mean()
    assert float(ds["overall_difference"].sel({**pair, "summary": "mean"})) == pytest.approx(
        float(mean)
    )


def test_a_mean_difference_is_over_all_data_sets_or_there_is_none() -> None:
    """Of one data set both have fakes alone."""
    fakes = clips().labels == 1
    given = [clips(d, k, first=k * PEOPLE, draw=d) for d in (0, 1) for k in (0, 1)]
    other = given[3].at(fakes | (np.arange(36) < 18))
    ds = ask(given[0], given[1].at(fakes | (np.arange(36) >= 18)), given[2], other)
    pair = {"detector": "d0", "other": "d1"}
    assert np.isfinite(ds["overall"].sel(summary="mean")).all()
    assert np.isfinite(ds["difference"].sel(pair)).to_numpy().tolist() == [True, False]
    assert np.isnan(ds["overall_difference"].sel({**pair, "summary": "mean"}))
    assert np.isfinite(ds["overall_difference"].sel({**pair, "summary": "pooled"}))


def test_detectors_without_a_clip_in_common_have_no_difference() -> None:
    a, b = clips(), clips(detector=1, first=PEOPLE)
    ds = ask(a, b)
    assert np.isnan(ds["difference"]).all()
    assert np.isnan(ds["overall_difference"]).all()
    assert np.isfinite(ds["auroc"]).all()


def test_a_data_set_that_hangs_together_has_no_interval() -> None:
    b = clips(dataset=1)
    whole = Clips(detector=0, dataset=1, table=b.table.assign(component=PEOPLE), scores=b.scores)
    ds = ask(clips(), whole)
    assert ds["components"].to_numpy().tolist() == [PEOPLE, 1]
    assert ds["largest"].to_numpy().tolist() == pytest.approx([1 / PEOPLE, 1])
    value, low, high = of(ds, "auroc", detector="d0", dataset="s1", method=ALL)
    assert np.isfinite(value)
    assert np.isnan([low, high]).all()
    assert np.isfinite(of(ds, "auroc", detector="d0", dataset="s0", method=ALL)).all()


def test_a_data_set_without_reals_is_in_no_mean_and_stops_nothing() -> None:
    b = clips(dataset=1, first=PEOPLE)
    fakes = b.table["label"] == 1
    only = Clips(detector=0, dataset=1, table=b.table[fakes].reset_index(drop=True),
                 scores=b.scores[:, fakes])  # fmt: skip
    ds = ask(clips(), only)
    assert np.isnan(ds["auroc"].sel({"dataset": "s1", "method": ALL})).all()
    mean = of(ds, "overall", detector="d0", summary="mean")
    assert mean == of(ds, "auroc", detector="d0", dataset="s0", method=ALL)


def test_a_mean_over_a_data_set_that_hangs_together_has_no_interval() -> None:
    """In each resample with all sets, one of a single component is the same."""
    given = [
        Clips(detector=d, dataset=k, scores=c.scores, table=c.table.assign(component=k))
        for d in (0, 1) for k in (0, 1)
        for c in [clips(d, k, skill=1 - d, draw=d)]
    ]  # fmt: skip
    ds = ask(*given)
    for name, at in (("overall", {}), ("overall_difference", {"other": "d1"})):
        value, low, high = of(ds, name, detector="d0", summary="mean", **at)
        assert value > 0
        assert np.isnan([low, high]).all()
    assert np.isfinite(of(ds, "overall", detector="d0", summary="pooled")).all()
    beside = ask(clips(), given[1], left_out=(1,))
    without = of(beside, "overall", detector="d0", summary="mean without selection")
    assert without == of(beside, "auroc", detector="d0", dataset="s0", method=ALL)


def test_an_interval_is_as_wide_as_the_data_sets_own_people_ask_for() -> None:
    """People of another data set do not make this one's interval surer."""
    own = clips()
    few = Clips(detector=0, dataset=0, scores=own.scores[:, :12], table=own.table[:12])
    other = clips(dataset=1, first=PEOPLE)
    rest = [Clips(detector=0, dataset=n, scores=other.scores,
                  table=other.table.assign(component=other.table["component"] + n * PEOPLE))
            for n in range(1, 9)]  # fmt: skip
    alone, beside = (ask(*given, resamples=400) for given in ([few], [few, *rest]))
    widths = [h - low for _, low, h in
              (of(ds, "fpr", detector="d0", dataset="s0") for ds in (alone, beside))]  # fmt: skip
    assert widths[1] >= 0.9 * widths[0]


def test_reals_of_one_person_give_no_interval_however_many_fakes_there_are() -> None:
    given = clips()
    one = given.table.assign(component=given.table["component"].where(given.labels == 1, 0))
    ds = ask(Clips(detector=0, dataset=0, table=one, scores=given.scores))
    for name, known in (("auroc", False), ("fpr", False), ("tpr", True)):
        at = {"method": ALL} if name == "auroc" else {}
        assert np.isfinite(of(ds, name, detector="d0", dataset="s0", **at)[1:]).all() == known
