"""`gendkit drift` and `layers`: a store, tables, and one line for what is wrong."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gendkit.data.manifest import Manifest

Run = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("toys")


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of four people with a real and a fake crop each."""
    from PIL import Image

    root, rows = tmp_path_factory.mktemp("crops"), []
    for person in range(4):
        for label in (0, 1):
            rng, name = np.random.default_rng([person, label]), f"{person}-{label}"
            Image.fromarray(rng.integers(0, 255, (30, 30, 3), dtype=np.uint8)).save(
                root / f"{name}.png"
            )
            rows.append(
                {
                    "sample": name, "path": f"{name}.png", "dataset": "toy", "label": label,
                    "family": "swap" * label, "video": name, "target_identity": str(person),
                    "split": ("development", "final")[person % 2],
                }
            )  # fmt: skip
    Manifest.from_rows(rows, root).write()
    return root


def drift(gendkit: Run, crops: object, out: Path, adapter: Path, *more: object) -> Any:
    return gendkit("drift", crops, out, "--adapter", adapter, "--resamples", 5, *more)


def test_drift_writes_a_store_and_shows_levels(
    gendkit: Run, crops: Path, adapter: Path, tmp_path: Path
) -> None:
    from gendkit import open_embeddings

    out = tmp_path / "drift.zarr"
    said = drift(gendkit, f"{crops}:final", out, adapter, "--level", 30, "--level", 90)
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert [line.split()[:3] for line in lines[:3]] == [
        ["crops", "of", "jpeg"], ["all", "as", "is"], ["all", "90", "4"],
    ]  # fmt: skip
    assert [line[:7] for line in lines[4:7]] == ["label 0"] * 3
    assert lines[-1] == f"4 paths in {out}"
    ds = open_embeddings(out)
    assert ds["drift_angle"].shape == (4, 3)
    again = drift(gendkit, crops, out, adapter)
    assert again.code == 1
    assert "already holds" in again.err
    said = drift(gendkit, crops, out, adapter, "--change", "size", "--level", 12, "--overwrite",
                 "--json", "--by", "family")  # fmt: skip
    assert said.code == 0, said.err
    rows = json.loads(said.out)
    assert {row["value"] for row in rows if row["variable"] == "family"} == {"", "swap"}
    assert [row["level"] for row in rows[:2]] == [None, 12]
    assert rows[1]["angle_low"] <= rows[1]["angle"] <= rows[1]["angle_high"]


def test_layers_as_a_table_json_and_csv(gendkit: Run, crops: Path, adapter: Path) -> None:
    said = gendkit("layers", crops, "--adapter", adapter, "--resamples", 5)
    assert said.code == 0, said.err
    assert said.out.splitlines()[0].split()[:2] == ["layer", "norm"]
    assert len(said.out.splitlines()) == 3
    said = gendkit("layers", crops, "--adapter", adapter, "--resamples", 5, "--json")
    (row,) = json.loads(said.out)
    assert row["layer"] == "3"
    assert row["bias"] is None  # that of the base is 0
    said = gendkit("layers", crops, "--adapter", adapter, "--resamples", 5, "--csv")
    (same,) = csv.DictReader(io.StringIO(said.out))
    assert float(same["shift"]) == row["shift"]
    assert list(same) == list(row)


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (("--level", 0), 1, "whole numbers from 1 to 100, got 0"),
        (("--level", 90, "--level", 90), 1, "given twice"),
        (("--change", "sepia"), 2, "'sepia' is not one of"),
        (("--by", "mood"), 2, "--by mood: no such column; there is sample, path"),
        (("--by", "box"), 2, "--by box: no such column"),
    ],
)
def test_nonsense_is_told_in_one_line_and_nothing_is_written(
    gendkit: Run, crops: Path, adapter: Path, tmp_path: Path,
    more: tuple[object, ...], code: int, words: str,
) -> None:  # fmt: skip
    said = drift(gendkit, crops, tmp_path / "out.zarr", adapter, *more)
    assert (said.code, said.out) == (code, "")
    assert said.complaints == said.err.splitlines()
    assert words in said.err
    assert not (tmp_path / "out.zarr").exists()


def test_missing_crops_and_two_formats_are_refused(
    gendkit: Run, crops: Path, adapter: Path, tmp_path: Path
) -> None:
    assert "no manifest at" in drift(gendkit, tmp_path, tmp_path / "o.zarr", adapter).err
    said = gendkit("layers", f"{crops}:train", "--adapter", adapter)
    assert "no row of split 'train'" in said.err
    said = gendkit("layers", crops, "--adapter", adapter, "--json", "--csv")
    assert (said.code, "--json or --csv, not both" in said.err) == (2, True)
