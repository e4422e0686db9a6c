"""`gendkit study NAME`: a table and an answer, files beside it, and one line for what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gendkit.evaluate.study.cells import Cells
from gendkit.testing.small import registered, small_backbone, small_families

Run = Callable[..., Any]
BACKBONE = ("--set", "backbone=small", "--set", "image_size=null", "--device", "cpu")


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("crops")
    small_families(root)
    return root


@pytest.fixture(autouse=True)
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The cells that were asked for margins, which are drawn and not trained for."""
    asked: list[Any] = []

    def margins(cells: Cells, cell: Any, key: str) -> np.ndarray:
        asked.append(cell)
        labels = cells.manifest.labels()[cells.scored]
        return (np.random.default_rng(int(key[:8], 16)).normal(size=len(labels)) + labels).astype(
            np.float32
        )

    monkeypatch.setattr(Cells, "margins", margins)
    with registered(small_backbone()):
        yield asked


def test_a_study_shows_a_table_and_its_answer_and_writes_page_notebook_and_numbers(
    gendkit: Run, crops: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    given = ("study", "ablation", crops, "--out", out, *BACKBONE, "--seeds", 2)
    said = gendkit(*given, "--variant", "LN", "--variant", "LN+L2", "--left-out", "corner")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0].split()[:3] == ["variant", "mean", "AUROC,"]
    assert [line.split()[0] for line in lines[1:4]] == ["probe", "LN", "LN+L2"]
    assert lines[4].startswith("On families that were left out, ")
    assert lines[5] == f"page, notebook and numbers in {out}"
    assert {"report.html", "result.zarr", "study.ipynb", "study.json"} <= {
        path.name for path in out.iterdir()
    }


def test_json_has_the_tables_the_answer_and_how_it_was_made(
    gendkit: Run, crops: Path, tmp_path: Path, drawn: list[Any]
) -> None:
    said = gendkit("study", "difficulty", crops, "--out", tmp_path / "out", *BACKBONE, "--json",
                   "--seeds", 1, "--by", "family", "--families", "rows, corner",
                   "--set", "epochs=3")  # fmt: skip
    assert said.code == 0, said.err
    result = json.loads(said.out)
    assert result["study"] == "difficulty"
    assert result["recipe"]["epochs"] == 3
    assert result["families"] == ["rows", "corner"]
    assert result["options"] == {"by": "family"}
    (first, *_) = result["tables"].values()
    assert [row["family"] for row in first] == ["corner", "rows"]
    assert [cell.recipe.epochs for cell in drawn] == [3, 3]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("ablation", "--seeds", 0), 2, "--seeds"),
        (("ablation", "--on", "train"), 2, "--on"),
        (("ablation", "--set", "epoch=3"), 1, "was 'epochs' meant?"),
        (("ablation", "--variant", "luck"), 1, "no variant is named 'luck'"),
        (("ablation", "--rate", "full=fast"), 2, "the rate of full is 'fast'"),
        (("ablation", "--families", "lips"), 1, "there is rows, columns, corner"),
        (("ablation", "--set", "losses={cross-entropy: 2}"), 1, "losses cannot be set in the"),
        (("layers", "--set", "tuned_norms=3"), 1, "tuned_norms cannot be set in the study layers"),
        (("families", "--set", "seed=3"), 1, "seed cannot be set in the study families"),
        (("paired", "--clips", 99), 1, "the largest number of clips is 4"),
        (("difficulty", "--by", "age"), 2, "--by"),
        (("difficulty",), 1, "1 groups by dataset"),
        (("data-size", "--fraction", 0), 2, "--fraction"),
        (("layers", "--recipe", "nothing"), 1, "no recipe is named 'nothing'"),
        (("families", "--families", "rows"), 1, "there is one family of forgeries, rows"),
    ],
)  # fmt: skip
def test_nonsense_is_one_line_and_leaves_nothing(
    gendkit: Run, crops: Path, tmp_path: Path, arguments: tuple[Any, ...], code: int, words: str,
    drawn: list[Any],
) -> None:  # fmt: skip
    name, *more = arguments
    out = tmp_path / "out"
    said = gendkit("study", name, crops, "--out", out, *BACKBONE, *more)
    assert said.code == code
    assert len(said.complaints) == 1
    assert words in said.complaints[0]
    assert drawn == []
    assert not (out / "study.json").exists()


def test_a_rate_may_be_written_as_people_write_rates(
    gendkit: Run, crops: Path, tmp_path: Path, drawn: list[Any]
) -> None:
    said = gendkit("study", "ablation", crops, "--out", tmp_path / "out", *BACKBONE, "--seeds", 1,
                   "--variant", "full", "--rate", "full=1e-6", "--json")  # fmt: skip
    assert said.code == 0, said.err
    assert json.loads(said.out)["options"]["rates"] == {"full": 1e-6}
    assert [cell.recipe.learning_rate for cell in drawn if not cell.probe] == [1e-6]
