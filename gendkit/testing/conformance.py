"""The conformance kit: from the name of a plugin or part to the rules that are tried on it.

`gendkit plugins check` and `plugin_checks`, for pytest, run the same rules.
"""

from __future__ import annotations

import difflib
import importlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from gendkit.errors import MissingMedia, UnknownPart
from gendkit.plugin.calls import Listener
from gendkit.plugin.manager import Plugins, plugins
from gendkit.plugin.parts import Part, Source
from gendkit.plugin.specs import BackboneFamily
from gendkit.testing.plugin_rules import PluginUnderCheck
from gendkit.testing.rules import Check, Given, LeftOut, NotHere, Outcomes, Rule

REQUIRE = "GENDKIT_REQUIRE_ASSETS"
Giver = Given | Callable[[Path], Given]
"""What a part needs, or a function that makes it in an empty folder."""

CHECKED: Mapping[str, tuple[str, str]] = {
    "plugin": ("gendkit.testing.plugin_rules", "PluginUnderCheck"),
    "backbone": ("gendkit.testing.backbone_rules", "BackboneUnderCheck"),
    "face-extractor": ("gendkit.testing.face_extractor_rules", "FaceExtractorUnderCheck"),
    "loss": ("gendkit.testing.loss_rules", "LossUnderCheck"),
    "dataset": ("gendkit.testing.dataset_rules", "DatasetUnderCheck"),
    "tracker": ("gendkit.testing.tracker_rules", "TrackerUnderCheck"),
}
"""By kind, the module of its rules and the class of what they are given."""


def rules_of(kind: str) -> tuple[Rule, ...]:
    """Return the rules of a kind: `plugin`, `tracker`, or a part's kind."""
    module = importlib.import_module(CHECKED[kind][0])
    return tuple(Rule(kind=kind, check=check) for check in module.RULES)


def checks_of(
    name: str,
    *,
    given: Mapping[str, Giver] | None = None,
    otherwise: Given | None = None,
    among: Plugins | None = None,
) -> tuple[Check, ...]:
    """Return the rules to try on a plugin or part, each with what it is tried on.

    Parameters
    ----------
    name
        Of a plugin, a distribution or a part. A part may bring what follows its colon: the member
        of a family (`timm:vit_tiny_patch16_224`) or a dataset's folder (`photos:portraits`).
    given
        By a part's name, what it needs besides: `Given`, or a function that makes it in an empty
        folder when it is first needed.
    otherwise
        What every other part is given; a key or folder in `name` is put into it.
    among
        The plugins to look in; those of the process by default.

    Raises
    ------
    UnknownPart
        If nothing has that name, a family has no such member, or something is given to a part that
        is not among them.
    MissingMedia
        If the folder that follows a dataset's colon is not there.
    """
    found = among if among is not None else plugins()
    otherwise = otherwise or Given()
    sources, parts, listeners, own = _named(found, name, otherwise)
    given = {**own, **(given or {})}
    known = {part.spec.name for part in parts}
    if strange := sorted(set(given) - known):
        raise UnknownPart(f"{strange[0]!r} is no part of {name!r}; there is {_list(known)}.")
    checks: list[Check] = []
    for source in sources:
        every = tuple(p for p in found.parts if p.source == source)
        checks += _all("plugin", source.plugin, _always(PluginUnderCheck(source, every)))
    for part in parts:
        subject = _lazily(part, found, given.get(part.spec.name, otherwise))
        checks += _all(part.kind, _shown(part, given.get(part.spec.name)), subject)
    for listener in listeners:
        make = _class("tracker")
        checks += _all("tracker", listener.source.plugin, cache(lambda m=make, x=listener: m(x)))
    return tuple(checks)


def check(
    name: str, *, given: Mapping[str, Giver] | None = None, among: Plugins | None = None
) -> Outcomes:
    """Try every rule on a plugin or part, and return what came of them.

    For a notebook, where a part was registered on the spot; what is installed can be checked by
    `gendkit plugins check` and `plugin_checks`.

    Parameters
    ----------
    name, given, among
        See `checks_of`.

    Raises
    ------
    UnknownPart
        As `checks_of`. A rule that is broken is no error.
    """
    return Outcomes(tuple(c.outcome() for c in checks_of(name, given=given, among=among)))


def plugin_checks(
    name: str, *, given: Mapping[str, Giver] | None = None
) -> Callable[[Check], None]:
    """Return a test for pytest that tries every rule on an installed plugin or part.

    Write `test_conformance = plugin_checks("my-plugin")` into a test module: pytest then has one
    test a rule, whose failure says what was expected. A rule that cannot be tried is skipped with
    the reason; with GENDKIT_REQUIRE_ASSETS=1 it fails, where packages, weights or a service are not
    to be had.

    Parameters
    ----------
    name, given
        See `checks_of`.

    Raises
    ------
    UnknownPart
        If nothing installed has that name.
    """
    import pytest

    checks = checks_of(name, given=given)

    @pytest.mark.parametrize("check", [pytest.param(c, id=c.id) for c in checks])
    def conformance(check: Check) -> None:
        try:
            check.run()
        except LeftOut as reason:
            if isinstance(reason, NotHere) and os.environ.get(REQUIRE) == "1":
                pytest.fail(f"{REQUIRE}=1, but {reason}", pytrace=False)
            pytest.skip(str(reason))

    conformance.__doc__ = f"The rules of gendkit's conformance kit, on {name}."
    return conformance


def _named(
    found: Plugins, name: str, otherwise: Given
) -> tuple[list[Source], list[Part], list[Listener], dict[str, Given]]:
    """Return the plugins, parts and listeners that a name means, and what it brings."""
    sources = {p.source for p in found.parts} | {x.source for x in found.listeners}
    meant = [s for s in sources if name == s.plugin] or [
        s for s in sources if name == s.distribution
    ]
    if meant:
        meant.sort(key=lambda source: source.plugin)
        parts = [p for p in found.parts if p.source in meant]
        return meant, parts, [x for x in found.listeners if x.source in meant], {}
    head, _, tail = name.partition(":")
    parts = [p for p in found.parts if p.spec.name == head and (not tail or _takes(p))]
    if parts:
        own = {p.spec.name: _given(p, tail, otherwise) for p in parts} if tail else {}
        if tail and isinstance(parts[0].spec, BackboneFamily):
            found.part("backbone", name)  # an unknown member is told at once
        return [], parts, [], own
    raise UnknownPart(_unknown(found, name, sources))


def _unknown(found: Plugins, name: str, used: Iterable[Source]) -> str:
    """Say that nothing has a name, what may have been meant, and which plugins are not in use."""
    for broken in found.broken:
        if name in (broken.source.plugin, broken.source.distribution):
            return f"plugin {name!r} was set aside: {broken.explained}"
    there = {s.plugin for s in used} | {p.name for p in found.parts}
    meant_by = {*there, *(s.distribution for s in used)}
    close = [f"gendkit-{name}"] if f"gendkit-{name}" in meant_by else []
    close = close or difflib.get_close_matches(name, sorted(meant_by), n=1)
    meant = f"was {close[0]} meant?" if close else f"there is {_list(there)}."
    aside = (f" Plugin {b.source.plugin!r} was set aside: {b.explained}." for b in found.broken)
    left_out = (f" Plugin {b.name!r} is left out by {b.by}." for b in found.blocked if b.source)
    return f"no plugin or part is named {name!r}; {meant}{''.join(aside)}{''.join(left_out)}"


def _takes(part: Part) -> bool:
    return part.kind == "dataset" or isinstance(part.spec, BackboneFamily)


def _given(part: Part, tail: str, otherwise: Given) -> Given:
    if isinstance(part.spec, BackboneFamily):
        return replace(otherwise, key=tail)
    root = Path(tail).expanduser()
    if not root.exists():
        raise MissingMedia(
            f"there is no {tail}, on which {part.spec.name} was to be checked; name a folder that "
            "holds some of its clips."
        )
    return replace(otherwise, root=root)


def _shown(part: Part, given: Giver | None) -> str:
    if isinstance(given, Given) and given.key:
        return f"{part.spec.name}:{given.key}"
    return part.name


def _all(kind: str, part: str, subject: Callable[[], Any]) -> Iterator[Check]:
    return (Check(rule=rule, part=part, subject=subject) for rule in rules_of(kind))


def _always(value: Any) -> Callable[[], Any]:
    return lambda: value


def _class(kind: str) -> Callable[..., Any]:
    module, name = CHECKED[kind]
    made: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return made


def _lazily(part: Part, found: Plugins, giver: Giver) -> Callable[[], Any]:
    """Return a function that makes, once, what the rules of a part are given."""

    @cache
    def make() -> Any:
        if isinstance(giver, Given):
            return _class(part.kind)(part, found, giver)
        folder = tempfile.mkdtemp(prefix="gendkit-check-")
        made = _class(part.kind)(part, found, giver(Path(folder)))
        weakref.finalize(made, shutil.rmtree, folder, ignore_errors=True)
        return made

    return make


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
