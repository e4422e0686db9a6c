"""Optional packages: what to install is told in one line."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest

from gendkit.errors import MissingDependency
from gendkit.optional import installed_faiss, require


def builds(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    """Make only these faiss distributions look installed."""

    def version(name: str) -> str:
        found = versions.get(name.replace("-", "_"))
        if found is None:
            raise metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(metadata, "version", version)


def test_an_installed_module_is_imported():
    assert require("json", extra="cpu") is sys.modules["json"]


def test_a_missing_module_is_told_with_the_extra_that_brings_it():
    with pytest.raises(MissingDependency) as error:
        require("gendkit_not_there", extra="notebook")
    assert str(error.value) == (
        'gendkit_not_there is not installed; run: python -m pip install "gendkit[notebook]"'
    )


def test_without_faiss_both_builds_are_told_in_one_line(monkeypatch: pytest.MonkeyPatch):
    builds(monkeypatch)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingDependency) as error:
        require("faiss", extra="cpu")
    assert str(error.value) == (
        'faiss is not installed; run: python -m pip install "gendkit[cpu]"; '
        'with CUDA: python -m pip install "gendkit[gpu]"'
    )


def test_two_faiss_builds_are_refused_and_named(monkeypatch: pytest.MonkeyPatch):
    builds(monkeypatch, faiss_cpu="1.15.1", faiss_gpu_cu12="1.14.0")
    assert installed_faiss() == {"faiss-cpu": "1.15.1", "faiss-gpu-cu12": "1.14.0"}
    with pytest.raises(MissingDependency) as error:
        require("faiss", extra="cpu")
    assert str(error.value) == (
        "faiss-cpu and faiss-gpu-cu12 are both installed and overwrite each other's module "
        "'faiss'; run: python -m pip uninstall -y faiss-cpu faiss-gpu-cu12 && "
        'python -m pip install "gendkit[cpu]"'
    )


def test_two_faiss_builds_do_not_matter_to_other_modules(monkeypatch: pytest.MonkeyPatch):
    builds(monkeypatch, faiss_cpu="1.15.1", faiss_gpu="1.7.2")
    assert require("json", extra="cpu")


def test_an_installed_module_that_lacks_something_else_keeps_its_own_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "gendkit_incomplete.py").write_text("import gendkit_not_there")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="gendkit_not_there"):
        require("gendkit_incomplete", extra="cpu")
