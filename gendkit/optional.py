"""Optional packages: one function that imports them or says what to install."""

from __future__ import annotations

import importlib
from importlib import metadata
from types import ModuleType

from gendkit.errors import MissingDependency

FAISS_BUILDS = ("faiss-cpu", "faiss-gpu", "faiss-gpu-cu12", "faiss-gpu-cu13")
"""Distributions that all install the module `faiss`."""


def installed_faiss() -> dict[str, str]:
    """Return the installed faiss distributions and their versions.

    More than one cannot work: all of them install the same module `faiss`.
    """
    found = {}
    for name in FAISS_BUILDS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional module, or say in one line which extra brings it.

    Raises
    ------
    MissingDependency
        If the module is not installed, or if two faiss builds overwrite each other.
    """
    if module == "faiss":
        _refuse_two(installed_faiss())
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
    other = f"; with CUDA: {_install('gpu')}" if module == "faiss" else ""
    raise MissingDependency(f"{module} is not installed; run: {_install(extra)}{other}")


def _refuse_two(builds: dict[str, str]) -> None:
    if len(builds) > 1:
        raise MissingDependency(
            f"{' and '.join(builds)} are both installed and overwrite each other's module 'faiss'; "
            f"run: python -m pip uninstall -y {' '.join(builds)} && {_install('cpu')}"
        )


def _install(extra: str) -> str:
    return f'python -m pip install "gendkit[{extra}]"'
