"""ONNX: a whole detector in one file, which is written only if onnxruntime says the same as torch.

Normalised pixels (B, 3, S, S) enter as `pixels`, for any B; `embedding` (B, D), `logit` (B, 2) and
`score` (B,) leave. The file's metadata say what it was made from and how far the two differ.
"""

from __future__ import annotations

import contextlib
import json
import logging
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gendkit.errors import (
    ExportDiffers,
    InvalidCheckpoint,
    OutputExists,
    UnwritableOutput,
    first_line,
)
from gendkit.model.adapter import Adapter
from gendkit.model.head import Head
from gendkit.model.losses import normalise
from gendkit.optional import require
from gendkit.output import check_new_file, write_whole

OPSET = 18
LARGEST = (1 << 31) - (1 << 24)
"""Bytes of weights: a file has less than 2 GiB, with room for the graph."""
TOLERANCE = 1e-4
OUTPUTS = ("embedding", "logit", "score")
BATCHES = (1, 3)
MARK, TAIL = "gendkit_largest_difference", 1 << 16
"""A key of the metadata, which are the last bytes of a file."""


class _Whole(nn.Module):
    """A detector as one module."""

    def __init__(self, backbone: nn.Module, adapter: Adapter) -> None:
        super().__init__()
        self.backbone, self.head = backbone, Head.of(adapter.head)
        self.unit = adapter.header.normalised

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return embedding, logit and score of normalised pixels."""
        features = self.backbone(pixels)
        z = normalise(features)
        logit = self.head(z if self.unit else features)
        return z, logit, logit.softmax(dim=1)[:, 1]


def write_onnx(
    path: str | Path, backbone: nn.Module, adapter: Adapter, *, overwrite: bool = False
) -> Path:
    """Write a backbone with its adapter applied, and the head, as one ONNX file in float32.

    Parameters
    ----------
    path
        A new file.
    backbone
        In float32 on the CPU, with the adapter applied.
    adapter
        Head, preprocessing and provenance.
    overwrite
        Replace an earlier file.

    Raises
    ------
    OutputExists, UnwritableOutput
        If there is a file, or a folder of that name, or it cannot be written.
    MissingDependency
        If the extra `onnx` is not installed.
    InvalidCheckpoint
        If this backbone cannot be expressed in ONNX, is larger than one file of it may be (2 GiB),
        or onnxruntime does not run it.
    ExportDiffers
        If onnxruntime and torch differ by more than 1e-4 of the largest value (at least 1).
    """
    path = Path(path)
    check_output(path, overwrite=overwrite)
    for module in ("onnxscript", "onnxruntime"):
        require(module, extra="onnx")
    whole = _Whole(backbone, adapter).eval()
    if (size := sum(t.nbytes for t in whole.state_dict().values())) > LARGEST:
        raise InvalidCheckpoint(
            f"its weights are {size / 1e9:.1f} GB, and an ONNX file is at most "
            f"{LARGEST / 1e9:.1f} GB; export layout gend instead."
        )
    side = adapter.header.preprocessing.size
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randn(n, 3, side, side, generator=generator) for n in BATCHES]
    model = _exported(whole, batches[-1])
    _forget_sources(model)
    differences = _differences(model.SerializeToString(), whole, batches)
    for key, text in _metadata(adapter, differences).items():
        model.metadata_props.add(key=key, value=text)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, model.SerializeToString())
    except OSError as error:
        raise UnwritableOutput(
            f"{path} cannot be written: {error.strerror or error}; give another place."
        ) from None
    return path


def check_output(path: Path, *, overwrite: bool) -> None:
    """Check before any work that a file may be written; one of another origin is never replaced.

    Raises
    ------
    OutputExists, UnwritableOutput
        If it may not.
    """
    check_new_file(path, overwrite=overwrite)
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        if MARK.encode() not in file.read():
            raise OutputExists(f"{path} is no export of gendkit's and is never replaced.")


def _exported(whole: nn.Module, pixels: Tensor) -> Any:
    batch = torch.export.Dim("batch", min=1)
    try:
        with torch.no_grad(), _quiet():
            program = torch.onnx.export(
                whole,
                (pixels,),
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes=({0: batch},),
                input_names=["pixels"],
                output_names=list(OUTPUTS),
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = first_line(error.__cause__ or error)
        raise InvalidCheckpoint(
            f"this backbone cannot be written as ONNX: {reason}; export layout gend instead."
        ) from None
    assert program is not None  # it is None only where a path is given
    return program.model_proto


def _forget_sources(model: Any) -> None:
    """Remove what the exporter notes of its Python sources, with their paths on this machine."""
    graph = model.graph
    for part in (
        graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer,
        *model.functions, *(node for function in model.functions for node in function.node),
        *(value for function in model.functions for value in function.value_info),
    ):  # fmt: skip
        del part.metadata_props[:]
        part.doc_string = ""


def _differences(model: bytes, whole: nn.Module, batches: list[Tensor]) -> dict[str, float]:
    """Return the largest difference of each output; refuse one that is too large."""
    import onnxruntime

    found = dict.fromkeys(OUTPUTS, 0.0)
    try:
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        ran = [session.run(list(OUTPUTS), {"pixels": pixels.numpy()}) for pixels in batches]
    except Exception as error:  # its own kinds have no common base
        raise InvalidCheckpoint(
            f"onnxruntime does not run this backbone: {first_line(error)}; export layout gend "
            "instead."
        ) from None
    for pixels, theirs in zip(batches, ran, strict=True):
        with torch.inference_mode():
            ours = whole(pixels)
        for name, one, other in zip(OUTPUTS, theirs, ours, strict=True):
            difference = float((torch.from_numpy(one) - other).abs().max())
            if not difference <= TOLERANCE * max(1.0, float(other.abs().max())):
                raise ExportDiffers(
                    f"onnxruntime's {name} of {len(pixels)} images differs from torch's by "
                    f"{difference:.2g}; nothing was written. Try another version of torch or "
                    "onnxruntime, or export layout gend."
                )
            found[name] = max(found[name], difference)
    return found


def _metadata(adapter: Adapter, differences: dict[str, float]) -> dict[str, str]:
    from gendkit import __version__

    header = adapter.header
    return {
        "gendkit": __version__,
        "adapter": adapter.hash,
        "backbone": header.backbone,
        "backbone_hash": header.backbone_hash,
        "preprocessing": json.dumps(asdict(header.preprocessing)),
        "classes": json.dumps(header.classes),
        MARK: json.dumps(differences),
    }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's warnings and log, which are for its own developers, to itself."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
