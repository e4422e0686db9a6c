"""What is not here: a GPU, stood in for by fake tensors, and a network that nobody answers on."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from gendkit.testing.features import tensor
from gendkit.testing.rules import RuleBroken


def run_on_fake_cuda(module: nn.Module, shape: tuple[int, ...]) -> None:
    """Run a module on fake pixels of a GPU.

    A fake tensor has a shape, a dtype and a device, but no numbers. The module's parameters and
    buffers are moved in place; a tensor that is neither stays where it is, as it would for `to`.

    Raises
    ------
    RuleBroken
        If the module mixes devices, as it keeps a tensor that `to` does not move, or if it answers
        on another one.
    """
    with FakeTensorMode():
        onto_cuda(module)
        pixels = torch.empty(shape, device="cuda")
        try:
            with torch.no_grad():
                found = tensor(module(pixels))
        except (RuntimeError, AssertionError, TypeError) as error:
            # torch words what it refuses in several ways; all of them are about this call.
            raise RuleBroken(f"it does not run on a GPU: {stray(module) or error}") from None
    if found.device != pixels.device:
        raise RuleBroken(f"on a GPU, features came back on the {found.device}.")


def onto_cuda(module: nn.Module) -> nn.Module:
    """Do what `module.to("cuda")` does, which does not run on fake tensors, and return the module.

    Call it in a FakeTensorMode.
    """
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            moved = torch.empty(parameter.shape, dtype=parameter.dtype, device="cuda")
            part._parameters[name] = nn.Parameter(moved, requires_grad=parameter.requires_grad)
        for name, buffer in part.named_buffers(recurse=False):
            part._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device="cuda")
    return module


def stray(module: nn.Module) -> str:
    """Say which tensors of a module are plain attributes, which `to` leaves behind; or nothing."""
    names = [
        ".".join(filter(None, (name, key)))
        for name, part in module.named_modules()
        for key, value in vars(part).items()
        if not key.startswith("_") and _holds_tensor(value)
    ]
    if not names:
        return ""
    tensors = "is a tensor" if len(names) == 1 else "are tensors"
    return (
        f"{', '.join(names[:3])} {tensors} that `to` does not move, as nothing registered it: hold "
        "it by register_buffer, or as an nn.Parameter."
    )


def _holds_tensor(value: Any) -> bool:
    held = value.values() if isinstance(value, dict) else value
    many = isinstance(value, dict | list | tuple)
    return any(isinstance(each, Tensor) for each in (held if many else [value]))


@contextmanager
def without_network() -> Iterator[list[str]]:
    """Refuse every connection and every look-up of a name, and yield a list of what was asked."""
    asked: list[str] = []

    def refuse(*arguments: Any, **_: Any) -> Any:
        asked.append(" ".join(str(a) for a in arguments if not isinstance(a, socket.socket)))
        raise OSError("there is no network inside this check")

    with (
        mock.patch.object(socket.socket, "connect", refuse),
        mock.patch.object(socket.socket, "connect_ex", refuse),
        mock.patch.object(socket, "getaddrinfo", refuse),
        mock.patch.object(socket, "gethostbyname", refuse),
    ):
        yield asked
