"""`gendkit extract`: from files or a dataset to face crops with a manifest."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gendkit.cli.options import OVERWRITE, TIME_LIMIT, assignments
from gendkit.cli.show import show_json

if TYPE_CHECKING:
    from gendkit.plugin.protocols import Dataset

SCALE, SIDE = 10, 4096


def _finite(ctx: click.Context, parameter: click.Parameter, value: float) -> float:
    """Refuse NaN, which no range does."""
    if not math.isfinite(value):
        raise click.BadParameter(f"{value} is not in the range 0<x<={SCALE}.")
    return value


def _order(ctx: click.Context, parameter: click.Parameter, value: str) -> str | list[int]:
    """Read the name of an order, or numbers of frames."""
    from gendkit.data.media import ORDERS

    if value in ORDERS:
        return value
    try:
        return [int(number) for number in value.split(",")]
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is neither {', '.join(ORDERS)}, nor numbers of frames such as 0,24,48."
        ) from None


@click.command()
@click.argument("source", metavar="IN")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "-o", "--option", "options", multiple=True, metavar="NAME=VALUE",
    help="Of the dataset, such as identities=20; may be repeated.",
)  # fmt: skip
@click.option("--frames", default=32, show_default=True, type=click.IntRange(1),
              help="Faces sought in a video.")  # fmt: skip
@click.option(
    "--order", default="spread", show_default=True, callback=_order, metavar="ORDER",
    help="Which frames of a video are looked at first: spread, uniform, stride or random; or just "
    "those of some numbers, such as 0,24,48.",
)  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0),
              help="Of the random order.")  # fmt: skip
@click.option("--extractor", default="centerface", show_default=True, help="Face extractor.")
@click.option("--scale", default=1.3, show_default=True, callback=_finite,
              type=click.FloatRange(0, SCALE, min_open=True),
              help="Size of the crop around the face.")  # fmt: skip
@click.option(
    "--size", type=click.IntRange(1, SIDE), help="Side of the crops in pixels [default: native]."
)
@click.option(
    "--which", default="meant", show_default=True,
    type=click.Choice(["meant", "largest", "mask", "track", "all"]),
    help="Faces of a frame. meant: by the manipulation mask if the dataset brings one, else the "
    "largest; mask: as meant, but frames of fakes without a mask are left out; track: the main "
    "person of the clip; all: each, and tracks tell people apart.",
)  # fmt: skip
@click.option(
    "--crop", default="own", show_default=True, type=click.Choice(["own", "pair"]),
    help="By whose landmarks a fake is cropped; pair: by those of its real clip, so that both are "
    "aligned.",
)  # fmt: skip
@click.option("--workers", type=click.IntRange(1),
              help="Processes on this machine that share the clips.")  # fmt: skip
@click.option("--scheduler", metavar="ADDRESS",
              help="Share them among the workers of a dask scheduler.")  # fmt: skip
@TIME_LIMIT
@click.option("--pack", is_flag=True,
              help="Also keep all crops in one file, which is read faster.")  # fmt: skip
@click.option(
    "--store", default="png", show_default=True, type=click.Choice(["png", "zarr"]),
    help="A file a crop, or all in one zarr array, which is read fastest and needs --size.",
)  # fmt: skip
@click.option("--sheet", is_flag=True,
              help="Also a page of the crops for the eye, OUT/sheet.html.")  # fmt: skip
@OVERWRITE
@click.option("--json", "as_json", is_flag=True, help="One JSON document with the counts.")
def extract(
    source: str, out: Path, *, options: tuple[str, ...], sheet: bool, as_json: bool, **settings: Any
) -> int:
    """Crop faces into a folder with a manifest.

    IN is a picture, a video, a folder of them, or a dataset: NAME, or NAME:FOLDER for one that is
    made from files. The name of a dataset comes first; for a folder of that name write ./NAME.
    The exit code is 1 if any clip could not be read in full or gave no face; the others are
    extracted all the same. What was interrupted or killed is gone on with by the same command; on
    a finished folder it changes nothing.

    Frames are turned upright; pixels are taken as square, interlaced frames stay woven, and high
    dynamic range is not mapped to that of a screen.

    \b
    Example: gendkit extract holiday.mp4 crops
             gendkit extract photos:portraits crops
             gendkit extract synthetic crops -o identities=20
    """
    from gendkit.cli import FAILED
    from gendkit.data.extract import extract as run
    from gendkit.progress import Bars

    given = _source(source, assignments(options))
    bars = Bars()
    try:
        manifest = run(given, out, progress=bars, **settings)
    finally:
        bars.close()
    table = manifest.table
    # A clip that cannot be read has a row, but no frame.
    no_face = table[(table["path"] == "") & (table["frame"] >= 0)]
    counts: dict[str, Any] = {
        "manifest": str(out / "manifest.parquet"),
        "clips": int(table[["dataset", "video"]].drop_duplicates().shape[0]),
        "crops": int((table["path"] != "").sum()),
        "without_face": len(no_face),
        "reasons": {str(k): int(v) for k, v in no_face["reason"].value_counts().items()},
        "problems": dict(manifest.meta["problems"]),
    }
    if sheet:
        from gendkit.pages.contact import contact_sheet

        counts["sheet"] = str(contact_sheet(manifest, out / "sheet.html", overwrite=True))
    code = FAILED if counts["problems"] else 0  # each of them is in the log, and so on stderr
    if as_json:
        show_json(counts)
        return code
    click.echo(
        f"{counts['crops']} face crops of {counts['clips']} clips in {out}"
        f" ({counts['without_face']} frames without a face)"
    )
    if sheet:
        click.echo(f"  to look at: {counts['sheet']}")
    for reason, n in counts["reasons"].items():
        click.echo(f"  {n} x {reason}", err=True)
    return code


def _source(source: str, options: dict[str, Any]) -> Path | Dataset:
    """Return the path, or the dataset, that IN means."""
    from gendkit.data.datasets import dataset
    from gendkit.errors import InvalidOption
    from gendkit.plugin import plugins

    name, _, root = source.partition(":")
    names = {part.name for part in plugins().parts if part.kind == "dataset"}
    if name not in names:
        if options:
            raise click.UsageError(
                f"options are for datasets ({', '.join(sorted(names))}); {source!r} is a path."
            )
        return Path(source)
    if taken := {"name", "root"} & set(options):
        raise click.UsageError(
            f"{min(taken)!r} is no option; name and folder are given as {name}:FOLDER."
        )
    try:
        return dataset(name, root or None, **options)
    except InvalidOption as error:
        raise click.UsageError(str(error)) from None
