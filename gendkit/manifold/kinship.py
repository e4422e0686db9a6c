"""Who is related to whom: crops of one clip, target clip or person, near for other reasons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

KINSHIP = {
    "sample": "sample",
    "video": "clip",
    "pair": "clip",
    "target_identity": "person",
    "donor_identity": "person",
}
RELATED = tuple(
    (i, j)
    for i, one in enumerate(KINSHIP.values())
    for j, other in enumerate(KINSHIP.values())
    if one == other
)
"""Columns of keys that are compared; the first pair is that of a crop with itself."""
ITSELF = RELATED[:1]


class Kinship:
    """Tells which reference crops share a clip, target clip or person with a query."""

    def __init__(
        self, ds: xr.Dataset, reference: xr.Dataset, *, alike: Sequence[tuple[int, int]]
    ) -> None:
        self.alike = alike
        codes: dict[tuple[str, ...], int] = {}
        self.queries = self._keys(ds, codes)
        self.points = self._keys(reference, codes)

    @staticmethod
    def _keys(ds: xr.Dataset, codes: dict[tuple[str, ...], int]) -> NDArray[np.int64]:
        """Codes (N, 5) of sample, clip, target clip and the two people; -1 where unknown.

        A clip and a target clip are of one kind, as are the two people: a real clip is the target
        of its fakes, and one who lends a face to one clip may be seen in another.
        """
        n = ds.sizes["sample"]

        def column(name: str) -> list[str]:
            return [str(v) for v in ds[name].to_numpy()] if name in ds.variables else [""] * n

        dataset = column("dataset")
        table = np.full((n, len(KINSHIP)), -1, dtype=np.int64)
        for j, (name, kind) in enumerate(KINSHIP.items()):
            for i, value in enumerate(column(name)):
                if value:
                    key = (kind, value) if kind == "sample" else (kind, dataset[i], value)
                    table[i, j] = codes.setdefault(key, len(codes))
        return table

    def __call__(self, queries: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return (Q, K) whether candidate rows, (Q, K) or (K,) for all, are related to queries."""
        related = np.zeros(np.broadcast_shapes((len(queries), 1), rows.shape), dtype=np.bool_)
        for one, other in self.alike:
            own = self.queries[queries, one][:, None]
            related |= (own == self.points[rows, other]) & (own >= 0)
        return related
