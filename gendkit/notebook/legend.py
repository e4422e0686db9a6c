"""A legend that filters: the colours of a map enter, the rows that are to be shown leave."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np
from ipywidgets import HTML, Box, Button, FloatRangeSlider, Layout, ToggleButton

from gendkit.markup import Html, tag
from gendkit.notebook.plane import Rows
from gendkit.notebook.shades import STEPS, Shades
from gendkit.pages.palette import UNKNOWN, UNKNOWN_NAME, Look

SYMBOLS = MappingProxyType(
    {
        **{"o": "●", "^": "▲", "s": "■", "D": "◆", "v": "▼"},
        **{"P": "✚", "X": "✖", "*": "★", "<": "◀", ".": "•"},
    }
)
"""matplotlib's markers in text."""
_NO_VALUE = Look(name=UNKNOWN_NAME, colour=UNKNOWN, marker=".")


class Legend:
    """Toggles for categories, or a range of a quantity.

    Parameters
    ----------
    shown
        Called with the rows (M,) that are to be shown, or with None for all.
    """

    def __init__(self, *, shown: Callable[[Rows | None], None]) -> None:
        self._shown = shown
        self._toggles: dict[int, ToggleButton] = {}
        self._slider: FloatRangeSlider | None = None
        self._quiet = False
        self.widget = Box(layout=Layout(flex="1 1 300px", flex_flow="row wrap"))
        self.widget.add_class("gendkit-legend")

    def fill(self, shades: Shades) -> None:
        """Show the legend of these colours; everything is to be shown."""
        self._shades, self._slider = shades, None
        counts = shades.counts
        self._toggles = {
            code: _toggle(code, look, int(counts[code]))
            for code, look in (
                *enumerate(shades.looks),
                *([(STEPS, _NO_VALUE)] if not shades.looks and counts[STEPS] else ()),
            )
        }
        for toggle in self._toggles.values():
            toggle.observe(self._changed, "value")
        parts: list[Any] = [_style(shades, self._toggles)]
        if not shades.looks:
            self._slider = _slider(shades)
            self._slider.observe(self._changed, "value")
            parts.append(self._slider)
        everything = Button(description="all", tooltip="show everything")
        everything.add_class("gendkit-all")
        everything.on_click(lambda _: self.reset())
        self.widget.children = (*parts, *self._toggles.values(), everything)

    def reset(self) -> None:
        """Show everything."""
        self._quiet = True
        for toggle in self._toggles.values():
            toggle.value = True
        if self._slider is not None:
            self._slider.value = (self._slider.min, self._slider.max)
        self._quiet = False
        self._changed()

    def _changed(self, _: Any = None) -> None:
        if self._quiet:
            return
        off = [code for code, toggle in self._toggles.items() if not toggle.value]
        hidden = np.isin(self._shades.codes, off)
        if self._slider is not None:
            low, high = self._slider.value
            # The ends of the slider are rounded, and stand for the least and the greatest value.
            low = -np.inf if low <= self._slider.min else low
            high = np.inf if high >= self._slider.max else high
            hidden |= (self._shades.values < low) | (self._shades.values > high)
        self._shown(np.flatnonzero(~hidden) if hidden.any() else None)


def _toggle(code: int, look: Look, count: int) -> ToggleButton:
    toggle = ToggleButton(
        value=True, description=f"{look.name} {count:,}", tooltip=f"show or hide {look.name}"
    )
    toggle.add_class("gendkit-look")
    toggle.add_class(f"gendkit-look-{code}-{look.colour[1:]}-{ord(look.marker)}")
    return toggle


def _slider(shades: Shades) -> FloatRangeSlider:
    low, high = shades.ends
    width = high - low or 1.0
    slider = FloatRangeSlider(
        value=(low, low + width), min=low, max=low + width, step=width / 200,
        readout_format=".3g", continuous_update=False,
        layout=Layout(width="340px"), tooltip=f"show this range of {shades.variable}",
    )  # fmt: skip
    slider.add_class("gendkit-range")
    return slider


def _style(shades: Shades, toggles: dict[int, ToggleButton]) -> HTML:
    """Return rules that give the toggles their markers, and the slider its colours."""
    looks = dict(enumerate(shades.looks)) or dict.fromkeys(toggles, _NO_VALUE)
    rules = [
        f".gendkit-look-{code}-{look.colour[1:]}-{ord(look.marker)}::before "
        f'{{ content: "{SYMBOLS[look.marker]}"; color: {look.colour}; }}'
        for code, look in looks.items()
    ]
    if not shades.looks:
        stops = ", ".join(shades.colours[:STEPS:15])
        rules.append(
            f".gendkit-range .noUi-connects {{ background: linear-gradient(90deg, {stops}); }}"
        )
    return HTML(str(tag("style", Html(text="\n".join(rules)))), layout=Layout(display="none"))
