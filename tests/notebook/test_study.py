"""A study in a notebook: its own one, and its drawings."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
import pytest

import gendkit as gk
from gendkit.pages.study_figures import drawings


def test_the_drawings_of_each_study_are_one_picture(studied: dict[str, Path]) -> None:
    for folder in studied.values():
        ds = gk.open_study(folder)
        figure = gk.plot_study(ds)
        titles = [part.subfigs[0].texts[0].get_text() for part in figure.subfigs if part.subfigs]
        assert titles == [one.title for one in drawings(ds)]
    assert figure._repr_png_()[0].startswith(b"\x89PNG")  # type: ignore[attr-defined]


def test_the_notebook_of_a_study_is_short_and_has_no_outputs(studied: dict[str, Path]) -> None:
    for folder in studied.values():
        notebook = nbformat.read(folder / "study.ipynb", as_version=4)
        nbformat.validate(notebook)
        assert notebook.metadata.kernelspec.name == "python3"
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
        assert all(len(cell.source.splitlines()) <= 6 for cell in code)
        assert str(folder) not in (folder / "study.ipynb").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_notebook_of_a_study_runs_wherever_its_folder_is(
    studied: dict[str, Path], tmp_path: Path
) -> None:
    from nbclient import NotebookClient

    shutil.copytree(studied["families"], tmp_path / "moved")
    notebook = nbformat.read(tmp_path / "moved" / "study.ipynb", as_version=4)
    there = {"metadata": {"path": str(tmp_path / "moved")}}
    NotebookClient(notebook, timeout=120, resources=there).execute()
    outputs = [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]
    assert not [o for o in outputs if o.output_type == "error"]
    assert {"image/png", "text/html"} <= {kind for o in outputs if "data" in o for kind in o.data}
