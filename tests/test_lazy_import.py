"""`import gendkit` costs next to nothing, and still has everything."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import gendkit

HEAVY = {"torch", "faiss", "numba", "xarray", "matplotlib", "pandas", "cv2", "sklearn", "umap"}
HEAVY |= {"pandera", "imagehash", "PIL"}


def test_import_gendkit_loads_nothing_heavy(record_property: Callable[[str, Any], None]):
    code = (
        "import sys, time; before = set(sys.modules); start = time.perf_counter(); import gendkit;"
        "seconds = time.perf_counter() - start;"
        "import json; print(json.dumps([seconds, sorted(set(sys.modules) - before)]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, modules = json.loads(done.stdout)
    record_property("import_gendkit_seconds", seconds)
    assert not HEAVY & set(modules)
    assert {m for m in modules if m.startswith("gendkit.")} == set()


@pytest.mark.parametrize("name", sorted(gendkit._PUBLIC))
def test_every_public_name_is_there(name: str):
    home = gendkit._PUBLIC[name]
    assert importlib.util.find_spec(home), f"{name} is to come from {home}, which does not exist"
    assert getattr(gendkit, name) is not None
    assert name in dir(gendkit)
    assert name in gendkit.__all__


def test_a_name_that_is_not_public_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        gendkit.nonsense  # noqa: B018
