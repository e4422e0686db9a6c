"""The rules of gendkit's conformance kit, on a tiny model of each architecture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gendkit.testing import Given, plugin_checks

from .conftest import MODELS, WHOLE, filled


def given(name: str) -> dict[str, Callable[[Path], Given]]:
    """Save a tower, and where there is a whole model with that tower, that too."""

    def make(folder: Path) -> Given:
        tower = filled(MODELS[name]())
        tower.save_pretrained(folder / name)
        others = []
        for whole, (alone, attribute, build) in WHOLE.items():
            if alone == name:
                model = filled(build(), seed=1)
                getattr(model, attribute).load_state_dict(tower.state_dict())
                model.save_pretrained(folder / whole)
                others.append(f"transformers:{folder / whole}")
        return Given(key=str(folder / name), pretrained=True, same_weights=tuple(others))

    return {"transformers": make}


test_clip = plugin_checks("transformers", given=given("clip"))
test_siglip = plugin_checks("transformers", given=given("siglip"))
test_naflex = plugin_checks("transformers", given=given("naflex"))
test_dinov2 = plugin_checks("transformers", given=given("dinov2"))
test_registers = plugin_checks("transformers", given=given("registers"))
test_dinov3 = plugin_checks("transformers", given=given("dinov3"))
