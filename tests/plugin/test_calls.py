"""Every call of a hook goes through one place, which can tell each of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

import gendkit
from gendkit.errors import InvalidOption, InvalidSpec
from gendkit.plugin import LossSpec, Plugins, hookimpl
from gendkit.plugin.calls import HOOKS, TRACE, Call
from gendkit.plugin.parts import Source
from gendkit.train.telling import Teller

Capture = pytest.CaptureFixture[str]
LINE = re.compile(r"gendkit: hook (\w+) of (.+ \(.+\)): (.+) \[(\d+\.\d\d) ms\]")


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRACE, "1")


def lines(capsys: Capture) -> list[tuple[str, str, str]]:
    said = capsys.readouterr()
    assert said.out == ""
    found = [LINE.fullmatch(line) for line in said.err.splitlines()]
    assert None not in found, said.err
    return [(m[1], m[2], m[3]) for m in found if m]


def test_each_call_is_told_in_one_line(traced: None, capsys: Capture):
    found = Plugins(discover=False)
    version = gendkit.__version__
    (backbones, _, losses, _) = lines(capsys)
    assert backbones[:2] == ("gendkit_backbones", f"gendkit.builtin (gendkit {version})")
    names = [part.spec.name for part in found.parts if part.kind == "loss"]
    assert losses[2].startswith(f"{len(names)} specs: ")
    assert sorted(losses[2].partition(": ")[2].split(", ")) == sorted(names)


def test_one_spec_and_none_are_counted_too(
    install: Callable[..., None],
    loss_plugin: Callable[[str], str],
    traced: None,
    capsys: Capture,
):
    install("gendkit-one", loss_plugin("extra"))
    install("gendkit-two", loss_plugin("extra").replace("yield", "return [] and"))
    Plugins()
    found = lines(capsys)[4:]
    assert ("gendkit_losses", "gendkit-one (gendkit-one 1.2)", "1 spec: extra") in found
    assert ("gendkit_losses", "gendkit-two (gendkit-two 1.2)", "0 specs: none") in found


def test_those_who_are_told_are_traced_too_and_an_error_is_shown_and_passed_on(
    traced: None, capsys: Capture
):
    found = Plugins(discover=False)

    class Bad:
        @hookimpl
        def gendkit_fit_started(self):
            raise ValueError("no\nway \x1b[31mout")

        @hookimpl
        def gendkit_fit_ended(self, end):
            assert end == "over"

    found.register(Bad)
    capsys.readouterr()
    (listener,) = [heard for heard in found.listeners if heard.source.plugin == "Bad"]
    with pytest.raises(ValueError, match="no\nway"):
        listener.calls["gendkit_fit_started"](run="run")
    listener.calls["gendkit_fit_ended"](run="run", end="over")
    assert lines(capsys) == [
        (
            "gendkit_fit_started",
            "Bad (registered here)",
            "ValueError: no\\nway \\x1b[31mout",
        ),
        ("gendkit_fit_ended", "Bad (registered here)", "told"),
    ]


def test_what_a_run_tells_goes_through_the_same_place(traced: None, capsys: Capture):
    found = Plugins(discover=False)
    found.register(SimpleNamespace(gendkit_fit_ended=hookimpl(lambda: None)), name="mine")
    (listener,) = [heard for heard in found.listeners if heard.source.plugin == "mine"]
    assert all(isinstance(call, Call) for call in listener.calls.values())
    capsys.readouterr()
    Teller([listener]).fit_ended(run=None, end=None)  # type: ignore[arg-type]
    assert lines(capsys) == [("gendkit_fit_ended", "mine (registered here)", "told")]


def test_a_name_with_control_characters_is_made_harmless(capsys: Capture):
    source = Source(plugin="evil\x1b[2J", distribution="\u202e", version="1\n2")
    Call(hook="gendkit_losses", source=source, function=list, names=(), trace=True)()
    text = capsys.readouterr().err
    assert text[:-1].isprintable()
    assert "evil\\x1b[2J (\\u202e 1\\n2)" in text


@pytest.mark.parametrize("value", ["1", "true", "TRUE", " 1 "])
def test_the_variable_switches_it_on(value: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture):
    monkeypatch.setenv(TRACE, value)
    Plugins(discover=False)
    assert len(lines(capsys)) == 4


@pytest.mark.parametrize("value", ["", "0", "false", "False"])
def test_and_off(value: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture):
    monkeypatch.setenv(TRACE, value)
    Plugins(discover=False)
    assert lines(capsys) == []


def test_another_value_is_refused(monkeypatch: pytest.MonkeyPatch):
    found = Plugins(discover=False)
    monkeypatch.setenv(TRACE, "yes")
    with pytest.raises(InvalidOption, match=r"GENDKIT_TRACE_HOOKS is 'yes'; it can be 1 or true"):
        Plugins(discover=False)
    with pytest.raises(InvalidOption):
        _ = found.listeners  # a run that begins later is refused as well


def test_an_error_in_what_a_hook_gives_is_traced(traced: None, capsys: Capture):
    found = Plugins(discover=False)
    capsys.readouterr()
    with pytest.raises(InvalidSpec):
        found.register(SimpleNamespace(gendkit_losses=hookimpl(lambda: [3])), name="mine")
    ((hook, _, outcome),) = lines(capsys)
    assert (hook, outcome.partition(":")[0]) == ("gendkit_losses", "InvalidSpec")


def test_without_the_variable_nothing_is_measured(monkeypatch: pytest.MonkeyPatch):
    def never() -> float:
        raise AssertionError("the clock was read")

    monkeypatch.setattr("gendkit.plugin.calls.time.perf_counter", never)
    spec = LossSpec(name="mine", summary="a loss", build=print)
    source = Source(plugin="mine", distribution="here", version="")
    call = Call(hook="gendkit_losses", source=source, function=lambda: [spec], names=())
    assert call() == [spec]


def test_no_other_module_calls_what_a_plugin_implements():
    """A hook is reached through pluggy's implementations, or its broadcast, and so by these words.

    The manager looks at them only to find those that no hookspec has.
    """
    reached = {}
    for path in Path(gendkit.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        words = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
        names = {n for n in words if n in HOOKS} | words & {"get_hookimpls", "subset_hook_caller"}
        if names:
            reached[path.name] = names
    assert set(reached) == {"calls.py", "manager.py"}
    assert reached["manager.py"] == reached["calls.py"] == {"get_hookimpls"}
