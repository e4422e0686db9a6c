"""The panel of a face and those nearest to it: a row enters, cards with their provenance leave."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from ipywidgets import HTML, Box, VBox

from gendkit.errors import GendkitError, InvalidEmbeddings
from gendkit.manifold.index import SphereIndex, build_index, check_adapters, check_lengths
from gendkit.manifold.neighbours import neighbours
from gendkit.manifold.schema import text_of
from gendkit.markup import join, number, tag
from gendkit.model.head import CLASSES
from gendkit.notebook.gallery import Card, Gallery
from gendkit.notebook.thumbnails import Thumbnails
from gendkit.pages import maps
from gendkit.pages.palette import FAKE_NAME, REAL_NAME, UNKNOWN_NAME, looks

if TYPE_CHECKING:
    import xarray as xr

PROVENANCE = ("dataset", "video", "split", "licence")
_COLOURS = {look.name: look.colour for look in looks((REAL_NAME, FAKE_NAME, UNKNOWN_NAME))}


class Nearest:
    """A face of a Dataset, with the k reals and the k fakes of a reference nearest to it.

    Parameters
    ----------
    ds
        The faces that can be asked about.
    reference
        Where their neighbours are looked for; None is `ds`.
    k
        How many of each class.
    thumbnails
        Of `ds`.
    picked
        Called with the sample of a neighbour that is clicked.

    Raises
    ------
    InvalidEmbeddings
        If `k` is less than 1, or lengths or adapters differ.
    """

    def __init__(
        self,
        ds: xr.Dataset,
        reference: xr.Dataset | None,
        *,
        k: int,
        thumbnails: Thumbnails,
        picked: Callable[[str], None],
    ) -> None:
        if k < 1:
            raise InvalidEmbeddings(f"k must be at least 1, got {k}.")
        self._thumbnails = self._theirs = thumbnails
        if reference is None:
            reference = ds
        else:
            self._theirs = Thumbnails(reference)
        check_lengths(ds.sizes["feature"], reference.sizes["feature"], "explored")
        check_adapters(ds, reference)
        self._ds, self._given, self._k = ds, reference, k
        self._face = Gallery(form="single", label="the face in question")
        self._rows = [Gallery(form="row", label=f"nearest {c}", picked=picked) for c in CLASSES]
        self._titles = [HTML() for _ in CLASSES]
        self._note = HTML()
        for text in self._titles:
            text.add_class("gendkit-heading")
        self._note.add_class("gendkit-note")
        parts: list[Any] = [VBox([self._face, self._note])]
        parts += [VBox(both) for both in zip(self._titles, self._rows, strict=True)]
        self.widget = Box(parts)
        self.widget.add_class("gendkit-near")
        self.clear()

    def clear(self) -> None:
        """Show no face."""
        self._empty("Click a point or a face: what it is nearest to is shown here.")

    def ask(self, row: int) -> None:
        """Show a face and its neighbours; why there are none is said, not raised."""
        self._face.fill(1, lambda _: self._card(self._ds, row, self._thumbnails))
        self._face.layout.display = ""
        try:
            near = neighbours(
                self._ds.isel(sample=[row]), self._reference,
                k=self._k, by_class=True, index=self._index,
            )  # fmt: skip
        except GendkitError as error:
            self._empty(str(error), face=True)
            return
        self._note.value = str(
            tag("p", "Cosine similarity; none of the same clip, target clip or person.")
        )
        for c, (title, gallery) in enumerate(zip(self._titles, self._rows, strict=True)):
            ids = text_of(near["class_neighbour"][0, c]).tolist()
            similarity = near["class_similarity"][0, c].to_numpy()
            found = [
                (self._names[sample], float(s))
                for sample, s in zip(ids, similarity, strict=True)
                if sample
            ]
            told = None if found else tag("small", " none in the reference")
            title.value = str(join(f"Nearest {CLASSES[c]}s", told))
            gallery.fill(len(found), partial(self._neighbour, found))
            gallery.layout.display = "" if found else "none"

    def _empty(self, why: str, *, face: bool = False) -> None:
        self._note.value = str(tag("p", why))
        for text in self._titles:
            text.value = ""
        for gallery in self._rows if face else (self._face, *self._rows):
            gallery.fill(0, lambda _: Card(sample="", title=""))
            gallery.layout.display = "none"

    @cached_property
    def _reference(self) -> xr.Dataset:
        """The reference in memory: a store would be read again for each face."""
        wanted = [n for n, v in self._given.data_vars.items() if v.dims == ("sample",)]
        return self._given[[*wanted, "embedding"]].compute()

    @cached_property
    def _index(self) -> SphereIndex:
        return build_index(self._reference)

    @cached_property
    def _names(self) -> dict[str, int]:
        return {str(n): i for i, n in enumerate(text_of(self._reference["sample"]))}

    def _neighbour(self, found: list[tuple[int, float]], place: int) -> Card:
        row, similarity = found[place]
        return self._card(self._reference, row, self._theirs, title=number(similarity))

    def _card(self, ds: xr.Dataset, row: int, thumbnails: Thumbnails, *, title: str = "") -> Card:
        one = ds.isel(sample=[row])
        sample = str(text_of(one["sample"])[0])
        kind = maps.categories(one, "label")[0] if "label" in one else UNKNOWN_NAME
        method = maps.categories(one, "method")[0] if "method" in one else kind
        lines = [str(text_of(one[name])[0]) for name in PROVENANCE if name in one.variables]
        if not title:
            title = method
            if "score" in one.variables:
                lines.insert(0, f"score {number(float(one['score'][0]))}")
        else:
            lines.insert(0, method)
        return card_of(
            thumbnails, sample, title=title, lines=[t for t in lines if t],
            colour=_COLOURS[kind],
        )  # fmt: skip


def card_of(
    thumbnails: Thumbnails, sample: str, *, title: str, lines: list[str], colour: str
) -> Card:
    """Return a card with the picture of a sample, or with the reason why there is none."""
    jpeg, reason = b"", ""
    try:
        jpeg = thumbnails.jpeg(sample)
    except GendkitError as error:
        reason = str(error)
    return Card(
        sample=sample, title=title, lines=tuple(lines), colour=colour, jpeg=jpeg, reason=reason
    )
