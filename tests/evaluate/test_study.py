"""A study from beginning to end: what it keeps, what it refuses, and that it can be stopped."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from gendkit.data.manifest import Manifest
from gendkit.errors import (
    InvalidArgument,
    InvalidManifest,
    InvalidReport,
    MissingMedia,
    OutputExists,
    UnknownPart,
)
from gendkit.evaluate.final import read_log
from gendkit.evaluate.study.catalogue import STUDIES, study_of, study_tables
from gendkit.evaluate.study.cells import Cells
from gendkit.evaluate.study.run import MARKER, RESULT, open_study, run_study
from gendkit.evaluate.study.setting import setting_of
from gendkit.evaluate.study.study import about, said
from gendkit.measure import intervals
from gendkit.measure.intervals import crossed
from gendkit.measure.metrics import auroc
from gendkit.progress import silent
from gendkit.testing.small import registered, small_backbone, small_crops, small_families
from gendkit.train.recipe import Recipe
from gendkit.train.trainer import Trainer

RECIPE = Recipe.of(
    "small-data", backbone="small", image_size=None, epochs=2, batch_size=8, cycle_epochs=1,
    dtype="float32",
)  # fmt: skip
FEW = 40
"""Resamples, where no interval is looked at."""
SOME = {"variants": ["LN"]}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return small_families(tmp_path_factory.mktemp("crops"), frames=2)


@pytest.fixture(autouse=True)
def small() -> Any:
    with registered(small_backbone()):
        yield


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Margins that are drawn and not trained for, and the cells that were asked for them."""
    asked: list[Any] = []

    def margins(cells: Cells, cell: Any, key: str) -> np.ndarray:
        asked.append(cell)
        labels = cells.manifest.labels()[cells.scored]
        noise = np.random.default_rng(int(key[:8], 16)).normal(size=len(labels))
        return (noise + labels).astype(np.float32)

    monkeypatch.setattr(Cells, "margins", margins)
    monkeypatch.setattr(intervals, "crossed", partial(crossed_with, FEW))
    return asked


def crossed_with(few: int, *args: Any, **options: Any) -> Any:
    return crossed(*args, **{**options, "resamples": few})


def run(manifest: Manifest, out: Path, name: str = "ablation", **given: Any) -> xr.Dataset:
    options = {"recipe": RECIPE, "seeds": (0, 1), "options": SOME, "device": "cpu", **given}
    return run_study(STUDIES[name], manifest, out=out, progress=silent, **options)


@pytest.fixture(scope="module")
def trained(manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an ablation that nobody stopped."""
    out = tmp_path_factory.mktemp("study")
    with registered(small_backbone()):
        run(manifest, out)
    return out


def test_estimates_are_aurocs_of_what_the_cells_gave(manifest: Manifest, trained: Path) -> None:
    ds = open_study(trained)
    assert ds["variant"].to_numpy().tolist() == ["probe", "LN"]
    setting = setting_of(manifest, RECIPE, seeds=(0, 1), options={**STUDIES["ablation"].options,
                                                                  **SOME})  # fmt: skip
    place = Cells(setting.manifest, scored=setting.scored, validation=setting.validation,
                  out=trained, device="cpu")  # fmt: skip
    cells = STUDIES["ablation"].cells(setting)
    assert place.missing(cells) == 0
    margin = place.run(cells, progress=silent)["margin"]
    table = setting.manifest.table[setting.scored]
    score = 1 / (1 + np.exp(-margin.sel(variant="LN", seed=1).to_numpy().astype(float)))
    clips = table.assign(score=score).groupby("video").agg({"score": "mean", "label": "first",
                                                            "family": "first"})  # fmt: skip
    of = clips[clips["family"].isin(["", "rows"])]
    found = float(ds["seed_auroc"].sel(variant="LN", seed=1, family="rows"))
    assert found == pytest.approx(auroc(of["label"], of["score"]))
    whole = ds["seed_auroc"].mean(["seed", "family"])
    np.testing.assert_allclose(ds["mean_auroc"].sel(bound="value", group="learned from"), whole)
    gain = ds["gain"].sel(group="learned from", bound="value").to_numpy()
    np.testing.assert_allclose(gain, whole - whole[0])
    assert (ds["auroc"][..., 1] <= ds["auroc"][..., 0]).all()


def test_a_study_that_was_killed_goes_on_to_the_same_result(
    manifest: Manifest, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    steps, step = iter(range(1000)), Trainer.step

    def killing(*args: Any) -> Any:
        if next(steps) == 12:  # of two trainings of eight steps, amid the second
            raise Killed
        return step(*args)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", killing)
        with pytest.raises(Killed):
            run(manifest, tmp_path)
    marker = json.loads((tmp_path / MARKER).read_text())
    assert not marker["finished"]
    assert not (tmp_path / RESULT).exists()
    assert len(list((tmp_path / "cells").glob("*.npy"))) == 2
    xr.testing.assert_identical(run(manifest, tmp_path), open_study(trained))
    assert json.loads((tmp_path / MARKER).read_text())["finished"]


def test_the_same_command_again_computes_nothing_and_says_the_same(
    manifest: Manifest, tmp_path: Path, drawn: list[Any]
) -> None:
    first = run(manifest, tmp_path)
    assert len(drawn) == 3
    xr.testing.assert_identical(run(manifest, tmp_path), first)
    assert len(drawn) == 3


def test_seeds_may_be_added_and_none_may_be_lost(
    manifest: Manifest, tmp_path: Path, drawn: list[Any]
) -> None:
    run(manifest, tmp_path)
    more = run(manifest, tmp_path, seeds=(0, 1, 2))
    assert len(drawn) == 4
    assert about(more)["seeds"] == [0, 1, 2]
    with pytest.raises(OutputExists, match="has the seeds 0, 1, 2, and 1, 2 would be lost"):
        run(manifest, tmp_path, seeds=(0,))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "layers", "options": {}}, "has study ablation, not layers"),
        ({"recipe": Recipe.of(RECIPE, epochs=3)}, "has recipe epochs 2, not 3"),
        ({"families": ["rows"]}, "has families rows, columns, corner, not rows"),
        ({"left_out": ["rows"]}, "has families rows, columns, corner, not columns, corner"),
        ({"on": "final"}, "has on development, not final"),
        ({"options": {"variants": ["bitfit"]}}, "has options variants LN, not bitfit"),
    ],
)
def test_another_command_on_the_same_folder_says_what_differs(
    manifest: Manifest, tmp_path: Path, drawn: list[Any], change: dict[str, Any], words: str
) -> None:
    run(manifest, tmp_path)
    with pytest.raises(OutputExists, match=words):
        run(manifest, tmp_path, **change)
    assert len(drawn) == 3


def test_a_folder_of_something_else_is_never_touched(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputExists, match=r"holds mine\.txt and is no study"):
        run(manifest, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputExists, match="is a file; give a folder"):
        run(manifest, tmp_path / "file")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / MARKER).write_text("{")
    with pytest.raises(OutputExists, match="damaged"):
        run(manifest, tmp_path / "broken")


def test_cells_that_others_computed_there_are_taken_up(
    manifest: Manifest, trained: Path, tmp_path: Path, drawn: list[Any]
) -> None:
    for path in (trained / "cells").glob("*.npy"):
        (tmp_path / "cells").mkdir(exist_ok=True)
        (tmp_path / "cells" / path.name).write_bytes(path.read_bytes())
    before = open_study(trained)["seed_auroc"]
    xr.testing.assert_identical(run(manifest, tmp_path)["seed_auroc"], before)
    assert drawn == []


def test_several_may_begin_the_same_study_at_once(
    manifest: Manifest, tmp_path: Path, drawn: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENDKIT_CACHE", str(tmp_path / "cache"))
    for attempt in range(3):
        out = tmp_path / str(attempt)
        with ThreadPoolExecutor(4) as pool:
            begun = [pool.submit(run, manifest, out, on="final") for _ in range(4)]
            found = [one.result() for one in begun]
        assert len(read_log()) == attempt + 1
        for one in found:
            assert about(one)["final_evaluations"] == attempt + 1


def test_what_was_killed_as_it_began_can_be_begun_again(
    manifest: Manifest, tmp_path: Path, drawn: list[Any]
) -> None:
    (tmp_path / f"{MARKER}.part").write_text("{")
    run(manifest, tmp_path)
    assert json.loads((tmp_path / MARKER).read_text())["finished"]


def test_a_study_of_before_a_field_was_there_goes_on(
    manifest: Manifest, tmp_path: Path, drawn: list[Any]
) -> None:
    run(manifest, tmp_path)
    marker = json.loads((tmp_path / MARKER).read_text())
    assert marker["recipe"].pop("sphere") is True
    (tmp_path / MARKER).write_text(json.dumps(marker))
    run(manifest, tmp_path)
    assert len(drawn) == 3
    marker["recipe"]["sphere"] = False
    (tmp_path / MARKER).write_text(json.dumps(marker))
    with pytest.raises(OutputExists, match="recipe sphere False, not True"):
        run(manifest, tmp_path)


def test_a_look_at_the_final_split_is_logged_once_a_computation(
    manifest: Manifest, tmp_path: Path, drawn: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENDKIT_CACHE", str(tmp_path / "cache"))
    ds = run(manifest, tmp_path / "a", on="final")
    assert about(ds)["final_evaluations"] == 1
    assert "which was evaluated 1 time so far" in " ".join(said(ds).not_shown)
    assert about(run(manifest, tmp_path / "a", on="final"))["final_evaluations"] == 1
    assert about(run(manifest, tmp_path / "a", on="final", seeds=(0, 1, 2)))[
        "final_evaluations"] == 2  # fmt: skip
    entries = read_log()
    assert [entry["study"] for entry in entries] == ["ablation"] * 2
    assert run(manifest, tmp_path / "b").attrs["about"].count('"final_evaluations": 0') == 1


def test_going_on_with_a_look_at_the_final_split_is_the_same_look(
    manifest: Manifest, tmp_path: Path, drawn: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENDKIT_CACHE", str(tmp_path / "cache"))
    out, whole = tmp_path / "a", Cells.margins

    def killed(cells: Cells, cell: Any, key: str) -> np.ndarray:
        if len(drawn) == 2:
            raise KeyboardInterrupt
        return whole(cells, cell, key)

    with monkeypatch.context() as stopping:
        stopping.setattr(Cells, "margins", killed)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                run(manifest, out, on="final")
    assert len(read_log()) == 1
    assert about(run(manifest, out, on="final"))["final_evaluations"] == 1
    next((out / "cells").glob("*.npy")).unlink()  # what is computed anew is looked at anew
    assert about(run(manifest, out, on="final"))["final_evaluations"] == 2


def test_a_look_at_a_part_of_the_final_split_is_a_look_at_it(
    manifest: Manifest, tmp_path: Path, drawn: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENDKIT_CACHE", str(tmp_path / "cache"))
    for times, families in enumerate((["rows"], ["columns"], []), start=1):
        ds = run(manifest, tmp_path / str(times), on="final", families=families)
        assert about(ds)["final_evaluations"] == times


@pytest.mark.parametrize("split", ["development", "final"])
def test_people_of_the_training_are_not_scored(
    manifest: Manifest, tmp_path: Path, drawn: list[Any], split: str
) -> None:
    table = manifest.table.copy()
    table.loc[table["split"] == split, "target_identity"] = "p1"
    with pytest.raises(InvalidManifest, match=rf"'p1-real' \(train\).*\({split}\) are linked"):
        run(replace(manifest, table=table), tmp_path, on=split)
    assert drawn == []


def test_xarray_opens_a_result_without_a_warning(studied: dict[str, Path]) -> None:
    for name, folder in studied.items():
        ds = xr.open_zarr(folder / RESULT)
        assert ds.attrs["study"] == name
        assert ds["bound"].to_numpy().tolist() == ["value", "low", "high"]


def test_every_estimate_lies_in_its_interval_or_has_none(studied: dict[str, Path]) -> None:
    for folder in studied.values():
        ds = open_study(folder)
        found = [v for v in ds.data_vars.values() if v.dims and v.dims[-1] == "bound"]
        assert found
        for variable in found:
            value, low, high = np.moveaxis(variable.to_numpy(), -1, 0)
            there = np.isfinite(low)
            assert (low[there] <= value[there] + 1e-12).all()
            assert (value[there] <= high[there] + 1e-12).all()


def test_tables_have_the_ends_of_each_estimate(studied: dict[str, Path]) -> None:
    for folder in studied.values():
        for caption, frame in study_tables(open_study(folder)).items():
            assert caption
            assert frame.index.is_unique
            ends = {c.removesuffix("_low") for c in frame.columns if c.endswith("_low")}
            assert all(f"{name}_high" in frame and name in frame for name in ends)


def test_what_is_no_result_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingMedia, match="no result of a study"):
        open_study(tmp_path)
    xr.Dataset({"a": ("x", [1.0])}).to_zarr(tmp_path / RESULT, consolidated=False)
    with pytest.raises(InvalidReport, match="no study, about, answer"):
        open_study(tmp_path)
    (tmp_path / RESULT / "zarr.json").write_text("{")
    with pytest.raises(InvalidReport, match="no readable zarr store"):
        open_study(tmp_path)
    with pytest.raises(UnknownPart, match="no study is named 'luck'; there is families, ablation"):
        study_of("luck")


def test_a_setting_takes_plain_crops_of_known_families(manifest: Manifest) -> None:
    setting = setting_of(manifest, RECIPE, seeds=(0,), left_out=["corner"])
    table = setting.manifest.table
    assert setting.families == ("rows", "columns")
    assert set(table["family"][setting.learned]) == {"", "rows", "columns"}
    assert set(table["family"][setting.scored]) == {"", "rows", "columns", "corner"}
    assert set(table["split"][setting.learned]) == {"train"}
    assert set(table["split"][setting.scored]) == {"development"}
    assert set(table["split"]) == {"train", "development"}
    assert set(table["degradation"][setting.scored]) == {""}
    assert setting.manifest.meta["coverage"]["clips"] == 56


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"seeds": ()}, InvalidArgument, "at least one"),
        ({"seeds": (1, 1)}, InvalidArgument, "different ones"),
        ({"on": "train"}, InvalidArgument, "give development or final"),
        ({"families": ["lips"]}, InvalidManifest, "'lips' are missing; there is rows, columns"),
        ({"left_out": ["lips"]}, InvalidManifest, "'lips' are missing"),
        (
            {"left_out": ["rows", "columns", "corner"]},
            InvalidArgument,
            "none is left to learn from",
        ),
        ({"families": ["rows"], "left_out": ["rows"]}, InvalidArgument, "both learned from and"),
    ],
)
def test_an_impossible_setting_is_refused(
    manifest: Manifest, change: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        setting_of(manifest, RECIPE, **{"seeds": (0,), **change})


def test_a_manifest_without_splits_is_refused(tmp_path: Path) -> None:
    crops = small_crops(tmp_path, identities=("ann", "bob"), frames=1)
    with pytest.raises(InvalidManifest, match="split 'train' has not both real and fake"):
        setting_of(crops, RECIPE, seeds=(0,))


def test_an_option_of_another_study_is_refused(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="study layers has no option 'by'; there is none"):
        run(manifest, tmp_path, "layers", options={"by": "year"})


def test_a_page_says_when_cells_were_made_with_different_packages(
    manifest: Manifest, tmp_path: Path, drawn: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from gendkit.evaluate.study import cells
    from gendkit.train.record import versions

    ask = partial(
        run_study, study_of("ablation"), manifest, out=tmp_path, recipe=RECIPE, device="cpu",
        options=SOME, progress=silent,
    )  # fmt: skip
    assert "different" not in " ".join(said(ask(seeds=(0,))).not_shown)
    monkeypatch.setattr(cells, "versions", lambda: {**versions(), "torch": "0.1"})
    words = said(ask(seeds=(0, 1))).not_shown
    assert any("computed with different torch," in line for line in words)
