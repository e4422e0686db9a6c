"""The clips of a data set, as one detector scores them: what the numbers of a benchmark are of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gendkit.data.links import CLIP
from gendkit.measure.intervals import Floats

ALL = "all"
"""The method that stands for all of a data set's fakes together."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Clips:
    """The scores of one detector's seeds on one data set.

    Attributes
    ----------
    detector, dataset
        Their places in the comparison.
    table
        One row a clip: `dataset`, `video`, `label`, `method`, `component`.
    scores
        (S, N) P(fake), one row a seed.
    """

    detector: int
    dataset: int
    table: pd.DataFrame
    scores: Floats

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """0 real, 1 fake (N,)."""
        return self.table["label"].to_numpy("int64")

    @cached_property
    def components(self) -> NDArray[np.int64]:
        """Of each clip (N,)."""
        return self.table["component"].to_numpy("int64")

    @cached_property
    def names(self) -> pd.MultiIndex:
        """Which clips they are (N,)."""
        return pd.MultiIndex.from_frame(self.table[CLIP])

    def at(self, rows: NDArray[np.bool_]) -> Clips:
        """Return some of them, those of rows (N,)."""
        table = self.table[rows].reset_index(drop=True)
        return replace(self, table=table, scores=self.scores[:, rows])

    def rows(self, method: str) -> NDArray[np.int64]:
        """Return the clips that are compared for a method: its fakes, and all reals."""
        if method == ALL:
            return np.arange(len(self.table))
        fakes = (self.table["method"] == method).to_numpy()
        return np.flatnonzero(fakes | (self.labels == 0))
