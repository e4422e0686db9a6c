"""Sentences about estimates: they claim what the whole interval allows, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gendkit.markup import number

FEW = 30
TOO_FEW = 3
"""Levels with which even the widened ends of `crossed` are too near."""
Bound = Sequence[float] | NDArray[np.float64]


def estimate(bound: Bound, *, sign: bool = False) -> str:
    """Return `0.812 (95 % interval 0.780 to 0.840)`."""
    value, low, high = (number(float(x), sign=sign) for x in bound)
    if not (math.isfinite(bound[1]) and math.isfinite(bound[2])):
        return f"{value} (no interval)"
    if bound[1] == bound[2]:
        return f"{value} (the same in every resample, which says nothing of others)"
    return f"{value} (95 % interval {low} to {high})"


def verdict(bound: Bound) -> str:
    """Return `more`, `less`, or `unclear` where the interval holds 0, or `unknown`."""
    value, low, high = map(float, bound)
    if not math.isfinite(value):
        return "unknown"
    return "more" if low > 0 else "less" if high < 0 else "unclear"


def compared(one: str, other: str, bound: Bound, *, what: str = "mean AUROC") -> str:
    """Say how one compares with another, from their difference (value, low, high)."""
    kind = verdict(bound)
    if kind == "unknown":
        return f"{one} could not be compared with {other}."
    words = estimate(bound, sign=True)
    if kind == "unclear":
        zero = ", which holds 0" if math.isfinite(bound[1]) else ""
        return f"{one} is not told apart from {other}: the {what} differs by {words}{zero}."
    way = "a higher" if kind == "more" else "a lower"
    return f"{one} has {way} {what} than {other}, by {words}."


def listed(names: Sequence[str]) -> str:
    """Return names with commas, and `and` before the last."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def counted(count: int, one: str, many: str = "") -> str:
    """Return `1 seed`, `2 seeds`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _differing(made_with: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the names whose values are not the same in all."""
    names = dict.fromkeys(name for made in made_with for name in made)
    return [name for name in names if len({made.get(name) for made in made_with}) > 1]


def limits(ds: xr.Dataset, made: Mapping[str, Any], *, families: int = 0) -> list[str]:
    """Return what no study of such a size shows, from its counts.

    Parameters
    ----------
    families
        Over how many a mean is meant; 0 if over none.
    """
    components, seeds = int(ds.attrs["components"]), len(made["seeds"])
    of_mean = f"; that of a mean also over {counted(families, 'family', 'families')}"
    said = [
        f"The interval is over {counted(components, 'group')} of people who are linked by a clip "
        f"or a face they lend, and {counted(seeds, 'seed')}{of_mean if families else ''}. It does "
        "not say what another encoder or other data would give."
    ]
    if components < FEW:
        said.append(
            f"With {counted(components, 'group')} an interval is rough: some of it is luck of "
            "whom the scored split holds."
        )
    if seeds == 1:
        said.append(
            "There is one seed: how much another training would differ is not in the interval."
        )
    if families == 1:
        said.append("There is one family: how much another would differ is not in the interval.")
    counts = {"seeds": seeds, "families": families, "groups of people": components}
    if few := [f"{n} {name}" for name, n in counts.items() if 1 < n <= TOO_FEW]:
        said.append(f"Over {listed(few)} an interval is too narrow even so.")
    if differ := _differing(made.get("cells_with", ())):
        said.append(
            f"Cells were computed with different {listed(differ)}, as packages or machines changed "
            "between them: a part of what differs may be theirs."
        )
    if made["on"] == "development":
        said.append(
            "It is scored on the development split, on which a recipe may have been chosen: that "
            "flatters what the recipe was chosen for. This study did not look at the final one."
        )
    else:
        said.append(
            "It is scored on the final split, which was evaluated "
            f"{counted(int(made['final_evaluations']), 'time')} so far on this machine."
        )
    return said
