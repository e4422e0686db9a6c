"""Building blocks of self-contained HTML pages: text, numbers and pictures enter, markup leaves.

They are made of `gendkit.markup`, which escapes. A page holds its style and its pictures, forbids
every request by its content security policy, and follows the reader's light or dark scheme.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Literal

from gendkit.markup import DASH, Html, Node, join, number, tag

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def prose(*nodes: Node) -> Html:
    """Return a paragraph."""
    return tag("p", *nodes)


def bullets(items: Iterable[Node]) -> Html:
    """Return a list of points."""
    return tag("ul", *(tag("li", item) for item in items))


def note(*nodes: Node) -> Html:
    """Return a remark that the reader should not miss."""
    return tag("p", *nodes, class_="note", role="note")


def interval(low: float, high: float, *, digits: int = 3, sign: bool = False) -> str:
    """Return the two ends of an interval; a dash if one is not finite."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return DASH
    return f"{number(low, digits=digits, sign=sign)} to {number(high, digits=digits, sign=sign)}"


def estimate(value: float, low: float, high: float, *, sign: bool = False) -> Html:
    """Return a number with its interval on a second line, for a cell of a table."""
    if not math.isfinite(value):
        return tag("span", DASH, class_="missing", title="could not be computed")
    return join(
        tag("span", number(value, sign=sign), class_="value"),
        " ",
        tag("span", interval(low, high, digits=2, sign=sign), class_="ends"),
    )


def table(
    head: Sequence[Node],
    bodies: Sequence[tuple[Node, Sequence[Sequence[Node]]]],
    *,
    caption: str,
) -> Html:
    """Return a table that scrolls sideways where it is too wide.

    Parameters
    ----------
    head
        One cell a column; the first column names the rows.
    bodies
        Groups of rows, each with its title (None for no title).
    caption
        What the table holds; also its accessible name.
    """
    groups = []
    for title, rows in bodies:
        lines = [] if title is None else [_group_row(title, len(head))]
        for first, *cells in rows:
            lines.append(tag("tr", tag("th", first, scope="row"), *(tag("td", c) for c in cells)))
        groups.append(tag("tbody", *lines))
    content = tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", *(tag("th", cell, scope="col") for cell in head))),
        *groups,
    )
    return tag("div", content, class_="scroll", role="region", aria_label=caption, tabindex=0)


def facts(rows: Iterable[tuple[Node, Node]]) -> Html:
    """Return pairs of a term and its value."""
    pairs = (tag("div", tag("dt", term), tag("dd", value)) for term, value in rows)
    return tag("dl", *pairs, class_="facts")


def tile(label: str, value: str, detail: str, *, tone: Literal["", "good", "bad"] = "") -> Html:
    """Return a large number with what it is above and its interval below."""
    return tag(
        "div",
        tag("p", label, class_="label"),
        tag("p", value, class_=f"big {tone}".strip()),
        tag("p", detail, class_="detail"),
        class_="tile",
    )


def tiles(*items: Html) -> Html:
    """Return tiles side by side."""
    return tag("div", *items, class_="tiles")


def chart(svg: str, *, alt: str, narrow: str | None = None, title: str = "") -> Html:
    """Return an SVG drawing on a card, with a second one for phones if given.

    Parameters
    ----------
    svg, narrow
        `<svg>` elements as `gendkit.pages.figures` makes them.
    alt
        What the drawing shows, in words.
    title
        Heading above the drawing.
    """
    drawings = [tag("div", Html(text=svg), class_="wide" if narrow else None)]
    if narrow:
        drawings.append(tag("div", Html(text=narrow), class_="narrow"))
    return tag(
        "div",
        tag("p", title, class_="chart-title") if title else None,
        tag("div", *drawings, class_="chart", role="img", aria_label=alt),
        class_="card",
    )


def panels(*items: Html, least: int = 20) -> Html:
    """Return cards side by side, as many as fit if each is at least so many em wide."""
    return tag("div", *items, class_="panels", style=f"--least: {int(least)}rem")


def figure(*content: Node, caption: Node) -> Html:
    """Return content with its caption."""
    return tag("figure", *content, tag("figcaption", caption))


def picture(image: NDArray[np.uint8], *, alt: str, size: int = 112) -> Html:
    """Return an RGB image (H, W, 3) as JPEG inside the page.

    Parameters
    ----------
    alt
        What it shows, in words.
    size
        Longest side on the page in CSS pixels; up to twice as many pixels are kept, for dense
        screens. Small images are not enlarged.
    """
    from PIL import Image

    pixels = Image.fromarray(image)
    shape = pixels.size
    pixels.thumbnail((2 * size, 2 * size), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    pixels.save(buffer, format="JPEG", quality=84, optimize=True)
    scale = size / max(shape)
    return tag(
        "img",
        src=f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}",
        alt=alt,
        width=round(shape[0] * scale),
        height=round(shape[1] * scale),
    )


def section(anchor: str, title: str, *content: Node) -> Html:
    """Return a section under its own heading, to which the page's contents can point."""
    return tag("section", tag("h2", title, id=f"{anchor}-title"), *content, id=anchor)


def page(
    title: str,
    *sections: Html,
    lead: Html,
    contents: Sequence[tuple[str, str]] = (),
    foot: Node = None,
) -> str:
    """Return a complete HTML document that needs nothing from outside itself.

    Parameters
    ----------
    title
        For the browser's tab.
    lead
        What stands at the top, including the page's only `h1`.
    contents
        Anchor and name of the sections that the reader can jump to.
    """
    links = [tag("li", tag("a", name, href=f"#{anchor}")) for anchor, name in contents]
    style = (resources.files(__package__) / "page.css").read_text("utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="generator", content="gendkit"),
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        Html(text=f"<style>{style}</style>"),
    )
    body = tag(
        "body",
        tag("header", lead),
        tag("nav", tag("ul", *links), aria_label="Contents") if links else None,
        tag("main", *sections),
        tag("footer", foot) if foot is not None else None,
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _group_row(title: Node, columns: int) -> Html:
    return tag("tr", tag("th", title, colspan=columns, scope="rowgroup"), class_="group")
