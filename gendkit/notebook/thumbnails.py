"""Thumbnails of the crops behind embeddings: sample ids enter, JPEG bytes leave, one at a time.

The pixels stay where the crops are: embeddings only say in which folder.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from gendkit.data.manifest import Manifest
from gendkit.errors import GendkitError, MissingMedia
from gendkit.manifold.combine import COMBINED
from gendkit.manifold.store import ROOT

if TYPE_CHECKING:
    import xarray as xr

SIDE, QUALITY = 128, 82


class Thumbnails:
    """The crops of a Dataset.

    Parameters
    ----------
    ds
        Embeddings; their attributes say where their crops are, in several folders if they are
        combined. Nothing is read before a crop is asked for.
    """

    def __init__(self, ds: xr.Dataset) -> None:
        self.roots = list(dict.fromkeys(_roots(ds)))

    def jpeg(self, sample: str) -> bytes:
        """Return a crop, its longest side of at most 128 pixels, as a JPEG file.

        Raises
        ------
        MissingMedia, UnreadableMedia, InvalidManifest
            If there is no such crop any more; with the reason.
        """
        from PIL import Image

        manifest, row = self._place(sample)
        image = Image.fromarray(manifest.crop(row))
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        image.save(buffer, format="JPEG", quality=QUALITY)
        return buffer.getvalue()

    def _place(self, sample: str) -> tuple[Manifest, int]:
        for manifest, rows in self._manifests:
            if sample in rows:
                return manifest, rows[sample]
        if self._unread:
            raise MissingMedia(self._unread[0])
        if not self.roots:
            raise MissingMedia("the embeddings do not say where their crops are.")
        raise MissingMedia(f"no manifest in {', '.join(self.roots)} has the sample {sample!r}.")

    @cached_property
    def _read(self) -> tuple[list[tuple[Manifest, Mapping[str, int]]], list[str]]:
        found: list[tuple[Manifest, Mapping[str, int]]] = []
        unread: list[str] = []
        for root in self.roots:
            try:
                manifest = Manifest.read(root)
            except GendkitError as error:
                unread.append(str(error))
                continue
            samples = manifest.table["sample"].tolist()
            found.append((manifest, {sample: row for row, sample in enumerate(samples)}))
        return found, unread

    @property
    def _manifests(self) -> list[tuple[Manifest, Mapping[str, int]]]:
        return self._read[0]

    @property
    def _unread(self) -> list[str]:
        return self._read[1]


def _roots(ds: xr.Dataset) -> list[str]:
    if ROOT in ds.attrs:
        return [str(ds.attrs[ROOT])]
    parts = json.loads(ds.attrs.get(COMBINED, "[]"))
    return [str(part[ROOT]) for part in parts if ROOT in part]
