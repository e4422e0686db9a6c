"""Robustness as a study: bands over people, two detectors on the same resamples, and words."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import xarray as xr

from gendkit.errors import InvalidArgument
from gendkit.evaluate.study.catalogue import study_tables
from gendkit.evaluate.study.curves import robustness_study
from gendkit.evaluate.study.study import said
from gendkit.measure.metrics import auroc
from gendkit.pages.study import render_study
from gendkit.pages.study_figures import drawings

CHAINS = ("", "jpeg:60", "jpeg:10")
CLIPS = 60


def found(*, seed: int = 0, gap: float = 1.0, threshold: float = 0.7) -> xr.Dataset:
    """What `robustness` could have found: 30 people, of each a real clip and a fake."""
    rng = np.random.default_rng(seed)
    label = np.tile([0, 1], CLIPS // 2)
    margin = rng.normal(size=(3, CLIPS)) + label * np.array([[2], [1], [0]]) * gap
    score = 1 / (1 + np.exp(-margin))
    called = score > threshold
    rates = {name: ("setting", called[:, label == of].mean(axis=1)) for name, of in
             (("tpr", 1), ("fpr", 0))}  # fmt: skip
    return xr.Dataset(
        {
            "score": (("setting", "clip"), score), **rates,
            "auroc": ("setting", [auroc(label, row) for row in score]),
        },
        coords={
            "grid": ("setting", ["jpeg"] * 3), "level": ("setting", [0, 1, 2]),
            "chain": ("setting", list(CHAINS)), "label": ("clip", label),
            "video": ("clip", [f"v{i}" for i in range(CLIPS)]), "crops": ("clip", [1] * CLIPS),
            "component": ("clip", np.arange(CLIPS) // 2),
        },
        attrs={"threshold": threshold, "max_fpr": 0.05, "threshold_reals": 30, "adapter": "a" * 64,
               "coverage": json.dumps(None), "splits": "final", "final_evaluations": 3},
    )  # fmt: skip


@pytest.fixture(scope="module")
def both() -> xr.Dataset:
    return robustness_study({"run": found(), "probe": found(gap=0.2)}, data="crops:final")


def test_values_are_those_that_robustness_gives_and_lie_in_their_bands(both: xr.Dataset) -> None:
    for name in ("auroc", "tpr", "fpr"):
        np.testing.assert_allclose(both[name].sel(detector="run", bound="value"), found()[name])
        value, low, high = np.moveaxis(both[name].to_numpy(), -1, 0)
        assert ((low <= value) & (value <= high)).all()
    assert (both["auroc"].sel(detector="run", bound="high") > both["auroc"].sel(
        detector="run", bound="low")).all()  # fmt: skip


def test_means_are_over_the_levels_of_lost_quality_alone(both: xr.Dataset) -> None:
    run, probe = found(), found(gap=0.2)
    means = [ds["auroc"].to_numpy()[1:].mean() for ds in (run, probe)]
    np.testing.assert_allclose(both["mean_auroc"].sel(bound="value"), means)
    assert float(both["difference"].sel(bound="value")) == pytest.approx(means[0] - means[1])
    rise = run["fpr"].to_numpy()[1:].mean() - float(run["fpr"][0])
    assert float(both["mean_rise"].sel(detector="run", bound="value")) == pytest.approx(rise)


def test_two_detectors_are_compared_on_the_same_people() -> None:
    same = robustness_study({"run": found(), "copy": found()})
    assert (same["difference"] == 0).all()
    assert "not told apart from copy" in said(same).answer


def test_words_say_what_the_threshold_was_fixed_on(both: xr.Dataset) -> None:
    assert "the mean AUROC of run is" in said(both).answer
    assert any("by construction" in line for line in said(both).not_shown)
    assert any("evaluated 3 times so far" in line for line in said(both).not_shown)
    chosen = found().assign_attrs(splits="development", final_evaluations=0)
    lines = said(robustness_study({"run": chosen})).not_shown
    assert any("may have been chosen" in line for line in lines)
    assert not any("final split" in line for line in lines)
    other = robustness_study({"run": found()}, data="a", reference="b")
    assert not any("by construction" in line for line in said(other).not_shown)
    assert "difference" not in other


def test_ways_of_one_degradation_are_taken_together_in_the_charts() -> None:
    ds = found().isel(setting=[0, 1, 2, 0, 1, 2])
    ds = ds.assign_coords(
        grid=("setting", ["resize-area"] * 3 + ["resize-cubic"] * 3),
        chain=("setting", ["", "resize:112:area", "resize:64:area",
                           "", "resize:112:cubic", "resize:64:cubic"]),
    )  # fmt: skip
    ds["score"][3:] = ds["score"][3:] ** 2 * np.where(ds["label"] == 0, 1.2, 1)
    one = robustness_study({"run": ds})
    assert one["strength"].to_numpy().tolist() == ["as is", "112", "64"]
    assert one["grids"].to_numpy().tolist() == [2, 2, 2]
    whole = one["auroc"].sel(bound="value").to_numpy()[0]
    step = one["step_auroc"].sel(bound="value").to_numpy()[0]
    np.testing.assert_allclose(step, (whole[:3] + whole[3:]) / 2)
    assert abs(whole[0] - whole[3]) > 1e-3
    assert drawings(one)[0].title == "resize, mean of 2 ways: AUROC"


def test_a_page_has_a_pair_of_charts_for_each_grid(both: xr.Dataset) -> None:
    assert [one.title for one in drawings(both)] == ["jpeg: AUROC", "jpeg: called fake by run"]
    html = render_study(both)
    assert "crops:final: 60 crops of 60 clips (each person of a clip is one), of 30 linked" in html
    made = study_tables(both)
    assert [len(frame) for frame in made.values()] == [3] * 4
    assert [caption.split(", ")[0] for caption in made] == [
        f"{name}: {what}"
        for name in both["detector"].to_numpy()
        for what in ("clips by setting", "how far the mean score moves")
    ]


@pytest.mark.parametrize("label", [0, 1])
def test_a_set_of_one_class_has_what_its_class_has(label: int) -> None:
    whole = found()
    of = whole.isel(clip=np.flatnonzero(whole["label"].to_numpy() == label))
    rate, other = ("fpr", "tpr") if label == 0 else ("tpr", "fpr")
    of = of.assign({other: whole[other] * np.nan, "auroc": whole["auroc"] * np.nan})
    ds = robustness_study({"run": of})
    assert np.isfinite(ds[rate]).all()
    assert np.isnan(ds[other]).all()
    assert np.isnan(ds["mean_auroc"]).all()
    told = " ".join([ds.attrs["answer"], ds.attrs["shows"], ds.attrs["not_shown"]])
    assert f"There are {('reals', 'fakes')[label]} alone" in told
    assert "nan" not in told
    assert ">nan" not in render_study(ds)


def test_fakes_of_one_person_have_no_band() -> None:
    of = found()
    fakes = of["label"].to_numpy() == 1
    of = of.assign_coords(component=("clip", np.where(fakes, 99, of["component"].to_numpy())))
    ds = robustness_study({"run": of})
    for name in ("auroc", "tpr", "shift_fake", "mean_auroc"):
        assert np.isfinite(ds[name].sel(bound="value")).all()
        assert np.isnan(ds[name].sel(bound=["low", "high"])).all()
    assert np.isfinite(ds["fpr"]).all()


@pytest.mark.parametrize(
    ("grids", "chains", "strengths"),
    [
        (["own"] * 3, ["", "jpeg:60", "h264:30"], ["as is", "jpeg:60", "h264:30"]),
        (["own"] * 3, ["", "jpeg:60", "jpeg:10"], ["as is", "60", "10"]),
        (["a-x", "a-x", "a-y", "a-y"], ["", "jpeg:60", "", "resize:64:area"],
         ["as is", "jpeg:60 / resize:64:area"]),
    ],
)  # fmt: skip
def test_a_step_is_named_by_what_tells_it_apart(
    grids: list[str], chains: list[str], strengths: list[str]
) -> None:
    level = [grids[:i].count(grid) for i, grid in enumerate(grids)]
    ds = found().isel(setting=[min(one, 2) for one in level])
    ds = ds.assign_coords(
        grid=("setting", grids), level=("setting", level), chain=("setting", chains)
    )
    assert robustness_study({"run": ds})["strength"].to_numpy().tolist() == strengths


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"a": found(), "b": found(), "c": found()},
        {"a": found(), "b": found().isel(setting=[0, 1])},
        {"a": found(), "b": found().isel(clip=slice(0, 10))},
    ],
    ids=["none", "three", "grids", "crops"],
)
def test_what_cannot_be_compared_is_refused(given: Any) -> None:
    with pytest.raises(InvalidArgument):
        robustness_study(given)
