"""For the tests of rules: all of a kind's rules tried on one part, and who breaks which."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from gendkit.testing.conformance import CHECKED, rules_of
from gendkit.testing.rules import Check, Outcome

RuleFunction = Callable[[Any], None]


def tried(kind: str, subject: Any) -> dict[str, Outcome]:
    """What comes of each rule of a kind, by its name."""
    checks = (Check(rule=rule, part="it", subject=lambda: subject) for rule in rules_of(kind))
    return {check.rule.name: check.outcome() for check in checks}


def broken(found: dict[str, Outcome]) -> dict[str, str]:
    """The rules that are broken, and why."""
    return {name: o.reason for name, o in found.items() if o.verdict == "broken"}


def rule_functions(kind: str) -> set[RuleFunction]:
    """The public functions of a kind's module that take what is under check, alone."""
    module_name, taken = CHECKED[kind]
    module = importlib.import_module(module_name)
    return {
        function
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module_name
        and not name.startswith("_")
        and [p.annotation for p in inspect.signature(function).parameters.values()] == [taken]
    }
