"""Optional packages: one function that imports them or says what to install."""

from __future__ import annotations

import importlib
from importlib import metadata
from types import ModuleType

from gendkit.errors import MissingDependency

_FAISS = ("faiss-cpu", "faiss-gpu", "faiss-gpu-cu12", "faiss-gpu-cu13")


def installed_faiss() -> dict[str, str]:
    """Return the installed faiss distributions and their versions.

    More than one cannot work: all of them install the same module `faiss`.
    """
    found = {}
    for name in _FAISS:
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
    if module == "faiss" and len(both := installed_faiss()) > 1:
        raise MissingDependency(
            f"{' and '.join(both)} are both installed and overwrite each other's module 'faiss'; "
            f"run: python -m pip uninstall -y {' '.join(both)} && "
            'python -m pip install "gendkit[cpu]"'
        )
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        extras = 'gendkit[cpu]" (or "gendkit[gpu]' if module == "faiss" else f"gendkit[{extra}]"
        close = '")' if module == "faiss" else '"'
        raise MissingDependency(
            f"{module} is not installed; run: python -m pip install \"{extras}{close}"
        ) from None
