"""`gendkit card`: Markdown on stdout, or a folder with the page too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

Run = Callable[..., Any]


def test_the_card_is_shown_as_markdown(gendkit: Run, adapter: Path) -> None:
    said = gendkit("card", adapter, "--name", "someone/toy", "--licence", "mit")
    assert said.code == 0, said.err
    front = yaml.safe_load(said.out.split("---\n")[1])
    assert front["license"] == "mit"
    assert "# someone/toy\n" in said.out
    assert "- There is no record of its run" in said.out


def test_a_folder_gets_markdown_and_page(gendkit: Run, adapter: Path, tmp_path: Path) -> None:
    out = tmp_path / "card"
    said = gendkit("card", adapter, "--out", out)
    assert said.code == 0, said.err
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "card.html"]
    assert "Known limits" in (out / "card.html").read_text()
    again = gendkit("card", adapter, "--out", out)
    assert again.code == 1
    assert "already holds" in again.err
    said = gendkit("card", adapter, "--out", out, "--overwrite", "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out)["limits"][0].startswith("There is no record")


def test_a_result_that_is_not_there_is_one_line(
    gendkit: Run, adapter: Path, tmp_path: Path
) -> None:
    said = gendkit("card", adapter, "--result", tmp_path)
    assert said.code == 1
    assert len(said.complaints) == 1
    assert "no result at" in said.complaints[0]
