"""Datasets by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gendkit.plugin.manager import plugins
from gendkit.plugin.protocols import Dataset


def dataset(name: str, root: str | Path | None = None, **options: Any) -> Dataset:
    """Open a dataset that a plugin gives.

    Parameters
    ----------
    name
        Such as `synthetic` or `photos`; `gendkit plugins list` shows all.
    root
        Its folder, for a dataset that is read from files.
    options
        Its own; see the dataset.

    Raises
    ------
    UnknownPart
        If no plugin gives it.
    MissingMedia
        If the folder does not hold it.
    """
    return plugins().spec("dataset", name).build(None if root is None else Path(root), **options)
