"""The table against the history of a run that was really trained."""

from __future__ import annotations

import csv
from pathlib import Path

import gendkit as gk
import pytest
from gendkit.testing.small import registered, small_backbone, small_crops
from gendkit.train.recipe import Recipe

RECIPE = Recipe.of(
    "gend-clip",
    backbone="small",
    losses={"cross-entropy": 1.0},
    dtype="float32",
    batch_size=8,
    epochs=2,
    augmentation="none",
)


def test_the_table_has_a_line_an_epoch_with_the_numbers_of_the_history(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "val").mkdir()
    train = small_crops(tmp_path / "train", identities=("ann", "bob"))
    val = small_crops(tmp_path / "val", identities=("eve", "fay"), seed=1)
    with registered(small_backbone()):
        run = gk.fit(
            RECIPE,
            train,
            val,
            out=tmp_path / "run",
            device="cpu",
            trackers=["my-part"],
        )
    table = tmp_path / "run-my-part.csv"
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [0, 1]
    for name in run.history.columns:
        assert [float(row[name]) for row in rows] == pytest.approx(run.history[name].tolist())
