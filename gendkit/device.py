"""Devices and compute dtypes: the only module that knows one device from another."""

from __future__ import annotations

import copy
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from gendkit.errors import InvalidArgument, InvalidRecipe

Dtype = Literal["float32", "tf32", "bfloat16"]
"""`tf32` is float32 but for products on CUDA, whose factors it rounds to ten bits."""
DTYPES: MappingProxyType[str, torch.dtype] = MappingProxyType(
    {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16}
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


def device_name(device: str) -> str:
    """Return what the maker calls a device."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.machine()


def compute(dtype: Dtype, device: torch.device | str) -> AbstractContextManager[None]:
    """Run an encoder in a compute dtype. For its backward pass there is `products`.

    Raises
    ------
    InvalidRecipe
        For a dtype that is not known.
    """
    if dtype not in get_args(Dtype):
        raise InvalidRecipe(
            f"compute dtype {dtype!r} is not known; there is {', '.join(get_args(Dtype))}."
        )
    return _compute(dtype, torch.device(device))


@contextmanager
def _compute(dtype: Dtype, device: torch.device) -> Iterator[None]:
    narrow = torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == "bfloat16")
    with narrow, products(dtype, device):
        yield


@contextmanager
def exact(device: torch.device | str) -> Iterator[None]:
    """Run products of float32 in float32, whatever is set around: autocast and TF32 are off."""
    with torch.autocast(torch.device(device).type, enabled=False), products("float32", device):
        yield


@contextmanager
def products(dtype: Dtype, device: torch.device | str) -> Iterator[None]:
    """On CUDA, set whether products and convolutions of float32 may be computed in TF32."""
    if torch.device(device).type != "cuda":
        yield
        return
    settings = _tf32_settings("tf32" if dtype == "tf32" else "ieee")
    before = [getattr(of, name) for of, name, _ in settings]
    for of, name, value in settings:
        setattr(of, name, value)
    try:
        yield
    finally:
        for (of, name, _), value in zip(settings, before, strict=True):
            setattr(of, name, value)


def _tf32_settings(value: Literal["tf32", "ieee"]) -> list[tuple[Any, str, str | bool]]:
    """Return where TF32 is set, by the newer names where torch has them.

    Once those are in use, torch refuses to read the older ones.
    """
    matmul: Any = torch.backends.cuda.matmul
    cudnn: Any = torch.backends.cudnn
    if hasattr(matmul, "fp32_precision"):
        return [(matmul, "fp32_precision", value), (cudnn.conv, "fp32_precision", value)]
    return [(matmul, "allow_tf32", value == "tf32"), (cudnn, "allow_tf32", value == "tf32")]


def can_fuse(device: str) -> bool:
    """Tell whether torch's AdamW moves all weights by one kernel there."""
    return torch.device(device).type in ("cpu", "cuda")


def check_compiler(device: str) -> None:
    """Refuse a device for which torch cannot compile here.

    Raises
    ------
    InvalidArgument
        Saying why: there is no C++ compiler, or no Triton.
    """
    try:
        torch.compile(torch.sin)(torch.zeros(2, device=device))
    except Exception as error:  # torch, Triton and the C++ compiler each fail in their own way
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise InvalidArgument(
            f"torch cannot compile for {device!r} here: {reason}; leave compile out."
        ) from None


def on_cpu(module: nn.Module) -> nn.Module:
    """Return the module if it is on the CPU, else a copy that is."""
    tensors = module.state_dict().values()
    if all(t.device.type == "cpu" for t in tensors):
        return module
    return copy.deepcopy(module).cpu()


def as_input(pixels: Tensor, device: str) -> Tensor:
    """Return images (B, C, H, W) as an encoder takes them: there, and on CUDA channels last."""
    pixels = pixels.to(device)
    if pixels.device.type == "cuda":
        return pixels.contiguous(memory_format=torch.channels_last)
    return pixels


def wait_for(device: str) -> None:
    """Wait until a device has computed what it was given."""
    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.synchronize(device)
    elif kind == "mps":
        torch.mps.synchronize()


def peak_bytes(device: str) -> int | None:
    """Return the most memory in use so far: on CUDA by tensors, on a CPU by the process.

    None where it is not known.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if kind != "cpu" or sys.platform == "win32":
        return None
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


class Mover:
    """Copies batches to a device; to CUDA from pinned memory, while it computes.

    Parameters
    ----------
    device
        Such as `cuda`.
    """

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self._stream: Any = None
        if self.device.type == "cuda":
            self._stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]

    def begin(self, batch: Tensor) -> Callable[[], Tensor]:
        """Begin to copy images (B, C, H, W) from the CPU.

        Returns
        -------
        callable
            To be called once, where the images are needed; returns them on the device. What is then
            computed waits for the copy, the calling thread does not.
        """
        if self._stream is None:
            moved = batch.to(self.device)
            return lambda: moved
        with torch.cuda.stream(self._stream):
            moved = batch.pin_memory().to(self.device, non_blocking=True)
            copied = self._stream.record_event()
        return partial(self._taken, moved, copied)

    def _taken(self, moved: Tensor, copied: Any) -> Tensor:
        current = torch.cuda.current_stream(self.device)
        current.wait_event(copied)
        moved.record_stream(current)  # its memory is free once this stream is done with it
        return moved


def works_in_parts(device: torch.device) -> bool:
    """Tell whether large intermediate results are better made part by part.

    On a CPU, a part stays in the cache and fresh memory is dear; elsewhere whole tensors are
    faster.
    """
    return device.type == "cpu"


def of_rank(device: str, number: int) -> str:
    """Return the device of a process by its number on its machine: there may be several GPUs."""
    return f"{device}:{number}" if device == "cuda" else device
