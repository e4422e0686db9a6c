"""Whole models for other programs: all weights in float32, in a layout that those read."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from torch import nn

from gendkit.device import on_cpu
from gendkit.errors import InvalidArgument
from gendkit.model.adapter import Adapter
from gendkit.model.gend import write_gend
from gendkit.model.lora import merged
from gendkit.model.shared import Adapted
from gendkit.model.to_onnx import write_onnx

Layout = Literal["gend", "onnx"]


def check_layout(layout: str) -> None:
    """Refuse a layout that is not known.

    Raises
    ------
    InvalidArgument
        Saying which are.
    """
    if layout not in get_args(Layout):
        raise InvalidArgument(
            f"no layout is named {layout!r}; there is {' and '.join(get_args(Layout))}."
        )


def write_model(
    path: str | Path,
    backbone: nn.Module,
    adapter: Adapter,
    *,
    layout: Layout = "gend",
    overwrite: bool = False,
) -> Path:
    """Write a backbone that wears an adapter, and the head; as for `Detector.export`."""
    check_layout(layout)
    if isinstance(backbone, Adapted):
        with backbone.shared.applied(adapter) as module:
            return write_model(path, module, adapter, layout=layout, overwrite=overwrite)
    if adapter.header.kind == "lora":
        backbone = merged(backbone)
    if layout == "gend":
        return write_gend(path, backbone, adapter, overwrite=overwrite)
    return write_onnx(path, on_cpu(backbone), adapter, overwrite=overwrite)
