"""Pictures of a benchmark in a notebook: what `gk.benchmark` found enters, a figure leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gendkit.errors import InvalidArgument
from gendkit.notebook.pictures import Picture
from gendkit.pages import figures
from gendkit.pages.benchmark_figures import TITLE, drawings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gendkit.evaluate.benchmark.run import Benchmark


def plot_benchmark(benchmark: Benchmark, picture: str = "heat-map") -> Figure:
    """Draw one of the pictures that stand on a benchmark's page.

    Parameters
    ----------
    benchmark
        From `gk.benchmark` or `gk.open_benchmark`.
    picture
        `heat-map`, `roc`, `precision-recall`, `distributions`, `methods`, `confusion` or
        `transfer`.

    Raises
    ------
    InvalidArgument
        If there is no such picture.
    """
    there = drawings(benchmark.ds)
    if picture not in there:
        raise InvalidArgument(f"there is no picture {picture!r}; there is {', '.join(there)}.")
    found = there[picture]
    size = (found.width / 72, (found.height + TITLE) / 72)
    return figures.drawn(Picture(figsize=size, dpi=72, layout="constrained"), found.titled)
