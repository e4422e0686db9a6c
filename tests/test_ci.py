"""The README, .ci/run and pyproject.toml agree."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CI = ROOT / ".ci" / "run"


def code_lines() -> list[str]:
    """Return the lines of the README's shell blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def test_the_first_two_commands_of_the_readme_install_and_show_and_install_and_test():
    first, second = code_lines()[:2]
    assert first == 'python -m pip install -e ".[cpu,notebook]" && gendkit demo'
    assert second == 'python -m pip install -e ".[cpu,notebook,test]" && python -m pytest'


def test_the_readme_names_only_extras_that_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for names in re.findall(r'"\.\[([a-z,]+)\]"', README):
        assert set(names.split(",")) <= set(extras)


def test_ci_runs_the_readmes_test_command_as_it_stands_there():
    (pattern,) = re.findall(r"^pattern='(.+)'$", CI.read_text(), flags=re.MULTILINE)
    found = subprocess.run(
        ["grep", "-E", pattern, "README.md"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.splitlines() == [code_lines()[1]]


def test_ci_is_an_executable_script_without_syntax_errors():
    assert os.access(CI, os.X_OK)
    subprocess.run(["bash", "-n", str(CI)], check=True)


def test_every_command_line_of_the_readme_is_one_that_gendkit_takes():
    import shlex

    import click

    from gendkit.cli import gendkit

    lines = [part.strip() for line in code_lines() for part in line.split("&&")]
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("gendkit ")]
    assert commands
    for words in commands:
        command: click.Command = gendkit
        while isinstance(command, click.Group):
            _, found, words = command.resolve_command(click.Context(command), words)
            assert found is not None
            command = found
        command.make_context("gendkit", words)  # raises for a wrong option
