"""`gendkit demo`: the whole method at a small size, on a fresh machine, as one page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from gendkit.cli.options import OVERWRITE
from gendkit.cli.show import show_json, show_table


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
    from gendkit.output import new_folder
    from gendkit.report.demo import NUMBERS, PAGE, demo_json, write_demo

    with new_folder(out, overwrite=overwrite, marker=PAGE) as folder:
        result = run_demo(folder, faces=faces, quick=quick, seed=seed)
        write_demo(result, folder)
    found = demo_json(result)
    if as_json:
        return show_json(found)
    click.echo(f"{found['headline']}.\n")
    rows = [
        [row["group"], row["family"], *(_estimate(row, x) for x in ("probe", "tuned", "difference"))]
        for table in ("families", "groups")
        for row in found[table]
    ]
    show_table(rows, ["group", "family", "frozen probe", "tuned", "tuned - probe"])
    if quick:
        click.echo("\nThe quick form only shows that all works: its numbers mean nothing.")
    click.echo(f"\nAUROC with 95 % intervals over people. The page: {out / PAGE}; {out / NUMBERS}")
    return None


def _estimate(row: Mapping[str, Any], name: str) -> str | None:
    """Return a value with its interval."""
    value, low, high = (row[name], row[f"{name}_low"], row[f"{name}_high"])
    if value is None:
        return None
    sign = "+" if name == "difference" else ""
    if low is None or high is None:
        return f"{value:{sign}.3f}"
    return f"{value:{sign}.3f} [{low:{sign}.2f}, {high:{sign}.2f}]"
