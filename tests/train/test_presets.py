"""What a preset names is there: its backbone and losses are parts of gendkit itself."""

from __future__ import annotations

import pytest

from gendkit.errors import UnknownPart
from gendkit.plugin.manager import Plugins
from gendkit.train.presets import PRESETS
from gendkit.train.recipe import Recipe


def missing(recipe: Recipe, found: Plugins) -> list[str]:
    """Return what a recipe names and no plugin gives."""
    named = [("backbone", recipe.backbone), *(("loss", name) for name in recipe.losses)]
    absent = []
    for kind, name in named:
        try:
            found.part(kind, name)  # type: ignore[arg-type]
        except UnknownPart:
            absent.append(f"{kind} {name}")
    return absent


@pytest.fixture(scope="module")
def builtin() -> Plugins:
    """The parts of gendkit alone, whatever else is installed."""
    return Plugins(discover=False)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_needs_no_plugin(name: str, builtin: Plugins) -> None:
    assert missing(Recipe.of(name), builtin) == []


def test_a_part_that_is_not_there_would_be_found(builtin: Plugins) -> None:
    changed = Recipe.of(
        "gend-clip", backbone="clip-vitl15", losses={"cross-entropy": 1.0, "uniformly": 0.5}
    )
    assert missing(changed, builtin) == ["backbone clip-vitl15", "loss uniformly"]
