"""`gendkit demo`: the whole method at a small size, on a fresh machine, as one page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from gendkit.cli.options import DEVICE, OVERWRITE
from gendkit.cli.show import NOTHING, show_json, show_table


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
    from gendkit.pages.demo import NUMBERS, PAGE, write_demo

    target = new_folder(out, overwrite=overwrite, marker=NUMBERS)  # before torch is loaded

    from gendkit.evaluate.demo.run import run_demo

    with target as folder:
        result = run_demo(folder, faces=faces, quick=quick, seed=seed, device=device)
        record = write_demo(result, folder)
    if as_json:
        return show_json(record)
    _show_families([*record["families"], *record["groups"]])
    click.echo()
    click.echo(f"{record['headline']}.")
    click.echo(f"The page: {out / PAGE}")
    click.echo(f"To score files of yours: gendkit score FILE --adapter {out / 'run'}")
    return None


def _show_families(rows: Iterable[Mapping[str, Any]]) -> None:
    """Show the AUROC of each family and, after a group's families, their mean."""
    cells = [
        (
            row["group"],
            row["family"],
            _number(row["probe"]),
            _number(row["tuned"]),
            _number(row["difference"], sign=True),
            f"[{_number(row['difference_low'], sign=True)}, "
            f"{_number(row['difference_high'], sign=True)}]",
        )
        for row in sorted(rows, key=lambda row: ("seen", "unseen", "control").index(row["group"]))
    ]
    columns = ("AUROC", "family", "probe", "tuned", "tuned - probe", "95 % interval")
    show_table(cells, columns, right=("probe", "tuned", "tuned - probe"))


def _number(value: float | None, *, sign: bool = False) -> str:
    if value is None:
        return NOTHING
    return f"{value:{'+' if sign else ''}.3f}"
