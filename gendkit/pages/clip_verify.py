"""Checks a clip report: does it come out again?

A page or a record enters. It is recomputed from its inputs, and what differs is told, down to the
digit; the page's text is made anew from its record, and its pictures from the file. When it was
made, where, and the file's name are not checked; the digest guards against accidents, and is no
signature.
"""

from __future__ import annotations

import base64
import io
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gendkit.errors import InvalidReport, MissingMedia
from gendkit.markup import tag
from gendkit.pages.clip import FORMAT, digest_of, report
from gendkit.pages.clip_page import RECORD_ID, render

DIGITS = 5
"""Up to which digit numbers have to agree."""
PICTURE_TOLERANCE = 2.0
"""Mean difference of two pictures in grey levels."""
_PICTURE = re.compile(r'(?<=src="data:image/jpeg;base64,)[A-Za-z0-9+/=]*')
_BLOCK = re.compile(rf'<script type="application/json" id="{RECORD_ID}">(.*?)</script>', re.DOTALL)
_LOOSE = ("made", "inputs", "digest")
"""What may be otherwise in a report that says the same."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One value that is not the same.

    Attributes
    ----------
    where
        Keys and numbers from the record's top, such as `tracks.0.score`.
    reported, found
        Both values; None where there is none.
    digits
        To how many significant digits two numbers agree; 0 for anything else.
    """

    where: str
    reported: Any
    found: Any
    digits: int

    def __str__(self) -> str:
        agree = f" (the same to {self.digits} digits)" if self.digits else ""
        return f"{self.where}: reported {self.reported!r}, found {self.found!r}{agree}"


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What came of a check.

    Attributes
    ----------
    file
        That was checked.
    differences
        All of them, also those behind the last digit that counts.
    digits
        Up to which digit numbers have to agree.
    tampered
        What is wrong with the file by itself, such as a digest that is not that of its record.
    """

    file: str
    differences: tuple[Difference, ...]
    digits: int
    tampered: tuple[str, ...]

    @property
    def failures(self) -> tuple[Difference, ...]:
        """The differences that count."""
        return tuple(d for d in self.differences if d.digits < self.digits)

    @property
    def holds(self) -> bool:
        """Whether the report comes out again."""
        return not self.tampered and not self.failures

    def __repr__(self) -> str:
        kind = "holds" if self.holds else "does not hold"
        return (
            f"Verification({self.file} {kind}: {len(self.tampered)} signs of a change, "
            f"{len(self.failures)} differences, "
            f"{len(self.differences) - len(self.failures)} beyond {self.digits} digits)"
        )

    def _repr_html_(self) -> str:
        lines = [*self.tampered, *map(str, self.failures)]
        return tag(
            "div", tag("p", repr(self)), tag("ul", *(tag("li", line) for line in lines))
        ).text


def verify(
    file: str | Path,
    *,
    media: str | Path | None = None,
    adapter: str | Path | None = None,
    reference: str | Path | None = None,
    members: Sequence[str | Path] | None = None,
    calibration: str | Path | None = None,
    digits: int = DIGITS,
) -> Verification:
    """Recompute a clip report and say what differs.

    Parameters
    ----------
    file
        The page or the record that `gendkit report` wrote.
    media, adapter, reference, members, calibration
        Where its inputs are now; by default where they were, from the current folder.
    digits
        Up to which significant digit numbers have to agree: machines differ in the last bits.

    Raises
    ------
    MissingMedia
        If there is no such report, or one of its inputs is not there.
    InvalidReport
        If the file is no report, or of a format that this version does not know.
    """
    file = Path(file)
    record, page = read_report(file)
    tampered = []
    if record.get("digest") != digest_of(record):
        tampered.append("the record was changed: its digest is not that which it states")
    given = record["inputs"]
    paths = {"media": media, "adapter": adapter, "reference": reference}
    if "calibration" in record:
        paths["calibration"] = calibration
    places = {name: Path(path or given.get(name, "")) for name, path in paths.items()}
    for name, place in places.items():
        if not (paths[name] or given.get(name)) or not place.exists():
            raise MissingMedia(
                f"the report's {name} is not at {given.get(name) or 'any place that it names'}; "
                "say where it is now."
            )
    settings = record["settings"]
    found = report(
        places["media"], places["adapter"], places["reference"], frames=settings["frames"],
        order=settings["order"], k=settings["k"], draws=settings["draws"], seed=settings["seed"],
        known=settings["known"], showable=settings["showable"], dtype=record["detector"]["dtype"],
        members=list(members if members is not None else given["members"]),
        calibration=places.get("calibration"),
    )  # fmt: skip
    differences = tuple(_differences(_fixed(record), _fixed(found.record)))
    if page is not None:
        tampered += _changed(page, render(record, found.pictures))
    return Verification(
        file=str(file), differences=differences, digits=digits, tampered=tuple(tampered)
    )


def read_report(file: Path) -> tuple[dict[str, Any], str | None]:
    """Return the record of a page or a JSON file, and the page's text.

    Raises
    ------
    MissingMedia
        If there is no such file.
    InvalidReport
        If it is no report, or of an unknown format.
    """
    if not file.is_file():
        raise MissingMedia(f"there is no report {file}; `gendkit report` writes one.")
    try:
        text = file.read_text(encoding="utf-8")
        page = None if file.suffix.lower() == ".json" else text
        block = _BLOCK.search(text) if page is not None else None
        if page is not None and block is None:
            raise ValueError("it holds no record")
        record = json.loads(block[1] if block else text)
        parts = {"inputs", "settings", "tracks", "file", "detector"}
        if not isinstance(record, dict) or not parts <= set(record):
            raise ValueError("its record lacks parts")
        if not {"media", "adapter", "reference", "members"} <= set(record["inputs"]):
            raise ValueError("its record lacks inputs")
    except (ValueError, OSError) as error:
        raise InvalidReport(f"{file} is no clip report: {error}; give one that was written by "
                            "`gendkit report`.") from None  # fmt: skip
    if record.get("format") != FORMAT:
        raise InvalidReport(
            f"{file} has the format {record.get('format')}; this version knows {FORMAT}."
        )
    return record, page


def _fixed(record: Mapping[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in record.items() if key not in _LOOSE}
    file = {key: value for key, value in record["file"].items() if key != "name"}
    settings = {key: value for key, value in record["settings"].items() if key != "device"}
    return {**rest, "file": file, "settings": settings}


def _differences(one: Any, other: Any, where: str = "") -> Iterator[Difference]:
    """Yield what differs of two JSON values."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys([*one, *other]):
            yield from _differences(one.get(key), other.get(key), f"{where}.{key}".lstrip("."))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from _differences(a, b, f"{where}.{i}")
    elif one != other:
        yield Difference(where=where, reported=one, found=other, digits=_agreement(one, other))


def _agreement(one: Any, other: Any) -> int:
    """Return to how many digits two numbers agree: significant ones, or decimal places if more.

    Scores, cosines and p-values are of the size of 1; of a small one, or of the difference of two,
    the first digits may already be rounding. Whole numbers are equal or are not.
    """
    if not all(isinstance(v, float) for v in (one, other)):
        return 0
    apart = abs(one - other)
    return max(0, math.floor(-math.log10(min(apart, apart / max(abs(one), abs(other))))))


def _changed(page: str, expected: str) -> Iterator[str]:
    """Say what of a page is not as its record and the pictures found again make it."""
    if _PICTURE.sub("", page) != _PICTURE.sub("", expected):
        yield "the page is not that of its record: its text was changed"
    pictures, wanted = _PICTURE.findall(page), _PICTURE.findall(expected)
    if len(pictures) != len(wanted) or not all(map(_alike, pictures, wanted)):
        yield "a picture of the page is not that which was found again"


def _alike(one: str, other: str) -> bool:
    """Tell whether two pictures are the same but for what decoders may do differently."""
    if one == other:
        return True
    try:
        a, b = (_pixels(text) for text in (one, other))
    except (OSError, ValueError):
        return False
    return a.shape == b.shape and float(np.abs(a - b).mean()) < PICTURE_TOLERANCE


def _pixels(text: str) -> NDArray[np.int16]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))), np.int16)
