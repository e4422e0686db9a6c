"""Datasets by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gendkit.errors import InvalidOption
from gendkit.plugin.building import build
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
    InvalidOption
        For an option that it does not have, or that cannot be.
    MissingMedia
        If the folder does not hold it.
    MissingDependency
        If a package that it needs is not installed.
    """
    spec = plugins().spec("dataset", name)
    try:
        return build(spec, None if root is None else Path(root), **options)
    except TypeError as error:
        # Only the call itself: what goes wrong deeper inside is a mistake to be seen in full.
        if "unexpected keyword argument" not in str(error):
            raise
        what = str(error).partition(") ")[2]
        raise InvalidOption(f"dataset {name} {what}; see which options it has.") from None
