"""Crops that are the same, or nearly, in two groups of a manifest.

Crops enter; the hash of their pixels and a 64-bit hash of how they look (imagehash's `phash`) are
compared. A search through bands of the hash finds every pair that differs in few bits without
comparing each with each.

Aligned faces are alike, and a hash must not take people for each other. Of 200 people's aligned
portraits the nearest two are 8 bits apart, and by the hash of gradients (`dhash`) 3. Both find 98
of 100 copies as JPEG of quality 20 or of half the size; few that are moved by a hundredth.

References
----------
Krawetz, Looks Like It, 2011 ("pHash": signs of low frequencies about their median).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gendkit.data.manifest import Manifest
from gendkit.errors import InvalidManifest, MissingMedia, UnreadableMedia, first_line
from gendkit.progress import Progress, silent

Rows = NDArray[np.int64]
BITS, BAND = 64, 16
NEAR = BITS // BAND - 1
"""Differing bits up to which two crops are near-duplicates: one band of four is then the same."""


@dataclass(frozen=True, kw_only=True)
class Hashes:
    """What was read of the crops of some rows.

    Attributes
    ----------
    content
        By row, the sha256 of the pixels.
    perceptual
        By row, 64 bits; see `perceptual_hash`.
    unread
        By row, why a crop could not be read.
    """

    content: Mapping[int, str]
    perceptual: Mapping[int, int]
    unread: Mapping[int, str]

    def same(self, one: Rows, other: Rows) -> list[str]:
        """Return the hashes of content that are in both groups of rows."""
        sets = [{self.content[r] for r in rows.tolist() if r in self.content}
                for rows in (one, other)]  # fmt: skip
        return sorted(sets[0] & sets[1])

    def near(self, one: Rows, other: Rows) -> list[tuple[int, int]]:
        """Return pairs of rows whose hashes differ in few bits, of other content.

        Of each two hashes one pair: a thousand black crops on either side would make a million.
        """
        left, right = self._by_hash(one), self._by_hash(other)
        bands: dict[tuple[int, int], list[int]] = {}
        for value in left:
            for key in _keys(value):
                bands.setdefault(key, []).append(value)
        found = []
        for value, rows in right.items():
            for near in {v for key in _keys(value) for v in bands.get(key, ())}:
                if (value ^ near).bit_count() <= NEAR:
                    pairs = [(a, b) for a in left[near] for b in rows]
                    found += [p for p in pairs if self.content[p[0]] != self.content[p[1]]][:1]
        return sorted(found)

    def _by_hash(self, rows: Rows) -> dict[int, list[int]]:
        """Return of each hash its first row, and the first of other content if there is one."""
        found: dict[int, list[int]] = {}
        for row in rows.tolist():
            if row in self.perceptual:
                mine = found.setdefault(self.perceptual[row], [])
                if not mine or (len(mine) == 1 and self.content[mine[0]] != self.content[row]):
                    mine.append(row)
        return found


def read_hashes(
    manifest: Manifest, rows: Iterable[int], *, strict: bool = True, progress: Progress = silent
) -> Hashes:
    """Read the crops of rows, of which those without a crop are passed over.

    Parameters
    ----------
    strict
        Whether a crop that cannot be read is an error; else it stands in `unread`.

    Raises
    ------
    MissingMedia, UnreadableMedia, InvalidManifest
        With `strict`, from `Manifest.crop`.
    """
    has = (manifest.table["path"] != "").to_numpy()
    wanted = [row for row in sorted(set(rows)) if has[row]]
    content: dict[int, str] = {}
    perceptual: dict[int, int] = {}
    unread: dict[int, str] = {}
    for done, row in enumerate(wanted, start=1):
        try:
            crop = manifest.crop(row)
        except (MissingMedia, UnreadableMedia, InvalidManifest) as error:
            if strict:
                raise
            unread[row] = first_line(error)
        else:
            shape = f"{crop.shape}".encode()
            content[row] = hashlib.sha256(shape + np.ascontiguousarray(crop).tobytes()).hexdigest()
            perceptual[row] = perceptual_hash(crop)
        progress(done, len(wanted), "read crops")
    return Hashes(content=content, perceptual=perceptual, unread=unread)


def perceptual_hash(crop: NDArray[np.uint8]) -> int:
    """Return 64 bits of an RGB uint8 crop (H, W, 3): which low frequencies are above the median."""
    import imagehash
    from PIL import Image

    bits = imagehash.phash(Image.fromarray(np.ascontiguousarray(crop))).hash
    return int.from_bytes(np.packbits(bits.ravel()).tobytes(), "big")


def groups_of(table: pd.DataFrame, by: str) -> dict[str, Rows]:
    """Return the rows of each group of a column; rows without one are in none."""
    numbered = table.reset_index(drop=True).groupby(by, sort=True)
    return {str(name): rows.index.to_numpy() for name, rows in numbered if name != ""}


def _keys(value: int) -> list[tuple[int, int]]:
    return [(i, value >> (BAND * i) & ((1 << BAND) - 1)) for i in range(BITS // BAND)]
