"""The schema of an embeddings Dataset, as data: validation, attributes and documentation follow.

A Dataset grows: each stage adds variables and removes none. Conventional names may be absent, but
if they are there they mean this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gendkit.data.manifest import COLUMNS
from gendkit.errors import InvalidEmbeddings

if TYPE_CHECKING:
    import xarray as xr

UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One conventional variable.

    Attributes
    ----------
    kind
        NumPy's letter for the type: `f` real, `i` integer, `U` string.
    """

    name: str
    dims: tuple[str, ...]
    kind: str
    meaning: str
    unit: str = ""


_KINDS = {"string": "U", "int64": "i", "float64": "f"}

SCHEMA: tuple[Variable, ...] = (
    Variable(
        name="embedding",
        dims=("sample", "feature"),
        kind="f",
        meaning="unit vector on the hypersphere",
    ),
    Variable(
        name="logit", dims=("sample", "class"), kind="f", meaning="before softmax: real, fake"
    ),
    Variable(
        name="score",
        dims=("sample",),
        kind="f",
        meaning="P(fake) by softmax; a score, with the training prior in it",
    ),
    Variable(
        name="neighbour",
        dims=("sample", "rank"),
        kind="U",
        meaning="ids of the nearest reference crops, nearest first; empty if there are fewer",
    ),
    Variable(
        name="similarity",
        dims=("sample", "rank"),
        kind="f",
        meaning="cosine similarity to that neighbour",
    ),
    Variable(
        name="projection",
        dims=("sample", "axis"),
        kind="f",
        meaning="place on a map; for finding, never evidence",
    ),
    Variable(
        name="box",
        dims=("sample", "side"),
        kind="f",
        unit="px",
        meaning="left, top, right, bottom of the face",
    ),
    Variable(
        name="landmarks",
        dims=("sample", "landmark", "xy"),
        kind="f",
        unit="px",
        meaning="eyes, nose, corners of the mouth",
    ),
    *(
        Variable(
            name=c.name, dims=("sample",), kind=_KINDS[c.dtype], meaning=c.meaning, unit=c.unit
        )
        for c in COLUMNS
        if c.dtype != "list"
    ),
)


def validate(ds: xr.Dataset) -> xr.Dataset:
    """Return the Dataset if it keeps to the schema.

    Raises
    ------
    InvalidEmbeddings
        For missing embeddings, a conventional name with other dims or type, rows that are not of
        unit length, or a sample that occurs twice.
    """
    for name in ("embedding", "sample"):
        if name not in ds.variables:
            raise InvalidEmbeddings(f"the Dataset has no {name!r}; gk.embed makes one.")
    for variable in SCHEMA:
        if variable.name not in ds.variables:
            continue
        array = ds.variables[variable.name]
        if array.dims != variable.dims:
            raise InvalidEmbeddings(
                f"{variable.name!r} has dims {array.dims}; the schema says {variable.dims}."
            )
        kind = "U" if array.dtype.kind in "OTU" else array.dtype.kind
        if kind != variable.kind:
            raise InvalidEmbeddings(
                f"{variable.name!r} has dtype {array.dtype}; "
                f"the schema says kind {variable.kind!r}."
            )
    samples = ds["sample"].to_numpy().astype(object)
    if len(set(samples)) != len(samples):
        raise InvalidEmbeddings("a sample occurs more than once.")
    check_unit(ds["embedding"].to_numpy())
    return ds


def check_unit(embedding: np.ndarray) -> None:
    """Refuse vectors (N, D) that are not of unit length.

    Raises
    ------
    InvalidEmbeddings
        Naming the first such row and its length.
    """
    lengths = np.linalg.norm(embedding.astype(np.float64), axis=1)
    wrong = ~(np.abs(lengths - 1) < UNIT_TOLERANCE)
    if wrong.any():
        row = int(wrong.argmax())
        raise InvalidEmbeddings(
            f"the embedding of row {row} has length {lengths[row]:.4g}; expected 1."
        )


def attributed(ds: xr.Dataset) -> xr.Dataset:
    """Write the schema's meanings and units into the variables' attributes."""
    for variable in SCHEMA:
        if variable.name in ds.variables:
            ds[variable.name].attrs["meaning"] = variable.meaning
            if variable.unit:
                ds[variable.name].attrs["units"] = variable.unit
    return ds
