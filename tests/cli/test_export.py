"""`gendkit export`: both layouts, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gendkit as gk
from gendkit.progress import silent
from gendkit.testing.small import registered, small_backbone, small_crops
from gendkit.train.recipe import Recipe

Run = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """A run on the small backbone."""
    for name in ("t", "v"):
        (tmp_path / name).mkdir()
    recipe = Recipe(
        name="tiny", backbone="small", batch_size=8, epochs=1, warmup_epochs=0,
        augmentation="none", selection={"data": "none", "metric": "last"},
    )  # fmt: skip
    with registered(small_backbone()):
        gk.fit(
            recipe, small_crops(tmp_path / "t"),
            small_crops(tmp_path / "v", identities=("eve", "fay"), seed=1),
            out=tmp_path / "run", device="cpu", progress=silent,
        )  # fmt: skip
        yield tmp_path / "run"


def test_an_onnx_file_is_written_where_it_is_wanted(gendkit: Run, run: Path) -> None:
    out = run.parent / "new" / "a.onnx"
    said = gendkit("export", run, out, "--layout", "onnx")
    assert (said.code, said.out) == (0, f"written to {out}\n")
    again = gendkit("export", run, out, "--layout", "onnx")
    assert (again.code, len(again.complaints)) == (1, 1)
    assert "--overwrite" in again.complaints[0]
    assert gendkit("export", run, out, "--layout", "onnx", "--overwrite").code == 0


def test_what_cannot_be_exported_is_told_in_one_line(gendkit: Run, run: Path) -> None:
    unknown = gendkit("export", run, run.parent / "folder")
    assert (unknown.code, unknown.out, len(unknown.complaints)) == (1, "", 1)
    assert "knows no encoder such as" in unknown.complaints[0]
    assert not (run.parent / "folder").exists()
    missing = gendkit("export", run.parent / "nothing", run.parent / "b", "--layout", "onnx")
    assert (missing.code, len(missing.complaints)) == (1, 1)
    assert gendkit("export", run, run.parent / "b", "--layout", "tflite").code == 2


def test_an_output_that_exists_is_told_before_a_model_is_read(gendkit: Run, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_text("mine")
    said = gendkit("export", "nothing", tmp_path / "a.onnx", "--layout", "onnx")
    assert "a.onnx is already there" in said.complaints[0]
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.txt").write_text("four years")
    assert "thesis holds other files" in gendkit("export", "nothing", tmp_path / "thesis").err
