"""Datasets by name."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from gendkit.errors import InvalidOption
from gendkit.plugin.building import build
from gendkit.plugin.manager import plugins
from gendkit.plugin.protocols import Dataset
from gendkit.plugin.specs import DatasetSpec


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
    return build_dataset(plugins().spec("dataset", name), root, **options)


def build_dataset(spec: DatasetSpec, root: str | Path | None = None, **options: Any) -> Dataset:
    """Open the dataset of a spec; see `dataset`.

    Raises
    ------
    InvalidOption, MissingMedia, MissingDependency
        As `dataset`.
    """
    first, *taken = inspect.signature(spec.build).parameters.values()
    known = [p.name for p in taken if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if not any(p.kind is p.VAR_KEYWORD for p in (first, *taken)):
        for name in options:
            if name not in known:
                there = f"there is {', '.join(known)}" if known else "it has none"
                raise InvalidOption(f"dataset {spec.name} has no option {name!r}; {there}.")
    return build(spec, None if root is None else Path(root), **options)
