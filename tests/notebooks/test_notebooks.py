"""The notebooks run from top to bottom, are committed without outputs, and stay short."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
WIDGET = "application/vnd.jupyter.widget-view+json"
# What is shown, and a file that is left, by the name of the notebook.
SHOWN = {
    "01_quickstart": {"image/png", "text/html", WIDGET},
    "02_tune_layer_norms": {"image/png", "text/html", WIDGET},
    "03_explore_the_sphere": {"image/png", "text/html", WIDGET},
    "04_forensics_of_a_clip": {"text/html", WIDGET},
    "05_geometry": {"image/png", "text/html"},
    "06_backbone_plugin": {"image/png", "text/html"},
    "07_trust_a_data_set": {"image/png", "text/html"},
    "08_tables_that_stand_up": {"image/png", "text/html"},
}
LEFT = {
    "07_trust_a_data_set": "dataset/crops.html",
    "01_quickstart": "quickstart/run/adapter.safetensors",
    "04_forensics_of_a_clip": "forensics/carphone.json",
    "08_tables_that_stand_up": "tables/families/report.html",
}
PLUGIN = "plugin"
"""The tag of the one cell in which a class is written, as that is what is shown."""


def test_there_are_notebooks() -> None:
    assert set(SHOWN) == {n.stem for n in NOTEBOOKS}
    assert set(LEFT) <= set(SHOWN)


def test_notebooks_are_numbered_and_no_number_is_used_twice() -> None:
    numbers = [n.stem.partition("_")[0] for n in NOTEBOOKS]
    assert all(len(number) == 2 and number.isdecimal() for number in numbers)
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_is_committed_without_outputs_and_has_a_kernelspec(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
            if PLUGIN not in cell.metadata.get("tags", []):
                assert "def " not in cell.source
                assert len(cell.source.splitlines()) <= 6


def test_only_the_notebook_on_plugins_has_a_cell_of_that_kind() -> None:
    tagged = [
        path.stem
        for path in NOTEBOOKS
        for cell in nbformat.read(path, as_version=4).cells
        if PLUGIN in cell.metadata.get("tags", [])
    ]
    assert tagged == ["06_backbone_plugin"]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs_from_top_to_bottom(path: Path, asset, tmp_path: Path) -> None:
    from nbclient import NotebookClient

    for name in ("dinov2-vits14", "centerface", "carphone"):
        asset(name)
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]
    assert not [o for o in outputs if o.output_type == "error"]
    shown = {kind for o in outputs if "data" in o for kind in o.data}
    assert SHOWN[path.stem] <= shown
    assert (tmp_path / LEFT.get(path.stem, "")).exists()
