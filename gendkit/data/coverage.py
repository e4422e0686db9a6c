"""Of how many clips there are crops at all: what a score does not say of the clips without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gendkit.data.links import CLIP

if TYPE_CHECKING:
    import pandas as pd

LEAST = (1, 8, 32)
ABOUT = ("dataset", "method", "label")


def coverage(table: pd.DataFrame, *, least: Sequence[int] = LEAST) -> pd.DataFrame:
    """Return how many clips a manifest's table has, and with at least so many frames with a face.

    By `dataset`, `method` and `label`; the columns are `clips` and, of each number n, `>= n`.
    """
    import pandas as pd

    shown = table[table["path"] != ""].drop_duplicates([*CLIP, "frame"]).groupby(CLIP).size()
    clips = table.drop_duplicates(CLIP)
    counts = shown.reindex(pd.MultiIndex.from_frame(clips[CLIP]), fill_value=0).to_numpy()
    columns = {f">= {n}": counts >= n for n in least}
    counted = clips[list(ABOUT)].assign(clips=1, **columns)
    return counted.groupby(list(ABOUT), sort=True).sum().astype(int).reset_index()


def covered(table: pd.DataFrame, *, least: Sequence[int] = LEAST) -> dict[str, int]:
    """Return the same of all clips together: `clips`, and of each number n `>= n`."""
    sums = coverage(table, least=least).drop(columns=list(ABOUT)).sum()
    return {str(name): int(n) for name, n in sums.items()}


def coverage_words(counts: Mapping[str, Any]) -> str:
    """Return counts in words, such as `9 of 10 clips with a face, 7 with at least 8 frames`."""
    first, *others = [name for name in counts if name != "clips"]
    words = [f"{counts[first]:,} of {counts['clips']:,} clips with a face"]
    words += [f"{counts[name]:,} with at least {name.removeprefix('>= ')}" for name in others]
    return ", ".join(words)
