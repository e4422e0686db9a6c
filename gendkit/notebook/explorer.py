"""The explorer: embeddings with a map enter, a widget leaves in which everything is linked.

A map, a legend that filters, the faces that were chosen, the nearest of one of them, and the scores
and methods of those chosen against all. `selection` is what was chosen, in the browser or here.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import traitlets
from ipywidgets import HTML, Box, Dropdown, HBox, Layout, VBox

from gendkit.errors import InvalidEmbeddings
from gendkit.manifold.schema import text_of
from gendkit.markup import Html, join, number, tag
from gendkit.notebook.charts import label
from gendkit.notebook.gallery import Card, Gallery
from gendkit.notebook.legend import Legend
from gendkit.notebook.nearest import Nearest, card_of
from gendkit.notebook.overview import MethodTable, ScoreHistogram
from gendkit.notebook.paper import Paper
from gendkit.notebook.plane import Plane, Rows
from gendkit.notebook.shades import shades
from gendkit.notebook.thumbnails import Thumbnails
from gendkit.pages import maps

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

TOLD = ("method", "score", "video")
FIRST = ("family", "method", "label", "split", "dataset", "score", "novelty_p")
"""The variables that stand first in the list of those to colour by."""
_NOT_OFFERED = ("sample", "path")
_STYLE = Path(__file__).parent / "explorer.css"


def explore(
    ds: xr.Dataset,
    reference: xr.Dataset | None = None,
    *,
    colour: str | None = None,
    k: int = 5,
    height: int = 520,
) -> Explorer:
    """Show the map of the sphere as a widget to look for faces in.

    Choose points by a lasso (drag) or a click, and look at their faces, scores and methods; click a
    face for those that are nearest to it. A map is for finding
    faces to look at; its distances are no evidence. Faces whose `novelty_p` is at most its
    alpha are drawn hollow, as a map puts them among others that they are unlike.

    Parameters
    ----------
    ds
        Embeddings with `projection` (sample, axis), of two axes or three.
    reference
        Embeddings with labels, in which the nearest real and fake faces are looked for, never of
        the same clip or person; by default `ds` itself.
    colour
        A variable with one value a sample; by default `family`, `method` or `label`, the first
        that is there.
    k
        How many nearest reals and fakes are shown.
    height
        Of the map, in CSS pixels.

    Returns
    -------
    Explorer
        It shows itself as a cell's result.

    Raises
    ------
    InvalidEmbeddings
        If there is no crop, no projection or no such variable, `k` is impossible, or the reference
        is of another adapter.
    MissingDependency
        If jupyter-scatter or plotly is not installed.
    """
    return Explorer(ds, reference, colour=colour, k=k, height=height)


class Explorer(VBox):
    """Linked views of embeddings; see `explore`, which makes one.

    Attributes
    ----------
    selection
        What is chosen, as a Dataset; give it a Dataset, ids or a mask (N,) to choose.
    face
        The sample whose nearest are shown; empty for none. It can be set and observed.
    """

    face = traitlets.Unicode()

    def __init__(
        self,
        ds: xr.Dataset,
        reference: xr.Dataset | None = None,
        *,
        colour: str | None = None,
        k: int = 5,
        height: int = 520,
    ) -> None:
        super().__init__()
        points = maps.places(ds)
        if not len(points):
            raise InvalidEmbeddings("there is no crop to show; give embeddings of some.")
        there = maps.variables(ds)
        colour = colour or next((name for name in FIRST if name in there), "")
        self._ds = ds
        self._ids = pd.Index(text_of(ds["sample"]).astype(object))
        self._rows: Rows = np.empty(0, dtype=np.int64)
        self._visible: Rows | None = None
        self._shades = shades(maps.colouring(ds, colour))
        self._thumbnails = Thumbnails(ds)
        self._maps = self._drawn(points, height)
        self._legend = Legend(shown=self._show)
        self._gallery = Gallery(label="faces", picked=self._pick)
        self._nearest = Nearest(ds, reference, k=k, thumbnails=self._thumbnails, picked=self._pick)
        scores = self._scores
        self._views: list[Any] = [MethodTable(maps.categories(ds, self._kind), scores)]
        if scores is not None:
            self._views.insert(0, ScoreHistogram(scores, chosen=self._choose))
        self._colour = Dropdown(
            options=_offered(ds, colour), value=colour, description="colour by",
            layout=Layout(width="230px"), style={"description_width": "initial"},
        )  # fmt: skip
        self._colour.observe(lambda change: self._recolour(change["new"]), "value")
        self._heading, self._paper = HTML(), Paper()
        self._heading.add_class("gendkit-heading")
        self._paper.observe(lambda change: self._on_paper(dark=change["new"]), "dark")
        self._paper.observe(lambda change: self._maps[-1].fit(change["new"]), "width")
        self._legend.fill(self._shades)
        self._arrange(height)
        self._refresh()

    @property
    def selection(self) -> xr.Dataset:
        """The part of the Dataset that is chosen, in its order; of no sample if nothing is.

        It can be set to a Dataset, to sample ids or to a mask (N,) of truth values; the browser
        then shows it, and what the legend hides of it.

        Raises
        ------
        InvalidEmbeddings
            If it is set to a sample that is not there, or to a mask of another length.
        """
        return self._ds.isel(sample=self._rows)

    @selection.setter
    def selection(self, wanted: xr.Dataset | Iterable[str] | NDArray[np.bool_]) -> None:
        rows = self._rows_of(wanted)
        if self._visible is not None and not np.isin(rows, self._visible).all():
            self._legend.reset()
        self._choose(rows)

    @traitlets.validate("face")
    def _known_face(self, proposal: Any) -> str:
        if (face := str(proposal["value"])) and face not in self._ids:
            raise InvalidEmbeddings(f"the embeddings have no sample {face!r}.")
        return face

    @traitlets.observe("face")
    def _face_changed(self, change: Any) -> None:
        self._gallery.current = change["new"]
        if not change["new"]:
            self._nearest.clear()
            return
        row = self._ids.get_loc(change["new"])
        self._nearest.ask(row)
        for view in self._maps:
            view.point_at(row)

    def _drawn(self, points: NDArray[np.float64], height: int) -> list[Any]:
        """Return the views of the map: the plane, and before it the globe if there is one."""
        novel, told = maps.novel(self._ds), self._told
        plane = Plane(
            points, novel=novel, shades=self._shades, told=told, chosen=self._chosen, height=height
        )
        if self._ds.sizes["axis"] == 2:
            return [plane]
        from gendkit.notebook.globe import Globe

        lines = [[label(f"{name}: {v}") for v in told[name].tolist()] for name in told]
        words = np.array(["<br>".join(parts) for parts in zip(*lines, strict=True)], dtype=object)
        globe = Globe(
            self._ds["projection"].transpose("sample", "axis").to_numpy(), novel=novel,
            shades=self._shades, words=words, chosen=self._chosen, height=height,
        )  # fmt: skip
        return [globe, plane]

    @cached_property
    def _kind(self) -> str:
        """The variable that tells methods apart."""
        there = maps.variables(self._ds)
        return next((name for name in ("method", "family", "label") if name in there), "sample")

    @cached_property
    def _scores(self) -> NDArray[np.float64] | None:
        if "score" not in self._ds:
            return None
        return np.asarray(self._ds["score"].to_numpy(), dtype=np.float64)

    @cached_property
    def _told(self) -> pd.DataFrame:
        """One row a sample: what is told of it."""
        columns: dict[str, Any] = {}
        for name in (n for n in (*TOLD, maps.NOVELTY) if n in self._ds):
            if self._ds[name].dtype.kind == "f":
                columns[name] = [number(v) for v in self._ds[name].to_numpy().tolist()]
            else:
                columns[name] = maps.categories(self._ds, name)
        return pd.DataFrame(columns, index=range(len(self._ids)))

    def _arrange(self, height: int) -> None:
        caption, style = HTML(str(tag("p", maps.told(self._ds), self._hollow()))), HTML()
        caption.add_class("gendkit-note")
        style.value = str(tag("style", Html(text=_STYLE.read_text("utf-8"))))
        style.layout.display = "none"
        flat = len(self._maps) == 1
        side = Box([self._nearest.widget], layout=Layout(min_width="0"))
        side.layout.flex = "1 1 380px" if flat else "none"
        if flat:
            side.add_class("gendkit-side")
        *globe, plane = (_framed(view.widget, least=420) for view in self._maps)
        plane.children += (self._paper,)
        drawn = _row(*globe, plane)
        plots = VBox([drawn, caption], layout=Layout(flex="3 1 460px", min_width="0"))
        self._gallery.layout.height = "300px"
        overview = [_framed(view.widget, least=380) for view in self._views]
        self.add_class("gendkit-explorer")
        self.children = (
            style,
            _row(self._colour, self._legend.widget),
            _row(plots, *([side] if flat else [])),
            *([] if flat else [side]),
            self._heading,
            self._gallery,
            _row(*overview),
        )

    def _hollow(self) -> str:
        count = int(maps.novel(self._ds).sum())
        return f" {maps.hollow(self._ds).capitalize()}: {count:,} crops." if count else ""

    def _rows_of(self, wanted: Any) -> Rows:
        """Return the sorted rows of a Dataset, of ids or of a mask."""
        import xarray as xr

        if isinstance(wanted, xr.Dataset):
            wanted = text_of(wanted["sample"])
        values = np.atleast_1d(np.asarray(wanted))
        if values.dtype.kind == "b":
            if values.shape != (len(self._ids),):
                raise InvalidEmbeddings(
                    f"the mask has shape {values.shape}; there are {len(self._ids):,} samples."
                )
            return np.flatnonzero(values)
        rows = self._ids.get_indexer(pd.Index([str(v) for v in values.tolist()], dtype=object))
        if (rows < 0).any():
            missing = values[rows < 0]
            raise InvalidEmbeddings(
                f"{len(missing):,} of {len(values):,} samples are not in the embeddings, such as "
                f"{str(missing[0])!r}."
            )
        return np.unique(rows).astype(np.int64)

    def _chosen(self, rows: Rows) -> None:
        """Take over what was chosen on a map; one point is a face to be asked about, too."""
        self._choose(rows)
        if len(rows) == 1:
            self.face = str(self._ids[rows[0]])

    def _choose(self, rows: Rows) -> None:
        if self._visible is not None:
            rows = rows[np.isin(rows, self._visible)]
        self._rows = rows
        for view in (*self._maps, *self._views):
            view.choose(rows)
        self._refresh()

    def _show(self, rows: Rows | None) -> None:
        self._visible = rows
        for view in self._maps:
            view.show(rows)
        self._choose(self._rows)

    def _recolour(self, variable: str) -> None:
        self._shades = shades(maps.colouring(self._ds, variable))
        for view in self._maps:
            view.colour(self._shades)
        self._legend.fill(self._shades)
        self._show(None)

    def _on_paper(self, *, dark: bool) -> None:
        for view in (*self._maps, *self._views):
            view.on_paper(dark=dark)

    def _pick(self, sample: str) -> None:
        if sample in self._ids:
            self.face = sample

    def _refresh(self) -> None:
        """Fill the gallery with what is chosen, or else with all that is shown."""
        count = len(self._ids)
        shown = np.arange(count) if self._visible is None else self._visible
        rows = self._rows if len(self._rows) else shown
        what = "selected" if len(self._rows) else "shown" if len(shown) < count else "crops"
        of = f" of {count:,}" if len(rows) < count else ""
        hint = (
            None
            if len(self._rows)
            else tag("small", " · drag on the map to choose, click for one, scroll to zoom")
        )
        self._heading.value = str(join(tag("span", f"{len(rows):,}{of} {what}"), hint))
        self._gallery.fill(len(rows), lambda place: self._card(int(rows[place])))

    def _card(self, row: int) -> Card:
        told = self._told.iloc[row]
        title = told.get("score", "")
        lines = [str(told[name]) for name in ("method", "video") if name in told]
        return card_of(
            self._thumbnails, str(self._ids[row]), title=str(title), lines=lines,
            colour=self._shades.colours[self._shades.codes[row]],
        )  # fmt: skip


def _row(*widgets: Any) -> HBox:
    """Return widgets side by side, or below one another where the page is narrow."""
    row = HBox(widgets)
    row.add_class("gendkit-wrap")
    return row


def _framed(widget: Any, *, least: int) -> VBox:
    """Return a widget in a box that grows; a plotly figure has no layout of its own for that."""
    frame = VBox([widget], layout=Layout(flex=f"1 1 {least}px", min_width="0"))
    frame.add_class("gendkit-frame")
    return frame


def _offered(ds: xr.Dataset, asked: str) -> list[str]:
    """Return the variables to colour by, the usual ones first."""
    there = [n for n in maps.variables(ds) if n == asked or n not in _NOT_OFFERED]
    return sorted(there, key=lambda n: (FIRST.index(n) if n in FIRST else len(FIRST), n))
