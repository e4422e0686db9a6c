"""CONTRIBUTING.md: its plugin works as it is printed, and its table of rooms is the real one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's files, and beside them a folder `site` with its wheel, installed."""
    folder = tmp_path_factory.mktemp("plugin")
    blocks = re.findall(r"^```(?:toml|python)\n# (\S+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in blocks] == [
        "pyproject.toml",
        "gendkit_focal.py",
        "test_gendkit_focal.py",
    ]
    for name, code in blocks:
        (folder / name).write_text(code)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder


def run(plugin: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=plugin,
        env={**os.environ, "PYTHONPATH": str(plugin / "site"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_plugin_is_listed_with_its_source(plugin: Path):
    code = "import sys; from gendkit.cli import main; sys.exit(main())"
    found = json.loads(run(plugin, "-c", code, "plugins", "list", "--json"))
    assert found["broken"] == []
    (part,) = [p for p in found["parts"] if p["name"] == "focal"]
    assert (part["kind"], part["distribution"], part["version"]) == (
        "loss",
        "gendkit-focal",
        "0.1.0",
    )


def test_the_plugins_own_test_passes(plugin: Path):
    said = run(plugin, "-m", "pytest", "-p", "no:cacheprovider", "test_gendkit_focal.py")
    assert "1 passed" in said


def test_the_table_of_rooms_is_complete_and_in_order():
    chain = re.search(r"^```\n(plugin → .*)\n```", TEXT, re.MULTILINE)
    assert chain is not None
    rooms = chain.group(1).split(" → ")
    assert re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)[: len(rooms)] == rooms
    assert {p.name for p in (ROOT / "gendkit").iterdir() if (p / "__init__.py").is_file()} == {
        *rooms,
        "testing",
    }


def test_every_file_that_is_named_exists():
    for name in re.findall(r"`((?:gendkit|\.ci)/[\w/.]+)`", TEXT):
        assert (ROOT / name).exists(), name


def test_the_hooks_are_all_described():
    from gendkit.plugin.parts import KINDS

    described = re.findall(r"^\| `(gendkit_\w+)` \|", TEXT, re.MULTILINE)
    assert described == [hook for hook, _ in KINDS.values()]
