"""A gallery of face crops: cards enter one by one when they come into view, a click leaves.

Only how many cards there are is state of the widget. What is on a card, its picture included, is
sent when the browser asks for it, so that a saved notebook holds none of it and a selection of
100,000 crops costs no more than one of ten.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import anywidget
import traitlets

_HERE = Path(__file__).parent
MOST = 96
"""Cards that are sent at once, however many are asked for."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is told of one crop.

    Attributes
    ----------
    sample
        Its id.
    title
        The line in bold.
    lines
        Further lines.
    colour
        `#rrggbb` of the category, shown beside the words that tell it.
    jpeg
        The picture; empty if there is none.
    reason
        Why there is none.
    """

    sample: str
    title: str
    lines: tuple[str, ...] = ()
    colour: str = ""
    jpeg: bytes = field(default=b"", repr=False)
    reason: str = ""


class Gallery(anywidget.AnyWidget):
    """Cards in a grid that scrolls, in one row, or a single large one.

    Parameters
    ----------
    form
        `grid`, `row` or `single`.
    label
        What the cards are, for those who do not see them.
    picked
        Called with the sample of a card that is clicked.
    """

    _esm = _HERE / "gallery.js"
    _css = _HERE / "gallery.css"

    form = traitlets.Enum(("grid", "row", "single"), "grid").tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    count = traitlets.Int(0).tag(sync=True)
    version = traitlets.Int(0).tag(sync=True)
    current = traitlets.Unicode().tag(sync=True)

    def __init__(
        self, *, form: str = "grid", label: str = "", picked: Callable[[str], None] | None = None
    ) -> None:
        super().__init__(form=form, label=label)
        self._picked = picked
        self._card: Callable[[int], Card] | None = None
        self.on_msg(self._answer)

    def fill(self, count: int, card: Callable[[int], Card]) -> None:
        """Show other cards.

        Parameters
        ----------
        count
            How many there are.
        card
            Makes the card at a place, 0 to `count` - 1, when it comes into view.
        """
        self._card = card
        with self.hold_sync():
            self.count = count
            self.version += 1

    def _answer(self, _: Any, content: dict[str, Any], buffers: Any) -> None:
        if content["kind"] == "pick" and self._picked:
            self._picked(str(content["sample"]))
        elif content["kind"] == "cards" and content["version"] == self.version and self._card:
            start = max(0, int(content["start"]))
            stop = min(self.count, int(content["stop"]), start + MOST)
            cards = [self._card(place) for place in range(start, stop)]
            told = [{**asdict(card), "jpeg": len(card.jpeg)} for card in cards]
            pictures = [card.jpeg for card in cards if card.jpeg]
            self.send({**content, "cards": told}, pictures)
