"""JSON values of numbers and tables, for the files that stand beside the pages."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def plain(value: Any) -> Any:
    """Return numbers, text, arrays and nested containers as JSON knows them.

    NaN and infinities become None; whatever is none of these becomes its text.
    """
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table as one JSON object a row."""
    names = [str(name) for name in frame.columns]
    rows = frame.itertuples(index=False, name=None)
    return [dict(zip(names, (plain(v) for v in row), strict=True)) for row in rows]
