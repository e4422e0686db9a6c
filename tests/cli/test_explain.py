"""`gendkit explain`: a picture alone, or a folder with the maps too."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from PIL import Image

from gendkit.plugin import plugins
from gendkit.testing.small import SIDE, small_backbone, small_detector

Run = Callable[..., Any]


@pytest.fixture
def attentive(toys: None, tmp_path: Path) -> Path:
    """An adapter of a small transformer whose crops are those of the extractor `bright`."""
    spec = small_backbone()
    plugins().register([spec], name="attentive")
    made = small_detector(spec).adapter
    header = replace(made.header, extraction={"extractor": "bright", "threshold": 0.5})
    return replace(made, header=header).write(tmp_path / "a.safetensors")


def test_a_folder_gets_the_picture_the_maps_and_what_was_found(
    gendkit: Run, attentive: Path, videos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "explained"
    given = ("explain", videos / "bright.mp4", "--adapter", attentive, "--out", out)
    said = gendkit(*given, "--frames", 3, "--window", 16)
    assert said.code == 0, said.err
    assert said.out.splitlines()[-1] == f"rollout, gradient, occlusion of 3 faces in {out}"
    with Image.open(out / "explanations.png") as picture:
        assert picture.width > 1000
    result = json.loads((out / "explanations.json").read_text())
    assert result["media"] == "bright.mp4"
    assert (result["window"], result["stride"]) == (16, 8)
    ds = xr.open_zarr(out / "result.zarr", consolidated=False)
    assert ds["heat"].shape == (3, 3, SIDE, SIDE)
    assert ds["frame"].to_numpy().tolist() == [face["frame"] for face in result["faces"]]
    assert ds["score"].to_numpy().tolist() == [face["score"] for face in result["faces"]]
    assert gendkit(*given).code == 1
    said = gendkit(*given, "--overwrite", "--json", "--method", "rollout", "--frames", 1)
    assert said.code == 0, said.err
    assert json.loads(said.out) == json.loads((out / "explanations.json").read_text())
    assert json.loads(said.out)["methods"] == ["rollout"]


def test_a_name_of_a_png_gets_the_picture_alone(
    gendkit: Run, attentive: Path, picture: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "explained.png"
    given = ("explain", picture, "--adapter", attentive, "--out", out, "--method", "gradient")
    said = gendkit(*given)
    assert said.code == 0, said.err
    with Image.open(out) as drawn:
        assert drawn.width > 600
    said = gendkit(*given)
    assert said.code == 1
    assert "already there" in said.err


def test_without_a_face_there_is_nothing_to_explain(
    gendkit: Run, attentive: Path, videos: Path, tmp_path: Path
) -> None:
    said = gendkit(
        "explain", videos / "dark.mp4", "--adapter", attentive, "--out", tmp_path / "dark"
    )
    assert said.code == 1
    assert "no face was found" in said.complaints[0]
    assert not (tmp_path / "dark").exists()


def test_an_encoder_without_attention_is_told_of_in_one_line(
    gendkit: Run, adapter: Path, picture: Path, tmp_path: Path
) -> None:
    given = ("explain", picture, "--adapter", adapter, "--out", tmp_path / "out")
    said = gendkit(*given)
    assert said.code == 1
    assert said.complaints[0].startswith("gendkit: error: Sequential has no attention")
    assert gendkit(*given, "--method", "occlusion").code == 0
