"""The studies by name."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from gendkit.errors import UnknownPart
from gendkit.evaluate.study import curves
from gendkit.evaluate.study.ablation import ABLATION
from gendkit.evaluate.study.data_size import DATA_SIZE
from gendkit.evaluate.study.difficulty import DIFFICULTY
from gendkit.evaluate.study.families import FAMILIES
from gendkit.evaluate.study.layers import LAYERS
from gendkit.evaluate.study.paired import PAIRED
from gendkit.evaluate.study.study import Study

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

STUDIES: MappingProxyType[str, Study] = MappingProxyType(
    {s.name: s for s in (FAMILIES, ABLATION, PAIRED, DIFFICULTY, DATA_SIZE, LAYERS)}
)


def study_of(name: str) -> Study:
    """Return a study by its name.

    Raises
    ------
    UnknownPart
        If there is none.
    """
    if name not in STUDIES:
        raise UnknownPart(f"no study is named {name!r}; there is {', '.join(STUDIES)}.")
    return STUDIES[name]


def study_tables(ds: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Return what a study found as tables by their captions.

    An estimate `X` has its 95 % interval in the columns `X_low` and `X_high`.

    Parameters
    ----------
    ds
        From `gk.study` or `gk.open_study`.
    """
    if ds.attrs["study"] == curves.NAME:
        return curves.tables(ds)
    return study_of(ds.attrs["study"]).tables(ds)
