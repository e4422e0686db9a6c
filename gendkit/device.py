"""Devices and compute dtypes: the only module that knows one device from another."""

from __future__ import annotations

import copy
import platform
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from gendkit.errors import InvalidArgument, InvalidRecipe, first_line

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
        kind = torch.empty(0, device=device).device.type
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise _unusable(device, first_line(error).partition(". ")[0]) from None
    if kind == "meta":
        raise _unusable(device, "it computes nothing")
    return device


def _unusable(device: str, reason: str) -> InvalidArgument:
    return InvalidArgument(
        f"device {device!r} cannot be used here: {reason}; leave it out for {best_device()!r}."
    )


def device_name(device: str) -> str:
    """Return what the maker calls a GPU; of a CPU the kind, where the system says no more."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    with suppress(OSError):  # only Linux has it
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()} ({platform.machine()})"
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
    """On CUDA, set whether products and convolutions of float32 may be computed in TF32.

    The setting is the process's: of threads that ask for different ones at the same time, all get
    what was asked for last.
    """
    if torch.device(device).type != "cuda":
        yield
        return
    asked = _Asked(value="tf32" if dtype == "tf32" else "ieee")
    _TF32.ask(asked)
    try:
        yield
    finally:
        _TF32.drop(asked)


@dataclass(frozen=True, eq=False)
class _Asked:
    value: Literal["tf32", "ieee"]


class _Tf32:
    """Keeps the setting at what the newest of those that are still there asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: list[_Asked] = []
        self._before: list[Any] = []

    def ask(self, asked: _Asked) -> None:
        """Set it, and remember what it was before the first."""
        with self._lock:
            if not self._asked:
                self._before = [getattr(of, name) for of, name, _ in _tf32_settings("ieee")]
            self._asked.append(asked)
            self._set(asked.value)

    def drop(self, asked: _Asked) -> None:
        """Go back to what the newest of the others asked for, or to what was before all."""
        with self._lock:
            self._asked.remove(asked)
            if self._asked:
                self._set(self._asked[-1].value)
            else:
                for (of, name, _), value in zip(_tf32_settings("ieee"), self._before, strict=True):
                    setattr(of, name, value)

    def _set(self, value: Literal["tf32", "ieee"]) -> None:
        for of, name, setting in _tf32_settings(value):
            if getattr(of, name) != setting:
                setattr(of, name, setting)


_TF32 = _Tf32()


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
    """Tell whether torch's AdamW can move all weights by one kernel there."""
    weight = torch.zeros(1, device=device, requires_grad=True)
    weight.grad = torch.zeros_like(weight)
    try:
        torch.optim.AdamW([weight], fused=True).step()
    except RuntimeError:
        return False
    return True


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
        raise InvalidArgument(
            f"torch cannot compile for {device!r} here: {first_line(error)}; leave compile out."
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


def forget_peak(device: str) -> None:
    """Let `peak_bytes` begin anew, where that can be."""
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_bytes(device: str) -> int | None:
    """Return the most memory in use: on CUDA by tensors, on a CPU by the process since its start.

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


@cache
def _side_stream(device: torch.device) -> Any:
    """Return the one stream for copies to a device: memory is kept by stream for the next copy."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


class Mover:
    """Copies batches to a device; to CUDA from pinned memory, while it computes.

    Parameters
    ----------
    device
        Such as `cuda`.
    """

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self._stream = _side_stream(self.device) if self.device.type == "cuda" else None

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
