"""Listing plugins imports nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys

from gendkit.plugin.manager import KINDS

HEAVY = {"torch", "xarray", "pandas", "cv2", "onnx", "timm", "faiss", "numba", "matplotlib"}


def test_listing_the_parts_imports_neither_torch_nor_xarray_nor_anything_heavy():
    code = (
        "import json, sys; from gendkit.plugin import plugins; found = plugins().parts;"
        "print(json.dumps([[p.kind for p in found], sorted(sys.modules)]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    kinds, modules = json.loads(done.stdout)
    assert set(kinds) == set(KINDS)
    assert not HEAVY & set(modules)


def test_every_hook_is_documented_and_takes_no_argument():
    import inspect

    from gendkit.plugin import hooks

    declared = {
        name: hook for name, hook in vars(hooks).items() if name.startswith(f"{hooks.PROJECT}_")
    }
    assert sorted(declared) == sorted(hook for hook, _ in KINDS.values())
    for hook in declared.values():
        assert hook.__doc__
        assert not inspect.signature(hook).parameters
