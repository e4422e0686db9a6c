"""On what is compared: data sets are told apart by their column, and crops fit the detector."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gendkit.data.manifest import Manifest
from gendkit.errors import InvalidArgument, InvalidLabels, InvalidManifest
from gendkit.evaluate.benchmark.data_sets import crop_words, data_sets
from gendkit.testing.small import small_crops

CENTERFACE = {"extractor": "centerface", "threshold": 0.5, "scale": 1.3}
YUNET = {**CENTERFACE, "extractor": "yunet"}


@pytest.fixture
def crops(tmp_path: Path) -> Manifest:
    return small_crops(tmp_path, identities=("ann", "bob"), frames=2)


def cropped(manifest: Manifest, made: dict[str, Any]) -> Manifest:
    return replace(manifest, meta=made)


def test_a_manifest_is_taken_apart_by_its_column_unless_it_has_a_name(crops: Manifest) -> None:
    people = crops.table["target_identity"].to_numpy()
    both = replace(crops, table=crops.table.assign(dataset=np.where(people == "ann", "a", "b")))
    assert [(d.name, d.datasets) for d in data_sets(both)] == [("a", {"a"}), ("b", {"b"})]
    (whole,) = data_sets({"mine": both})
    assert whole.datasets == {"a", "b"}
    assert whole.parts[0].rows.all()
    assert data_sets(both)[0].parts[0].rows.tolist() == [True] * 4 + [False] * 4


def test_two_manifests_of_one_data_set_need_names(crops: Manifest) -> None:
    with pytest.raises(InvalidArgument, match="two manifests hold the data set 'small'"):
        data_sets([crops, crops])
    assert [d.name for d in data_sets({"one": crops, "two": crops})] == ["one", "two"]


def test_of_a_data_set_cropped_in_two_ways_a_detector_takes_its_own(crops: Manifest) -> None:
    (data,) = data_sets({"small": [cropped(crops, CENTERFACE), cropped(crops, YUNET)]})
    assert data.part_for(YUNET, "b") is data.parts[1]
    for wanted in ({**YUNET, "scale": 1.5}, {}):
        with pytest.raises(InvalidArgument, match=r"0 of the 2 manifests.* expected one"):
            data.part_for(wanted, "c")


def test_the_only_crops_are_taken_whatever_the_detector_was_trained_on(crops: Manifest) -> None:
    (data,) = data_sets(cropped(crops, CENTERFACE))
    assert data.part_for(YUNET, "b") is data.parts[0]


def test_degraded_crops_are_left_out_and_counted(crops: Manifest) -> None:
    degraded = np.where(crops.table["frame"] == 1, "jpeg:30", "")
    changed = replace(crops, table=crops.table.assign(degradation=degraded))
    (data,) = data_sets(changed)
    assert data.parts[0].of.degraded == 4
    assert len(data.parts[0].of.crops) == 4
    only = replace(crops, table=crops.table.assign(degradation="blur"))
    with pytest.raises(InvalidManifest, match="no face crop that is not degraded"):
        data_sets(only)


def test_crops_without_a_label_and_no_data_are_refused(crops: Manifest) -> None:
    with pytest.raises(InvalidLabels, match="has no label"):
        data_sets(replace(crops, table=crops.table.assign(label=-1)))
    with pytest.raises(InvalidArgument, match="no data"):
        data_sets([])
    with pytest.raises(InvalidArgument, match="int is no manifest"):
        data_sets(3)  # type: ignore[arg-type]


def test_how_crops_were_made_is_said_in_words() -> None:
    assert crop_words(CENTERFACE) == "centerface from 0.5, scale 1.3"
    assert crop_words({"extractor": "whole-frame"}) == "whole-frame"
    assert crop_words({"scale": 1.3}) == "not recorded"
