"""Devices and compute dtypes: the only module that knows one device from another."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Literal, get_args

import torch

from gendkit.errors import InvalidArgument, InvalidRecipe

Dtype = Literal["float32", "bfloat16"]
DTYPES: MappingProxyType[str, torch.dtype] = MappingProxyType(
    {"float32": torch.float32, "bfloat16": torch.bfloat16}
)


def best_device() -> str:
    """Return `cuda`, `mps` or `cpu`, the first that is there."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def usable(device: str | None) -> str:
    """Return the device if this computer has it; the best there is for None.

    Raises
    ------
    InvalidArgument
        If it is unknown or not there.
    """
    if device is None:
        return best_device()
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA raises the second
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise InvalidArgument(
            f"device {device!r} cannot be used here: {reason}; leave it out for {best_device()!r}."
        ) from None
    return device


def compute(dtype: Dtype, device: torch.device | str) -> AbstractContextManager[object]:
    """Run what is inside in a compute dtype, by autocast.

    Raises
    ------
    InvalidRecipe
        For a dtype that is not known.
    """
    if dtype not in get_args(Dtype):
        raise InvalidRecipe(
            f"compute dtype {dtype!r} is not known; there is {', '.join(get_args(Dtype))}."
        )
    kind = torch.device(device).type
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=dtype == "bfloat16")


def works_in_parts(device: torch.device) -> bool:
    """Tell whether large intermediate results are better made part by part.

    On a CPU, a part stays in the cache and fresh memory is dear; elsewhere whole tensors are
    faster.
    """
    return device.type == "cpu"


def of_rank(device: str, number: int) -> str:
    """Return the device of a process by its number on its machine: there may be several GPUs."""
    return f"{device}:{number}" if device == "cuda" else device
