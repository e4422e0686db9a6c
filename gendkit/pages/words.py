"""Quantities as the pages write them; a dash where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gendkit.markup import DASH, number


def count(n: int, one: str, many: str) -> str:
    """Return a number of things."""
    return f"{n} {one if n == 1 else many}"


def p_value(value: float | None) -> str:
    """Return a p-value for reading; a small one as below its last digit."""
    return "< 0.001" if value is not None and value < 0.001 else number(value)


def percent(value: float | None) -> str:
    """Return a share of 100 for reading."""
    return DASH if value is None else f"{number(value, digits=0)} %"


def unit(value: float | None, name: str, *, digits: int = 2) -> str:
    """Return a quantity with its unit."""
    return DASH if value is None else f"{number(value, digits=digits)} {name}"


def when(frame: Mapping[str, Any]) -> str:
    """Return when a frame is shown, or its number where there are no time stamps."""
    return f"frame {frame['frame']}" if frame["time"] is None else f"{frame['time']:.1f} s"
