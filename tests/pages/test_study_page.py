"""The page of a study: all of it is in the result, and it asks for nothing from outside."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from gendkit.evaluate.study.run import open_study
from gendkit.evaluate.study.study import about, said
from gendkit.pages.study import render_study
from gendkit.pages.study_figures import drawings

NAMES = ("families", "ablation", "paired", "difficulty", "data-size", "layers")


@pytest.fixture(params=NAMES)
def folder(request: pytest.FixtureRequest, studied: dict[str, Path]) -> Path:
    return studied[request.param]


def test_every_study_has_a_page(studied: dict[str, Path]) -> None:
    assert set(studied) == set(NAMES)


def test_a_page_says_question_answer_and_limits_and_nothing_leaves_it(folder: Path) -> None:
    ds = open_study(folder)
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert html == render_study(ds)
    text = unescape(re.sub(r"<[^>]+>", "", html))
    words = said(ds)
    for sentence in (ds.attrs["question"], words.answer, *words.shows, *words.not_shown):
        assert sentence in text
    made = about(ds)
    cells = f"{made['cells']} trained or fitted; seeds 0, 1"
    for value in (made["data"], cells, "84 of 84 clips with a face", ds.attrs["learns"]):
        assert value in text
    assert html.count("<h1>") == 1
    assert "<script" not in html
    assert not re.search(r'(src|href)="(?!data:|#)', html)
    assert "nan" not in text.lower()


def test_a_page_draws_all_its_drawings_for_wide_and_for_narrow(folder: Path) -> None:
    html = (folder / "report.html").read_text(encoding="utf-8")
    made = drawings(open_study(folder))
    assert made
    assert html.count("<svg") == 2 * len(made)
    assert all(one.title in unescape(html) for one in made)
    assert "#1a1b1c" not in html  # ink is the page's


def test_estimates_that_are_missing_are_dashes(studied: dict[str, Path]) -> None:
    ds = open_study(studied["ablation"])
    ds["auroc"][1, 0] = np.nan
    html = render_study(ds)
    assert html.count('class="missing"') > render_study(open_study(studied["ablation"])).count(
        'class="missing"'
    )


def test_years_are_drawn_as_points_without_a_line(studied: dict[str, Path]) -> None:
    ds = open_study(studied["difficulty"])
    assert "Difficulty by year" not in [one.title for one in drawings(ds)]
    ds = ds.assign_coords(year=("tested", [2018.0, 2020.0, np.nan]))
    (one,) = (d for d in drawings(ds) if d.title == "Difficulty by year")
    svg = one.svg()
    assert "columns" in svg
    assert "rows" not in re.sub(r"<[^>]+>", "", svg)  # whose year is not known
