"""`gendkit demo`: the whole method at a small size, on a fresh machine, as one page."""

from __future__ import annotations

from pathlib import Path

import click

from gendkit.cli.options import OVERWRITE
from gendkit.cli.show import show_json


@click.command()
@click.option("--out", default="gendkit-demo", show_default=True, type=click.Path(path_type=Path),
              help="New folder for the page, the adapter and the numbers.")  # fmt: skip
@click.option("--faces", type=click.Path(path_type=Path),
              help="Folder of face photos, one a person [default: drawn faces].")  # fmt: skip
@click.option("--quick", is_flag=True, help="Fewer faces and epochs: to see that all works.")
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0), help="Of all that is drawn."
)
@OVERWRITE
@click.option("--json", "as_json", is_flag=True, help="The findings as one JSON document.")
def demo(
    *, out: Path, faces: Path | None, quick: bool, seed: int, overwrite: bool, as_json: bool
) -> None:
    """Forge, tune and test, and show it on one page.

    Faces are forged, a detector is tuned on them and tested on people and forgeries that it has
    not seen.

    Runs on a CPU without a model hub; the first run fetches about 100 MB (`gendkit assets list`).

    \b
    Example: gendkit demo
             gendkit demo --faces my-portraits --out portraits-demo
    """
    from gendkit.evaluate.demo import run_demo
    from gendkit.report.demo import write_demo

    result = run_demo(out, faces=faces, quick=quick, seed=seed, overwrite=overwrite)
    page = write_demo(result, out)
    if as_json:
        return show_json(result.to_dict())
    click.echo(page)
    return None
