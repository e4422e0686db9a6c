"""What only the browser knows: whether the page is light or dark, and how much room there is."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets

_HERE = Path(__file__).parent


class Paper(anywidget.AnyWidget):
    """A widget that shows nothing, but once it is displayed tells of the box that it is in.

    Attributes
    ----------
    dark
        Whether the page is dark; follows its theme.
    width
        Of the box, in CSS pixels; 0 as long as it is not known.
    """

    _esm = _HERE / "paper.js"

    dark = traitlets.Bool(False).tag(sync=True)
    width = traitlets.Int(0).tag(sync=True)
