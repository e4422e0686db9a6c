"""The one page of a study: its result enters, one HTML document leaves.

Question, answer, pictures, tables, what was trained on what, and what it does and does not show:
every number and every sentence is in the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gendkit.data.coverage import coverage_words
from gendkit.evaluate.study.catalogue import study_tables
from gendkit.evaluate.study.study import about, said
from gendkit.markup import DASH, Html, Node, join, tag
from gendkit.pages.page import (
    bullets,
    chart,
    estimate,
    facts,
    figure,
    page,
    panels,
    prose,
    section,
    table,
)
from gendkit.pages.study_figures import drawings

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

PAGE = "report.html"
HALF, NARROW = 460, 350
_CONTENTS = (
    ("found", "What was found"),
    ("numbers", "Numbers"),
    ("shows", "What it shows"),
    ("not-shown", "What it does not show"),
    ("made", "How it was made"),
)
_CROSSED = (
    "crossing the people of the scored split and the seeds, and the families where a mean over "
    "these is meant"
)
_OVER = {"robustness": "over people", "difficulty": "crossing people and seeds"}
_OWN = ("name", "backbone", "image_size", "seed", "selection")


def render_study(ds: xr.Dataset) -> str:
    """Return a study's result as one self-contained HTML document."""
    words, made = said(ds), about(ds)
    names = dict(_CONTENTS)
    sections = {
        "found": _found(ds),
        "numbers": join(*(_table(name, frame) for name, frame in study_tables(ds).items())),
        "shows": bullets(words.shows),
        "not-shown": bullets(words.not_shown),
        "made": _made(made, ds.attrs.get("learns", "")),
    }
    return page(
        f"gendkit study {ds.attrs['study']}",
        *(section(anchor, names[anchor], content) for anchor, content in sections.items()),
        lead=join(
            tag("p", f"gendkit study {ds.attrs['study']}", class_="eyebrow"),
            tag("h1", ds.attrs["question"]),
            tag("p", words.answer, class_="lede"),
        ),
        contents=_CONTENTS,
        foot="The numbers behind this page are in result.zarr beside it, which study.ipynb opens.",
    )


def write_study_page(ds: xr.Dataset, folder: str | Path) -> Path:
    """Write `report.html` into a folder, and return its path."""
    path = Path(folder) / PAGE
    path.write_text(render_study(ds), encoding="utf-8")
    return path


def _found(ds: xr.Dataset) -> Html:
    cards = [
        chart(
            drawing.svg(width=HALF), narrow=drawing.svg(width=NARROW), title=drawing.title,
            alt=drawing.alt,
        )
        for drawing in drawings(ds)
    ]  # fmt: skip
    return figure(
        panels(*cards, least=24),
        caption=f"A line or a band is a 95 % interval, {_OVER.get(ds.attrs['study'], _CROSSED)}.",
    )


def _table(caption: str, frame: pd.DataFrame) -> Html:
    ends = ("_low", "_high")
    columns = [str(c) for c in frame.columns if not str(c).endswith(ends)]
    rows: list[list[Node]] = []
    for name, row in zip(frame.index, frame.to_dict(orient="records"), strict=True):
        label = " · ".join(map(str, name)) if isinstance(name, tuple) else str(name)
        rows.append([label, *(_cell(row, column) for column in columns)])
    return table((str(frame.index.name or ""), *columns), [(None, rows)], caption=caption)


def _cell(row: Mapping[Any, Any], column: str) -> Node:
    value = row[column]
    if f"{column}_low" in row:
        sign = any(word in column for word in ("gain", "difference"))
        return estimate(value, row[f"{column}_low"], row[f"{column}_high"], sign=sign)
    if isinstance(value, float):
        return DASH if value != value else f"{value:.3f}"
    return str(value) or DASH


def _made(made: Mapping[str, Any], learns: str) -> Html:
    if "facts" in made:
        return facts((term, value) for term, value in made["facts"])
    recipe, learned, scored = made["recipe"], made["learned"], made["scored"]
    take = made["preprocessing"]
    rows: list[tuple[Node, Node]] = [
        ("there to learn from", _of(learned, "train")),
        ("scored", _of(scored, made["on"])),
        ("families learned from", ", ".join(made["families"])),
        ("families only scored", ", ".join(made["left_out"]) or "none"),
        ("cells and seeds", f"{made['cells']} trained or fitted; seeds {_list(made['seeds'])}"),
        ("coverage", coverage_words(made["coverage"]) if made["coverage"] else "not known"),
        ("crops", ", ".join(f"{k} {v}" for k, v in made["crops"].items()) or "not known"),
        ("input", f"{take['size']} px, {take['resize']}, {take['interpolation']}"),
        ("backbone", f"{recipe['backbone']}, computed in {take['dtype']}"),
        ("recipe", tag("span", recipe["name"])),
        ("its fields", "; ".join(f"{k} {_word(v)}" for k, v in recipe.items() if k not in _OWN)),
        ("options", ", ".join(f"{k} {_word(v)}" for k, v in made["options"].items()) or "none"),
        ("versions", ", ".join(f"{k} {v}" for k, v in made["versions"].items())),
        ("data digest", tag("code", made["data"])),
    ]
    if made["on"] == "final":
        rows.insert(2, ("evaluations of the final split", str(made["final_evaluations"])))
    return join(
        prose(learns),
        prose(
            "A person’s score in a clip is the mean P(fake) over its crops; AUROCs are of these. "
            "Nothing is chosen by what is scored: of each training its last epoch is taken."
        ),
        facts(rows),
    )


def _of(counts: Mapping[str, Any], split: str) -> str:
    return (
        f"{counts['crops']:,} crops of {counts['videos']:,} clips of {counts['identities']:,} "
        f"people in the split {split}: {counts['real']:,} real and {counts['fake']:,} fake crops"
    )


def _word(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_word(v)}" for k, v in value.items()) or "as by default"
    if isinstance(value, list):
        return _list(value) or "all"
    if value is None:
        return DASH
    return f"{value:g}" if isinstance(value, float) else str(value)


def _list(values: list[Any]) -> str:
    return ", ".join(map(_word, values))
