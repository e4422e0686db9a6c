"""Devices and compute dtypes: the only module that knows one device from another."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

import torch

Dtype = Literal["float32", "bfloat16"]


def best_device() -> str:
    """Return `cuda`, `mps` or `cpu`, the first that is there."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def compute(dtype: Dtype, device: torch.device | str) -> AbstractContextManager[object]:
    """Run what is inside in a compute dtype, by autocast."""
    kind = torch.device(device).type
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=dtype == "bfloat16")
