"""`gendkit reproduce`: a run once more, and which digits are not the same."""

from __future__ import annotations

from pathlib import Path

import click

from gendkit.cli.options import DEVICE, FOLDER, OVERWRITE, manifest_of
from gendkit.cli.show import show_json, show_table

SHOWN = 20


@click.command()
@click.argument("run", type=FOLDER)
@click.option("--train", "train_on", required=True, metavar="MANIFEST[:SPLIT]",
              help="The crops that the run was trained on.")  # fmt: skip
@click.option("--val", required=True, metavar="MANIFEST[:SPLIT]",
              help="Those by which its epoch was chosen.")  # fmt: skip
@click.option("--out", type=FOLDER, help="New folder for the repetition [default: none is kept].")
@DEVICE
@OVERWRITE
@click.option("--json", "as_json", is_flag=True, help="What differs as one JSON document.")
def reproduce(
    run: Path,
    *,
    train_on: str,
    val: str,
    out: Path | None,
    device: str | None,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Repeat a run from its record, and say which digits are not the same.

    RUN is a folder that `gendkit train` wrote. Its run.json has the recipe and digests of the
    crops, no places: give them again; others are refused before anything is trained. Compared are
    the hashes of adapter and backbone, each number of the history but the seconds, and the epoch
    that was kept. On the device of the record unless --device names another.

    The exit code is 1 if anything differs; versions and devices that are others are told, as they
    may be why.

    \b
    Example: gendkit reproduce run --train crops:train --val crops:development
             gendkit reproduce run --train crops:train --val crops:development --out again --json
    """
    from gendkit.cli import FAILED
    from gendkit.output import new_folder

    if out is not None:
        new_folder(out, overwrite=overwrite, marker="run.json")  # before torch is loaded
    sets = manifest_of(train_on), manifest_of(val)
    from gendkit.evaluate.reproduce import reproduce as repeat

    found = repeat(run, *sets, out=out, device=device, overwrite=overwrite)
    if as_json:
        show_json(found.record())
        return 0 if found.same else FAILED
    differences = found.differences.astype(object).where(found.differences.notna(), None)
    if not found.same:
        rows = [
            (what, was, now, None if digits is None else str(int(digits)))
            for what, was, now, digits in differences.head(SHOWN).itertuples(index=False)
        ]
        show_table(rows, ("value", "recorded", "repeated", "digits"), right=("digits",))
        if len(differences) > SHOWN:
            click.echo(f"and {len(differences) - SHOWN} more; --json has all")
    for name, was, now in found.around.itertuples(index=False):
        click.echo(f"{name} was {was}, is {now}")
    click.echo(found.verdict)
    return 0 if found.same else FAILED
