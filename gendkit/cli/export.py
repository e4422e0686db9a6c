"""`gendkit export`: a whole detector as other programs read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gendkit.cli.options import OVERWRITE


@click.command()
@click.argument("adapter")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--layout", type=click.Choice(["gend", "onnx"]), default="gend", show_default=True,
              help="A folder as the released GenD models have it, or one ONNX file.")  # fmt: skip
@OVERWRITE
def export(adapter: str, out: Path, *, layout: Any, overwrite: bool) -> None:
    """Write a detector with all its weights, in float32.

    ADAPTER is what `gendkit train` wrote, or a released GenD model. An ONNX file takes normalised
    pixels and gives embedding, logit and score; it is written only if onnxruntime computes the same
    as torch (extra gendkit[onnx]).

    \b
    Example: gendkit export run detector.onnx --layout onnx
    """
    import gendkit
    from gendkit.output import new_folder

    if layout == "gend":  # before the model is loaded
        new_folder(out, overwrite=overwrite, marker="config.json")
    else:
        from gendkit.model.to_onnx import check_output

        check_output(out, overwrite=overwrite)
    detector = gendkit.load(adapter, device="cpu", dtype="float32")
    click.echo(f"written to {detector.export(out, layout=layout, overwrite=overwrite)}")
