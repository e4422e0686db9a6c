"""A study from a notebook: it is run, its page and a notebook are written, and it is drawn."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from gendkit.evaluate.study.catalogue import study_of, study_tables
from gendkit.evaluate.study.run import LOCK, RESULT, run_study
from gendkit.evaluate.study.setting import DEVELOPMENT
from gendkit.evaluate.study.study import said
from gendkit.notebook.pictures import Picture
from gendkit.output import write_whole
from gendkit.pages.study import write_study_page
from gendkit.pages.study_figures import drawings

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from gendkit.data.manifest import Manifest
    from gendkit.progress import Progress
    from gendkit.train.recipe import Recipe

NOTEBOOK = "study.ipynb"
COLUMNS, WIDTH, TITLE = 2, 480, 24


def study(
    name: str,
    manifest: Manifest | str | Path,
    *,
    out: str | Path,
    recipe: str | Path | Recipe = "small-data",
    changes: Mapping[str, Any] | None = None,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    families: Sequence[str] = (),
    left_out: Sequence[str] = (),
    on: str = DEVELOPMENT,
    options: Mapping[str, Any] | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Run a study, or go on with it, and write what it found.

    The folder gets `result.zarr`, which `xarray.open_zarr` opens, `report.html`, a page that needs
    nothing else, and `study.ipynb`, which shows the same. When all cells are there, only these are
    written anew.

    Parameters
    ----------
    name
        Such as `ablation`; `gendkit study` lists them.
    manifest, out, recipe, changes, seeds, families, left_out, on, options, device, progress
        See `gendkit.evaluate.study.run.run_study`.

    Raises
    ------
    UnknownPart
        If there is no such study; other errors as there.
    """
    ds = run_study(
        study_of(name), manifest, out=out, recipe=recipe, changes=changes, seeds=seeds,
        families=families, left_out=left_out, on=on, options=options, device=device,
        progress=progress,
    )  # fmt: skip
    with FileLock(Path(out) / LOCK):
        write_pages(ds, out)
    return ds


def write_pages(ds: xr.Dataset, out: str | Path) -> None:
    """Write the page and the notebook of a result beside it."""
    write_study_page(ds, out)
    write_whole(Path(out) / NOTEBOOK, json.dumps(notebook_of(ds), indent=1).encode())


def plot_study(ds: xr.Dataset) -> Figure:
    """Draw what a study found: the drawings of its page.

    Parameters
    ----------
    ds
        From `gk.study` or `gk.open_study`.
    """
    made = drawings(ds)
    columns = min(COLUMNS, len(made))
    lines = [made[i : i + columns] for i in range(0, len(made), columns)]
    heights = [max(one.height for one in line) + TITLE for line in lines]
    figure = Picture(
        figsize=(WIDTH * columns / 72, sum(heights) / 72), dpi=72, layout="constrained"
    )  # fmt: skip
    parts = figure.subfigures(len(lines), columns, squeeze=False, height_ratios=heights)
    for line, row in zip(lines, parts, strict=True):
        for one, part in zip(line, row, strict=False):
            above, below = part.subfigures(2, 1, height_ratios=(TITLE, one.height))
            above.text(0.01, 0.5, one.title, fontsize="medium", va="center")
            one.draw(below)
    return figure


def notebook_of(ds: xr.Dataset) -> dict[str, Any]:
    """Return a notebook, as JSON has it, that shows the result beside it."""
    words = said(ds)
    cells = [
        _text(f"# {ds.attrs['title']}", "", ds.attrs["question"], "", words.answer),
        _code(
            "import gendkit as gk", "", f'ds = gk.open_study("{RESULT}")',
            "tables = gk.study_tables(ds)", "ds",
        ),
        _code("gk.plot_study(ds)"),
    ]  # fmt: skip
    for i, caption in enumerate(study_tables(ds)):
        cells += [_text(caption + "."), _code(f"list(tables.values())[{i}].round(3)")]
    cells.append(_text("## What it shows", "", *(f"- {line}" for line in words.shows)))
    cells.append(_text("## What it does not show", "", *(f"- {line}" for line in words.not_shown)))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number:02}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def _text(*lines: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": _lines(lines)}


def _code(*lines: str) -> dict[str, Any]:
    empty: dict[str, Any] = {"execution_count": None, "outputs": []}
    return {"cell_type": "code", "metadata": {}, "source": _lines(lines), **empty}


def _lines(lines: Sequence[str]) -> list[str]:
    return [f"{line}\n" for line in lines[:-1]] + [lines[-1]]
