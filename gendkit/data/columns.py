"""The columns of a manifest, as data: types, units, meanings and defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from gendkit.errors import InvalidManifest

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of the manifest: its type, unit and meaning."""

    name: str
    dtype: Literal["string", "int64", "float64", "list"]
    meaning: str
    unit: str = ""
    default: Any = ""
    late: bool = False
    """Added after the first version: a file without it has the default in each row."""


COLUMNS: tuple[Column, ...] = (
    Column(name="sample", dtype="string", meaning="stable id: dataset/video/frame/face"),
    Column(name="path", dtype="string", meaning="crop file under the root; empty without a face"),
    Column(name="dataset", dtype="string", meaning="collection the clip belongs to"),
    Column(name="method", dtype="string", meaning="manipulation; empty for real"),
    Column(name="family", dtype="string", meaning="kind of manipulation; empty for real"),
    Column(name="label", dtype="int64", default=-1, meaning="0 real, 1 fake, -1 unknown"),
    Column(name="video", dtype="string", meaning="clip id within the dataset"),
    Column(name="pair", dtype="string", meaning="target clip that a real clip and its fakes share"),
    Column(name="target_identity", dtype="string", meaning="who is seen"),
    Column(name="donor_identity", dtype="string", meaning="whose face was put there"),
    Column(name="split", dtype="string", meaning="train, development or final"),
    Column(
        name="degradation", dtype="string", meaning="what else was done to it; empty for nothing"
    ),
    Column(name="frame", dtype="int64", default=-1, meaning="frame number in order of display"),
    Column(name="time", dtype="float64", unit="s", default=float("nan"), meaning="time stamp"),
    Column(name="track", dtype="int64", default=0, meaning="person within the clip"),
    Column(name="box", dtype="list", unit="px", default=None, meaning="left, top, right, bottom"),
    Column(name="landmarks", dtype="list", unit="px", default=None, meaning="x, y of five points"),
    Column(
        name="confidence", dtype="float64", default=float("nan"), meaning="of the face detector"
    ),
    Column(name="year", dtype="int64", unit="a", default=-1, meaning="of the dataset"),
    Column(name="generator_year", dtype="int64", unit="a", default=-1,
           meaning="in which the method was first published", late=True),
    Column(name="licence", dtype="string", meaning="of the media"),
    Column(name="reason", dtype="string", meaning="why there is no crop; empty if there is one"),
    # What the clip's own file states, if it has one; see `gendkit.data.source_facts`.
    Column(name="source_width", dtype="int64", unit="px", default=-1, meaning="of its frames",
           late=True),
    Column(name="source_height", dtype="int64", unit="px", default=-1, meaning="of its frames",
           late=True),
    Column(name="source_codec", dtype="string", meaning="such as h264 or jpeg", late=True),
    Column(name="source_pixel_format", dtype="string", meaning="such as yuv420p", late=True),
    Column(name="source_frame_rate", dtype="float64", unit="1/s", default=float("nan"),
           meaning="as stated", late=True),
    Column(name="source_duration", dtype="float64", unit="s", default=float("nan"),
           meaning="as stated", late=True),
    Column(name="source_bytes", dtype="int64", unit="B", default=-1, meaning="of the file",
           late=True),
    Column(name="source_quantisation", dtype="float64", default=float("nan"),
           meaning="mean step of a JPEG's table of brightness", late=True),
    Column(name="source_tables", dtype="string", late=True,
           meaning="first 12 digits of the sha256 of a JPEG's quantisation tables"),
)  # fmt: skip
NAMES = tuple(column.name for column in COLUMNS)
SPLITS = ("train", "development", "final")


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with the columns of a manifest, each of its type.

    Raises
    ------
    InvalidManifest
        If a value cannot be of its column's type.
    """
    late = {c.name: c.default for c in COLUMNS if c.late and c.name not in table}
    table = table.assign(**late)[list(NAMES)].copy()
    for column in COLUMNS:
        if column.dtype == "string":
            table[column.name] = table[column.name].fillna("").astype(object)
        elif column.dtype == "list":
            table[column.name] = table[column.name].astype(object)
        else:
            given = table[column.name]
            try:
                table[column.name] = given.astype(column.dtype)
                if column.dtype == "int64" and (given.astype("float64") % 1 > 0).any():
                    raise ValueError  # half a label would be cut off to that of a real
            except (TypeError, ValueError):
                raise InvalidManifest(
                    f"column {column.name} ({column.meaning}) holds values that are no "
                    f"{column.dtype}."
                ) from None
    return table


def arrow_schema() -> Any:
    """Return the columns as pyarrow has them."""
    import pyarrow

    types = {
        "string": pyarrow.string(),
        "int64": pyarrow.int64(),
        "float64": pyarrow.float64(),
        "list": pyarrow.list_(pyarrow.float32()),
    }
    return pyarrow.schema([(c.name, types[c.dtype]) for c in COLUMNS])
