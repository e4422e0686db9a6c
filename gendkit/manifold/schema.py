"""The schema of an embeddings Dataset, as data: validation, attributes and documentation follow.

A Dataset grows: each stage adds variables and removes none. Conventional names may be absent, but
if they are there they mean this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gendkit.data.columns import COLUMNS
from gendkit.errors import InvalidEmbeddings

if TYPE_CHECKING:
    import xarray as xr

UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One conventional variable.

    Attributes
    ----------
    dtype
        `string` or NumPy's name of the type in which it is written; another width of the same kind
        is valid.
    of_one
        Whether it is of one Dataset, with its reference or its levels, and not of a union with
        others.
    """

    name: str
    dims: tuple[str, ...]
    dtype: str
    meaning: str
    unit: str = ""
    of_one: bool = False

    @property
    def kind(self) -> str:
        """NumPy's letter for the kind: `f` real, `i` integer, `U` string."""
        return "U" if self.dtype == "string" else np.dtype(self.dtype).kind


SCHEMA: tuple[Variable, ...] = (
    Variable(
        name="embedding",
        dims=("sample", "feature"),
        dtype="float32",
        meaning="unit vector on the hypersphere",
    ),
    Variable(
        name="logit",
        dims=("sample", "class"),
        dtype="float32",
        meaning="before softmax: real, fake",
    ),
    Variable(
        name="score",
        dims=("sample",),
        dtype="float32",
        meaning="P(fake) by softmax; a score, with the training prior in it",
    ),
    Variable(
        name="neighbour",
        dims=("sample", "rank"),
        dtype="string",
        meaning="ids of the nearest reference crops, nearest first; empty if there are fewer",
        of_one=True,
    ),
    Variable(
        name="similarity",
        dims=("sample", "rank"),
        dtype="float32",
        meaning="cosine similarity to that neighbour",
        of_one=True,
    ),
    Variable(
        name="class_neighbour",
        dims=("sample", "class", "class_rank"),
        dtype="string",
        meaning="ids of the nearest reference crops of a class, nearest first; empty if fewer",
        of_one=True,
    ),
    Variable(
        name="class_similarity",
        dims=("sample", "class", "class_rank"),
        dtype="float32",
        meaning="cosine similarity to that neighbour",
        of_one=True,
    ),
    Variable(
        name="votes_real",
        dims=("sample",),
        dtype="int64",
        meaning="people whose real crop is among the nearest",
        of_one=True,
    ),
    Variable(
        name="votes_fake",
        dims=("sample",),
        dtype="int64",
        meaning="people whose fake crop is among the nearest",
        of_one=True,
    ),
    Variable(
        name="vote_ratio",
        dims=("sample",),
        dtype="float32",
        meaning="share of fakes that voted over share of reals that did",
        of_one=True,
    ),
    Variable(
        name="vote_p",
        dims=("sample",),
        dtype="float32",
        meaning="chance of votes so uneven if labels were permuted; of one crop",
        of_one=True,
    ),
    Variable(
        name="novelty",
        dims=("sample",),
        dtype="float32",
        unit="rad",
        meaning="median angle of a track's crops to the k-th nearest person",
        of_one=True,
    ),
    Variable(
        name="novelty_p",
        dims=("sample",),
        dtype="float64",
        meaning="conformal p-value of a track: small is unlike the reference, which is not forged",
        of_one=True,
    ),
    Variable(
        name="likely_method",
        dims=("sample",),
        dtype="string",
        meaning="nearest manipulation method, if it were a fake; not known apart from its data set",
        of_one=True,
    ),
    Variable(
        name="nearest_dataset",
        dims=("sample",),
        dtype="string",
        meaning="data set whose people are nearest, to be read beside the likely method",
        of_one=True,
    ),
    Variable(
        name="projection",
        dims=("sample", "axis"),
        dtype="float32",
        meaning="place on a map; for finding, never evidence",
        of_one=True,
    ),
    Variable(
        name="level",
        dims=("level",),
        dtype="float64",
        meaning="how much quality a crop has lost, in the unit of the change; first, none",
        of_one=True,
    ),
    Variable(
        name="drift_embedding",
        dims=("sample", "level", "feature"),
        dtype="float32",
        meaning="unit vector of the changed crop",
        of_one=True,
    ),
    Variable(
        name="drift_angle",
        dims=("sample", "level"),
        dtype="float32",
        unit="rad",
        meaning="from the embedding of the crop as it is",
        of_one=True,
    ),
    Variable(
        name="drift_step",
        dims=("sample", "level"),
        dtype="float32",
        unit="rad",
        meaning="from the embedding at the level before",
        of_one=True,
    ),
    Variable(
        name="drift_length",
        dims=("sample", "level"),
        dtype="float32",
        unit="rad",
        meaning="sum of the steps so far",
        of_one=True,
    ),
    Variable(
        name="drift_straightness",
        dims=("sample", "level"),
        dtype="float32",
        meaning="angle over length of the path so far; 1 along a great circle",
        of_one=True,
    ),
    Variable(
        name="drift_score",
        dims=("sample", "level"),
        dtype="float32",
        meaning="P(fake) of the changed crop",
        of_one=True,
    ),
    Variable(
        name="drift_logit",
        dims=("sample", "level"),
        dtype="float32",
        meaning="logit of fake less that of real, of the changed crop",
        of_one=True,
    ),
    Variable(
        name="box",
        dims=("sample", "side"),
        dtype="float32",
        unit="px",
        meaning="left, top, right, bottom of the face",
    ),
    Variable(
        name="landmarks",
        dims=("sample", "landmark", "xy"),
        dtype="float32",
        unit="px",
        meaning="eyes, nose, corners of the mouth",
    ),
    *(
        Variable(name=c.name, dims=("sample",), dtype=c.dtype, meaning=c.meaning, unit=c.unit)
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
        if _kind(array.dtype) != variable.kind:
            raise InvalidEmbeddings(
                f"{variable.name!r} has dtype {array.dtype}; the schema says {variable.dtype}."
            )
    samples = ds["sample"].to_numpy().astype(object)
    if len(set(samples)) != len(samples):
        raise InvalidEmbeddings("a sample occurs more than once.")
    check_unit(ds["embedding"].to_numpy())
    return ds


def _kind(dtype: np.dtype[Any]) -> str:
    return "U" if dtype.kind in "OTU" else dtype.kind


def of_each_crop(ds: xr.Dataset, name: str) -> xr.DataArray:
    """Return a variable with one value a sample.

    Raises
    ------
    InvalidEmbeddings
        If there is none of that name; the message lists those that there are.
    """
    if name not in ds.variables or ds[name].dims != ("sample",):
        known = sorted(str(n) for n, v in ds.variables.items() if v.dims == ("sample",))
        raise InvalidEmbeddings(
            f"there is no variable {name!r} of each crop; there is {', '.join(known)}."
        )
    return ds[name]


def text_of(values: xr.DataArray) -> NDArray[np.str_]:
    """Return values as text of fixed width, whatever kind of strings or numbers they are."""
    return values.to_numpy().astype(object).astype(str)


def plain_of(values: xr.DataArray) -> NDArray[Any]:
    """Return values as an array: numbers as they are, strings of whatever kind as objects."""
    return text_of(values).astype(object) if _kind(values.dtype) == "U" else values.to_numpy()


def check_unit(embedding: np.ndarray) -> None:
    """Refuse vectors (N, D) that are not of unit length.

    Raises
    ------
    InvalidEmbeddings
        Naming the first such row and its length.
    """
    # In float64, but not of all rows at once.
    lengths = np.sqrt(np.einsum("nd,nd->n", embedding, embedding, dtype=np.float64))
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
