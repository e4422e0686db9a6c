"""`gendkit demo`: the whole method at a small size, on a fresh machine, as one page."""

from __future__ import annotations

import json
from pathlib import Path

import click

from gendkit.cli.options import DEVICE, OVERWRITE
from gendkit.cli.show import show_json

PAGE, RECORD = "report.html", "report.json"


@click.command()
@click.option("--out", default="gendkit-demo", show_default=True, type=click.Path(path_type=Path),
              help="New folder for page, numbers, adapter and embeddings.")  # fmt: skip
@click.option("--faces", type=click.Path(path_type=Path),
              help="Folder of face photos, one a person [default: drawn faces].")  # fmt: skip
@click.option("--quick", is_flag=True, help="Fewer faces and epochs: to see that all works.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0),
              help="Of forgeries, training and map.")  # fmt: skip
@DEVICE
@OVERWRITE
@click.option("--json", "as_json", is_flag=True, help="The findings as one JSON document.")
def demo(
    *,
    out: Path,
    faces: Path | None,
    quick: bool,
    seed: int,
    device: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Forge, tune and test, and show it on one page.

    Faces are forged, a detector is tuned on them and tested on people and forgeries that it has
    not seen. Runs on a CPU without a model hub; the first run fetches about 100 MB (`gendkit assets
    list`). In OUT, report.html is the page and run/adapter.safetensors the detector.

    \b
    Example: gendkit demo
             gendkit demo --faces my-portraits --out portraits-demo
    """
    from gendkit.output import new_folder

    target = new_folder(out, overwrite=overwrite, marker=RECORD)  # before torch is loaded

    from gendkit.evaluate.demo import run_demo
    from gendkit.report.demo import demo_json, render_demo

    with target as folder:
        result = run_demo(folder, faces=faces, quick=quick, seed=seed, device=device)
        record = demo_json(result)
        (folder / PAGE).write_text(render_demo(result), encoding="utf-8")
        (folder / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
    if as_json:
        return show_json(record)
    click.echo(record["headline"])
    click.echo(f"The page: {out / PAGE}")
    click.echo(f"To score files of yours: gendkit score FILE --adapter {out / 'run'}")
    return None
