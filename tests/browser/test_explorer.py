"""Notebook 03 in JupyterLab, as someone uses it who has a mouse and no internet."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from PIL import Image

from gendkit.pages.palette import looks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "03_explore_the_sphere.ipynb"
MENU_TRIES = 12
REAL = tuple(int(looks(["real"])[0].colour[i : i + 2], 16) for i in (1, 3, 5))


@pytest.fixture
def folder(tmp_path: Path, asset: Callable[[str], Path]) -> Path:
    """A folder with a copy of the notebook."""
    for name in ("dinov2-vits14", "centerface"):
        asset(name)
    place = tmp_path / "notebooks"
    place.mkdir()
    nbformat.write(nbformat.read(NOTEBOOK, as_version=4), place / NOTEBOOK.name)
    return place


def test_faces_are_found_by_mouse_and_read_back_in_python(
    folder: Path, start_lab, open_page, wait_until
) -> None:
    with start_lab(folder) as lab:
        page, seen = open_page(lab.url(NOTEBOOK.name))
        page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=120_000)
        wait_until(lab.idle, seconds=120, what="the notebook has a kernel")
        run_all(page)
        explorer = page.locator(".gendkit-explorer").first
        explorer.wait_for(timeout=300_000)
        wait_until(lab.idle, seconds=300, what="the notebook has run")
        explorer.scroll_into_view_if_needed()
        canvas = explorer.locator("canvas").first

        # The notebook has chosen some fakes; here nothing is, so that all points are drawn.
        lab.ask("explorer.selection = []; explorer.face = ''")
        points = wait_until(
            lambda: places_of(canvas, REAL), seconds=60, what="real faces are drawn in their colour"
        )
        assert len(points) > 20

        cards = explorer.locator(".gendkit-row .gendkit-card")
        assert cards.count() == 0
        box = canvas.bounding_box()
        first = click_until_chosen(page, lab, box, points, wait_until)
        wait_until(lambda: cards.count() == 10, seconds=30, what="five reals and five fakes")
        told = cards.all_inner_texts()
        assert explorer.locator(".gendkit-single img").evaluate("i => i.naturalWidth") > 50

        other = click_until_chosen(page, lab, box, points[::-1], wait_until)
        assert other != first
        wait_until(lambda: cards.all_inner_texts() != told, seconds=30, what="other neighbours")

        lasso(page, canvas.bounding_box())
        chosen = wait_until(lambda: many(lab), seconds=30, what="the lasso has chosen several")
        of = int(lab.ask("print(ds.sizes['sample'])"))
        assert 1 < chosen < of
        heading = explorer.locator(".gendkit-heading").last
        wait_until(
            lambda: f"{chosen:,} of {of:,} selected" in explorer.inner_text(),
            seconds=30,
            what=f"the heading says {chosen} of {of}: {heading.inner_text()}",
        )
        gallery = explorer.locator(".gendkit-grid .gendkit-card")
        wait_until(
            lambda: gallery.count() == min(chosen, 36),
            seconds=30,
            what="the faces chosen are shown",
        )

        lab.ask("explorer.selection = ds['label'] == 1")
        fakes = int(lab.ask("print(int((ds['label'] == 1).sum()))"))
        wait_until(
            lambda: f"{fakes:,} of {of:,} selected" in explorer.inner_text(),
            seconds=30,
            what="what Python chooses is chosen in the browser",
        )

        explorer.locator(".gendkit-look", has_text="real").first.click()
        wait_until(
            lambda: not places_of(canvas, REAL), seconds=30, what="the legend hides the real faces"
        )
        assert seen.errors == []
        assert seen.hosts == set()


def run_all(page: Any) -> None:
    """Run all cells of the notebook, by the menu."""
    from playwright.sync_api import TimeoutError as Waited

    # A menu that is clicked while the page is still being made may close again.
    item = page.locator(".lm-Menu-item", has_text="Run All Cells").first
    for _ in range(MENU_TRIES):
        page.locator(".lm-MenuBar-item", has_text="Run").click()
        try:
            item.click(timeout=5_000)
        except Waited:
            page.keyboard.press("Escape")
        else:
            return
    pytest.fail(f"the menu did not open in {MENU_TRIES} tries")


def places_of(canvas: Any, colour: tuple[int, int, int]) -> list[tuple[float, float]]:
    """Return places (x, y) on a canvas, as a shot of it shows, that have nearly a colour."""
    image = np.asarray(Image.open(io.BytesIO(canvas.screenshot())).convert("RGB"), dtype=int)
    near = np.abs(image - colour).max(axis=2) < 48
    # The middle of a disc, not its rim.
    inner = near[1:-1, 1:-1] & near[:-2, 1:-1] & near[2:, 1:-1] & near[1:-1, :-2] & near[1:-1, 2:]
    rows, columns = np.nonzero(inner)
    return [(float(x + 1), float(y + 1)) for x, y in zip(columns, rows, strict=True)]


def click_until_chosen(page: Any, lab: Any, box: Any, points: Any, wait_until: Any) -> str:
    """Click a drawn point and return the sample of which the explorer then tells."""
    before = lab.ask("print(explorer.face)")
    x, y = points[0]
    page.mouse.move(box["x"] + x - 1, box["y"] + y)
    page.mouse.click(box["x"] + x, box["y"] + y)
    return wait_until(
        lambda: (face := lab.ask("print(explorer.face)")) != before and face,
        seconds=30,
        what=f"a click at {x:.0f}, {y:.0f} chooses a face",
    )


def lasso(page: Any, box: Any) -> None:
    """Drag a lasso around the left half of the map."""
    left, top = box["x"] + 4, box["y"] + 4
    right, bottom = box["x"] + box["width"] / 2, box["y"] + box["height"] - 4
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom), (left, top)):
        page.mouse.move(x, y, steps=15)
    page.mouse.up()


def many(lab: Any) -> int:
    count = int(lab.ask("print(explorer.selection.sizes['sample'])"))
    return count if count > 1 else 0
