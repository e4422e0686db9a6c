"""The plugin once installed: what is listed, where the weights may be, and crops made with it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gendkit as gk
from gendkit.errors import MissingAsset
from gendkit.plugin import plugins
from gendkit_insightface.weights import WEIGHTS

OURS = "gendkit-insightface"
NAME = "scrfd-10g"


@pytest.fixture(autouse=True)
def nobody_s_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the weights that the computer may have."""
    monkeypatch.setenv("GENDKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(WEIGHTS.variable, raising=False)


def test_the_extractor_is_listed_with_the_licence_of_the_weights() -> None:
    (part,) = [p for p in plugins().parts if p.source.distribution == OURS]
    assert (part.kind, part.name) == ("face-extractor", NAME)
    assert part.source.version == metadata.version(OURS)
    assert metadata.metadata(OURS)["License-Expression"] == "MIT"
    spec = plugins().spec("face-extractor", NAME)
    assert spec.licence.startswith("non-commercial research only")
    assert spec.thread_safe


def test_the_licence_is_shown_where_plugins_are_listed() -> None:
    command = [sys.executable, "-m", "gendkit", "plugins", "list", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    shown = json.loads(done.stdout)
    parts = shown["parts"] if isinstance(shown, dict) else shown
    (row,) = [row for row in parts if row["name"] == NAME]
    assert row["licence"] == plugins().spec("face-extractor", NAME).licence


def test_listing_it_imports_no_onnxruntime() -> None:
    code = (
        "import sys; from gendkit.plugin import plugins; plugins().spec('face-extractor', "
        f"{NAME!r}); sys.exit('onnxruntime' in sys.modules or 'cv2' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_declared_threshold_is_the_built_ones(spots: Callable[..., Path]) -> None:
    spec = plugins().spec("face-extractor", NAME)
    assert spec.build(weights=spots()).threshold == spec.threshold == 0.5
    assert spec.build(weights=str(spots()), threshold=0.9).threshold == 0.9


def test_without_weights_it_says_which_file_from_where_and_under_which_licence() -> None:
    with pytest.raises(MissingAsset) as raised:
        plugins().spec("face-extractor", NAME).build()
    text = str(raised.value)
    for part in (
        "det_10g.onnx", "insightface/releases/download/v0.7/buffalo_l.zip", "non-commercial",
        str(WEIGHTS.place), WEIGHTS.variable, "weights=PATH",
    ):  # fmt: skip
        assert part in text
    assert "\n" not in text


def test_crops_are_made_with_it_by_name_and_say_so(
    spots: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WEIGHTS.variable, str(spots()))
    (tmp_path / "media").mkdir()
    for number in range(2):
        image = np.zeros((480, 640, 3), np.uint8)
        image[160:168, 80 + 80 * number : 88 + 80 * number, 0] = 255
        Image.fromarray(image).save(tmp_path / "media" / f"{number}.png")
    manifest = gk.extract(tmp_path / "media", tmp_path / "crops", extractor=NAME)
    assert (manifest.table["path"] != "").all()
    assert len(manifest.table) == 2
    assert manifest.meta["extractor"] == NAME
    assert manifest.meta["extractor_source"].startswith(OURS)
    assert manifest.meta["threshold"] == 0.5
