from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import yaml

import gendkit as gk
from gendkit.errors import InvalidArgument, InvalidReport, MissingMedia, UnreadableMedia
from gendkit.evaluate.card_results import compared, read_result
from gendkit.evaluate.study.curves import robustness_study
from gendkit.evaluate.study.run import open_study, write_result
from gendkit.model.adapter import Adapter
from gendkit.model.hub import Measured
from gendkit.pages.card import card_page
from gendkit.progress import silent
from gendkit.testing.benchmark_result import drawn_benchmark
from gendkit.testing.small import registered, small_backbone, small_crops, small_detector

DATA = {
    "crops": 100, "real": 20, "fake": 80, "videos": 12, "identities": 7,
    "datasets": ["synthetic"], "families": ["gan", "swap"],
    "licences": {"": 3, "CC0-1.0": 97},
    "coverage": {"clips": 12, ">= 1": 10, ">= 8": 9, ">= 32": 0}, "digest": "d" * 64,
}  # fmt: skip


@pytest.fixture(autouse=True)
def small() -> Iterator[None]:
    with registered(small_backbone()):
        yield


@pytest.fixture
def adapter() -> Adapter:
    made = small_detector(small_backbone()).adapter
    header = replace(made.header, extraction={"extractor": "centerface", "threshold": 0.5})
    return replace(made, header=header)


def record_of(adapter: Adapter, **changes: Any) -> dict[str, Any]:
    return {
        "recipe": {"name": "tiny"}, "adapter": adapter.hash, "chosen_epoch": 1,
        "chosen_by": {"data": "three people", "metric": "auroc"},
        "batches": {"crops": 8, "an_epoch": 4, "pairs": 2.5},
        "data": {"train": DATA, "validation": {**DATA, "families": ["swap"], "identities": 3}},
        "history": [{"epoch": 0, "validation_auroc": 0.7}, {"epoch": 1, "validation_auroc": 0.8}],
        "versions": {"torch": "2.0"}, "device": "cpu", "ranks": 1, **changes,
    }  # fmt: skip


def saying(limits: tuple[str, ...], *words: str) -> list[str]:
    return [text for text in limits if all(word in text for word in words)]


def test_a_card_says_what_the_record_does(adapter: Adapter) -> None:
    card = gk.model_card(adapter, record=record_of(adapter))
    assert card.training["crops"] == "20 real and 80 fake, of 12 clips"
    assert card.training["manipulations"] == "gan, swap"
    assert card.training["data sets"].startswith("synthetic (drawn faces")
    assert card.selection["chosen by"] == "auroc on three people"
    assert card.selection["of that epoch"] == "auroc 0.800"
    assert card.licences["backbone small"] == "MIT"
    assert card.licences["training media"] == "not recorded (3 crops), CC0-1.0 (97 crops)"


def test_each_limit_follows_from_a_fact(adapter: Adapter) -> None:
    limits = gk.model_card(adapter, record=record_of(adapter)).limits
    assert saying(limits, "no probability", "80 % of its crops are fake", "no calibration")
    assert saying(limits, "7 people and 2 kinds of manipulation (gan, swap)")
    assert saying(limits, "All of its training faces are drawn")
    assert saying(limits, "2 of 12 training clips have no face crop")
    assert saying(limits, "licence of 3 of its training crops")
    assert saying(limits, "trained on (swap): the choice says nothing of others")
    assert saying(limits, "the best of 2")
    assert saying(limits, "No result was given")
    assert not saying(limits, "no record")


def test_what_is_not_so_is_not_said(adapter: Adapter) -> None:
    train = {
        **DATA, "datasets": ["faceforensics"], "licences": {"MIT": 100},
        "coverage": {"clips": 12, ">= 1": 12, ">= 8": 9, ">= 32": 0},
    }  # fmt: skip
    data = {"train": train, "validation": {**DATA, "families": ["diffusion"]}}
    record = record_of(adapter, data=data, chosen_by={"data": "three people", "metric": "last"})
    sure = Measured(data="kodf", metric="auroc", value=0.9, low=0.8, high=0.95)
    limits = gk.model_card(adapter, record=record, results=[sure]).limits
    for words in ("drawn", "no face crop", "licence", "No result", "best of", "interval"):
        assert not saying(limits, words), words
    assert not saying(limits, "choice")
    chosen = gk.model_card(adapter, record=record_of(adapter, data=data)).limits
    assert saying(chosen, "diffusion took part in the choice")


def test_of_an_older_record_no_licence_is_made_up(adapter: Adapter) -> None:
    older = {key: value for key, value in DATA.items() if key not in ("licences", "coverage")}
    card = gk.model_card(adapter, record=record_of(adapter, data={"train": older}))
    assert card.licences["training media"] == "not recorded"
    assert card.training["coverage"] == "not recorded"
    assert saying(card.limits, "licence of 100 of its training crops is not recorded")
    assert card.selection["data"] == "not recorded"


def test_without_a_record_that_is_the_first_limit(adapter: Adapter) -> None:
    bare = replace(adapter, header=replace(adapter.header, extraction={}))
    card = gk.model_card(bare)
    assert card.limits[0].startswith("There is no record of its run")
    assert saying(card.limits, "crops of its training were made is not recorded")
    assert not card.training
    assert not card.selection


def test_a_folder_is_read_with_its_record_and_one_of_another_adapter_is_refused(
    adapter: Adapter, tmp_path: Path
) -> None:
    run = tmp_path / "my-run"
    run.mkdir()
    adapter.write(run / "adapter.safetensors")
    (run / "run.json").write_text(json.dumps(record_of(adapter)))
    card = gk.model_card(run)
    assert card.name == "my-run"
    assert card.training
    assert gk.model_card(run / "adapter.safetensors").training == card.training
    (run / "run.json").write_text(json.dumps({**record_of(adapter), "adapter": "0" * 64}))
    with pytest.raises(InvalidReport, match="record is of adapter 000000000000, not of"):
        gk.model_card(run)


def test_the_markdown_is_the_hub_s_card_with_these_sections(adapter: Adapter) -> None:
    results = [Measured(data="kodf", metric="auroc", value=0.91, low=0.88, high=0.93)]
    record = record_of(adapter)
    record["data"]["train"] = {**DATA, "families": ["<b>|*bold*"]}
    card = gk.model_card(adapter, record=record, results=results, name="some/thing")
    text = card.markdown(licence="mit")
    front, body = text.removeprefix("---\n").split("---\n", 1)
    assert yaml.safe_load(front)["license"] == "mit"
    titles = [line[3:] for line in body.splitlines() if line.startswith("## ")]
    assert titles[:6] == [
        "Use", "Results", "Training data", "Selection", "Licences", "Known limits",
    ]  # fmt: skip
    assert "| kodf | auroc | 0.91 | 0.88–0.93 |" in body
    assert r"\<b\>\|\*bold\*" in body
    for limit in card.limits:
        assert limit.split()[-1].strip(".*()") in body


def test_the_page_has_all_of_it_and_escapes_what_others_named(adapter: Adapter) -> None:
    record = record_of(adapter)
    record["data"]["train"] = {**DATA, "families": ["<script>alert(1)</script>"]}
    results = [Measured(data="kodf", metric="auroc", value=0.91, low=0.88, high=0.93)]
    card = gk.model_card(adapter, record=record, results=results)
    text = card_page(card)
    assert "<script" not in text
    assert "0.880 to 0.930" in text
    for anchor in ("limits", "results", "training", "selection", "licences", "belongs", "recipe"):
        assert f'<section id="{anchor}">' in text
    assert adapter.hash in text
    assert "limit 1" in card._repr_html_()


def comparison(folder: Path, adapter: str) -> Path:
    """Write what `gendkit evaluate` does, of one detector with two seeds and another."""
    names, sets, methods = ["mine", "other"], ["kodf", "celeb"], ["all", "swap", "lips"]
    auroc = np.array([[[0.9, 0.95, 0.55], [0.8, 0.8, np.nan]]] * 2)
    fpr = np.array([[0.1, 0.3], [0.5, 0.5]])
    where = ("detector", "dataset")
    ds = xr.Dataset(
        {
            "auroc": ((*where, "method"), auroc), "auroc_low": ((*where, "method"), auroc - 0.1),
            "auroc_high": ((*where, "method"), auroc + 0.05),
            "fpr": (where, fpr), "fpr_low": (where, fpr / 2), "fpr_high": (where, fpr * 1.5),
            "clips": ((*where, "class"), np.full((2, 2, 2), 10)),
            "examined": ((*where, "class"), np.array([[[10, 10], [9, 8]]] * 2)),
            "trained_on": (where, np.array([["no", "yes"]] * 2, object)),
            "selected_on": (where, np.array([["not recorded", "no"]] * 2, object)),
        },
        coords={
            "detector": np.array(names, object), "dataset": np.array(sets, object),
            "method": np.array(methods, object), "class": np.array(["real", "fake"], object),
        },
        attrs={"threshold": 0.5},
    )  # fmt: skip
    (folder / "result").mkdir(parents=True)
    ds.to_zarr(folder / "result" / "result.zarr", zarr_format=3, consolidated=False)
    hashes = (("mine", adapter), ("mine", "1" * 64), ("other", "2" * 64))
    detectors = [{"name": name, "hash": digest} for name, digest in hashes]
    record = {"detectors": detectors, "notes": []}
    (folder / "result" / "benchmark.json").write_text(json.dumps(record))
    return folder


def test_the_results_of_a_comparison_come_with_intervals_and_limits(
    adapter: Adapter, tmp_path: Path
) -> None:
    folder = comparison(tmp_path / "benchmark", adapter.hash)
    card = gk.model_card(adapter, record=record_of(adapter), results=[folder])
    first = card.results[0]
    assert (first.data, first.metric) == ("kodf, mean of 2 seeds", "auroc")
    assert (first.value, first.low, first.high) == pytest.approx((0.9, 0.8, 0.95))
    assert [r.metric for r in card.results] == ["auroc", "fpr above 0.5"] * 2
    assert saying(card.limits, "celeb took part in the training: its numbers are no test")
    assert saying(card.limits, "Whether kodf took part in training or selection is not recorded")
    assert saying(card.limits, "On kodf", "lips (0.550, from 0.450)")
    assert not saying(card.limits, "swap (0.950")
    assert saying(card.limits, "3 of 20 clips of celeb had no face")
    assert saying(card.limits, "Above 0.5, 30.0 % (15.0 to 45.0 %) of the real clips of celeb")
    assert not saying(card.limits, "No result was given")


def test_the_comparison_that_is_read_is_the_one_that_is_made() -> None:
    drawn = drawn_benchmark(people=16, resamples=4)
    found = compared(drawn.ds.sel(detector="gend-clip"), seeds=3)
    assert [m.metric for m in found.measured[:4]] == [
        "auroc", "balanced_accuracy above 0.5", "fpr above 0.5", "tpr above 0.5",
    ]  # fmt: skip
    assert len(found.measured) == 12
    assert all(m.low <= m.value <= m.high for m in found.measured if m.low and m.high)
    assert saying(found.limits, "celeb-df-pp took part in the selection")


def test_the_results_of_a_study_of_robustness_name_the_worst(
    adapter: Adapter, tmp_path: Path
) -> None:
    levels = [
        {"chain": "", "auroc": 0.9, "fpr": 0.05, "tpr": 0.6},
        {"chain": "jpeg:20", "auroc": 0.85, "fpr": 0.02, "tpr": 0.5},
        {"chain": "blur:19:3", "auroc": None, "fpr": 0.4, "tpr": 0.9},
    ]
    record = {"adapter": adapter.hash, "clips": 40, "threshold": 0.7, "levels": levels}
    (tmp_path / "robustness.json").write_text(json.dumps(record))
    card = gk.model_card(adapter, results=[tmp_path])
    assert saying(card.limits, "After blur:19:3 40.0 % of reals are called fake, 5.0 % before")
    assert saying(card.limits, "After jpeg:20 the AUROC is 0.850, 0.900 before")
    assert saying(card.limits, "Without an interval are results on 40 clips as they are")
    record["manifest"] = "/home/me/crops:final"
    (tmp_path / "robustness.json").write_text(json.dumps(record))
    card = gk.model_card(adapter, results=[tmp_path])
    assert card.results[0].data == "40 clips of crops:final as they are"
    assert saying(card.limits, "Whether 40 clips of crops:final took part in training or selection")


def test_the_intervals_of_a_study_of_robustness_are_on_the_card(tmp_path: Path) -> None:
    detector = small_detector(small_backbone())
    crops = small_crops(tmp_path, frames=1)
    found = gk.robustness(crops, detector, grids={"own": ["jpeg:30"]}, progress=silent)
    folder = tmp_path / "robust"
    folder.mkdir()
    write_result(robustness_study({"mine": found}), folder / "result.zarr")
    level = {"chain": "", **{name: float(found[name][0]) for name in ("auroc", "fpr", "tpr")}}
    record = {"adapter": detector.adapter.hash, "clips": 8, "threshold": 0.7, "levels": [level]}
    (folder / "robustness.json").write_text(json.dumps(record))
    card = gk.model_card(detector.adapter, results=[folder])
    ends = {result.metric: (result.low, result.high) for result in card.results}
    low, high = open_study(folder)["auroc"].to_numpy()[0, 0, 1:]
    assert ends["auroc"] == (low, high)
    assert low < high


def test_a_result_of_another_adapter_or_none_is_refused(adapter: Adapter, tmp_path: Path) -> None:
    folder = comparison(tmp_path / "benchmark", "3" * 64)
    with pytest.raises(InvalidArgument, match=r"compares mine \(333333333333\)"):
        read_result(folder, adapter=adapter.hash)
    with pytest.raises(MissingMedia, match="no result at"):
        read_result(tmp_path, adapter=adapter.hash)
    (tmp_path / "robustness.json").write_text('{"adapter": "0"}')
    with pytest.raises(InvalidArgument, match="is of adapter 0, not of"):
        read_result(tmp_path, adapter=adapter.hash)
    (tmp_path / "robustness.json").write_text("{")
    with pytest.raises(UnreadableMedia, match="holds a damaged result"):
        read_result(tmp_path, adapter=adapter.hash)


def test_of_clips_that_nobody_counted_no_number_is_said(adapter: Adapter, tmp_path: Path) -> None:
    folder = comparison(tmp_path / "benchmark", adapter.hash)
    place = folder / "result" / "result.zarr"
    ds = xr.open_zarr(place, consolidated=False).load()
    ds["clips"] = ds["clips"].astype(float).where(ds["dataset"] != "celeb")
    ds.drop_encoding().to_zarr(place, mode="w", zarr_format=3, consolidated=False)
    card = gk.model_card(adapter, record=record_of(adapter), results=[folder])
    assert saying(card.limits, "In how many clips of celeb no face was found is not recorded")
    assert not saying(card.limits, "had no face")


def test_methods_that_do_worst_are_named_though_they_have_no_interval(
    adapter: Adapter, tmp_path: Path
) -> None:
    folder = comparison(tmp_path / "benchmark", adapter.hash)
    place = folder / "result" / "result.zarr"
    ds = xr.open_zarr(place, consolidated=False).load()
    ds["auroc"].loc[{"dataset": "celeb", "method": "swap"}] = 0.3
    ds["auroc_low"].loc[{"dataset": "celeb", "method": "swap"}] = np.nan
    ds.drop_encoding().to_zarr(place, mode="w", zarr_format=3, consolidated=False)
    limits = gk.model_card(adapter, record=record_of(adapter), results=[folder]).limits
    assert saying(limits, "On celeb, mean of 2 seeds", "swap (0.300, no interval)")
    assert saying(limits, "30.0 % (15.0 to 45.0 %) of the real clips", "mean of 2 seeds")
