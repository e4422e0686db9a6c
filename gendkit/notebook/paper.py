"""Whether the page behind a widget is light or dark, which only the browser knows."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets

_HERE = Path(__file__).parent


class Paper(anywidget.AnyWidget):
    """A widget that shows nothing; `dark` follows the page's theme once it is displayed."""

    _esm = _HERE / "paper.js"

    dark = traitlets.Bool(False).tag(sync=True)
