"""Summaries of many sets of scores as one table, such as by detector, data set, method and seed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gendkit.errors import InvalidArgument, UndefinedMetric
from gendkit.measure.levels import Level, at_level
from gendkit.measure.metrics import summary
from gendkit.measure.summaries import Summary

OF_FAKES = ("method", "family")
"""Columns that a real has not: each value of them is compared with all reals."""


def summary_table(
    table: pd.DataFrame,
    *,
    by: Sequence[str] = ("dataset",),
    of: Level = "video",
    **options: Any,
) -> pd.DataFrame:
    """Summarise a score table group by group.

    Parameters
    ----------
    table
        One row a crop; see `gendkit.measure.levels`. Where several detectors or seeds scored the
        same crops, it has a column for them, which is in `by`. Bounds count what is of one
        `component` as one, if there is that column.
    by
        Columns that make the groups. The fakes of a `method` or `family` are compared with all
        reals of the same other columns.
    of
        Of what: frames, people, clips or files; see `at_level`.
    options
        Of `summary`, but for `components`.

    Returns
    -------
    pandas.DataFrame
        With `by` as its index, in order of first appearance, and the columns of
        `Summary.numbers`, and `note`: what is not defined, in words. ``.to_xarray()`` gives it a
        dimension for each.

    Raises
    ------
    InvalidArgument
        For a column that is not there, and as `summary` and `at_level`.

    Warns
    -----
    UndefinedMetric
        Once, if in any group something is not defined.
    """
    if missing := [name for name in by if name not in table]:
        raise InvalidArgument(f"the score table has no column {missing[0]!r} to group by.")
    if not by:
        raise InvalidArgument("by is empty; name a column, such as 'dataset'.")
    apart = [name for name in by if name not in ("dataset", *OF_FAKES)]
    items = at_level(table, of, apart=apart)
    rows, notes = [], []
    for name, group in _groups(items, list(by)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetric)
            found: Summary = summary(
                group["label"], group["p_fake"], components=group.get("component"), **options
            )
        own = dict(zip(by, name, strict=True))
        rows.append({**own, **found.numbers(), "note": "; ".join(found.warnings)})
        if found.warnings:
            notes.append(f"{', '.join(map(str, name))}: {found.warnings[0]}")
    if notes:
        more = f", and something in {len(notes) - 1:,} groups more" if len(notes) > 1 else ""
        warnings.warn(f"{notes[0]}{more}; see the column note.", UndefinedMetric, stacklevel=2)
    return pd.DataFrame(rows).set_index(list(by)) if rows else pd.DataFrame()


def _groups(items: pd.DataFrame, by: list[str]) -> Iterator[tuple[tuple[Any, ...], pd.DataFrame]]:
    """Yield each group's values of `by`, and its rows."""
    of_fakes = [name for name in by if name in OF_FAKES]
    others = [name for name in by if name not in OF_FAKES]
    outer = items.groupby(others, sort=False) if others else [((), items)]
    for shared, group in outer:
        if not of_fakes:
            yield shared, group
            continue
        values = dict(zip(others, shared, strict=True))
        group = group.reset_index(drop=True)
        real = (group["label"] == 0).to_numpy()
        for own, fakes in group[~real].groupby(of_fakes, sort=False):
            values |= dict(zip(of_fakes, own, strict=True))
            rows = np.concatenate([np.flatnonzero(real), fakes.index.to_numpy()])
            yield tuple(values[name] for name in by), group.iloc[rows]
