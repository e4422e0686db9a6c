"""Scores of clips that are known to be real, out of a table that `gendkit score --csv` wrote."""

from __future__ import annotations

import csv
import logging
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gendkit.errors import InvalidArgument, MissingMedia

if TYPE_CHECKING:
    from gendkit.model.detector import Detector
    from gendkit.plugin.protocols import FaceExtractor

NEEDED = ("path", "score", "people")
WRITTEN_BY = "expected a table as `gendkit score --csv` writes it"
_log = logging.getLogger(__name__)


def scored_with(
    detector: Detector,
    extractor: FaceExtractor,
    *,
    name: str,
    order: str,
    frames: int,
    which: str,
) -> dict[str, Any]:
    """Return the columns in which the rows of real clips have to agree with this run."""
    from gendkit.data.extractors import looks_for_faces

    return {
        "adapter": detector.adapter.hash,
        "dtype": detector.dtype,
        "extractor": name,
        "threshold": getattr(extractor, "threshold", None),
        "scale": detector.scale if looks_for_faces(extractor) else None,
        "order": order,
        "frames_asked": frames,
        "which": which,
    }


def read_reals(path: Path, *, made_with: Mapping[str, Any]) -> list[float]:
    """Read the scores of real clips, one a clip.

    Rows without a score, and of several people, whose score is not one person's, are left out with
    a warning that counts them.

    Raises
    ------
    MissingMedia
        If there is no such file.
    InvalidArgument
        If it is no such table, was made in another way than this run, or names a clip twice.
    """
    rows = _rows(path)
    columns = (*NEEDED, *made_with)
    if lacking := [name for name in columns if rows and rows[0].get(name) is None]:
        raise InvalidArgument(f"{path} lacks the column {lacking[0]}; {WRITTEN_BY}.")
    for name, here in made_with.items():
        for row in rows:
            if row["score"] and not _same(row[name], here):
                raise InvalidArgument(
                    f"{path} was scored with {name} {row[name] or 'unknown'}, this run has "
                    f"{'none' if here is None else here}; score the real clips again with the same "
                    "adapter and options."
                )
    if twice := [clip for clip, n in Counter(row["path"] for row in rows).items() if n > 1]:
        raise InvalidArgument(f"{path} has {twice[0]} twice; each real clip counts once.")
    unscored = [row for row in rows if not row["score"]]
    several = [row for row in rows if row["score"] and row["people"] != "1"]
    for what, left_out in (("without a score", unscored), ("of several people", several)):
        if left_out:
            _log.warning("%s: %d of %d rows left out, %s", path, len(left_out), len(rows), what)
    return [_number(row["score"], path) for row in rows if row["score"] and row["people"] == "1"]


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [{k: v for k, v in row.items() if k} for row in csv.DictReader(file)]
    except FileNotFoundError:
        raise MissingMedia(
            f"there is no file {path}; {WRITTEN_BY} of clips known to be real."
        ) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise InvalidArgument(f"{path} cannot be read as CSV: {why}; {WRITTEN_BY}.") from None


def _same(written: str, here: Any) -> bool:
    """Tell whether a cell says what a value is; numbers may be written in several ways."""
    if isinstance(here, int | float):
        try:
            return float(written) == here
        except ValueError:
            return False
    return written == ("" if here is None else str(here))


def _number(text: str, path: Path) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise InvalidArgument(f"{path} has the score {text!r}; a score is a number from 0 to 1.")
    return value
