"""The rules about a plugin as a whole, on installed ones that keep or break them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gendkit.plugin.manager import Plugins
from gendkit.testing import plugin_rules
from gendkit.testing.conformance import checks_of
from gendkit.testing.rules import Outcome
from gendkit.testing.small import small_backbone

Install = Callable[..., None]
RULES = [rule.__name__ for rule in plugin_rules.RULES]

LOSS = """
from gendkit.plugin import LossSpec, hookimpl
{first}
@hookimpl
def gendkit_losses():
    {body}
    yield LossSpec(name={name}, summary="a loss", build=print)
"""
DATASET = """
from gendkit.plugin import DatasetSpec, hookimpl
@hookimpl
def gendkit_datasets():
    yield DatasetSpec(name="faces", summary="some faces", licence="{licence}", build=print)
"""


def loss(*, first: str = "", body: str = "", name: str = "'tried'") -> str:
    return LOSS.format(first=first, body=body, name=name)


WRONG: dict[str, list[tuple[str, str]]] = {
    "listing_imports_nothing_heavy": [
        (loss(first="import torch"), "imported torch"),
        (loss(body="import pandas"), ", pandas"),
    ],
    "loading_writes_nothing": [
        (loss(first="open('mark', 'w').close()"), "opened mark for writing"),
        (
            loss(
                body="import os; os.rmdir('mark') if os.path.exists('mark') else os.mkdir('mark')"
            ),
            "called os.",
        ),
        (loss(body="import subprocess; subprocess.run(['true'])"), "called subprocess.Popen"),
        (
            loss(
                first="import os, sys\nif 'pytest' not in sys.modules and not os.fork():\n"
                "    os._exit(0)"
            ),
            "called os.fork",
        ),
        (loss(first="import sqlite3; sqlite3.connect('marks').close()"), "called sqlite3.connect"),
        (
            loss(
                first="import socket\nwith socket.socket(type=2) as s: s.connect(('127.0.0.1', 9))"
            ),
            "called socket.connect",
        ),
    ],
    "states_its_licences": [
        (DATASET.format(licence="unknown"), "the licence of faces is 'unknown'"),
        (DATASET.format(licence=" TODO"), "the licence of faces is ' TODO'"),
    ],
    "gives_the_same_parts_twice": [
        (
            loss(first="from itertools import count\nhow = count()", name="f'tried-{next(how)}'"),
            "it gave loss tried-0, and then loss tried-1",
        )
    ],
}


def outcome(rule: str) -> Outcome:
    (check,) = [
        c
        for c in checks_of("gendkit-tried", among=Plugins())
        if c.rule.kind == "plugin" and c.rule.name == rule
    ]
    return check.outcome()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a wrong plugin writes stays in the test's own folder."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.mark.parametrize("rule", RULES)
def test_a_right_plugin_keeps_the_rule(install: Install, rule: str):
    install("gendkit-tried", loss())
    found = outcome(rule)
    assert (found.verdict, found.reason) == ("kept", "")


@pytest.mark.parametrize("rule", RULES)
def test_gendkit_s_own_plugin_keeps_the_rule(rule: str):
    (check,) = [
        c for c in checks_of("gendkit.builtin") if c.rule.kind == "plugin" and c.rule.name == rule
    ]
    assert check.outcome().reason == ""


@pytest.mark.parametrize(
    ("rule", "number"), [(rule, n) for rule, cases in WRONG.items() for n in range(len(cases))]
)
def test_a_wrong_plugin_breaks_the_rule(install: Install, rule: str, number: int):
    code, reason = WRONG[rule][number]
    install("gendkit-tried", code)
    found = outcome(rule)
    assert found.verdict == "broken"
    assert reason in found.reason, found.reason


def test_what_a_fresh_process_does_not_find_is_not_taken_for_kept(
    install: Install, monkeypatch: pytest.MonkeyPatch
):
    install("gendkit-tried", loss())
    found = Plugins()
    (check,) = [
        c
        for c in checks_of("gendkit-tried", among=found)
        if c.rule.name == "loading_writes_nothing"
    ]
    monkeypatch.setattr("sys.path", sys.path[1:])  # without the folder into which it is installed
    made = check.outcome()
    assert made.verdict == "broken"
    assert "a fresh process does not find it" in made.reason


def test_there_is_a_wrong_plugin_for_every_rule():
    assert set(WRONG) == set(RULES)


def test_what_is_registered_here_cannot_be_listed_elsewhere():
    found = Plugins(discover=False)
    found.register(small_backbone("here"))
    made = {
        c.rule.name: c.outcome() for c in checks_of("here", among=found) if c.rule.kind == "plugin"
    }
    assert made["states_its_licences"].verdict == "kept"
    assert {m.verdict for n, m in made.items() if n != "states_its_licences"} == {"left out"}
    assert "install it" in made["loading_writes_nothing"].reason
