"""The table of datasets as it stands in `layouts.yaml`, unchecked: all that a listing needs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import yaml

FILE = "layouts.yaml"
Rows = Mapping[str, Mapping[str, Any]]


@cache
def rows() -> Rows:
    """Return each dataset's fields."""
    text = resources.files("gendkit_benchmarks").joinpath(FILE).read_text("utf-8")
    found: Rows = parsed(text)
    return found


def parsed(text: str) -> Any:
    """Return what a YAML text holds; it can hold plain values only."""
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(text, loader)
