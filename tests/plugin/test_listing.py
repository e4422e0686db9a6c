"""Listing plugins imports nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys

from gendkit.plugin.manager import TOLD
from gendkit.plugin.parts import KINDS

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


def test_every_hook_is_documented_and_those_that_give_take_no_argument():
    import inspect

    from gendkit.plugin import hooks

    declared = {
        name: hook for name, hook in vars(hooks).items() if name.startswith(f"{hooks.PROJECT}_")
    }
    giving = {hook for hook, _ in KINDS.values()}
    assert set(declared) == giving | set(TOLD)
    for name, hook in declared.items():
        assert hook.__doc__
        arguments = list(inspect.signature(hook).parameters)
        assert arguments == [] if name in giving else arguments[0] == "run"


def test_those_who_are_told_of_runs_are_listed(capsys):
    from gendkit.cli import main

    assert main(["plugins", "list", "--json"]) == 0
    (builtin, *_) = json.loads(capsys.readouterr().out)["listeners"]
    assert builtin["plugin"] == "gendkit.builtin"
    assert builtin["always"]
    assert builtin["hears"] == list(TOLD)
    assert main(["plugins", "list"]) == 0
    assert "told of every run" in capsys.readouterr().out
