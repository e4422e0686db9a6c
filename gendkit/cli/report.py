"""`gendkit report`: the page about one file, and the check of such a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gendkit.cli.options import ADAPTER, DEVICE, DTYPE, FOLDER, OVERWRITE
from gendkit.cli.show import show_json

MAKE, VERIFY = "make", "verify"
FILE = click.Path(path_type=Path)
SHOWN = 20


class _Report(click.Group):
    """A group in which whatever is no command is the file to report on."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = args[0] in self.commands
        return super().resolve_command(ctx, args if known else [MAKE, *args])

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "MEDIA --adapter FILE --reference STORE [OPTIONS]")
        formatter.write_usage(ctx.command_path, "verify FILE [OPTIONS]")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        make.format_options(ctx, formatter)
        super().format_commands(ctx, formatter)


@click.group(cls=_Report, context_settings={"ignore_unknown_options": True})
def report() -> None:
    """Write the page about one picture or video, or check such a page.

    It says what the score of each person's face is, what it rests on, which reals and fakes of the
    reference are nearest and how near that usually is, and what was not examined. It gives no
    verdict. NAME.html and NAME.json are written, NAME being that of MEDIA or of --out.

    \b
    Example: gendkit report clip.mp4 --adapter run --reference reference.zarr
             gendkit report verify clip.html
    """


@report.command(MAKE, hidden=True)
@click.argument("media", type=FILE)
@ADAPTER
@click.option("--reference", required=True, type=FOLDER, metavar="STORE",
              help="Embeddings with labels by the same adapter.")  # fmt: skip
@click.option("--out", type=FILE, metavar="FILE.html", help="The page [default: MEDIA.html here].")
@click.option("--frames", default=32, show_default=True, type=click.IntRange(1),
              help="Frames with a face that are looked at.")  # fmt: skip
@click.option("-k", default=5, show_default=True, type=click.IntRange(1, 20),
              help="Nearest reals, and fakes, that are listed.")  # fmt: skip
@click.option("--draws", default=5, show_default=True, type=click.IntRange(1),
              help="How often crops are moved and frames drawn.")  # fmt: skip
@click.option("--member", "members", multiple=True, type=FILE, metavar="ADAPTER",
              help="Adapter of the same training by another seed; may be repeated.")  # fmt: skip
@click.option("--known", multiple=True, metavar="NAME=VALUE",
              help="What is known of the clip, such as dataset=ff and target_identity=ann: "
              "crops of the reference that share it are left out.")  # fmt: skip
@click.option("--calibration", type=FILE, metavar="FILE",
              help="Also say what each score is worth as evidence: written by `gendkit calibrate` "
              "for the same adapter.")  # fmt: skip
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0), help="Of what is drawn."
)
@DEVICE
@DTYPE
@OVERWRITE
@click.option("--json", "as_json", is_flag=True, help="The record on standard output, too.")
def make(
    media: Path,
    *,
    adapter: Path,
    reference: Path,
    out: Path | None,
    frames: int,
    k: int,
    draws: int,
    members: tuple[Path, ...],
    known: tuple[str, ...],
    calibration: Path | None,
    seed: int,
    device: str | None,
    dtype: Any,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write the page about one picture or video.

    \b
    Example: gendkit report make clip.mp4 --adapter run --reference reference.zarr
    """
    from gendkit.output import check_new_file
    from gendkit.pages.clip import report as make_report
    from gendkit.pages.clip import report_files

    out = out or Path(media.name).with_suffix(".html")
    files = report_files(out)
    for file in files:
        check_new_file(file, overwrite=overwrite)
    wrong = [pair for pair in known if "=" not in pair]
    if wrong:
        raise click.UsageError(f"--known takes NAME=VALUE, got {wrong[0]!r}.")
    made = make_report(
        media, adapter, reference, frames=frames, k=k, draws=draws, members=members,
        known=dict(pair.split("=", 1) for pair in known), calibration=calibration, seed=seed,
        device=device, dtype=dtype,
    )  # fmt: skip
    made.write(out, overwrite=overwrite)
    if as_json:
        return show_json(made.record)
    for track in made.record["tracks"]:
        click.echo(
            f"person {track['track'] + 1}: score {track['score']:.3f} in {track['faces']} frames"
        )
    if not made.record["tracks"]:
        click.echo("no face was found: not examined, which is not the same as real")
    if made.record["reference"].get("left_out") == 0:
        click.echo("Note: by --known no crop of the reference is of this clip or of its people.")
    click.echo(f"The page: {files[0]}")
    click.echo(f"The record: {files[1]}")
    return None


@report.command(VERIFY)
@click.argument("file", type=FILE)
@click.option("--media", type=FILE, help="Where the file is now [default: where it was].")
@click.option("--adapter", type=FILE, help="Where the adapter is now.")
@click.option("--reference", type=FOLDER, help="Where the reference is now.")
@click.option("--calibration", type=FILE, help="Where the calibration is now.")
@click.option("--digits", default=5, show_default=True, type=click.IntRange(1, 15),
              help="Up to which digit numbers have to agree.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def verify(
    file: Path,
    *,
    media: Path | None,
    adapter: Path | None,
    reference: Path | None,
    calibration: Path | None,
    digits: int,
    as_json: bool,
) -> int:
    """Recompute a report and say which digits differ.

    FILE is the page or the record. The exit code is 1 if it was changed, or if a number does not
    come out again.

    \b
    Example: gendkit report verify clip.html
             gendkit report verify clip.html --media evidence/clip.mp4
    """
    from gendkit.pages.clip_verify import verify as check

    found = check(
        file, media=media, adapter=adapter, reference=reference, calibration=calibration,
        digits=digits,
    )  # fmt: skip
    failed = [*found.tampered, *map(str, found.failures)]
    beyond = len(found.differences) - len(found.failures)
    if as_json:
        show_json(
            {
                "file": found.file,
                "holds": found.holds,
                "tampered": list(found.tampered),
                "differences": [vars(d) for d in found.differences],
            }
        )
        return int(not found.holds)
    for line in failed[:SHOWN]:
        click.echo(line)
    if len(failed) > SHOWN:
        click.echo(f"... and {len(failed) - SHOWN} more (--json lists all)")
    if found.holds:
        rest = f"; {beyond} numbers differ beyond {digits} digits" if beyond else ""
        click.echo(f"{file} holds: it comes out again{rest}")
    return int(not found.holds)
