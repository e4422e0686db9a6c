from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from gendkit.data.manifest import Manifest
from gendkit.errors import InvalidManifest
from gendkit.evaluate.study.cells import Cells
from gendkit.evaluate.study.families import _threshold
from gendkit.evaluate.study.left_out import left_out_cells, left_out_result, left_out_rows
from gendkit.evaluate.study.setting import Setting, setting_of
from gendkit.measure.metrics import auroc
from gendkit.measure.thresholds import fpr_bound
from gendkit.testing.small import FAMILIES, registered, small_backbone, small_families
from gendkit.train.recipe import Recipe

RECIPE = Recipe.of(
    "small-data", backbone="small", image_size=None, epochs=1, batch_size=8, cycle_epochs=1,
    dtype="float32",
)  # fmt: skip


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Manifest:
    return small_families(tmp_path_factory.mktemp("crops"))


def asked(manifest: Manifest, *families: str, seeds=(0, 1), on="final") -> Setting:
    return setting_of(manifest, RECIPE, seeds=seeds, families=families, on=on)


def test_no_cell_learns_from_the_family_that_it_is_asked_about(manifest):
    cells = left_out_cells(asked(manifest, seeds=(3, 4)))
    assert len(cells) == 2 * 3 * 2
    for cell in cells:
        learned = manifest.faces().table[cell.train]
        assert set(learned["split"]) == {"train"}
        assert set(learned["degradation"]) == {""}
        assert set(learned["family"]) == {"", *FAMILIES} - {cell.at.get("left_out")}
        assert cell.recipe.seed == cell.at.get("seed")


def test_asked_are_the_split_and_the_development_reals_that_fix_the_threshold(manifest):
    table = manifest.table[left_out_rows(asked(manifest, "rows"))]
    count = table.groupby(["split", "family", "degradation"]).size().to_dict()
    assert count == {
        ("development", "", ""): 4, ("final", "", ""): 4, ("final", "", "bright"): 4,
        ("final", "rows", ""): 4,
    }  # fmt: skip


def test_one_family_cannot_be_left_out(manifest):
    with pytest.raises(InvalidManifest, match=r"one family of forgeries, rows;.*crossed=true"):
        left_out_cells(asked(manifest, "rows"))


def margins(manifest: Manifest, margin) -> xr.Dataset:
    """The Dataset of a study, with margins (detector, family, seed, sample) of one's own."""
    table = manifest.table.assign(component=manifest.components())
    table = table[left_out_rows(asked(manifest))]
    names = ["dataset", "video", "track", "label", "method", "family", "degradation", "split",
             "pair", "target_identity", "donor_identity", "year", "component"]  # fmt: skip
    return xr.Dataset(
        {"margin": (("detector", "left_out", "seed", "sample"), margin(table))},
        coords={
            "detector": ["probe", "tuned"], "left_out": list(FAMILIES),
            "seed": [0, 1], "sample": table["sample"].to_numpy(dtype=object),
            **{n: ("sample", table[n].to_numpy()) for n in names},
        },
    )  # fmt: skip


def drawn(table) -> np.ndarray:
    """The probe scores at random, the tuned one fakes higher, but for columns."""
    rng = np.random.default_rng(5)
    margin = rng.normal(size=(2, 3, 2, len(table))).astype(np.float32)
    margin[1, ..., (table["family"].isin(["rows", "corner"])).to_numpy()] += 4
    margin[..., (table["degradation"] == "bright").to_numpy()] += 9
    return margin


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> xr.Dataset:
    manifest = small_families(tmp_path_factory.mktemp("many"), people=20, size=8)
    return left_out_result(margins(manifest, drawn), on="final", resamples=100)


def test_the_numbers_are_those_of_an_obvious_rewrite(many):
    split, label = many["split"].to_numpy(), many["label"].to_numpy()
    family, bright = many["family"].to_numpy(), many["degradation"].to_numpy() == "bright"
    real = (label == 0) & ~bright
    per_family, fprs, rises = {}, [], []
    for f in FAMILIES:
        found = np.zeros((2, 2))
        for d in range(2):
            for s in range(2):
                margin = many["margin"].sel(left_out=f).to_numpy()[d, s]
                here = (split == "final") & (real | (family == f))
                found[d, s] = auroc(label[here], margin[here])
                reals = np.sort(margin[real & (split == "development")])
                threshold = reals[::-1][1]  # one of twenty may exceed it
                fpr = (margin[real & (split == "final")] > threshold).mean()
                fprs.append((d, fpr))
                rises.append((d, (margin[bright & (split == "final")] > threshold).mean() - fpr))
        np.testing.assert_allclose(many["auroc"].sel(left_out=f), found, atol=1e-12)
        per_family[f] = found.mean(axis=1)
        np.testing.assert_allclose(
            many["family_auroc"].sel(left_out=f, bound="value"),
            [*per_family[f], np.diff(per_family[f])[0]], atol=1e-12,
        )  # fmt: skip
    mean = np.mean(list(per_family.values()), axis=0)
    np.testing.assert_allclose(
        many["mean_auroc"].sel(bound="value"), [*mean, mean[1] - mean[0]], atol=1e-12
    )
    for name, values in (("fpr", fprs), ("mean_control_rise", rises)):
        means = [np.mean([v for d, v in values if d == of]) for of in range(2)]
        found = many[name].sel(bound="value").to_numpy()
        np.testing.assert_allclose(found, [*means, means[1] - means[0]], atol=1e-12)


def test_what_a_threshold_rests_on_is_told(many):
    assert many.attrs["threshold_reals"] == 20
    assert many.attrs["threshold_bound"] == pytest.approx(fpr_bound(1, 20))
    assert "rests on 20 real clips" in (told := " ".join(_threshold(many)))
    assert "by construction" not in told
    few = " ".join(_threshold(many.assign_attrs(threshold_reals=8, on="development")))
    assert "takes 20 real clips to fix it: with 8 none may be called fake" in few
    assert "fixed on the very reals that it is applied to" in few


def test_what_stands_out_is_told(many):
    assert many.attrs["improved"] == sum(
        many["family_auroc"].sel(compared="difference", bound="value").to_numpy() > 0
    )
    assert many.attrs["worst"] == "columns"
    low = many["mean_auroc"].sel(compared="difference", bound="low").item()
    value = many["mean_auroc"].sel(compared="difference", bound="value").item()
    assert low < value
    assert many["family_auroc"].sel(compared="difference", left_out="rows", bound="low") > 0


def test_a_mean_over_families_is_less_sure_than_over_these_families(many):
    free = many["mean_auroc"].sel(compared="difference")
    widths = (many["family_auroc"].sel(compared="difference", bound="high")
              - many["family_auroc"].sel(compared="difference", bound="low"))  # fmt: skip
    width = free.sel(bound="high") - free.sel(bound="low")
    assert width > widths.mean() / 2  # two families gain, one does not: that counts


def test_a_family_of_one_person_has_no_interval_and_nor_has_the_mean(tmp_path):
    ds = margins(small_families(tmp_path, people=20, size=8), drawn)
    of = (ds["family"] == "corner").to_numpy()
    first = int(ds["component"].to_numpy()[of][0])
    ds = ds.assign_coords(component=("sample", np.where(of, first, ds["component"].to_numpy())))
    found = left_out_result(ds, on="final", resamples=50)
    ends = found.sel(bound=["low", "high"])
    for name in ("family_auroc", "family_tpr"):
        assert np.isnan(ends[name].sel(left_out="corner")).all()
        assert np.isfinite(ends[name].sel(left_out="rows")).all()
        assert np.isfinite(found[name].sel(bound="value")).all()
    assert np.isnan(ends["mean_auroc"]).all()
    assert np.isfinite(ends["fpr"]).all()
    assert np.isfinite(ends["control_rise"]).all()


def test_without_development_reals_there_is_no_threshold(manifest):
    ds = margins(manifest, drawn)
    with pytest.raises(InvalidManifest, match="to fix a threshold on"):
        left_out_result(ds.isel(sample=(ds["split"] == "final").to_numpy()), on="final")


def test_the_whole_study_on_small_crops(manifest, tmp_path):
    with registered(small_backbone()):
        setting = asked(manifest, "rows", "columns", seeds=[0], on="development")
        cells = Cells(
            setting.manifest, scored=left_out_rows(setting), validation=setting.validation,
            out=tmp_path,
        )  # fmt: skip
        ds = cells.run(left_out_cells(setting))
    found = left_out_result(ds, on="development", resamples=20)
    assert found["margin"].notnull().all()
    assert found.sizes["control"] == 1
    assert np.isfinite(found["mean_auroc"]).all()
