"""The structure: data flows from room to room, and a module can be read in one go.

The rules are read off the source, so that an import inside a function counts like any other.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import gendkit

PACKAGE = Path(gendkit.__file__).parent
ROOMS = (
    *("plugin", "data", "model", "measure", "train", "manifold", "evaluate", "pages"),
    *("notebook", "builtin", "cli"),
)
FLOOR = ("device", "errors", "markup", "optional", "output", "processes", "progress")
FREE = ("testing",)  # may use anything
START = "__main__"  # the command line, as `python -m gendkit`
LINES = 450
BY_NAME = {"plugin/parts.py": {"gendkit.builtin"}}  # what a module may load by its name
TEMPLATE = PACKAGE / "plugin" / "template"  # what a plugin's author starts from; no part of ours
MODULES = sorted(
    p.relative_to(PACKAGE) for p in PACKAGE.rglob("*.py") if not p.is_relative_to(TEMPLATE)
)


def room(module: str) -> str:
    """Return the room of a dotted module name; "" is the package itself."""
    parts = module.split(".")
    if parts[1:] == [START]:
        return "cli"
    return parts[1] if len(parts) > 1 else ""


def own_name(path: Path) -> str:
    parts = ["gendkit", *path.with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, source: str) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of every gendkit module that a module's source asks for."""
    name = own_name(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (
                (node.lineno, a.name) for a in node.names if a.name.split(".")[0] == "gendkit"
            )
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*up, *filter(None, [node.module])])
            if base == "gendkit":
                yield from ((node.lineno, _home(alias.name)) for alias in node.names)
            elif base.startswith("gendkit."):
                yield node.lineno, base
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and re.fullmatch(r"gendkit(\.\w+)+(:\w+)?", node.value)
            and (PACKAGE / node.value.split(".")[1].partition(":")[0]).exists()
        ):
            yield node.lineno, node.value.partition(":")[0]


def _home(name: str) -> str:
    """Return the module that `from gendkit import name` reaches."""
    if name == "__version__":
        return "gendkit.errors"  # as harmless as the floor
    home = gendkit._PUBLIC.get(name, f"gendkit.{name}")
    return f"gendkit.{name}" if home == "gendkit" else home


def violations(path: Path, source: str) -> list[str]:
    """Say which imports of a module go against the flow of the data."""
    own, found = room(own_name(path)), []
    if own in FREE or own == "":
        return []
    for line, name in imported(path, source):
        target, where = room(name), f"gendkit/{path.as_posix()}:{line}"
        if name in BY_NAME.get(path.as_posix(), ()) or target in FLOOR:
            continue
        if own == "cli" and target in FREE:
            continue  # `gendkit plugins check` runs the conformance kit
        if target == "" and own != "cli":
            found.append(f"{where}: imports gendkit as a whole, which may load any room")
        elif target in FREE or (own in FLOOR and target):
            found.append(f"{where}: {own} must not import {name}")
        elif target and ROOMS.index(target) > ROOMS.index(own):
            found.append(f"{where}: {own} comes before {target}, and must not import {name}")
    return found


def test_every_room_is_in_the_order():
    there = {p.parts[0] for p in MODULES if len(p.parts) > 1}
    assert there == {*ROOMS, *FREE}
    assert {p.stem for p in MODULES if len(p.parts) == 1} == {"__init__", START, *FLOOR}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_imports_only_from_rooms_before_its_own(path: Path):
    assert violations(path, (PACKAGE / path).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("data/x.py", "from gendkit.model.head import Head"),
        ("data/x.py", "def f():\n    import gendkit.train.engine"),
        ("data/x.py", "from ..model import head"),
        ("data/x.py", "from gendkit import fit"),
        ("data/x.py", "from gendkit import model"),
        ("data/x.py", "import gendkit"),
        ("data/x.py", "import_module('gendkit.builtin')"),
        ("data/forge/x.py", "from ...pages import page"),
        ("data/x.py", "from gendkit.testing import data"),
        ("plugin/x.py", "import_module('gendkit.builtin')"),
        ("optional.py", "from gendkit.data import media"),
    ],
)
def test_an_import_against_the_flow_is_seen(path: str, source: str):
    assert len(violations(Path(path), source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("data/x.py", "from gendkit.plugin.protocols import Clip"),
        ("data/x.py", "from gendkit import __version__, errors"),
        (
            "data/x.py",
            "from gendkit.errors import GendkitError; from gendkit.optional import require",
        ),
        ("data/x.py", "from .media import read_image; import torch"),
        ("plugin/parts.py", "import_module('gendkit.builtin')"),
        ("optional.py", "from gendkit.errors import MissingDependency"),
        ("cli/x.py", "import gendkit; from gendkit.pages import page"),
        ("cli/x.py", "from gendkit.testing.conformance import checks_of"),
    ],
)
def test_an_import_with_the_flow_is_allowed(path: str, source: str):
    assert violations(Path(path), source) == []


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_says_what_it_is_and_is_read_in_one_go(path: Path):
    source = (PACKAGE / path).read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(source)), "it has no docstring"
    assert len(source.splitlines()) <= LINES


@pytest.mark.parametrize("path", [p for p in MODULES if p.parts[0] != "cli"], ids=str)
def test_the_library_does_not_print(path: Path):
    tree = ast.parse((PACKAGE / path).read_text(encoding="utf-8"))
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call)]
    prints = [c.lineno for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"]
    assert prints == []
