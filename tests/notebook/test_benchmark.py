"""A benchmark in a notebook: its table, and any of its pictures."""

from __future__ import annotations

import pytest

import gendkit as gk
from gendkit.errors import InvalidArgument
from gendkit.evaluate.benchmark.run import Benchmark
from gendkit.testing.benchmark_result import drawn_benchmark


@pytest.fixture(scope="module")
def drawn() -> Benchmark:
    return drawn_benchmark(people=12, resamples=4)


def test_it_shows_itself_as_a_table_with_what_one_must_know(drawn: Benchmark) -> None:
    shown = drawn._repr_html_()
    for words in ("AUROC of clips", "gend-clip", "mean without selection", "7 of 120 fake clips"):
        assert words in shown


def test_a_picture_shows_itself_and_a_strange_name_is_refused(drawn: Benchmark) -> None:
    figure = gk.plot_benchmark(drawn)
    png, size = figure._repr_png_()
    assert png.startswith(b"\x89PNG")
    assert size["width"] > 400
    assert figure.get_suptitle() == "AUROC of clips"
    with pytest.raises(InvalidArgument, match="no picture 'pie'; there is heat-map, roc"):
        gk.plot_benchmark(drawn, "pie")
