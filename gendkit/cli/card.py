"""`gendkit card`: what is known of an adapter, for a model hub and as a page."""

from __future__ import annotations

from pathlib import Path

import click

from gendkit.cli.options import FOLDER, OVERWRITE
from gendkit.cli.show import show_json

README, PAGE = "README.md", "card.html"


@click.command()
@click.argument("adapter", type=FOLDER)
@click.option("--result", "results", multiple=True, type=FOLDER, metavar="PATH",
              help="What `gendkit evaluate`, `study robustness` or `calibrate` wrote of it; may "
              "be repeated.")  # fmt: skip
@click.option("--name", help="What it is called [default: as the folder].")
@click.option("--licence", default="other", show_default=True,
              help="Of the adapter, as a model hub names it: apache-2.0, mit, other.")  # fmt: skip
@click.option("--out", type=FOLDER,
              help=f"New folder for {README} and {PAGE} [default: the first is shown].",
              )  # fmt: skip
@OVERWRITE
@click.option("--json", "as_json", is_flag=True, help="What is known as one JSON document.")
def card(
    adapter: Path,
    *,
    results: tuple[Path, ...],
    name: str | None,
    licence: str,
    out: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write the card of an adapter: data, licences, preprocessing, selection, results, limits.

    ADAPTER is a folder that `gendkit train` wrote, or an adapter file; what the card says of
    training and selection is what run.json beside it records. Results are those of --result, with
    their intervals. Each limit follows from something that is recorded or measured.

    \b
    Example: gendkit card run
             gendkit card run --result benchmark --result robust --licence mit --out card
    """
    from gendkit.output import new_folder

    written = None  # checked before torch is loaded
    if out is not None:
        written = new_folder(out, overwrite=overwrite, marker=PAGE)
    from gendkit.evaluate.card import model_card
    from gendkit.pages.card import card_page

    made = model_card(adapter, results=results, name=name)
    text = made.markdown(licence=licence)
    if written is not None:
        with written as folder:
            (folder / README).write_text(text, encoding="utf-8")
            (folder / PAGE).write_text(card_page(made), encoding="utf-8")
    if as_json:
        show_json(made.record())
    elif out is not None:
        click.echo(f"{README} and {PAGE} of {made.name} in {out}")
    else:
        click.echo(text, nl=False)
