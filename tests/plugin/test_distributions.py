"""The folders of plugins/: each is a distribution that somebody can install, and CI checks it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What git does not know, such as a folder that holds only caches, has no project file.
FOLDERS = sorted(path.parent for path in (ROOT / "plugins").glob("*/pyproject.toml"))


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def project(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def test_a_plugin_is_named_as_its_folder_and_declared_to_gendkit(folder: Path) -> None:
    declared = project(folder)["project"]
    package = folder.name.replace("-", "_")
    assert re.fullmatch(r"gendkit-[a-z]+(-[a-z]+)*", folder.name)
    assert declared["name"] == folder.name
    points = declared["entry-points"]["gendkit"].values()
    assert {point.partition(":")[0].partition(".")[0] for point in points} == {package}
    assert (folder / package / "__init__.py").is_file()
    assert (folder / package / "py.typed").is_file()


def test_a_plugin_has_a_licence_a_readme_and_tests_that_it_can_install(folder: Path) -> None:
    declared = project(folder)["project"]
    assert declared["license"]
    assert (folder / "LICENSE").is_file()
    assert (folder / declared["readme"]).is_file()
    assert any(need.startswith("pytest") for need in declared["optional-dependencies"]["test"])
    assert list((folder / "tests").glob("test_*.py"))


def test_a_plugin_s_warnings_are_errors_too(folder: Path) -> None:
    options = project(folder)["tool"]["pytest"]["ini_options"]
    assert options["filterwarnings"][0] == "error"


def test_a_plugin_is_listed_and_type_checked(folder: Path) -> None:
    types = project(ROOT)["tool"]["mypy"]
    assert folder.name.replace("-", "_") in types["packages"]
    assert f"$MYPY_CONFIG_FILE_DIR/plugins/{folder.name}" in types["mypy_path"]
    assert f"]({folder.name}/README.md)" in (ROOT / "plugins" / "README.md").read_text()


def test_ci_tests_every_plugin_in_an_environment_with_its_own_packages_alone() -> None:
    text = (ROOT / ".ci" / "run").read_text()
    section = text.split("section 'the plugins, each with its own packages alone'\n")[1]
    base, each = section.split("section ")[0].split("for folder in plugins/*/; do\n")
    assert '"$work/base/bin/python" -m pip install --quiet "$work"/wheel/*.whl' in base
    in_order = (
        'site "$work/base" >"$(site "$work/$plugin")/base.pth"',
        'pip install --quiet "./plugins/$plugin[test]"',
        "pip check",
        'pytest "$checkout/plugins/$plugin/tests"',
    )
    places = [each.index(command) for command in in_order]
    assert places == sorted(places)
