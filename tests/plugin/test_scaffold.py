"""`gendkit plugins new`: what it writes is whole, is listed, keeps every rule and tests itself."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from gendkit.errors import InvalidSpec, OutputExists, RefusedPlugin, UnwritableOutput
from gendkit.plugin import scaffold
from gendkit.plugin.manager import Plugins
from gendkit.plugin.scaffold import NEW_KINDS, NewKind, files_of, new_plugin

ROOT = Path(__file__).resolve().parents[2]
MODULES: dict[NewKind, str] = {
    "backbone": "encoder",
    "face-extractor": "extractor",
    "loss": "loss",
    "dataset": "dataset",
    "tracker": "tracker",
}
LONG = "a-name-that-is-as-long-as-a-name-can-be1"

kinds = pytest.mark.parametrize("kind", NEW_KINDS)


def test_every_kind_of_part_can_be_written_and_trackers_too():
    from gendkit.plugin.parts import KINDS

    assert NEW_KINDS == (*KINDS, "tracker") == tuple(MODULES)


@kinds
def test_a_distribution_is_complete(kind: NewKind, tmp_path: Path):
    folder = new_plugin(kind, "two-words", out=tmp_path / "out")
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert there == {
        ".github/workflows/test.yml",
        ".gitignore",
        "LICENSE",
        "README.md",
        "gendkit_two_words/__init__.py",
        "gendkit_two_words/py.typed",
        f"gendkit_two_words/{MODULES[kind]}.py",
        "pyproject.toml",
        "tests/test_conformance.py",
        f"tests/test_{MODULES[kind]}.py",
    }
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@kinds
def test_nothing_of_the_template_is_left_in_it(kind: NewKind):
    for path, text in files_of(kind, "focal").items():
        assert not re.search("my[-_ ]part", f"{path}\n{text}", re.IGNORECASE), path
        assert text == "" or text.endswith("\n"), path


@kinds
def test_its_project_file_declares_the_plugin_and_differs_in_what_is_its_own(kind: NewKind):
    found = tomllib.loads(files_of(kind, "focal")["pyproject.toml"])
    project = found["project"]
    assert project["name"] == "gendkit-focal"
    assert "gendkit" in project.pop("dependencies")
    assert project.pop("optional-dependencies")["test"][0].startswith("pytest>=")
    assert list(project.pop("entry-points")["gendkit"]) == ["focal"]
    assert f" {kind.replace('-', ' ')} focal " in project.pop("description")
    first = tomllib.loads(files_of("loss", "focal")["pyproject.toml"])
    assert found == {**first, "project": {name: first["project"][name] for name in project}}
    own = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["requires-python"] == own["project"]["requires-python"]
    assert found["build-system"] == own["build-system"]
    assert found["tool"]["pytest"]["ini_options"]["filterwarnings"] == ["error"]


@kinds
def test_the_ci_file_runs_the_commands_of_the_readme(kind: NewKind):
    files = files_of(kind, "focal")
    (job,) = yaml.safe_load(files[".github/workflows/test.yml"])["jobs"].values()
    runs = [step["run"] for step in job["steps"] if "run" in step]
    (block,) = re.findall(r"^```sh\n(.*?)^```", files["README.md"], re.MULTILINE | re.DOTALL)
    assert runs == block.splitlines()
    assert runs[1:] == ["gendkit plugins check focal", "python -m pytest"]


@kinds
def test_the_readme_names_only_what_is_there(kind: NewKind):
    files = files_of(kind, "focal")
    named = re.findall(r"`([\w/]+\.(?:py|toml))`|`(LICENSE)`", files["README.md"])
    names = {one or other for one, other in named}
    assert names >= {"LICENSE", "pyproject.toml", f"gendkit_focal/{MODULES[kind]}.py"}
    assert names <= set(files)
    assert "The authors of gendkit-focal" in files["LICENSE"]
    assert "The authors of gendkit-focal" in files["pyproject.toml"]
    assert "The authors of\ngendkit-focal" in files["README.md"]


@kinds
def test_what_is_declared_is_light(kind: NewKind):
    code = files_of(kind, "focal")["gendkit_focal/__init__.py"]
    roots = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name)
        for node in ast.parse(code).body
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert roots <= {"__future__", "collections.abc", "pathlib", "gendkit.plugin"}


@kinds
@pytest.mark.parametrize("name", ["x", LONG])
def test_it_is_in_style_whatever_the_length_of_its_name(kind: NewKind, name: str, tmp_path: Path):
    assert len(LONG) == scaffold.LONGEST
    folder = new_plugin(kind, name, out=tmp_path / "out")
    run(folder, "ruff", "check", "--no-cache", ".")
    run(folder, "ruff", "check", "--no-cache", "--config", str(ROOT / "pyproject.toml"), ".")
    run(folder, "ruff", "format", "--no-cache", "--check", ".")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Focal", "names are kebab-case"),
        ("my_loss", "names are kebab-case"),
        ("-focal", "names are kebab-case"),
        ("focal-", "names are kebab-case"),
        ("fo cal", "names are kebab-case"),
        ("../focal", "names are kebab-case"),
        ("fo\x1b[2Jcal", "names are kebab-case"),
        ("", "names are kebab-case"),
        (f"{LONG}1", "of at most 40 letters"),
        ("gendkit-focal", "would be gendkit-gendkit-focal; leave 'gendkit-' away"),
        ("gendkit", "leave 'gendkit-' away"),
        ("class", "'class' is a word of Python's own"),
        ("on", "'on' is no text in a recipe"),
        ("007", "'007' is no text in a recipe"),
    ],
)
def test_an_impossible_name_is_refused_before_anything_is_written(
    name: str, why: str, tmp_path: Path
):
    with pytest.raises(InvalidSpec, match=why):
        new_plugin("loss", name, out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_name_of_an_installed_part_is_refused_for_its_own_kind_only(tmp_path: Path):
    with pytest.raises(RefusedPlugin, match=r"there is a loss 'uniformity' already, of gendkit \d"):
        new_plugin("loss", "uniformity", out=tmp_path / "out")
    assert new_plugin("dataset", "uniformity", out=tmp_path / "out").is_dir()


@pytest.mark.parametrize(
    ("distribution", "plugin"), [("gendkit-focal", "other"), ("strange", "focal")]
)
def test_the_name_of_an_installed_plugin_is_refused_for_every_kind(
    distribution: str,
    plugin: str,
    install: Callable[..., None],
    loss_plugin: Callable[[str], str],
    tmp_path: Path,
):
    install(distribution, loss_plugin("a-loss"), plugin=plugin)
    with pytest.raises(RefusedPlugin, match=f"{plugin!r} is installed already, by {distribution} "):
        new_plugin("tracker", "focal", out=tmp_path / "out", among=Plugins())


def test_a_folder_that_holds_something_is_left_as_it_is(tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("four years")
    with pytest.raises(OutputExists, match="is never replaced; give a new folder"):
        new_plugin("loss", "focal", out=tmp_path)
    folder = new_plugin("loss", "focal", out=tmp_path / "out")
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with pytest.raises(OutputExists, match="is never replaced; give a new folder"):
        new_plugin("backbone", "focal", out=folder)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    with pytest.raises(UnwritableOutput, match="is a file"):
        new_plugin("loss", "focal", out=tmp_path / "thesis.txt" / "out")


def test_a_disk_that_fills_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write, written = Path.write_text, []

    def fill(self: Path, *arguments: Any, **options: Any) -> int:
        written.append(self)
        if len(written) == 4:
            raise OSError(28, "No space left on device")
        return write(self, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", fill)
    with pytest.raises(OSError, match="No space left"):
        new_plugin("loss", "focal", out=tmp_path / "out")
    assert len(written) == 4
    assert list(tmp_path.iterdir()) == []


def test_what_pip_compiled_in_the_template_is_not_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for path in ("common/LICENSE", "loss/a.py", "loss/__pycache__/a.cpython-311.pyc"):
        (tmp_path / "template" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "template" / path).write_bytes(b"\xff" if "cache" in path else b"my-part\n")
    monkeypatch.setattr(scaffold.resources, "files", lambda _: tmp_path)
    assert files_of("loss", "focal") == {"LICENSE": "focal\n", "a.py": "focal\n"}


@pytest.fixture(scope="module")
def types(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where mypy keeps what it found out about torch, which takes most of its time."""
    return tmp_path_factory.mktemp("types")


@pytest.fixture(scope="module", params=NEW_KINDS)
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[NewKind, str, Path]:
    """A kind, a name, and a new plugin's folder, in which `site` is where it is installed."""
    kind: NewKind = request.param
    name = f"new-{kind}"
    folder = new_plugin(kind, name, out=tmp_path_factory.mktemp(kind) / "here")
    run(folder, "hatchling", "build", "-t", "wheel")
    (wheel,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return kind, name, folder


@pytest.mark.slow
def test_a_new_plugin_is_listed_with_its_distribution(installed: tuple[NewKind, str, Path]):
    kind, name, folder = installed
    found = json.loads(run(folder, "gendkit", "plugins", "list", "--json"))
    assert found["broken"] == []
    given = [x for x in (*found["parts"], *found["listeners"]) if x["plugin"] == name]
    (one,) = given
    assert (one["distribution"], one["version"]) == (f"gendkit-{name}", "0.1.0")
    if kind == "tracker":
        assert one["hears"] == ["gendkit_epoch_ended"]
    else:
        assert (one["kind"], one["name"]) == (kind, name)


@pytest.mark.slow
def test_a_new_plugin_breaks_no_rule(installed: tuple[NewKind, str, Path]):
    kind, name, folder = installed
    assert re.search(r"\d rules kept, 0 broken", run(folder, "gendkit", "plugins", "check", name))
    if kind == "backbone":
        said = run(folder, "gendkit", "plugins", "check", name, "--pretrained")
        assert re.search(r"\d rules kept, 0 broken", said)


@pytest.mark.slow
def test_a_new_plugin_passes_its_own_tests(installed: tuple[NewKind, str, Path]):
    _, _, folder = installed
    said = run(folder, "pytest", "-p", "no:cacheprovider", "-rs")
    passed = re.search(r"(\d+) passed", said)
    assert passed is not None
    assert int(passed[1]) > 10  # those of the kit, and its own


@pytest.mark.slow
def test_a_new_plugin_is_typed(installed: tuple[NewKind, str, Path], types: Path):
    _, name, folder = installed
    package = scaffold.package_of(name)
    run(folder, "mypy", "--strict", "--cache-dir", str(types), package, "tests", types=True)


def run(folder: Path, *command: str, types: bool = False) -> str:
    """Run a module of Python in a folder, with what is installed in `site` there."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    if types:
        environment.pop("PYTHONPATH", None)  # mypy takes what it holds for code of ours
    else:
        paths = [str(folder / "site"), str(ROOT)]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
