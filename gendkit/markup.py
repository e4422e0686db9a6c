"""Text and markup that are safe to show: values enter, escaped HTML or plain text leaves.

Markup is a value of its own, `Html`; plain text is escaped wherever it meets markup, so nothing
that a user named can become a tag. `card` and `grid` are what results look like in a notebook:
their style stands in their own elements and takes its colours from what is around them.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

DASH = "–"
MINUS = "\N{MINUS SIGN}"
_VOID = frozenset({"br", "col", "hr", "img", "link", "meta"})
_SMALL = 5e-4
_ORDERS = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]")
"""Control characters but tab and newline, and what turns the direction of writing."""
_RULE = "1px solid color-mix(in srgb, currentColor 18%, transparent)"
_CELL = "padding:.2em .9em .2em 0;text-align:{};vertical-align:top;background:none;border:0;"
_NAMES = "opacity:.7;white-space:nowrap"
_TABLE = "border-collapse:collapse;border:0;margin:.3em 0 0;font-size:inherit;color:inherit"
_LINE = "background:none;border:0"


@dataclass(frozen=True, kw_only=True)
class Html:
    """Markup that is complete and safe to put into a page."""

    text: str

    def __str__(self) -> str:
        return self.text


Node = Html | str | int | None
Attribute = str | int | bool | None


def tag(name: str, /, *children: Node, **attributes: Attribute) -> Html:
    """Return an element.

    Parameters
    ----------
    children
        `Html` is taken as it is, text is escaped, None is left out.
    attributes
        Underscores become hyphens and a trailing one is dropped (`class_`, `aria_label`); True is
        an attribute without a value, None and False leave it out.
    """
    start = f"<{name}{''.join(_attribute(*item) for item in attributes.items())}>"
    if name in _VOID:
        return Html(text=start)
    return Html(text=f"{start}{join(*children)}</{name}>")


def join(*nodes: Node) -> Html:
    """Return nodes one after the other, text escaped."""
    return Html(text="".join(_text(node) for node in nodes))


def visible(text: object) -> str:
    r"""Return text in one line in which control characters stand as their codes, such as `\x1b`.

    A file's name can hold what a terminal obeys, or what turns the direction of writing.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def masked(text: str) -> str:
    """Return text in which a question mark stands for each control character."""
    return "".join(c if c.isprintable() else "?" for c in text)


def words_of(error: BaseException) -> str:
    """Return kind and text of an error in one line; the kind alone if it fails to say more.

    Whoever shows it makes it `visible`: the text may be a stranger's.
    """
    try:
        text = f"{type(error).__name__}: {error}"
    except (Exception, SystemExit):  # of a plugin, even this is code
        text = type(error).__name__
    return " ".join(text.split())


def number(value: float | None, *, digits: int = 3, sign: bool = False) -> str:
    """Return a number for reading, with a true minus sign; a dash if it is None or not finite."""
    if value is None or not math.isfinite(value):
        return DASH
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def card(title: str, facts: Mapping[str, Node], *more: Html) -> str:
    """Return how a notebook shows one result.

    Parameters
    ----------
    title
        What it is.
    facts
        Terms and their values, of which None is left out.
    more
        What stands below, such as a `grid`.
    """
    rows = [
        tag(
            "tr",
            tag("th", visible(term), scope="row", style=f"{_CELL.format('left')}opacity:.7"),
            tag("td", _shown(value), style=f"{_CELL.format('left')}overflow-wrap:anywhere"),
            style=_LINE,
        )
        for term, value in facts.items()
        if value is not None
    ]
    return tag(
        "div",
        tag("strong", visible(title)),
        tag("table", tag("tbody", *rows), style=_TABLE) if rows else None,
        *more,
        style="overflow-x:auto;max-width:100%",
    ).text


def grid(head: Sequence[str], rows: Iterable[Sequence[Node | float]]) -> Html:
    """Return a table for a notebook.

    Parameters
    ----------
    head
        One name a column.
    rows
        One cell a column. Of a float three digits are shown; a column whose first value is a
        number stands on the right.
    """
    cells = [list(row) for row in rows]
    first = cells[0] if cells else []
    sides = ["right" if isinstance(v, int | float) else "left" for v in first]
    sides += ["left"] * (len(head) - len(sides))
    styles = [_CELL.format(side) for side in sides]
    top = (
        tag("th", visible(name), scope="col", style=f"{style}border-bottom:{_RULE};{_NAMES}")
        for name, style in zip(head, styles, strict=True)
    )
    body = (
        tag(
            "tr",
            *(tag("td", _shown(v), style=s) for v, s in zip(row, styles, strict=True)),
            style=_LINE,
        )
        for row in cells
    )
    return tag(
        "table", tag("thead", tag("tr", *top, style=_LINE)), tag("tbody", *body), style=_TABLE
    )


def _shown(value: Node | float) -> Node:
    if isinstance(value, float):
        return f"{value:.1e}".replace("-", MINUS) if 0 < abs(value) < _SMALL else number(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return value if value is None or isinstance(value, Html) else visible(value)


def _attribute(key: str, value: Attribute) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{html.escape(_harmless(value))}"'


def _text(node: Node) -> str:
    if node is None:
        return ""
    return node.text if isinstance(node, Html) else html.escape(_harmless(node), quote=False)


def _harmless(text: object) -> str:
    return _ORDERS.sub(lambda found: visible(found[0]), str(text))
