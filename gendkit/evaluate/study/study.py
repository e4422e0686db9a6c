"""A study as a value: its question, its cells, what it makes of their scores, and what it says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from gendkit.errors import InvalidArgument, InvalidRecipe
from gendkit.evaluate.study.cells import Cell, Rows
from gendkit.evaluate.study.setting import Setting
from gendkit.train.recipe import Recipe

ALWAYS = ("seed", "selection.metric")
"""Fields of a recipe that each study sets: seeds are an option, and the last epoch is taken."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a study says, in sentences made from its numbers.

    Attributes
    ----------
    answer
        To its question, in one sentence with its interval.
    shows, not_shown
        What may be concluded, and what may not.
    """

    answer: str
    shows: tuple[str, ...]
    not_shown: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Study:
    """One question about training, and how it is answered.

    Attributes
    ----------
    name
        Of the command.
    title, question, learns
        For the reader; a sentence each of the last two. The last says which part of what there is
        to learn from each cell takes.
    cells
        From a setting to what is trained and scored.
    analyse
        From the margins of the cells to estimates, whose last dimension is `bound` (value, low,
        high).
    says
        From the result, with its attributes, to sentences.
    tables
        From the result to tables by their captions; see `study_tables`.
    options
        Of its own, with their defaults.
    changes
        Fields of a recipe that it sets, also those of a user's file, unless they are changed by
        name (`--set`).
    owns
        Fields of a recipe that vary from cell to cell, and that the user therefore cannot set.
    scored
        From a setting to the rows that each cell scores.
    """

    name: str
    title: str
    question: str
    learns: str
    cells: Callable[[Setting], Sequence[Cell]]
    analyse: Callable[[xr.Dataset, Setting], xr.Dataset]
    says: Callable[[xr.Dataset], Said]
    tables: Callable[[xr.Dataset], dict[str, pd.DataFrame]]
    options: Mapping[str, Any] = field(default_factory=dict)
    changes: Mapping[str, Any] = field(default_factory=dict)
    owns: tuple[str, ...] = ()
    scored: Callable[[Setting], Rows] = field(default=lambda setting: setting.scored)

    def recipe(self, source: str | Path | Recipe, changes: Mapping[str, Any]) -> Recipe:
        """Return the recipe that a user asks for, with what this study sets.

        Raises
        ------
        InvalidRecipe
            If it cannot be, or a change is of a field that the study varies or fixes.
        """
        for name in changes:
            if (field := name.partition(".")[0]) in self.owns or name in ALWAYS:
                raise InvalidRecipe(
                    f"{field} cannot be set in the study {self.name}, which chooses it for each "
                    "cell; leave it out."
                )
        return Recipe.of(source, **{**self.changes, **changes})

    def with_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return all options, those that are given changed.

        Raises
        ------
        InvalidArgument
            For one that this study does not have.
        """
        if unknown := [name for name in given if name not in self.options]:
            known = ", ".join(self.options) or "none"
            raise InvalidArgument(
                f"study {self.name} has no option {unknown[0]!r}; there is {known}."
            )
        return {**self.options, **given}


def about(ds: xr.Dataset) -> dict[str, Any]:
    """Return what a result says of how it was made: recipe, data, seeds, versions."""
    made: dict[str, Any] = json.loads(ds.attrs["about"])
    return made


def said(ds: xr.Dataset) -> Said:
    """Return what a result says, as it stands in it."""
    return Said(
        answer=ds.attrs["answer"],
        shows=tuple(json.loads(ds.attrs["shows"])),
        not_shown=tuple(json.loads(ds.attrs["not_shown"])),
    )


def triple(name: str, bounds: xr.DataArray | NDArray[np.float64]) -> dict[str, Any]:
    """Return columns `X`, `X_low` and `X_high` of estimates (R, bound)."""
    values = np.asarray(bounds)
    return {f"{name}{end}": values[:, i] for i, end in enumerate(("", "_low", "_high"))}
