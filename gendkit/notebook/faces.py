"""Faces beside a chart: what is said of a moment and its pictures enter, a widget shows them.

Pictures go to the page in messages when they are asked for. They are no part of the widget's state,
so that a saved notebook has none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import ipywidgets as widgets

from gendkit.data.png import encode_png

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One face, or why there is none.

    Attributes
    ----------
    lines
        What stands below it, the first in bold.
    image
        RGB uint8 (H, W, 3), or None.
    missing
        What stands in the place of an image that is None.
    """

    lines: tuple[str, ...]
    image: NDArray[np.uint8] | None = None
    missing: str = ""


class Faces(anywidget.AnyWidget):
    """Shows faces one below the other.

    Attributes
    ----------
    shown
        What it shows now.
    """

    _esm = Path(__file__).with_name("faces.js")

    def __init__(self) -> None:
        self.shown: tuple[Shown, ...] = ()
        super().__init__(layout=widgets.Layout(width="160px", flex="0 0 auto"))
        self.on_msg(self._asked)

    def show(self, faces: Sequence[Shown]) -> None:
        """Show these instead."""
        self.shown = tuple(faces)
        message, buffers = self.message()
        self.send(message, buffers)

    def message(self) -> tuple[dict[str, Any], list[bytes]]:
        """Return what the page is sent, and PNG files, which the message names by their place."""
        buffers: list[bytes] = []
        faces = []
        for face in self.shown:
            place = None
            if face.image is not None:
                place = len(buffers)
                buffers.append(encode_png(face.image))
            faces.append({"lines": face.lines, "image": place, "missing": face.missing})
        return {"faces": faces}, buffers

    def _asked(self, _: object, content: dict[str, Any], __: object) -> None:
        if content.get("ask") == "faces":
            self.show(self.shown)
