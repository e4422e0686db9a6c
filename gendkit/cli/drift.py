"""`gendkit drift` and `layers`: what moves embeddings, outside a detector and inside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gendkit.cli.options import ADAPTER, BATCH_SIZE, DEVICE, DTYPE, FOLDER, OVERWRITE, manifest_of
from gendkit.cli.show import show_csv, show_json, show_table

if TYPE_CHECKING:
    import pandas as pd

RESAMPLES = click.option("--resamples", default=1000, show_default=True, type=click.IntRange(1),
                         help="Of the intervals over people.")  # fmt: skip
JSON = click.option("--json", "as_json", is_flag=True, help="The table as one JSON document.")


@click.command()
@click.argument("manifest", metavar="MANIFEST[:SPLIT]")
@click.argument("out", type=FOLDER)
@ADAPTER
@click.option("--change", default="jpeg", show_default=True, help="How crops lose quality.",
              type=click.Choice(["jpeg", "blur", "size"]))  # fmt: skip
@click.option("--level", "levels", multiple=True, type=float, metavar="NUMBER",
              help="Quality, sigma in px, or px that are left; may be repeated.")  # fmt: skip
@click.option("--by", default="label", show_default=True, metavar="COLUMN",
              help="Of the table: label, family, method, dataset ...")  # fmt: skip
@BATCH_SIZE
@RESAMPLES
@DEVICE
@DTYPE
@OVERWRITE
@JSON
def drift(
    manifest: str,
    out: Path,
    *,
    adapter: Path,
    change: Any,
    levels: tuple[float, ...],
    by: str,
    batch_size: int,
    resamples: int,
    device: str | None,
    dtype: Any,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Follow embeddings as their crops lose quality.

    Writes a zarr store with the path of each crop to OUT, and shows the means over crops by level
    with their 95 % intervals over people.

    \b
    Example: gendkit drift crops:final drift.zarr --adapter run --change blur
             gendkit drift crops drift.zarr --adapter run --level 90 --level 50 --by family
    """
    from gendkit.data.columns import COLUMNS
    from gendkit.manifold.store import MARKER, write_embeddings
    from gendkit.output import new_folder

    known = [column.name for column in COLUMNS if column.dtype != "list"]
    if by not in known:
        raise click.UsageError(f"--by {by}: no such column; there is {', '.join(known)}.")
    new_folder(out, overwrite=overwrite, marker=MARKER)  # before torch is loaded
    rows = manifest_of(manifest)
    import gendkit

    detector = gendkit.load(adapter, device=device, dtype=dtype)
    ds = gendkit.drift(
        rows, detector, change=change, levels=levels or None, batch_size=batch_size
    )  # fmt: skip
    write_embeddings(ds, out, overwrite=overwrite)
    table = gendkit.drift_table(ds, by=[by], resamples=resamples).reset_index()
    if as_json:
        return show_json(_records(table))
    shown = [
        (row["variable"] if row["value"] == "" else f"{row['variable']} {row['value']}",
         "as is" if number % ds.sizes["level"] == 0 else f"{row['level']:g}", row["crops"],
         *(_interval(row, name) for name in ("angle", "score", "consistency")))
        for number, row in enumerate(_records(table))
    ]  # fmt: skip
    columns = ("crops of", change, "crops", "angle in rad", "score", "consistency")
    show_table(shown, columns, right=columns[1:])
    click.echo(f"{ds.sizes['sample']} paths in {out}")
    return None


@click.command()
@click.argument("manifest", metavar="MANIFEST[:SPLIT]")
@ADAPTER
@BATCH_SIZE
@RESAMPLES
@DEVICE
@DTYPE
@JSON
@click.option("--csv", "as_csv", is_flag=True, help="The table as CSV.")
def layers(
    manifest: str,
    *,
    adapter: Path,
    batch_size: int,
    resamples: int,
    device: str | None,
    dtype: Any,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Show how far each layer norm moved, and what undoing it alone does.

    On crops that were not trained on; with 95 % intervals over people.

    \b
    Example: gendkit layers crops:final --adapter run
             gendkit layers crops:final --adapter run --csv > layers.csv
    """
    if as_json and as_csv:
        raise click.UsageError("give --json or --csv, not both.")
    rows = manifest_of(manifest)
    import gendkit

    detector = gendkit.load(adapter, device=device, dtype=dtype)
    table = gendkit.layer_effects(rows, detector, batch_size=batch_size, resamples=resamples)
    if as_json:
        return show_json(_records(table))
    if as_csv:
        return show_csv(_records(table), list(table.columns))
    shown = [
        (row["layer"], *(f"{100 * row[part]:.1f}" for part in ("weight", "bias")),
         *(_interval(row, name) for name in ("shift", "logit", "auroc_change")))
        for row in _records(table)
    ]  # fmt: skip
    columns = ("layer norm", "weight %", "bias %", "shift in rad", "logit", "AUROC")
    show_table(shown, columns, right=columns[1:])
    click.echo("Moved in per cent of its norm; the others are what undoing this one changes.")
    return None


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in table.to_dict(orient="records")]


def _interval(row: dict[str, Any], name: str) -> str | None:
    if row[name] != row[name]:
        return None
    return f"{row[name]:.3f} ({row[f'{name}_low']:.3f} to {row[f'{name}_high']:.3f})"
