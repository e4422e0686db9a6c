"""The plugin once installed: what is listed, at what cost, and a run that uses it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import gendkit as gk
from gendkit.cli import gendkit
from gendkit.data.manifest import Manifest
from gendkit.errors import WrongBackbone
from gendkit.model.backbone import build_backbone
from gendkit.testing.small import small_crops

OURS = "gendkit-transformers"
README = Path(__file__).parents[1] / "README.md"


def test_gendkit_plugins_list_shows_the_family_with_where_it_comes_from() -> None:
    done = CliRunner().invoke(gendkit, ["plugins", "list", "--json"])
    assert done.exit_code == 0
    found = json.loads(done.output)
    (part,) = [p for p in found["parts"] if p["distribution"] == OURS]
    assert (part["kind"], part["name"]) == ("backbone", "transformers:ID")
    assert part["plugin"] == "transformers"
    assert part["version"] == metadata.version(OURS)
    assert not [b for b in found["broken"] if b["distribution"] == OURS]


def test_the_distribution_says_its_licence() -> None:
    assert metadata.metadata(OURS)["License-Expression"] == "MIT"


def test_nothing_is_said_while_a_model_is_loaded(
    saved: Callable[[str], Any], capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    backbone = saved("clip-with-text").backbone
    capfd.readouterr()
    build_backbone(backbone)
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_the_readme_s_names_are_those_that_the_family_has() -> None:
    from gendkit_transformers.members import KNOWN

    named = set(re.findall(r"`([a-z0-9_]+)`", README.read_text().split("## What")[1]))
    assert set(KNOWN) <= named


def crops_of(manifest: Manifest) -> list[Any]:
    paths = manifest.table["path"]
    return [np.asarray(Image.open(manifest.root / path)) for path in paths]


@pytest.mark.parametrize("name", ["clip", "siglip", "dinov3"])
def test_a_run_uses_it(name: str, saved: Callable[[str], Any], tmp_path: Path) -> None:
    for part in ("train", "validation"):
        (tmp_path / part).mkdir()
    train = small_crops(tmp_path / "train")
    validation = small_crops(tmp_path / "validation", identities=("eve", "fay"), seed=1)
    recipe = gk.Recipe(
        name="tiny",
        backbone=saved(name).backbone,
        losses={"cross-entropy": 1.0, "uniformity": 0.5, "alignment": 0.1},
        dtype="bfloat16",
        learning_rate=1e-2,
        batch_size=8,
        epochs=2,
        warmup_epochs=1,
        cycle_epochs=1,
        augmentation="none",
        selection={"data": "eve and fay", "metric": "auroc"},
    )
    run = gk.fit(
        recipe, train, validation, out=tmp_path / "run", device="cpu", progress=lambda *_: None
    )
    assert run.history["loss"].iloc[-1] < run.history["loss"].iloc[0]
    detector = gk.load(tmp_path / "run", device="cpu")  # by the name that the adapter keeps
    header = detector.adapter.header
    assert header.backbone == saved(name).backbone
    assert header.source == f"{OURS} {metadata.version(OURS)}"
    scores = detector.predict(crops_of(validation))
    assert 0 < scores.min() < scores.max() < 1
    with pytest.raises(WrongBackbone):
        gk.load(tmp_path / "run", backbone=build_backbone(recipe.backbone, pretrained=False))
