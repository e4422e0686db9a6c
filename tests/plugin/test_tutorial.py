"""plugins/write-a-backbone-plugin.md: its files and commands, run as they are printed.

In a virtual environment of its own that sees this one's packages, so that pip really installs the
plugin. Only what pip would fetch for building is taken from here.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

import gendkit

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "plugins" / "write-a-backbone-plugin.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+/\S+)\n(.*)", re.DOTALL)
PLUGIN = ("gendkit-early/pyproject.toml", "gendkit-early/gendkit_early.py")
MOST_LINES = 40


def files() -> dict[str, str]:
    """The files of the tutorial by their paths."""
    found = (FILE.fullmatch(code) for _, code in BLOCK.findall(TEXT))
    return {match[1]: match[2] for match in found if match is not None}


def steps() -> list[tuple[str, str]]:
    """What is run, in order: commands by the line, and scripts."""
    return [
        (kind, part)
        for kind, code in BLOCK.findall(TEXT)
        if FILE.fullmatch(code) is None
        for part in (code.strip().splitlines() if kind == "sh" else [code])
    ]


def test_the_plugin_has_two_files_of_at_most_40_lines_together():
    there = files()
    assert list(there)[:2] == list(PLUGIN)
    lines = sum(len(there[name].splitlines()) for name in PLUGIN)
    assert lines <= MOST_LINES
    assert f"ten minutes, {lines} lines" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_block_is_a_file_a_command_or_a_script():
    assert {kind for kind, _ in BLOCK.findall(TEXT)} == {"toml", "python", "sh"}
    assert [kind for kind, _ in steps()] == ["sh"] * 8 + ["python"]


@dataclass(frozen=True)
class Newcomer:
    """Somebody with an empty folder and an environment of their own."""

    folder: Path
    python: Path

    def does(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_"))},
                "PATH": f"{self.python.parent}{os.pathsep}{os.environ['PATH']}",
                "PIP_NO_INDEX": "1",
                "PIP_NO_DEPS": "1",
                "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this one the other way round
            },
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def writes(self, names: list[str]) -> None:
        for name in names:
            place = self.folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(files()[name])


@pytest.fixture
def newcomer(tmp_path: Path) -> Newcomer:
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    site = sysconfig.get_path("purelib", vars={"base": str(tmp_path / "env")})
    checkout = Path(gendkit.__file__).parents[1]  # an editable install is no folder of packages
    Path(site, "base.pth").write_text(f"{sysconfig.get_path('purelib')}\n{checkout}\n")
    command = python.parent / "gendkit"  # as pip would have made it with gendkit
    command.write_text(f'#!/bin/sh\nexec "{python}" -m gendkit "$@"\n')
    command.chmod(0o755)
    (tmp_path / "work").mkdir()
    return Newcomer(tmp_path / "work", python)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_tutorial_goes_from_two_files_to_the_explorer(newcomer: Newcomer, asset):
    asset("dinov2-vits14")
    asset("centerface")
    newcomer.writes([*PLUGIN, "gendkit-early/tests/test_conformance.py"])
    said = {}
    for kind, step in steps():
        if kind == "sh":
            said[step.split(" -")[0]] = newcomer.does(step)
        else:
            (newcomer.folder / "look.py").write_text(f"explorer = {_last_shown(step)}")
            said["look"] = newcomer.does("python look.py")
    listed = said["gendkit plugins list"]
    assert re.search(r"^backbone +dinov2-early +Apache-2.0 +gendkit-early 0.1.0", listed, re.M)
    assert "21 rules kept, 0 broken, 1 left out" in said["gendkit plugins check early"]
    assert re.search(
        r"real/0/0/real/000000.png +0\.\d+ +1 ", said["gendkit score crops/synthetic/real/0"]
    )
    record = json.loads((newcomer.folder / "run" / "run.json").read_text())
    assert record["backbone"]["name"] == "dinov2-early"
    assert said["look"].strip() == "Explorer dinov2-early"


def _last_shown(code: str) -> str:
    """Return the script with what a notebook would show, its last line, printed."""
    *before, shown = code.strip().splitlines()
    assert re.fullmatch(r"gk\.explore\(\w+\)", shown)
    head = "\n".join(before)
    tell = "print(type(explorer).__name__, ds.attrs['backbone'])"
    return f"None\n{head}\nexplorer = {shown}\n{tell}\n"


@pytest.mark.slow
def test_the_other_encoder_keeps_the_rules_too(newcomer: Newcomer):
    newcomer.writes(["gendkit-deit/gendkit_deit.py"])
    toml = files()["gendkit-early/pyproject.toml"].replace("early", "deit")
    (newcomer.folder / "gendkit-deit" / "pyproject.toml").write_text(toml)
    newcomer.does("python -m pip install ./gendkit-deit")
    found = json.loads(newcomer.does("gendkit plugins check deit --json"))
    assert (found["broken"], found["left_out"]) == (0, 1), found
