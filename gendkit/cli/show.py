"""How results look on stdout: an aligned table, CSV, or one JSON document."""

from __future__ import annotations

import json
import math
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from gendkit.markup import masked

if TYPE_CHECKING:
    import pandas as pd

NOTHING = "-"


def show_json(value: Any) -> None:
    """Write one JSON document (RFC 8259: numbers that are not finite become null).

    What a terminal may obey, and bytes of a file's name that are no text, are escaped, such as
    \\u001b and \\udcff.
    """
    text = json.dumps(_finite(value), indent=2, ensure_ascii=False, default=str)
    click.echo("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))


def show_csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write rows as CSV with a header (RFC 4180, lines end with a newline alone).

    Bytes of a file's name that are no text become question marks.
    """
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([[_cell(row[c]) for c in columns] for row in rows])


def show_table(
    rows: Sequence[Sequence[Any]], columns: Sequence[str], *, right: Sequence[str] = ()
) -> None:
    """Write an aligned table with a header.

    Parameters
    ----------
    rows
        One sequence a row, with as many cells as there are columns; None is shown as a dash.
    columns
        The headings.
    right
        Headings of the columns that are aligned to the right.
    """
    cells: list[list[str]] = [
        list(columns),
        *([NOTHING if c is None else printable(str(c)) for c in r] for r in rows),
    ]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    rights = [c in right for c in columns]
    for line in cells:
        padded = [
            " " * (w - _width(c)) + c if r else c + " " * (w - _width(c))
            for c, w, r in zip(line, widths, rights, strict=True)
        ]
        click.echo("  ".join(padded).rstrip())


def show_frame(frame: pd.DataFrame, *, as_json: bool = False, as_csv: bool = False) -> None:
    """Write a table with its index: aligned, or as CSV, or as a JSON list of its rows."""
    rows, columns = frame_rows(frame), [str(name) for name in frame.reset_index().columns]
    if as_json:
        return show_json(rows)
    if as_csv:
        return show_csv([{n: _joined(v) for n, v in row.items()} for row in rows], columns)
    right = [str(name) for name in frame.select_dtypes("number").columns]
    show_table([[_short(_joined(row[c])) for c in columns] for row in rows], columns, right=right)
    return None


def frame_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table with its index, of Python's own numbers and texts."""
    from pandas import NA

    table = frame.reset_index()
    columns = [[None if v is NA else v for v in table[name].tolist()] for name in table.columns]
    names = [str(name) for name in table.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def printable(text: str) -> str:
    """Return a text in one line without control characters, which names of files may hold."""
    return masked(" ".join(text.splitlines()))


def megabytes(count: float) -> str:
    """Return a number of bytes, such as `97.4 MB`."""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def _joined(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _short(value: Any) -> str | None:
    if isinstance(value, float):
        return None if math.isnan(value) else f"{value:.0f}" if value >= 1e4 else f"{value:.4g}"
    return None if value is None else str(value) or None


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    return "" if value is None else value


def _width(text: str) -> int:
    """Columns that a text takes in a terminal."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value
