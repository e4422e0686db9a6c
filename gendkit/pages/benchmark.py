"""The page of a benchmark: a `Benchmark` enters, an HTML document, tables and pictures leave.

Every number and every sentence is made from the result; a difference that its interval does not
support is not stated.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gendkit.errors import InvalidArgument
from gendkit.evaluate.benchmark.clips import ALL
from gendkit.evaluate.benchmark.intervals import SUMMARIES
from gendkit.evaluate.benchmark.plan import took_part
from gendkit.evaluate.benchmark.run import RECORD, RESULT, locked
from gendkit.evaluate.benchmark.tables import (
    MARKS,
    Table,
    and_seeds,
    seeds_of,
    shared_clips,
    tables,
    tidy,
)
from gendkit.markup import Html, Node, join, number, tag
from gendkit.output import write_whole
from gendkit.pages.benchmark_figures import Drawing, drawings
from gendkit.pages.page import (
    bullets,
    chart,
    figure,
    interval,
    note,
    page,
    prose,
    section,
    table,
    tile,
    tiles,
)

if TYPE_CHECKING:
    import xarray as xr

    from gendkit.evaluate.benchmark.run import Benchmark

PAGE, TABLES, PICTURES, NUMBERS = "benchmark.html", "tables", "pictures", "numbers.csv"
_TITLES = {
    "auroc": "AUROC of clips",
    "metrics": "Metrics of clips",
    "methods": "AUROC by method",
    "differences": "Differences in AUROC",
    "transfer": "Real clips called fake / fakes found",
    "coverage": "Clips that were examined",
}
_CONTENTS = (
    ("know", "What to know first"),
    ("auroc", "AUROC"),
    ("curves", "Curves"),
    ("metrics", "All metrics"),
    ("methods", "By method"),
    ("threshold", "At a threshold"),
    ("transfer", "Moving a threshold"),
    ("coverage", "Coverage"),
    ("made", "How this was made"),
)


def benchmark_page(benchmark: Benchmark) -> Path:
    """Write page, tables (CSV, Markdown, LaTeX) and pictures (PNG) beside the result.

    Returns the page's path. What is there already is replaced.

    Raises
    ------
    InvalidArgument
        If another benchmark lies there by now.
    """
    with locked(benchmark.folder):
        file = benchmark.folder / RESULT / RECORD
        there = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        if there.get("inputs") != benchmark.record["inputs"]:
            raise InvalidArgument(
                f"the result in {benchmark.folder} is of another comparison by now; give each a "
                "folder of its own, which may be a copy with its scores."
            )
        return _written(benchmark)


def _written(benchmark: Benchmark) -> Path:
    folder = benchmark.folder / RESULT
    for name in (TABLES, PICTURES):
        (folder / name).mkdir(exist_ok=True)
    for one in tables(benchmark):
        at = folder / TABLES / one.name
        write_whole(at.with_suffix(".md"), one.markdown().encode())
        write_whole(at.with_suffix(".tex"), one.latex().encode())
        text = one.frame().to_csv(index=False, lineterminator="\n")
        write_whole(at.with_suffix(".csv"), text.encode())
    text = tidy(benchmark.ds).to_csv(index=False, lineterminator="\n")
    write_whole(folder / TABLES / NUMBERS, text.encode())
    drawn = drawings(benchmark.ds)
    for name, drawing in drawn.items():
        write_whole(folder / PICTURES / f"{name}.png", drawing.png())
    write_whole(folder / PAGE, render_benchmark(benchmark).encode())  # last: now all is there
    return folder / PAGE


def render_benchmark(benchmark: Benchmark) -> str:
    """Return the page as one self-contained HTML document."""
    ds, drawn = benchmark.ds, drawings(benchmark.ds)
    shown = {one.name: one for one in tables(benchmark)}
    sections = {
        "know": _know(benchmark),
        "auroc": join(
            figure(_chart(drawn["heat-map"]), caption="The fuller the colour, the further above "
                   f"chance. {MARKS}"),
            _table(shown["auroc"]),
            _table(shown["differences"]) if "differences" in shown else None,
        ),
        "curves": join(
            figure(_chart(drawn["roc"]), caption="The bands are 95 % intervals at each rate of "
                   f"false positives, over connected components of clips{and_seeds(ds)}; each "
                   "holds by itself, not all at once. The diagonal is chance."),
            figure(_chart(drawn["precision-recall"]), caption="Precision depends on how many fakes "
                   "there are: the dotted line is their share here, which is no detector’s merit."),
            figure(_chart(drawn["distributions"]), caption="Each bar is the share of clips of its "
                   f"class. The dashed line is the stated threshold, {ds.attrs['threshold']:g}."),
        ),
        "metrics": _table(shown["metrics"]),
        "methods": join(
            figure(_chart(drawn["methods"]), caption="Bars begin at chance; "
                   "lines are 95 % intervals.")
            if "methods" in drawn else prose("No method has fakes of its own."),
            _table(shown["methods"]) if shown["methods"].rows else None,
        ),
        "threshold": figure(_chart(drawn["confusion"]), caption="Rows: what the clips are; "
                            "columns: what they are called. The threshold was stated, not chosen "
                            "here."),
        "transfer": join(
            prose("A threshold is fixed on one data set, so that 1 % or 5 % of its real clips are "
                  "called fake, and applied to another. Whoever uses a detector on new material "
                  "does just that."),
            figure(_chart(drawn["transfer"]), caption="Share of real clips called fake. Framed: "
                   "the worst other data set of each threshold."),
            _table(shown["transfer"]),
        ),
        "coverage": _table(shown["coverage"]),
        "made": _made(benchmark),
    }  # fmt: skip
    names = dict(_CONTENTS)
    return page(
        "gendkit evaluate",
        *(section(anchor, names[anchor], content) for anchor, content in sections.items()),
        lead=_lead(benchmark),
        contents=_CONTENTS,
        foot="Made by gendkit evaluate. The tables, the pictures and the scores of each crop lie "
        "beside this page, and the result as a zarr store that xarray opens.",
    )


def _lead(benchmark: Benchmark) -> Html:
    ds = benchmark.ds
    sets = ds.sizes["dataset"]
    which, meant, words = _meant(ds)
    of = ds.sel(summary=which)
    shown = [
        tile(
            name,
            number(float(of["overall"].sel(detector=name))),
            f"mean AUROC of {meant} data set{'s' * (meant != 1)}{words}; 95 % interval "
            + interval(*(float(of[f"overall_{end}"].sel(detector=name)) for end in ("low", "high")))
            + (f"; {n} seeds" if (n := seeds_of(ds, name)) > 1 else "; one seed"),
        )
        for name in map(str, ds["detector"].to_numpy())
    ]
    many = ds.sizes["detector"]
    return join(
        tag("p", "gendkit evaluate", class_="eyebrow"),
        tag("h1", f"{many} detector{'s' * (many > 1)} on {sets} data set{'s' * (sets > 1)}"),
        tag("p", " ".join(compared(benchmark)), class_="lede") if many > 1 else None,
        tiles(*shown),
    )


def compared(benchmark: Benchmark) -> Iterator[str]:
    """Yield what the intervals of the differences of the means allow one to say."""
    ds = benchmark.ds
    names = [str(name) for name in ds["detector"].to_numpy()]
    which, meant, words = _meant(ds)
    value = ds["overall"].sel(summary=which).to_numpy()
    if not np.isfinite(value).all():
        yield "For a detector no mean AUROC could be computed, so that they cannot be ranked."
        return
    if words:
        yield f"Means are of the {meant} data set{'s' * (meant != 1)}{words}."
    order = [names[i] for i in np.argsort(-value, kind="stable")]
    best = order[0]
    for other in order[1:]:
        yield _apart(ds, best, other, which)
    if len(order) > 2:
        yield (
            "Each of these intervals holds by itself, not all at once, and the detector that looks "
            "best was chosen by the same data."
        )


def _meant(ds: xr.Dataset) -> tuple[str, int, str]:
    """Return which mean a headline is of, over how many data sets, and what to add in words.

    Where some data sets took part in the selection or training of a detector, it is the mean of the
    others; where all did, it is said.
    """
    aurocs = ds["auroc"].sel({"method": ALL}).transpose("detector", "dataset")
    known = np.isfinite(aurocs.to_numpy()).all(axis=0)
    apart = known & ~took_part(ds)
    if apart.all() or not (known & ~apart).any():
        return SUMMARIES[1], int(known.sum()), ""
    if apart.any():
        return SUMMARIES[2], int(apart.sum()), " that took part in no selection or training"
    return SUMMARIES[1], int(known.sum()), ", which took part in a selection or training"


def _apart(ds: xr.Dataset, best: str, other: str, which: str) -> str:
    """Say whether the one with the higher mean is better on the clips that both scored."""
    of = ds.sel(detector=best, other=other, summary=which)
    apart, low, high = (float(of[f"overall_difference{e}"]) for e in ("", "_low", "_high"))
    where = " on the clips that both scored" if shared_clips(ds, best, other) else ""
    if not math.isfinite(apart):
        return f"{best} and {other} cannot be compared{where}."
    if high < 0:
        best, other, apart, low, high = other, best, -apart, -high, -low
    ends = f"{number(apart, sign=True)}, 95 % interval {interval(low, high, sign=True)}"
    if low > 0:
        return f"{best} has a higher mean AUROC than {other}{where} ({ends})."
    return f"That {best} is better than {other}{where} is not shown ({ends})."


def _know(benchmark: Benchmark) -> Html:
    undefined = list(benchmark.record["undefined"])
    return join(
        bullets(benchmark.notes) if benchmark.notes else None,
        note(
            "The score is not a probability: the share of fakes in a detector’s training is in it. "
            "A clip without a face was not examined, and is in no number here."
        ),
        tag(
            "details",
            tag("summary", f"{len(undefined)} numbers could not be computed"),
            bullets(undefined),
        )
        if undefined
        else None,
    )


def _chart(drawing: Drawing) -> Html:
    narrow = None if drawing.narrow is None else drawing.narrow.svg()
    return chart(drawing.svg(), alt=drawing.alt, title=drawing.title, narrow=narrow)


def _table(one: Table) -> Html:
    """Show a table; equal names that follow each other become one title of a group."""
    title = _TITLES[one.name]
    if one.stubs < 2:
        shown = table(one.head, [(None, one.rows)], caption=title)
        return figure(shown, caption=one.caption)
    groups: dict[str, list[list[Node]]] = {}
    for first, *rest in one.rows:
        name = " · ".join(rest[: one.stubs - 1])
        groups.setdefault(first, []).append([name, *rest[one.stubs - 1 :]])
    head = (" · ".join(one.head[1 : one.stubs]), *one.head[one.stubs :])
    return figure(table(head, list(groups.items()), caption=title), caption=one.caption)


def _made(benchmark: Benchmark) -> Html:
    record = benchmark.record
    detectors = [
        [c["name"], "–" if c["seed"] is None else str(c["seed"]), tag("code", c["hash"][:12]),
         c["backbone"], c["preprocessing"], _list(c["trained_on"]), _list(c["selected_on"])]
        for c in record["detectors"]
    ]  # fmt: skip
    sets = [
        [data["name"], m["manifest"] or "–", tag("code", m["digest"][:12]), _pairs(m["crops"])]
        for data in record["datasets"]
        for m in data["manifests"]
    ]
    versions = ", ".join(f"{name} {v}" for name, v in record["versions"].items())
    return join(
        table(
            ("detector", "seed", "adapter", "backbone", "of a crop it takes", "trained on",
             "selected on"),
            [(None, detectors)],
            caption="Detectors, and the data sets that are recorded to have taken part in their "
            "training and in a selection.",
        ),
        table(("data set", "manifest", "crops", "made by"), [(None, sets)], caption="Data sets"),
        prose(
            f"{record['resamples']:,} resamples of connected components over all data sets at "
            f"once, and of seeds where there are several; seed {record['seed']}. {versions}."
        ),
    )  # fmt: skip


def _list(names: list[str] | None) -> str:
    return "not recorded" if names is None else ", ".join(names) or "none"


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {v}" for k, v in values.items()) or "not recorded"
