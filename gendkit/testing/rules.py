"""What a rule of the conformance kit is: a function whose docstring is the rule.

A rule is given the part under check and returns nothing. It raises `RuleBroken` (by `demand`) where
the part breaks it, and `LeftOut` with the reason where it says nothing about this part. Any other
exception that comes out of the part's own code breaks the rule too.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gendkit.errors import GendkitError
from gendkit.markup import card, grid, masked, visible, words_of
from gendkit.plugin.parts import Source
from gendkit.plugin.remedies import undeclared

Verdict = Literal["kept", "broken", "left out"]


class RuleBroken(GendkitError, AssertionError):
    """A part does not do what its kind promises."""


class LeftOut(Exception):
    """A rule that says nothing about this part, or cannot be tried here; its text is the reason."""


class NotHere(LeftOut):
    """A rule that cannot be tried as packages, weights or a service are not to be had."""


def cannot_be_tried(error: GendkitError, source: Source) -> LeftOut | RuleBroken:
    """Return what a rule raises where packages or weights are not to be had.

    Only a package that the plugin imports and does not declare is its own fault: whoever installs
    the plugin lacks it.
    """
    if undeclared(error.__cause__, source):
        return RuleBroken(str(error))
    return NotHere(f"it cannot be tried here: {error}")


def demand(condition: object, message: str) -> None:
    """Break the rule unless a condition is true.

    Raises
    ------
    RuleBroken
        With the message: what was got, and what was expected.
    """
    if not condition:
        raise RuleBroken(message)


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a part needs to be checked that its spec cannot tell.

    Attributes
    ----------
    key
        Of a backbone family: the member to check.
    root
        Of a dataset: the folder that it reads.
    options
        For the part's `build`.
    pretrained
        Build backbones with their weights; by default they are random, and nothing is fetched.
    same_weights
        Names of backbones that hold the same weights in another layout.
    """

    key: str = ""
    root: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    pretrained: bool = False
    same_weights: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One thing that parts of a kind promise.

    Attributes
    ----------
    kind
        Of the parts that it is about.
    check
        See the module.
    """

    kind: str
    check: Callable[[Any], None]

    @property
    def name(self) -> str:
        """The function's name."""
        return self.check.__name__

    @property
    def text(self) -> str:
        """The rule in one sentence: the first line of the function's docstring."""
        return (inspect.getdoc(self.check) or "").partition("\n")[0]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one rule on one part.

    Attributes
    ----------
    rule, kind, part
        Names of the rule and the part, and what the part is.
    text
        The rule in one sentence.
    verdict
        `kept`, `broken`, or `left out` where it could not be tried.
    reason
        Why; empty if kept.
    seconds
        How long it took.
    """

    rule: str
    kind: str
    part: str
    text: str
    verdict: Verdict
    reason: str
    seconds: float


@dataclass(frozen=True)
class Outcomes:
    """What came of all rules that were tried.

    Attributes
    ----------
    all
        In the order in which they were tried.
    """

    all: tuple[Outcome, ...]

    @property
    def kept(self) -> tuple[Outcome, ...]:
        """Rules that are kept."""
        return tuple(o for o in self.all if o.verdict == "kept")

    @property
    def broken(self) -> tuple[Outcome, ...]:
        """Rules that are broken, with their reasons."""
        return tuple(o for o in self.all if o.verdict == "broken")

    @property
    def left_out(self) -> tuple[Outcome, ...]:
        """Rules that could not be tried, with their reasons."""
        return tuple(o for o in self.all if o.verdict == "left out")

    def __str__(self) -> str:
        counts = f"{len(self.kept)} rules kept, {len(self.broken)} broken"
        return f"{counts}, {len(self.left_out)} left out"

    def __repr__(self) -> str:
        named = "; ".join(f"{o.part} breaks {o.rule}" for o in self.broken)
        return visible(f"Outcomes({self}{': ' * bool(named)}{named})")

    def _repr_html_(self) -> str:
        by_part: dict[str, list[tuple[str, str, str]]] = {}
        last = ""
        for o in self.all:
            rows = by_part.setdefault(f"{o.kind} {o.part}", [])
            again = bool(rows) and o.reason != "" and o.reason == last
            rows.append((o.verdict, o.text, "as above" if again else o.reason))
            last = o.reason
        tables = [grid(["", part, ""], rows) for part, rows in by_part.items()]
        return card(f"Outcomes({self})", {}, *tables)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One rule and the part that it is tried on.

    Attributes
    ----------
    rule
        The rule.
    part
        The part as users name it.
    subject
        What the rule is given, made when it is first needed; rules of one part share it.
    """

    rule: Rule
    part: str
    subject: Callable[[], Any]

    @property
    def id(self) -> str:
        """Kind, part and rule in one word, for a test's name."""
        return f"{self.rule.kind}-{self.part}-{self.rule.name}"

    def run(self) -> None:
        """Try the rule.

        Raises
        ------
        RuleBroken, LeftOut
            See the module.
        """
        self.rule.check(self.subject())

    def outcome(self) -> Outcome:
        """Try the rule and say what came of it; never raises an `Exception`."""
        start = time.perf_counter()
        verdict: Verdict = "kept"
        reason = ""
        try:
            self.run()
        except LeftOut as error:
            verdict, reason = "left out", _line(str(error))
        except RuleBroken as error:
            verdict, reason = "broken", _line(str(error))
        except (Exception, SystemExit) as error:  # code of a plugin
            verdict, reason = "broken", _line(words_of(error))
        return Outcome(
            rule=self.rule.name,
            kind=self.rule.kind,
            part=self.part,
            text=self.rule.text,
            verdict=verdict,
            reason=reason,
            seconds=time.perf_counter() - start,
        )


def _line(text: str) -> str:
    return masked(" ".join(text.split()))
