"""What a store says: `gendkit votes`, `suspects`, `geometry` and, of a manifest, `audit`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import click

from gendkit.cli.options import FOLDER, OVERWRITE
from gendkit.cli.show import frame_rows, show_frame, show_json
from gendkit.cli.stores import ABOUT_STORE, REFERENCE, check_store, tell_store
from gendkit.errors import InvalidEmbeddings

logger = logging.getLogger(__name__)

JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document.")
CSV = click.option("--csv", "as_csv", is_flag=True, help="CSV with a header.")
VOTES = click.option("-k", default=20, show_default=True, type=click.IntRange(1), help="Votes.")


@click.command()
@click.argument("store", metavar="IN", type=FOLDER)
@click.argument("out", type=FOLDER)
@REFERENCE
@VOTES
@click.option("--novelty", is_flag=True,
              help="Add how unlike the reference each clip is, too.")  # fmt: skip
@click.option("--likely-method", is_flag=True,
              help="Add the nearest manipulation method and data set, too.")  # fmt: skip
@OVERWRITE
@ABOUT_STORE
def votes(
    store: Path,
    out: Path,
    *,
    reference: Path | None,
    k: int,
    novelty: bool,
    likely_method: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Add what the nearest people say of each crop.

    Each person has one vote for real and one for fake; beside the votes stands the chance of votes
    so uneven. The store IN is written to OUT with them. OUT may be IN with --overwrite.

    \b
    Example: gendkit votes clip.zarr votes.zarr --reference reference.zarr --novelty
    """
    import gendkit
    from gendkit.manifold.store import open_embeddings, write_embeddings

    check_store(out, overwrite=overwrite)
    ds = open_embeddings(store).load()
    others = open_embeddings(reference).load() if reference is not None else ds
    ds = gendkit.votes(ds, others, k=k)
    if novelty:
        ds = gendkit.novelty(ds, others)
    if likely_method:
        ds = gendkit.likely_method(ds, others, k=k)
    write_embeddings(ds, out, overwrite=overwrite)
    tell_store(ds, out, as_json=as_json)


@click.command()
@click.argument("store", type=FOLDER)
@click.option("--reference", type=FOLDER, help="Store whose people vote [default: STORE].")
@VOTES
@click.option("--angle", type=click.FloatRange(0, 3.2),
              help="Radians up to which crops are duplicates [default: as near as frames of one "
              "clip].")  # fmt: skip
@JSON
def suspects(
    store: Path, *, reference: Path | None, k: int, angle: float | None, as_json: bool
) -> None:
    """List labels that the nearest people contradict, and duplicates.

    They are candidates to be looked at: a forgery that a detector misses lies among reals, too.

    \b
    Example: gendkit suspects reference.zarr
    """
    import gendkit
    from gendkit.manifold.store import open_embeddings

    ds = open_embeddings(store).load()
    others = open_embeddings(reference).load() if reference is not None else None
    issues = gendkit.label_issues(ds, others, k=k)
    try:
        same = gendkit.duplicates(ds, angle=angle)
    except InvalidEmbeddings as error:  # labels can be doubted all the same
        logger.warning("duplicates were not sought: %s", str(error).replace("angle=", "--angle"))
        same = None
    if as_json:
        found: dict[str, Any] = {"label_issues": frame_rows(issues)}
        if same is not None:
            found |= {"duplicates": frame_rows(same), "duplicate_angle": same.attrs["angle"]}
        return show_json(found)
    click.echo(f"{len(issues)} clips whose label the nearest people contradict")
    if len(issues):
        show_frame(issues)
    if same is not None:
        within = f"{same.attrs['angle']:.3f} rad"
        click.echo(f"{len(same)} pairs of crops of unrelated clips within {within}")
        if len(same):
            show_frame(same)
    return None


@click.command()
@click.argument("store", type=FOLDER)
@click.option("--by", multiple=True, metavar="VARIABLE",
              help="Describe each group, too; may be repeated [default: label, if it is known]."
              )  # fmt: skip
@JSON
@CSV
def geometry(store: Path, *, by: tuple[str, ...], as_json: bool, as_csv: bool) -> None:
    """Describe how embeddings lie on the sphere.

    Spread, concentration, dimension and hubs, of all crops and of each group.

    \b
    Example: gendkit geometry reference.zarr --by label --by method
    """
    import gendkit
    from gendkit.manifold.store import open_embeddings

    _one_form(as_json=as_json, as_csv=as_csv)
    ds = open_embeddings(store)
    groups = by or tuple(name for name in ("label",) if name in ds.variables)
    show_frame(gendkit.geometry(ds, groups), as_json=as_json, as_csv=as_csv)


@click.command()
@click.argument("manifest", type=FOLDER)
@click.option("--by", default="split", show_default=True, type=click.Choice(["split", "dataset"]),
              help="What is compared.")  # fmt: skip
@click.option("--no-images", is_flag=True,
              help="Look at the manifest alone, not for equal or near-equal crops.")  # fmt: skip
@click.option("--run", type=FOLDER, metavar="RUN",
              help="Tell, too, which families and data sets took part in training and selection of "
              "a run.")  # fmt: skip
@JSON
@CSV
def audit(
    manifest: Path, *, by: str, no_images: bool, run: Path | None, as_json: bool, as_csv: bool
) -> int:
    """Count what splits, or data sets, share.

    The exit code is 1 if any two share content, videos or identities, so that a data set can be
    guarded by it. Near-duplicates, which may be so by chance, generators and what took part in
    a run are told alone.

    \b
    Example: gendkit audit crops
             gendkit audit crops --by dataset --run gendkit-demo/run --csv
    """
    import gendkit
    from gendkit.cli import FAILED
    from gendkit.data.audit import LEAKS
    from gendkit.data.manifest import Manifest

    _one_form(as_json=as_json, as_csv=as_csv)
    rows = Manifest.read(manifest)
    found = gendkit.audit(rows, by=by, images=not no_images, run=run)  # type: ignore[arg-type]
    show_frame(found, as_json=as_json, as_csv=as_csv)
    leaks = found[found.index.get_level_values("level").isin(LEAKS)]
    return FAILED if leaks["shared"].any() else 0


def _one_form(*, as_json: bool, as_csv: bool) -> None:
    if as_json and as_csv:
        raise click.UsageError("give --json or --csv, not both.")
