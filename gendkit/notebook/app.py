"""The desk: a file is dropped, the page about it comes; and the sphere beside it.

For those who do not program. A store and an adapter enter, a widget leaves; `gendkit app` serves it
as a page.
"""

from __future__ import annotations

import base64
import html
import logging
from pathlib import Path
from typing import Any

import ipywidgets
import xarray as xr

from gendkit.errors import GendkitError, first_line
from gendkit.manifold.projection import project
from gendkit.manifold.store import open_embeddings
from gendkit.model.detector import Detector, load
from gendkit.notebook.drop import Drop
from gendkit.notebook.explorer import explore
from gendkit.pages.clip import ClipReport, report

_log = logging.getLogger(__name__)
NOTE = (
    "A score is what the detector says of the kind of face that it was trained to tell. It is no "
    "probability that a file is forged, and the page gives no verdict."
)


class Desk(ipywidgets.VBox):
    """A place to drop files and the map of the reference.

    Parameters
    ----------
    detector
        Or its adapter's file or folder.
    reference
        Embeddings with labels by the same adapter, or their store.
    options
        Of `gk.report`, such as `frames` and `draws`.

    Attributes
    ----------
    made
        The newest report; None before the first.
    """

    def __init__(
        self,
        detector: Detector | str | Path,
        reference: xr.Dataset | str | Path,
        **options: Any,
    ) -> None:
        self._detector = detector if isinstance(detector, Detector) else load(detector)
        if not isinstance(reference, xr.Dataset):
            reference = open_embeddings(reference).load()
        self._reference, self._options = reference, options
        self.made: ClipReport | None = None
        self.drop = Drop(self._examine)
        self._page = ipywidgets.VBox()
        note = ipywidgets.HTML(f"<p style='max-width:70ch;margin:4px 0 10px'>{NOTE}</p>")
        clip = ipywidgets.VBox([note, self.drop, self._page])
        tabs = ipywidgets.Tab([clip, self._sphere()], titles=("A clip", "The sphere"))
        super().__init__([tabs])

    def _sphere(self) -> ipywidgets.Widget:
        ds = self._reference
        if "projection" not in ds.variables:
            ds = project(ds)
        return explore(ds)

    def _examine(self, path: Path) -> None:
        self.drop.say(f"Examining {path.name}; this takes from some seconds to a minute.")
        self._page.children = ()
        try:
            self.made = report(path, self._detector, self._reference, **self._options)
        except GendkitError as error:
            words = str(error).replace(str(path), path.name)
            self.drop.say(f"{path.name}: {words}", ready=True)
            return
        except Exception as error:  # a codec's, say; the next file can be dropped all the same
            _log.exception("%s could not be examined", path.name)
            self.drop.say(f"{path.name} failed: {first_line(error)}", ready=True)
            return
        self._page.children = (_shown(self.made, path.stem),)
        self.drop.say(f"{path.name} is examined; drop another file.", ready=True)


def _shown(made: ClipReport, stem: str) -> ipywidgets.HTML:
    """Return the page in a frame, and links that save it and its record."""
    links = [
        _link(made.page(), "text/html", f"{stem}.html", "Save the page"),
        _link(made.to_json(), "application/json", f"{stem}.json", "Save the record"),
    ]
    return ipywidgets.HTML(
        f"<p style='margin:10px 0'>{' &nbsp; '.join(links)}</p>{made._repr_html_()}"
    )


def _link(text: str, kind: str, name: str, words: str) -> str:
    data = base64.b64encode(text.encode("utf-8")).decode()
    saved = html.escape(name, quote=True)
    look = "color:#0b6b8f;text-decoration:underline"
    address = f"data:{kind};charset=utf-8;base64,{data}"
    return f'<a download="{saved}" style="{look}" href="{address}">{words}</a>'
