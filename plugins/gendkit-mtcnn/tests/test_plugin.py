"""The plugin once installed: what is listed, at what cost, and crops that are made with it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gendkit as gk
from gendkit.errors import MissingAsset
from gendkit.plugin import plugins

OURS = "gendkit-mtcnn"


def test_the_extractor_is_listed_with_its_licence() -> None:
    (part,) = [p for p in plugins().parts if p.source.distribution == OURS]
    assert (part.kind, part.name) == ("face-extractor", "mtcnn")
    assert part.source.version == metadata.version(OURS)
    assert plugins().spec("face-extractor", "mtcnn").licence == "MIT"
    assert metadata.metadata(OURS)["License-Expression"] == "MIT"


def test_the_declared_threshold_is_the_built_ones(weights: list[Path]) -> None:
    spec = plugins().spec("face-extractor", "mtcnn")
    assert spec.build().threshold == spec.threshold == 0.7
    assert spec.build(threshold=0.9).threshold == 0.9


def test_crops_are_made_with_it_and_say_so(
    weights: list[Path], clip: list[np.ndarray], tmp_path: Path
) -> None:
    (tmp_path / "media").mkdir()
    for number, image in enumerate(clip[:2]):
        Image.fromarray(image).save(tmp_path / "media" / f"{number}.png")
    manifest = gk.extract(tmp_path / "media", tmp_path / "crops", extractor="mtcnn")
    assert (manifest.table["path"] != "").all()
    assert manifest.meta["extractor"] == "mtcnn"
    assert manifest.meta["extractor_source"].startswith(OURS)
    assert manifest.meta["threshold"] == 0.7


def test_without_weights_and_index_the_way_by_hand_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENDKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(MissingAsset, match=r"facenet-pytorch==2\.6\.0 cannot be fetched") as raised:
        plugins().spec("face-extractor", "mtcnn").build()
    for name in ("pnet", "rnet", "onet"):
        assert f"cp wheel/facenet_pytorch/data/{name}.pt" in str(raised.value)


def test_the_module_s_command_says_where_the_weights_are(weights: list[Path]) -> None:
    command = [sys.executable, "-m", "gendkit_mtcnn"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str(path) for path in weights]


@pytest.mark.parametrize(("required", "outcome"), [("", "1 skipped"), ("1", "1 error")])
def test_a_test_without_weights_is_skipped_unless_assets_are_required(
    tmp_path: Path, required: str, outcome: str
) -> None:
    test = Path(__file__).with_name("test_networks.py")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", str(test)]
    done = subprocess.run(
        [*command, "-k", "cached_weights"],
        env={**os.environ, "GENDKIT_CACHE": str(tmp_path), "GENDKIT_REQUIRE_ASSETS": required},
        cwd=test.parents[1],
        capture_output=True,
        text=True,
    )
    assert outcome in done.stdout, done.stdout
    assert "mtcnn-pnet is not in the cache" in done.stdout
