"""Groups of forgeries: by data set, family, method or year, each with the reals of its people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gendkit.errors import InvalidArgument, InvalidManifest
from gendkit.evaluate.study.cells import Rows
from gendkit.evaluate.study.setting import Setting, people_of

BY = ("dataset", "family", "method", "year")


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """A group of forgeries and the reals that belong to it.

    Attributes
    ----------
    name
        Such as a family's. A fake without a family counts by its method.
    year
        In which its forgeries were first published, the median where they differ; NaN if unknown.
    learned, scored
        (N,) rows of the manifest: its fakes, and the reals of the same people; of a data set, all
        its reals.
    """

    name: str
    year: float
    learned: Rows
    scored: Rows


def groups_of(setting: Setting, *, by: str) -> list[Group]:
    """Return the groups that have both classes in training and in the scored split.

    Parameters
    ----------
    by
        `dataset` (with the year of the data set), `family`, `method` or `year` (with that of the
        generator).

    Raises
    ------
    InvalidArgument
        If `by` is none of these.
    InvalidManifest
        If there are fewer than two.
    """
    if by not in BY:
        raise InvalidArgument(f"groups by {by!r}; give {', '.join(BY)}.")
    table = setting.manifest.table
    fake = (table["label"] == 1).to_numpy()
    column = _names(setting, by)
    people = table["dataset"].to_numpy(dtype=object) if by == "dataset" else people_of(table)
    found = []
    for name in sorted(set(column[fake & (setting.learned | setting.scored)]) - {""}):
        of = fake & (column == name)
        parts = [_with_reals(rows, of, fake, people) for rows in (setting.learned, setting.scored)]
        if all(len(set(table["label"][rows].tolist())) == 2 for rows in parts):
            year = _year(table[of & (setting.learned | setting.scored)], by)
            found.append(Group(name=str(name), year=year, learned=parts[0], scored=parts[1]))
    if len(found) < 2:
        raise InvalidManifest(
            f"{len(found)} groups by {by} have real and fake crops in training and in the split "
            f"{setting.on!r}; to train on one and test on others takes two."
        )
    return found


def _names(setting: Setting, by: str) -> NDArray[np.object_]:
    table = setting.manifest.table
    if by == "family":
        return setting.kind
    if by == "year":
        years = table["generator_year"].to_numpy()
        return np.where(years > 0, years.astype(str), "").astype(object)
    return table[by].to_numpy(dtype=object)


def _with_reals(rows: Rows, of: Rows, fake: Rows, people: NDArray[np.object_]) -> Rows:
    fakes = rows & of
    reals: Rows = rows & ~fake & np.isin(people, list(set(people[fakes].tolist())))
    return fakes | reals


def _year(fakes: pd.DataFrame, by: str) -> float:
    years = fakes["year" if by == "dataset" else "generator_year"].to_numpy()
    known = years[years > 0]
    return float(np.median(known)) if len(known) else float("nan")
