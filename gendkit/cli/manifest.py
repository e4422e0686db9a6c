"""`gendkit manifest`: check a manifest before it is believed, take a subset of it, look at it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gendkit.cli.options import FOLDER, OVERWRITE, manifest_of
from gendkit.cli.show import show_frame, show_json, show_table

if TYPE_CHECKING:
    from gendkit.measure.manifest_check import ManifestCheck

JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document.")


@click.group()
def manifest() -> None:
    """Check manifests, take subsets of them, and look at their crops.

    \b
    Example: gendkit manifest check crops
             gendkit manifest sheet crops
             gendkit manifest subset crops:train crops/paired.parquet --kind paired --clips 100
    """


@manifest.command()
@click.argument("source", metavar="MANIFEST[:SPLIT]")
@click.option("--split-key", default="split", show_default=True, metavar="COLUMN",
              help="Whose groups share no clips, people or crops.")  # fmt: skip
@click.option("--allow", multiple=True, metavar="NAME",
              help="A check that may find something, which is told all the same; may be repeated."
              )  # fmt: skip
@click.option("--no-images", is_flag=True,
              help="Do not read crops: for damaged, equal and near-equal ones.")  # fmt: skip
@click.option("--strict", is_flag=True, help="Fail at warnings, too.")
@JSON
def check(
    source: str,
    *,
    split_key: str,
    allow: tuple[str, ...],
    no_images: bool,
    strict: bool,
    as_json: bool,
) -> int:
    """Check a manifest: its rules, its splits, its crops and files.

    Shows what each check found; then whether facts about the clips' files (size, codec, frame rate,
    length, tables of JPEG) tell fake from real, with how many clips, and as how many people these
    count; then how many clips have how many faces. The exit code is 1 if there is an error.

    \b
    Example: gendkit manifest check crops
             gendkit manifest check crops --allow components --no-images --strict
    """
    import gendkit
    from gendkit.cli import FAILED
    from gendkit.progress import Bars

    bars = Bars()
    try:
        found = gendkit.check_manifest(
            manifest_of(source), split_key=split_key, allow=allow, images=not no_images,
            progress=bars,
        )  # fmt: skip
    finally:
        bars.close()
    failed = not found.passed or (strict and found.warnings > 0)
    if as_json:
        show_json(found.record())
    else:
        _show(found)
    return FAILED if failed else 0


@manifest.command()
@click.argument("source", metavar="MANIFEST[:SPLIT]")
@click.argument("out", type=FOLDER)
@click.option("--kind", required=True, type=click.Choice(["paired", "unpaired", "frames"]),
              help="Each real with fakes made of it; such fakes with other reals; or fewer frames "
              "of every clip.")  # fmt: skip
@click.option("--clips", type=click.IntRange(1), help="Real clips, of (un)paired.")
@click.option("--fakes", type=click.IntRange(1), help="Fakes of a source, of (un)paired "
              "[default: 1].")  # fmt: skip
@click.option("--frames", type=click.IntRange(1),
              help="Frames with a face of a clip [default: all].")  # fmt: skip
@click.option("--fewer", type=click.Choice(["refuse", "keep", "drop"]), default="refuse",
              show_default=True, help="What becomes of a clip with fewer frames.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="Of the draw.")
@OVERWRITE
@JSON
def subset(
    source: str,
    out: Path,
    *,
    kind: str,
    clips: int | None,
    fakes: int | None,
    frames: int | None,
    fewer: Any,
    seed: int,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write a subset, drawn by a seed, and count what it rests on.

    OUT is a file such as crops/paired.parquet beside the crops, which then is only another
    manifest of them; or a new folder, into which the crops are linked (or copied, where there are
    no hard links). Paired and unpaired of one seed and size have the same fakes, as many reals and
    as many people in each class.

    \b
    Example: gendkit manifest subset crops:train crops/paired.parquet --kind paired --clips 100
             gendkit manifest subset crops:train crops/unpaired.parquet --kind unpaired --clips 100
             gendkit manifest subset crops eight --kind frames --frames 8
    """
    if (kind == "frames") != (clips is None):
        raise click.UsageError("--clips is needed for paired and unpaired, and goes with them.")
    if kind == "frames" and (frames is None or fakes is not None):
        raise click.UsageError("of frames, give --frames alone; --fakes goes with (un)paired.")
    import gendkit
    from gendkit.data.subsets import META, distinct, write_subset

    rows = manifest_of(source)
    if clips is not None:
        draw = gendkit.paired if kind == "paired" else gendkit.unpaired
        rows = draw(rows, clips=clips, fakes=fakes or 1, seed=seed)
    if frames is not None:
        rows = gendkit.k_frames(rows, frames, seed=seed, fewer=fewer)
    written = write_subset(rows, out, overwrite=overwrite)
    if as_json:
        return show_json({"manifest": str(out), META: written.meta[META]})
    show_frame(distinct(written))
    click.echo(f"{len(written):,} rows in {out}")
    return None


@manifest.command()
@click.argument("source", metavar="MANIFEST[:SPLIT]")
@click.option("--out", type=FOLDER, metavar="FILE", help="HTML file to write [default: sheet.html "
              "beside the crops].")  # fmt: skip
@click.option("--clips", default=40, show_default=True, type=click.IntRange(1),
              help="Clips that are shown, from all datasets and methods in turn.")  # fmt: skip
@click.option("--crops", default=16, show_default=True, type=click.IntRange(1),
              help="Frames of a clip that are shown.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0),
              help="Of the draw.")  # fmt: skip
@OVERWRITE
@JSON
def sheet(source: str, *, out: Path | None, as_json: bool, **settings: Any) -> None:
    """Write a page of the crops for the eye, clip by clip in order of time.

    A frame without a face is a grey tile with its reason; how many clips have how many faces
    stands on top. The page needs nothing from outside itself.

    \b
    Example: gendkit manifest sheet crops
             gendkit manifest sheet crops:train --out train.html --clips 100
    """
    import gendkit

    rows = manifest_of(source)
    written = gendkit.contact_sheet(rows, out or rows.root / "sheet.html", **settings)
    if as_json:
        show_json({"sheet": str(written)})
    else:
        click.echo(f"To look at: {written}")


def _show(found: ManifestCheck) -> None:
    rows = [(f.check, f.verdict, f.count, "; ".join(f.examples) or None) for f in found.findings]
    show_table(rows, ("check", "verdict", "count", "examples"), right=("count",))
    if rows := [_leak(leak) for leak in found.leaks if leak.recorded]:
        click.echo()
        head = ("fact", "AUROC", "95 %", "real", "fake", "people", "verdict", "difference")
        show_table(rows, head, right=("AUROC", "real", "fake", "people"))
    if unknown := [leak.fact for leak in found.leaks if not leak.recorded]:
        click.echo(f"not recorded: {', '.join(unknown)}")
    if len(found.coverage):
        click.echo()
        columns = [str(name) for name in found.coverage.columns]
        rows = [(r[0], r[1] or None, *r[2:]) for r in found.coverage.itertuples(index=False)]
        show_table(rows, columns, right=columns[2:])
    click.echo(f"{found.verdict} in {found.about}")


def _leak(leak: Any) -> tuple[Any, ...]:
    if leak.auroc is None:
        return (leak.fact, None, None, leak.real, leak.fake, None, "left out", leak.tells)
    ends = f"{leak.low:.3f} to {leak.high:.3f}"
    verdict = "warning" if leak.flagged else "ok"
    people = f"{leak.people:.0f}"
    auroc = f"{leak.auroc:.3f}"
    return (leak.fact, auroc, ends, leak.real, leak.fake, people, verdict, leak.tells)
