"""Each hook has a test that reaches it, documented arguments, a built-in and a second, real user.

A test of a hook is marked with the hook's name, and fails if the manager did not call the hook in
it. Documentation is made from the hookspecs, so what a docstring lacks is missing there too.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pluggy
import pytest

from gendkit import builtin
from gendkit.plugin import (
    BackboneFamily,
    BackboneSpec,
    Clip,
    DatasetSpec,
    EpochEnded,
    Face,
    FaceExtractorSpec,
    FitEnded,
    Frame,
    LossInputs,
    LossSpec,
    Plugins,
    Preprocessing,
    ResolvedBackbone,
    RunInfo,
    hookimpl,
    hooks,
)
from gendkit.plugin.calls import HOOKS, TOLD, TRACE
from gendkit.plugin.documentation import hooks_of, reference, table, undocumented, unexplained
from gendkit.plugin.parts import KINDS

ROOT = Path(__file__).resolve().parents[2]
Told = list[tuple[object, ...]]


def reached(hook: str, said: str) -> bool:
    """Tell whether a trace has a call of a hook of the plugin `mine`."""
    return f"gendkit: hook {hook} of mine (registered here): " in said


@pytest.fixture(autouse=True)
def _reached(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[None]:
    """A test that is marked as that of a hook fails if the manager does not call the hook."""
    marker = request.node.get_closest_marker("hook")
    if marker is not None:
        monkeypatch.setenv(TRACE, "1")
    yield
    if marker is not None:
        assert reached(marker.args[0], capsys.readouterr().err), f"{marker.args[0]} was not called"


@pytest.fixture
def found() -> Plugins:
    return Plugins(discover=False)


def give(found: Plugins, hook: str, *specs: object) -> None:
    found.register(SimpleNamespace(**{hook: hookimpl(lambda: iter(specs))}), name="mine")


@pytest.mark.hook("gendkit_backbones")
def test_backbones_and_families_are_found_by_name(found: Plugins) -> None:
    facts: dict[str, Any] = {"summary": "a backbone", "licence": "MIT"}
    sizes: dict[str, Any] = {"dim": 8, "image_size": 16, "build": print}
    family = BackboneFamily(
        name="lib", pattern="lib:NAME", **facts,
        resolve=lambda key: ResolvedBackbone(name=f"lib:{key}", **facts, **sizes),
    )  # fmt: skip
    one = BackboneSpec(name="one", **facts, **sizes)
    give(found, "gendkit_backbones", one, family)
    assert found.spec("backbone", "one") is one
    assert found.spec("backbone", "lib:two").name == "lib:two"


@pytest.mark.hook("gendkit_face_extractors")
def test_face_extractors_are_found_by_name(found: Plugins) -> None:
    spec = FaceExtractorSpec(name="one", summary="f", licence="MIT", build=print, threshold=0.5)
    give(found, "gendkit_face_extractors", spec)
    assert found.spec("face-extractor", "one") is spec


@pytest.mark.hook("gendkit_losses")
def test_losses_are_found_by_name(found: Plugins) -> None:
    spec = LossSpec(name="one", summary="a loss", build=print)
    give(found, "gendkit_losses", spec)
    assert found.spec("loss", "one") is spec


@pytest.mark.hook("gendkit_datasets")
def test_datasets_are_found_by_name(found: Plugins) -> None:
    spec = DatasetSpec(name="one", summary="clips", licence="MIT", build=print)
    give(found, "gendkit_datasets", spec)
    assert found.spec("dataset", "one") is spec


def tell(found: Plugins, hook: str, heard: Callable[..., object], **arguments: object) -> None:
    found.register(SimpleNamespace(**{hook: hookimpl(heard)}), name="mine")
    (listener,) = [one for one in found.listeners if one.source.plugin == "mine"]
    listener.calls[hook](**arguments)


@pytest.mark.hook("gendkit_fit_started")
def test_the_start_of_a_run_is_told(found: Plugins) -> None:
    heard: Told = []
    tell(found, "gendkit_fit_started", lambda run: heard.append((run,)), run="run")
    assert heard == [("run",)]


@pytest.mark.hook("gendkit_epoch_ended")
def test_each_epoch_is_told_with_the_arguments_that_are_taken(found: Plugins) -> None:
    heard: Told = []
    told = {"run": "run", "epoch": 3}
    tell(found, "gendkit_epoch_ended", lambda epoch: heard.append((epoch,)), **told)
    tell(found, "gendkit_epoch_ended", lambda epoch, run: heard.append((epoch, run)), **told)
    assert heard == [(3,), (3, "run")]


@pytest.mark.hook("gendkit_fit_ended")
def test_the_end_of_a_run_is_told(found: Plugins) -> None:
    heard: Told = []
    tell(found, "gendkit_fit_ended", lambda run, end: heard.append((run, end)), run=1, end=2)
    assert heard == [(1, 2)]


# The rules, as functions, so that a wrong hook can show that each of them can fail.


def marked_with(hook: str, module: Mapping[str, object]) -> list[str]:
    """Return the tests of a module that are marked as those of a hook."""
    return [
        name
        for name, function in module.items()
        if name.startswith("test_")
        for mark in getattr(function, "pytestmark", ())
        if mark.name == "hook" and mark.args == (hook,)
    ]


def implemented(plugin: object) -> set[str]:
    """Return the hooks that a plugin implements, as pluggy sees them."""
    manager = pluggy.PluginManager(hooks.PROJECT)
    manager.register(plugin, name="it")
    return {
        name
        for name, caller in vars(manager.hook).items()
        if any(impl.plugin is plugin for impl in caller.get_hookimpls())
    }


def users(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """Return, by distribution of a folder, the hooks that its entry points implement."""
    found: dict[str, set[str]] = {}
    for path in sorted(folder.glob("*/pyproject.toml")):
        monkeypatch.syspath_prepend(path.parent)
        points = tomllib.loads(path.read_text())["project"]["entry-points"]["gendkit"]
        for name, value in points.items():
            plugin = EntryPoint(name=name, value=value, group="gendkit").load()
            found.setdefault(path.parent.name, set()).update(implemented(plugin))
    return found


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_test(hook: str) -> None:
    assert marked_with(hook, globals())


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_documented_arguments(hook: str) -> None:
    (spec,) = [spec for spec in hooks_of() if spec.name == hook]
    assert undocumented(spec) == []
    assert f"## {hook}\n" in reference()


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_built_in_and_a_second_user(
    hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hook in implemented(builtin)
    second = [name for name, used in users(ROOT / "plugins", monkeypatch).items() if hook in used]
    assert second, f"no distribution in plugins/ implements {hook}"


def test_the_hooks_are_those_that_the_manager_calls() -> None:
    assert [spec.name for spec in hooks_of()] == list(HOOKS)
    told = {spec.name: list(spec.arguments) for spec in hooks_of()}
    assert {name for name, arguments in told.items() if arguments} == set(TOLD)
    gives = {spec.name: spec.gives for spec in hooks_of() if spec.gives}
    assert gives == dict(KINDS.values())


@pytest.mark.parametrize(
    "kind",
    [Face, Frame, Clip, LossInputs, Preprocessing, ResolvedBackbone, RunInfo, EpochEnded, FitEnded],
)
def test_every_field_of_what_is_exchanged_is_explained(kind: type) -> None:
    assert unexplained(kind) == []


def test_the_reference_has_each_argument_and_each_field_with_its_type() -> None:
    text = reference()
    assert "def gendkit_epoch_ended(run: RunInfo, epoch: EpochEnded) -> None: ..." in text
    assert "def gendkit_backbones() -> Iterable[BackboneSpec | BackboneFamily]: ..." in text
    assert "- `threshold: float` – The default least confidence.\n" in text
    assert "- `epochs: int`, `steps: int` – How many there are in all.\n" in text
    assert "- `clips(self) -> Iterable[Clip]` – Return the clips" in text
    for spec in hooks_of():
        for kind in (*spec.arguments.values(), *spec.gives):
            for name in kind.__dataclass_fields__:  # type: ignore[attr-defined]
                assert f"`{name}: " in text


def test_the_table_has_a_row_a_hook_and_the_same_number_of_cells_in_each() -> None:
    head, rule, *rows = table().splitlines()
    assert [row.split("`")[1] for row in rows] == list(HOOKS)
    assert {row.count(" | ") for row in (head, *rows)} == {head.count(" | ")}
    assert rule.count("|") == head.count(" | ") + 2


# A hook that nobody tests, explains or uses.


@dataclass(frozen=True, kw_only=True)
class Bare:
    """What is told.

    Attributes
    ----------
    known
        This one is explained.
    """

    known: int
    unknown: int


def gendkit_bare(bare: Bare, count: int) -> None:
    pass


def gendkit_explained(bare: Bare, count: int) -> None:
    """Is called never.

    Parameters
    ----------
    count
        How often.
    """


@pytest.fixture
def wrong() -> ModuleType:
    module = ModuleType("wrong")
    for function in (gendkit_bare, gendkit_explained):
        setattr(module, function.__name__, hooks.hookspec(function))
    return module


def test_a_hook_without_documentation_is_found(wrong: ModuleType) -> None:
    bare, explained = hooks_of(wrong)
    assert undocumented(bare) == [
        "gendkit_bare has no docstring",
        "gendkit_bare(bare): Bare.unknown",
        "gendkit_bare(count) is not among its Parameters",
    ]
    assert undocumented(explained) == ["gendkit_explained(bare): Bare.unknown"]
    assert "`count` is a `int`." in reference(wrong)


def test_a_hook_without_a_test_is_found() -> None:
    assert marked_with("gendkit_bare", globals()) == []

    @pytest.mark.hook("gendkit_bare")
    def marked() -> None:
        """Nothing."""

    assert marked_with("gendkit_bare", {"helper": marked}) == []
    assert marked_with("gendkit_bare", {"test_it": marked}) == ["test_it"]
    assert marked_with("gendkit_other", {"test_it": marked}) == []


def test_a_test_that_does_not_reach_its_hook_is_found(
    found: Plugins, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(TRACE, "1")
    give(found, "gendkit_losses")
    said = capsys.readouterr().err
    assert reached("gendkit_losses", said)
    assert not reached("gendkit_datasets", said)
    hookimpl(lambda: [])()  # not through the manager
    assert not reached("gendkit_losses", capsys.readouterr().err)


def test_a_hook_that_only_the_text_of_a_distribution_names_has_no_second_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "gendkit-words"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        '[project.entry-points.gendkit]\none = "gendkit_words"\ntwo = "gendkit_words:plugin"\n'
    )
    (folder / "gendkit_words.py").write_text(
        "# gendkit_datasets\nfrom gendkit.plugin import hookimpl\n"
        "def gendkit_backbones(): return []\n"
        "@hookimpl\ndef gendkit_losses(): return []\n"
        "class Plugin:\n  @hookimpl\n  def gendkit_fit_ended(self): pass\n"
        "plugin = Plugin()\n"
    )
    assert users(tmp_path, monkeypatch) == {
        "gendkit-words": {"gendkit_losses", "gendkit_fit_ended"}
    }
