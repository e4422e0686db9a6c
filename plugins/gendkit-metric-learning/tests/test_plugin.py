"""The plugin once installed: what is listed, at what cost, and a run that uses it."""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

import gendkit as gk
from gendkit.cli import gendkit
from gendkit.errors import InvalidOption
from gendkit.plugin import plugins
from gendkit.testing.small import registered, small_backbone, small_crops
from gendkit.train.losses import build_losses

OURS = "gendkit-metric-learning"
README = Path(__file__).parents[1] / "README.md"


def test_gendkit_plugins_list_shows_every_loss_with_where_it_comes_from() -> None:
    done = CliRunner().invoke(gendkit, ["plugins", "list", "--json"])
    assert done.exit_code == 0
    found = json.loads(done.output)
    ours = {p["name"]: p for p in found["parts"] if p["distribution"] == OURS}
    assert {"supcon", "arcface", "triplet"} <= set(ours)
    for part in ours.values():
        assert part["kind"] == "loss"
        assert part["plugin"] == "metric-learning"
        assert part["version"] == metadata.version(OURS)
        assert part["reference"]
    assert not [b for b in found["broken"] if b["distribution"] == OURS]


def test_the_distribution_says_its_licence() -> None:
    assert metadata.metadata(OURS)["License-Expression"] == "MIT"


def test_the_readme_s_recipe_is_one_and_its_losses_exist(tmp_path: Path) -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```", README.read_text(), flags=re.M | re.S)
    (tmp_path / "example.yaml").write_text(text)
    recipe = gk.Recipe.of(tmp_path / "example.yaml")
    assert recipe.model_dump()["losses"] == yaml.safe_load(text)["losses"]
    build_losses(recipe.losses, dim=8)
    for name in recipe.losses:
        plugins().spec("loss", name)


def test_an_option_that_a_loss_does_not_have_is_told_with_those_it_has() -> None:
    recipe = gk.Recipe.of("gend-clip", losses={"supcon": {"weight": 1.0, "temprature": 0.2}})
    with pytest.raises(InvalidOption, match="no option 'temprature'; it has temperature"):
        build_losses(recipe.losses, dim=8)


def test_the_readme_names_every_loss() -> None:
    named = set(re.findall(r"^\| `([a-z-]+)` \|", README.read_text(), flags=re.M))
    assert named == {p.name for p in plugins().parts if p.source.distribution == OURS}


def test_a_run_uses_it(tmp_path: Path) -> None:
    for name in ("train", "validation"):
        (tmp_path / name).mkdir()
    train = small_crops(tmp_path / "train")
    validation = small_crops(tmp_path / "validation", identities=("eve", "fay"), seed=1)
    recipe = gk.Recipe(
        name="tiny",
        backbone="small",
        losses={
            "cross-entropy": 1.0,
            "supcon": {"weight": 0.1, "temperature": 0.2},
            "paired-triplet": 0.1,
            "arcface": 0.01,
            "cosface": {"weight": 0.01, "weights": "learned"},
        },
        dtype="float32",
        learning_rate=1e-2,
        batch_size=8,
        batches="paired",
        epochs=2,
        warmup_epochs=1,
        cycle_epochs=1,
        augmentation="none",
        selection={"data": "eve and fay", "metric": "auroc"},
    )
    with registered(small_backbone()):
        run = gk.fit(recipe, train, validation, device="cpu", progress=lambda *_: None)
    for epoch in run.history.to_dict("records"):
        terms = {name: epoch[name] for name in recipe.losses}
        assert all(value > 0 for value in terms.values())
        weighted = sum(recipe.losses[name].weight * value for name, value in terms.items())
        assert abs(weighted - epoch["loss"]) < 1e-4
