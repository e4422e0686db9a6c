"""The colours and markers of every picture: one meaning, one look, on light and on dark paper.

Names of categories enter, looks leave. Every colour has a contrast of at least 3:1 on `LIGHT` and
on `DARK`, so that a picture needs no second version; no two categories differ by colour alone,
since each look has a marker, too. Nothing here imports a plotting library.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

LIGHT = "#ffffff"
DARK = "#1b1e23"

REAL = "#2b7bba"
FAKE = "#cc6a0d"
UNKNOWN = "#7c828b"
PROBE = "#7c828b"
TUNED = "#8457d8"

SERIES = (
    "#cc6a0d",
    "#8466cc",
    "#2f8f46",
    "#c9468a",
    "#8c7d14",
    "#d24b45",
    "#0f8a96",
    "#9c6b46",
)
MARKERS = ("^", "s", "D", "v", "P", "X", "*", "<")

REAL_NAME = "real"
FAKE_NAME = "fake"
UNKNOWN_NAME = "unknown"


@dataclass(frozen=True, kw_only=True)
class Look:
    """How one category is drawn: a colour as `#rrggbb` and a matplotlib marker."""

    name: str
    colour: str
    marker: str


_FIXED = {
    REAL_NAME: Look(name=REAL_NAME, colour=REAL, marker="o"),
    FAKE_NAME: Look(name=FAKE_NAME, colour=FAKE, marker="^"),
    UNKNOWN_NAME: Look(name=UNKNOWN_NAME, colour=UNKNOWN, marker="."),
}


def looks(names: Iterable[str]) -> tuple[Look, ...]:
    """Give each name its look, in order.

    `real`, `fake` and `unknown` always look the same; the others go through `SERIES`, and after
    eight names through the same colours with other markers, so that 64 stay distinct.
    """
    given = []
    rank = 0
    for name in names:
        if name in _FIXED:
            given.append(_FIXED[name])
            continue
        shift = rank + rank // len(SERIES)
        given.append(
            Look(
                name=name,
                colour=SERIES[rank % len(SERIES)],
                marker=MARKERS[shift % len(MARKERS)],
            )
        )
        rank += 1
    return tuple(given)


def contrast(one: str, other: str) -> float:
    """Return the contrast of two `#rrggbb` colours, 1 to 21, as WCAG 2.2 defines it."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
