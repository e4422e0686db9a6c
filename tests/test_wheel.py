"""The wheel: it holds the whole package, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "gendkit"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built with the installed hatchling."""
    pytest.importorskip("hatchling", reason="the extra 'test' brings hatchling")
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = out.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_has_every_file_of_the_package_and_no_other(wheel: zipfile.ZipFile):
    names = {n for n in wheel.namelist() if ".dist-info/" not in n}
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    assert names == expected
    assert {"gendkit/py.typed", "gendkit/data/splits.json", "gendkit/pages/page.css"} <= names


def test_no_file_of_the_wheel_is_large_enough_to_hold_weights(wheel: zipfile.ZipFile):
    assert max(info.file_size for info in wheel.infolist()) < 200_000


def test_the_wheel_declares_the_command_the_extras_and_the_licence(wheel: zipfile.ZipFile):
    def read(suffix: str) -> str:
        (name,) = [n for n in wheel.namelist() if n.endswith(suffix)]
        return wheel.read(name).decode()

    assert "gendkit = gendkit.cli:main" in read("dist-info/entry_points.txt")
    metadata = read("dist-info/METADATA")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra in project["optional-dependencies"]:
        assert f"Provides-Extra: {extra}" in metadata
    import gendkit

    assert f"Version: {gendkit.__version__}\n" in metadata
    assert "Permission is hereby granted" in read("dist-info/licenses/LICENSE")
