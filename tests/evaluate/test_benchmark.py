"""A comparison as a whole: what is computed once, what stands beside the numbers, what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gendkit as gk
from gendkit.data.manifest import Manifest
from gendkit.errors import InvalidArgument, MissingMedia, OutputExists, UnreadableMedia
from gendkit.evaluate.benchmark import scores
from gendkit.evaluate.benchmark.run import Benchmark, benchmark, open_benchmark
from gendkit.measure.levels import at_level
from gendkit.measure.metrics import summary
from gendkit.progress import silent
from gendkit.testing.small import small_crops

Make = Callable[..., Path]
CROPPED = {"extractor": "centerface", "threshold": 0.5, "scale": 1.3}
pytestmark = pytest.mark.usefixtures("own_log")


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Manifest]:
    """Two data sets of four and three people, the second of final crops."""
    made = {}
    for number, (name, people) in enumerate({"a": "wxyz", "b": "uvt"}.items()):
        crops = small_crops(tmp_path_factory.mktemp(name), identities=people, frames=2,
                            split="final" if number else "development", seed=number)  # fmt: skip
        made[name] = replace(crops, table=crops.table.assign(dataset=name), meta=CROPPED)
    return made


@pytest.fixture(scope="module")
def detectors(run: Make) -> list[Path]:
    """A detector of two seeds, and one whose making is not recorded."""
    record = {"data": {"train": {"digest": "d", "datasets": ["ff"]},
                       "validation": {"datasets": ["a"]}}}  # fmt: skip
    recipe = {"name": "tuned", "selection": {"data": "in words: b", "metric": "auroc"}}
    seeds = [run(f"tuned-{s}", head=s, recipe={**recipe, "seed": s}, record=record, crops=CROPPED)
             for s in (0, 1)]  # fmt: skip
    return [*seeds, run("plain", head=2, crops={**CROPPED, "extractor": "yunet"})]


def compare(who: Any, on: Any, out: Path, **options: Any) -> Benchmark:
    return benchmark(who, on, out, resamples=4, progress=silent, **options)


@pytest.fixture(scope="module")
def found(
    detectors: list[Path], sets: dict[str, Manifest], tmp_path_factory: pytest.TempPathFactory
) -> Benchmark:
    """All detectors on both data sets, at a threshold of .4."""
    folder = tmp_path_factory.mktemp("found")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENDKIT_CACHE", str(folder / "cache"))
        return compare(detectors, list(sets.values()), folder / "out", threshold=0.4)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The data sets over which detectors are run."""
    seen: list[str] = []
    true = scores.run_over

    def counted(detector: Any, manifest: Manifest, **options: Any) -> Any:
        seen.append(manifest.table["dataset"].iloc[0])
        return true(detector, manifest, **options)

    monkeypatch.setattr(scores, "run_over", counted)
    return seen


def test_the_same_call_computes_nothing_and_another_scores_what_is_new(
    detectors: list[Path], sets: dict[str, Manifest], tmp_path: Path, runs: list[str]
) -> None:
    out = tmp_path / "out"
    first = compare(detectors[0], sets["a"], out)
    assert (first.scored, first.kept, runs) == (16, False, ["a"])
    record = (out / "result" / "benchmark.json").stat().st_mtime_ns
    again = compare(detectors[0], sets["a"], out)
    assert (again.scored, again.kept, len(runs)) == (0, True, 1)
    assert (out / "result" / "benchmark.json").stat().st_mtime_ns == record
    assert again.ds.equals(first.ds)
    more = compare(detectors[::2], list(sets.values()), out)
    assert more.scored == 16 + 2 * 12
    assert sorted(runs[1:]) == ["a", "b", "b"]
    moved = compare(detectors[0], sets["a"], out, threshold=0.4)
    assert (moved.scored, moved.kept, len(runs)) == (0, False, 4)


def test_each_number_is_that_of_its_seeds_scores(
    found: Benchmark, detectors: list[Path], sets: dict[str, Manifest]
) -> None:
    assert dict(found.ds["video"].sizes) == {
        "detector": 2, "dataset": 2, "method": 2, "seed": 3, "metric": found.ds.sizes["metric"],
    }  # fmt: skip
    crops = sets["a"].table
    p_fake = gk.load(detectors[1]).predict([sets["a"].crop(i) for i in range(16)])
    for level in ("frame", "track", "video", "file"):
        items = at_level(crops.assign(p_fake=p_fake), level)
        linked = items["video"].str[-1].map(ord)  # a fake and the real of its person
        expected = summary(items["label"], items["p_fake"], threshold=0.4, components=linked)
        own = found.ds[level].sel({"detector": "tuned", "dataset": "a", "seed": 1, "method": "all"})
        for metric in (
            "auroc", "average_precision", "eer", "balanced_accuracy", "brier", "n_real",
            "independent_reals", "fpr_bound",
        ):  # fmt: skip
            assert float(own.sel(metric=metric)) == pytest.approx(expected[metric], abs=1e-6)
    assert np.isnan(found.ds["video"].sel(detector="plain", seed=0)).all()
    assert np.isfinite(found.ds["auroc"].sel(detector="plain")).all()


def test_what_took_part_is_read_from_the_record_and_never_from_a_sentence(
    found: Benchmark,
) -> None:
    states = {
        (d, k): str(found.ds["selected_on"].sel(detector=d, dataset=k).item())
        for d in ("tuned", "plain") for k in ("a", "b")
    }  # fmt: skip
    assert states == {
        ("tuned", "a"): "yes", ("tuned", "b"): "no",
        ("plain", "a"): "not recorded", ("plain", "b"): "not recorded",
    }  # fmt: skip
    without = found.ds["overall"].sel(detector="tuned", summary="mean without selection")
    assert float(without) == float(
        found.ds["auroc"].sel({"detector": "tuned", "dataset": "b", "method": "all"})
    )
    said = " ".join(found.notes)
    assert "Data of a, or of its family, took part in the selection of tuned." in said
    assert "It is not recorded which data took part in the selection of plain." in said
    assert "Crops of a, b were not made like those that plain was trained on." in said


def test_a_data_set_of_which_another_is_said_to_be_the_same_clips_took_part_with_it(
    detectors: list[Path], sets: dict[str, Manifest], tmp_path: Path
) -> None:
    found = compare(detectors[0], list(sets.values()), tmp_path / "out", alike=[("a", "b")])
    assert found.ds["selected_on"].to_numpy().tolist() == [["yes", "yes"]]
    assert "Data of a, b, or of their families, took part in the selection" in " ".join(found.notes)


def test_a_data_set_of_the_training_alone_may_be_said_to_be_the_same_clips(
    detectors: list[Path], sets: dict[str, Manifest], tmp_path: Path
) -> None:
    found = compare(detectors[0], sets["b"], tmp_path / "out", alike=[("b", "ff")])
    assert found.ds["trained_on"].to_numpy().tolist() == [["yes"]]
    with pytest.raises(InvalidArgument, match="'nowhere' of alike is in no manifest"):
        compare(detectors[0], sets["b"], tmp_path / "other", alike=[("b", "nowhere")])


def test_impossible_options_are_refused_before_anything_is_scored(
    detectors: list[Path], sets: dict[str, Manifest], tmp_path: Path, runs: list[str]
) -> None:
    for options in ({"resamples": 0}, {"seed": -1}, {"threshold": 2}):
        with pytest.raises(InvalidArgument, match="give a score from 0 to 1"):
            benchmark(detectors[0], sets["a"], tmp_path / "out", progress=silent, **options)
    assert not runs
    assert not (tmp_path / "out").exists()


def test_final_data_are_counted_and_not_again_for_scores_that_are_kept(
    detectors: list[Path], sets: dict[str, Manifest], tmp_path: Path
) -> None:
    first = compare(detectors[0], sets["b"], tmp_path / "out")
    assert first.ds["final_crops"].to_numpy().tolist() == [12]
    assert first.ds["final_evaluations"].to_numpy().tolist() == [1]
    moved = compare(detectors[0], sets["b"], tmp_path / "out", threshold=0.4)
    assert moved.ds["final_evaluations"].to_numpy().tolist() == [1]
    other = compare(detectors[0], sets["b"], tmp_path / "elsewhere")
    assert other.ds["final_evaluations"].to_numpy().tolist() == [2]
    assert "b holds 12 final crops, which have been evaluated 2 times" in " ".join(other.notes)


def test_clips_without_a_face_and_other_crops_for_another_detector_are_pointed_out(
    detectors: list[Path], sets: dict[str, Manifest], tmp_path: Path
) -> None:
    table = sets["a"].table.copy()
    lost = ((table["video"] == "fake-z") | (table["video"] == "real-y")).to_numpy()
    table.loc[lost, ["path", "reason"]] = "", "no face"
    some = replace(sets["a"], table=table, meta={**CROPPED, "extractor": "yunet"})
    found = compare(detectors[::2], {"a": [sets["a"], some]}, tmp_path / "out")
    of = found.ds.sel({"dataset": "a", "class": "fake"})
    assert of["clips"].to_numpy().tolist() == [4, 4]
    assert of["examined"].to_numpy().tolist() == [4, 3]
    assert found.ds["same_crops"].to_numpy().ravel().tolist() == ["yes", "yes"]
    said = " ".join(found.notes)
    assert "1 of 4 fake clips of a have no score of plain." in said
    assert "tuned and plain were not compared on the same clips of a: 8 and 6, of which 6" in said


def test_crops_of_which_a_detector_gives_no_number_are_left_out_and_said(
    detectors: list[Path], sets: dict[str, Manifest], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    true = scores.run_over

    def broken(detector: Any, manifest: Manifest, **options: Any) -> Any:
        outputs = true(detector, manifest, **options)
        outputs.score[:3] = np.nan
        return outputs

    monkeypatch.setattr(scores, "run_over", broken)
    found = compare(detectors[2], sets["a"], tmp_path / "out")
    assert "plain gives no number for 3 of 16 crops of a; they are left out" in found.notes[0]
    assert found.ds["examined"].sel({"class": "real"}).item() == 3


def test_the_scores_of_each_crop_lie_beside_it_in_the_references_columns_too(
    found: Benchmark, detectors: list[Path], sets: dict[str, Manifest]
) -> None:
    table = found.predictions("tuned", "a", seed=1)
    crops = [sets["a"].crop(i) for i in range(16)]
    np.testing.assert_allclose(table["p_fake"], gk.load(detectors[1]).predict(crops), atol=1e-6)
    name = next(p["file"] for p in found.record["predictions"] if p["seed"] == 1)
    written = pd.read_csv(found.folder / "result" / "predictions" / f"{name}.csv")
    assert written.columns.tolist() == ["files", "labels", "prob_class_0", "prob_class_1"]
    assert written["files"].tolist() == sets["a"].table["path"].tolist()
    np.testing.assert_allclose(written["prob_class_1"], table["p_fake"], atol=1e-7)
    np.testing.assert_allclose(written["prob_class_0"] + written["prob_class_1"], 1)
    with pytest.raises(InvalidArgument, match=r"no scores of 'tuned' on 'c'; there is tuned"):
        found.predictions("tuned", "c")


def test_what_was_written_opens_as_it_was(found: Benchmark, tmp_path: Path) -> None:
    opened = open_benchmark(found.folder)
    assert opened.ds.equals(found.ds)
    assert opened.record == found.record
    assert opened._repr_html_() == found._repr_html_()
    assert "2 detectors on 2 data sets" in repr(opened)
    with pytest.raises(MissingMedia, match="no benchmark at"):
        open_benchmark(tmp_path)


@pytest.mark.slow
def test_a_damaged_result_is_made_anew_from_the_scores(
    detectors: list[Path], sets: dict[str, Manifest], tmp_path: Path
) -> None:
    made = compare(detectors[0], sets["a"], tmp_path / "out")
    (tmp_path / "out" / "result" / "result.zarr" / "zarr.json").unlink()
    with pytest.raises(UnreadableMedia, match="damaged benchmark"):
        open_benchmark(tmp_path / "out")
    again = compare(detectors[0], sets["a"], tmp_path / "out")
    assert (again.kept, again.scored) == (False, 0)
    assert again.ds.equals(made.ds)


def test_a_folder_with_anything_else_is_left_alone(
    detectors: list[Path], sets: dict[str, Manifest], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    with pytest.raises(OutputExists, match="holds other files"):
        compare(detectors, sets["a"], tmp_path / "out")
    with pytest.raises(InvalidArgument, match="threshold is 2"):
        compare(detectors, sets["a"], tmp_path / "new", threshold=2)
    with pytest.raises(InvalidArgument, match="alike"):
        compare(detectors, sets["a"], tmp_path / "new", alike=[("a", "elsewhere")])
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_data_sets_that_share_people_are_linked_only_if_that_is_said(
    detectors: list[Path], sets: dict[str, Manifest], tmp_path: Path
) -> None:
    copy = replace(sets["a"], table=sets["a"].table.assign(
        dataset="copy", sample="copy/" + sets["a"].table["sample"]))  # fmt: skip
    apart = compare(detectors[0], [sets["a"], copy], tmp_path / "apart")
    linked = compare(detectors[0], [sets["a"], copy], tmp_path / "alike", alike=[("a", "copy")])
    parts = [[set(found.predictions("tuned", name)["component"]) for name in ("a", "copy")]
             for found in (apart, linked)]  # fmt: skip
    assert not parts[0][0] & parts[0][1]
    assert parts[1][0] == parts[1][1]


def test_the_record_is_json_that_names_all_that_was_compared(found: Benchmark) -> None:
    record = json.loads((found.folder / "result" / "benchmark.json").read_text())
    assert [(d["name"], d["seed"]) for d in record["detectors"]] == [
        ("tuned", 0), ("tuned", 1), ("plain", None),
    ]  # fmt: skip
    data = record["datasets"][1]
    assert (data["name"], data["datasets"]) == ("b", ["b"])
    assert data["manifests"][0]["splits"] == ["final"]
    assert record["detectors"][0]["trained_on"] == ["ff"]
    assert set(record["versions"]) >= {"gendkit", "torch"}
