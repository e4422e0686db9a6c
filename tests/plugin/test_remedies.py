"""What a plugin lacks is said with the command that installs it, out of its own metadata."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gendkit.cli import main
from gendkit.data.datasets import dataset
from gendkit.data.extractors import build_extractor
from gendkit.errors import MissingDependency, UnknownPart
from gendkit.model.backbone import build_backbone
from gendkit.plugin import Plugins
from gendkit.plugin.remedies import needs_of, told
from gendkit.train.losses import build_losses
from gendkit.train.recipe import LossTerm
from gendkit.train.telling import Teller

Install = Callable[..., None]
ABSENT = "import gendkit_not_there"
EMPTY = ""

# What the plugin requires, the extras that it has, the code of its module, and what is to be done.
CASES: dict[str, tuple[list[str], list[str], str, str]] = {
    "a plain requirement is not installed": (
        ["gendkit-not-there<3,>=1"], [], ABSENT,
        'run: python -m pip install "gendkit-not-there<3,>=1"',
    ),
    "an extra would bring it": (
        ['gendkit_not_there>=1; extra == "more"', "pluggy"], ["more"], ABSENT,
        'run: python -m pip install "gendkit-x[more]"',
    ),
    "its distribution has another name": (
        ["not-cv; extra == 'a'", "Opencv_Python>=4"], ["a"],
        "raise ModuleNotFoundError(\"No module named 'cv2'\", name='cv2')",
        'run: python -m pip install "Opencv_Python>=4"',
    ),
    "no requirement names it": (
        ["pluggy"], [], ABSENT,
        "gendkit-x does not declare what gives 'gendkit_not_there': tell its author",
    ),
    "what is declared for another system does not count": (
        ["gendkit-not-there; sys_platform == 'nowhere'"], [], ABSENT,
        "gendkit-x does not declare what gives 'gendkit_not_there'",
    ),
    "another requirement is missing, and may bring it": (
        ["gendkit-suite>=2"], [], ABSENT,
        'needs gendkit-suite: not installed; run: python -m pip install "gendkit-suite>=2"',
    ),
    "the version is wrong": (
        ["pluggy>=999"], [], "from pluggy import nothing_of_this_name",
        'run: python -m pip install "pluggy>=999"',
    ),
    "the version is right and yet lacks it": (
        ["pluggy>=1"], [], "import pluggy.nothing_of_this_name",
        'is what gendkit-x declares, yet it lacks this: tell the author, or try: python -m pip '
        'install --upgrade "pluggy"',
    ),
    "a file of its own is missing": (
        [], [], "import gendkit_x.inner",
        'its own files lack this; run: python -m pip install --force-reinstall "gendkit-x"',
    ),
    "an address is not repeated": (
        ["gendkit-not-there @ https://example.org/`x`.zip"], [], ABSENT,
        'run: python -m pip install "gendkit-x"',
    ),
    "what a shell could read is not repeated": (
        ["gendkit-not-there===`touch`"], [], ABSENT,
        'run: python -m pip install "gendkit-x"',
    ),
    "damaged metadata are passed over": (
        ["??", "gendkit-not-there"], [], ABSENT,
        'run: python -m pip install "gendkit-not-there"',
    ),
    "an import that names no module": (["pluggy"], [], "raise ImportError('libGL.so.1')", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_plugin_that_cannot_be_imported_says_what_to_do(install: Install, case: str):
    requires, extras, code, remedy = CASES[case]
    install("gendkit-x", code, requires=requires, extras=extras)
    (broken,) = Plugins().broken
    assert remedy in broken.remedy
    assert bool(broken.remedy) == bool(remedy)
    assert broken.explained.startswith(broken.reason)
    assert "`" not in broken.remedy


def test_of_other_errors_no_remedy_is_made_up(install: Install):
    install("gendkit-x", "raise ValueError('no')", requires=["gendkit-not-there"])
    assert Plugins().broken[0].remedy == ""


def test_the_one_that_imports_is_the_one_that_is_asked_what_it_requires(install: Install):
    install("a-lib", ABSENT, module="a_lib", requires=["gendkit-not-there>=5"])
    install("gendkit-x", "import a_lib", requires=["a-lib", "pluggy"])
    install("gendkit-y", "import a_lib", requires=["gendkit-not-there"])
    aside = {b.source.plugin: b.remedy for b in Plugins().broken}
    assert aside["a-lib"] == 'run: python -m pip install "gendkit-not-there>=5"'
    assert aside["gendkit-x"] == 'run: python -m pip install "gendkit-not-there>=5"'
    assert aside["gendkit-y"] == 'run: python -m pip install "gendkit-not-there"'


def test_a_distribution_without_a_name_is_set_aside_all_the_same(install: Install, tmp_path: Path):
    install("gendkit-damaged", ABSENT)
    (next(tmp_path.rglob("*.dist-info")) / "METADATA").write_text("Metadata-Version: 2.1\n")
    (broken,) = Plugins().broken
    assert broken.source.distribution == "?"
    assert broken.remedy.startswith("it does not declare what gives 'gendkit_not_there'")


LIGHT = """
from gendkit.plugin import *
@hookimpl
def gendkit_losses():
    yield LossSpec(name="light", summary="a loss", build=lambda: __import__("gendkit_not_there"))
@hookimpl
def gendkit_datasets():
    yield DatasetSpec(name="light", summary="clips", licence="MIT",
                      build=lambda root: __import__("gendkit_not_there"))
@hookimpl
def gendkit_face_extractors():
    yield FaceExtractorSpec(name="light", summary="faces", licence="MIT", threshold=0.5,
                            build=lambda: __import__("gendkit_not_there"))
@hookimpl
def gendkit_backbones():
    yield BackboneSpec(name="light", summary="a backbone", licence="MIT", dim=8, image_size=16,
                       build=lambda *, pretrained: __import__("gendkit_not_there"))
    yield BackboneFamily(name="lib", pattern="lib:NAME", summary="many", licence="theirs",
                         resolve=lambda key: __import__("gendkit_not_there"))
@hookimpl
def gendkit_fit_started(run):
    import gendkit_not_there
"""
NEEDS = 'needs gendkit-not-there: not installed; run: python -m pip install "gendkit-not-there>=1"'


@pytest.fixture
def light(install: Install, fresh: None) -> None:
    """A plugin that lists its parts without what they need."""
    install("gendkit-light", LIGHT, plugin="light", requires=["gendkit-not-there>=1", "pluggy"])


def test_parts_whose_plugin_lacks_something_say_so_in_the_list(light: None, capsys: Any):
    assert main(["plugins", "list"]) == 0
    rows = [row for row in capsys.readouterr().out.splitlines() if "gendkit-light 1.2" in row]
    assert len(rows) == 6  # two backbones, an extractor, a loss, a dataset, a tracker
    assert all(row.endswith(NEEDS) for row in rows)
    assert main(["plugins", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    need = {
        "name": "gendkit-not-there",
        "problem": "not installed",
        "install": "gendkit-not-there>=1",
    }
    for part in (*found["parts"], *found["listeners"]):
        assert part["needs"] == ([need] if part["plugin"] == "light" else [])
    assert "python -m pip install" in Plugins()._repr_html_()


BUILDS: dict[str, Callable[[], object]] = {
    "backbone 'light'": lambda: build_backbone("light"),
    "backbone 'lib:small'": lambda: build_backbone("lib:small"),
    "face-extractor 'light'": lambda: build_extractor("light"),
    "loss 'light'": lambda: build_losses({"light": LossTerm(weight=1.0)}, dim=8),
    "dataset 'light'": lambda: dataset("light"),
}


@pytest.mark.parametrize("what", BUILDS)
def test_building_a_part_without_what_it_needs_is_one_line_with_the_command(light: None, what: str):
    with pytest.raises(MissingDependency) as caught:
        BUILDS[what]()
    assert str(caught.value) == (
        f"{what} of plugin 'light' (gendkit-light 1.2) cannot be built: "
        "No module named 'gendkit_not_there'; "
        'run: python -m pip install "gendkit-not-there>=1".'
    )


def test_the_command_line_shows_that_line_and_no_traceback(
    light: None, tmp_path: Path, capsys: Any
):
    assert main(["extract", "light", str(tmp_path / "out")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("gendkit: error: dataset 'light' of plugin 'light' (gendkit-light 1.2)")
    assert line.endswith('run: python -m pip install "gendkit-not-there>=1".')


def test_a_tracker_that_lacks_something_says_so_in_the_log_and_stops_no_run(
    light: None, caplog: pytest.LogCaptureFixture
):
    (listener,) = [one for one in Plugins().listeners if one.source.plugin == "light"]
    Teller([listener]).fit_started(run=None)  # type: ignore[arg-type]
    assert "tracker light (gendkit-light 1.2) failed in gendkit_fit_started" in caplog.text
    assert 'run: python -m pip install "gendkit-not-there>=1"' in caplog.text


def test_of_gendkits_own_plugin_no_metadata_is_read():
    code = (
        "import sys; from gendkit.plugin import Plugins; found = Plugins(discover=False);"
        "found.needs, found._repr_html_(); print('packaging' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_part_of_a_cell_that_lacks_something_says_that_nothing_is_declared(fresh: None):
    import gendkit as gk
    from gendkit.plugin import LossSpec

    gk.register(
        LossSpec(name="mine", summary="a loss", build=lambda: __import__("gendkit_not_there"))
    )
    with pytest.raises(MissingDependency, match=r"'mine'.*registered here and declares nothing"):
        build_losses({"mine": LossTerm(weight=1.0)}, dim=8)


def test_what_is_asked_for_and_was_set_aside_is_hinted_at_with_its_remedy(install: Install):
    install("gendkit-x", ABSENT, requires=["gendkit-not-there"])
    with pytest.raises(UnknownPart, match=r"'gendkit-x' was set aside: .*; run: python -m pip"):
        Plugins().part("loss", "nothing")
    with pytest.raises(UnknownPart, match=r"'gendkit-x' is left out by the argument `blocked`\."):
        Plugins(blocked=["gendkit-x"]).part("loss", "nothing")


def test_needs_are_those_of_versions_and_of_extras_too(install: Install):
    install("gendkit-dep", EMPTY, version="1.0", requires=['gendkit-deep; extra == "all"'])
    install(
        "gendkit-x",
        EMPTY,
        requires=[
            "gendkit-dep>=2",
            "gendkit-dep[all]",
            "gendkit-no; python_version < '3'",
            "gendkit-dep==1.0",
            'gendkit-optional; extra == "more"',
        ],
        extras=["more"],
    )
    wrong, deep = needs_of("gendkit-x")
    assert (wrong.name, wrong.problem) == ("gendkit-dep", "1.0 is installed, >=2 is declared")
    assert (deep.name, deep.install) == ("gendkit-deep", "gendkit-dep[all]")
    assert told([wrong, deep]) == (
        "needs gendkit-dep: 1.0 is installed, >=2 is declared, gendkit-deep: not installed; "
        'run: python -m pip install "gendkit-dep>=2" "gendkit-dep[all]"'
    )


def test_a_pre_release_meets_a_requirement(install: Install):
    install("gendkit-dep", EMPTY, version="2.0rc1")
    install("gendkit-x", EMPTY, requires=["gendkit-dep>=1"])
    assert needs_of("gendkit-x") == ()


def test_extras_that_ask_for_each_other_end(install: Install):
    install(
        "gendkit-x",
        EMPTY,
        requires=["gendkit-x[a]", 'gendkit-x[b]; extra == "a"', 'gendkit-x[a]; extra == "b"'],
        extras=["a", "b"],
    )
    assert needs_of("gendkit-x") == ()


@pytest.mark.parametrize("name", ["gendkit-is-not-there", "?", ""])
def test_of_a_distribution_that_is_not_there_nothing_is_known(name: str):
    assert needs_of(name) == ()
