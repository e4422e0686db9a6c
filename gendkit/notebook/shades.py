"""The colours of the points of a map, by category or by value, and how many have each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gendkit.pages.maps import Colouring
from gendkit.pages.palette import UNKNOWN, Look

STEPS = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class Shades:
    """What each of N points is coloured by.

    Attributes
    ----------
    variable
        The variable of the embeddings.
    looks
        The categories in order; empty for a quantity.
    colours
        `#rrggbb` by code: of the categories, or of 256 steps of the quantity and of no value.
    codes
        (N,) into `colours`.
    values
        (N,) float64; NaN for all points if these are categories.
    ends
        The least and the greatest value.
    """

    variable: str
    looks: tuple[Look, ...]
    colours: tuple[str, ...]
    codes: NDArray[np.int64]
    values: NDArray[np.float64]
    ends: tuple[float, float]

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many points have each colour."""
        return np.bincount(self.codes, minlength=len(self.colours))


def shades(meaning: Colouring) -> Shades:
    """Return the colours of a colouring; a quantity goes through viridis, NaN is grey."""
    if meaning.continuous:
        return _by_value(meaning)
    place = {look.name: i for i, look in enumerate(meaning.looks)}
    codes = np.array([place[name] for name in meaning.each.tolist()], dtype=np.int64)
    return Shades(
        variable=meaning.variable,
        looks=meaning.looks,
        colours=tuple(look.colour for look in meaning.looks),
        codes=codes,
        values=np.full(len(codes), np.nan),
        ends=(0.0, 1.0),
    )


def _by_value(meaning: Colouring) -> Shades:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    values = np.asarray(meaning.each, dtype=np.float64)
    known = np.isfinite(values)
    low, high = (float(f(values[known])) if known.any() else 0.0 for f in (np.min, np.max))
    width = high - low or 1.0
    steps = (np.where(known, values - low, 0.0) / width * (STEPS - 1)).round().astype(np.int64)
    return Shades(
        variable=meaning.variable,
        looks=(),
        colours=(*(to_hex(c) for c in colormaps["viridis"](np.arange(STEPS))), UNKNOWN),
        codes=np.where(known, steps, STEPS),
        values=values,
        ends=(low, high),
    )
