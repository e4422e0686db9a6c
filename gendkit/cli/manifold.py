"""`gendkit embed`, `neighbours` and `project`: one store that grows, a stage a command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gendkit.cli.options import ADAPTER, DEVICE, DTYPE, FOLDER, OVERWRITE
from gendkit.cli.show import show_json

if TYPE_CHECKING:
    import xarray as xr

JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document about the store.")


@click.command()
@click.argument("manifest", type=FOLDER)
@click.argument("out", type=FOLDER)
@ADAPTER
@click.option("--split", help="Only the rows of a split.")
@click.option("--batch-size", default=32, show_default=True, type=click.IntRange(1), help="Crops.")
@click.option("--resume", is_flag=True,
              help="Go on with a run to OUT that was interrupted; without one, begin.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1), metavar="N",
              help="Share the work among N processes (needs gendkit[cluster]).")  # fmt: skip
@click.option("--scheduler", metavar="ADDRESS",
              help="Share it among the workers of a dask scheduler.")  # fmt: skip
@DEVICE
@DTYPE
@OVERWRITE
@JSON
def embed(
    manifest: Path,
    out: Path,
    *,
    adapter: Path,
    split: str | None,
    batch_size: int,
    resume: bool,
    workers: int | None,
    scheduler: str | None,
    device: str | None,
    dtype: object,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Embed and score face crops into a zarr store.

    The store is written shard by shard, and is at OUT when it is whole.

    \b
    Example: gendkit embed crops embeddings.zarr --adapter run/adapter.safetensors
             gendkit embed crops embeddings.zarr --adapter run --workers 4 --resume
    """
    from gendkit.data.manifest import Manifest

    rows = Manifest.read(manifest)
    if split is not None:
        rows = rows.in_split(split)
    import gendkit

    detector = gendkit.load(adapter, device=device, dtype=dtype)  # type: ignore[arg-type]
    ds = gendkit.embed(
        rows, detector, out, overwrite=overwrite, resume=resume, batch_size=batch_size,
        workers=workers, scheduler=scheduler,
    )  # fmt: skip
    _tell(ds, out, as_json=as_json)


@click.command()
@click.argument("store", metavar="IN", type=FOLDER)
@click.argument("out", type=FOLDER)
@click.option("--reference", type=FOLDER, help="Store to search in [default: IN].")
@click.option(
    "-k", default=10, show_default=True, type=click.IntRange(1), help="A crop's neighbours."
)
@click.option("--index", default="flat", show_default=True, metavar="KIND",
              help="flat, which is exact, hnsw, ivf-pq, or a factory string of faiss.")  # fmt: skip
@click.option("--by-class", is_flag=True, help="Find k reals and k fakes apart.")
@OVERWRITE
@JSON
def neighbours(
    store: Path,
    out: Path,
    *,
    reference: Path | None,
    k: int,
    index: str,
    by_class: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Add each crop's nearest crops to a store.

    Nearest is by cosine; crops of the same clip or person are left out. The store IN is written
    to OUT with what was found; OUT may be IN with --overwrite.

    \b
    Example: gendkit neighbours embeddings.zarr neighbours.zarr -k 5
    """
    import gendkit
    from gendkit.manifold.store import open_embeddings, write_embeddings

    _check(out, overwrite=overwrite)
    others = open_embeddings(reference) if reference is not None else None
    ds = gendkit.neighbours(
        open_embeddings(store).load(), others, k=k, index=index, by_class=by_class
    )
    write_embeddings(ds, out, overwrite=overwrite)
    _tell(ds, out, as_json=as_json)


@click.command()
@click.argument("store", metavar="IN", type=FOLDER)
@click.argument("out", type=FOLDER)
@click.option("--method", default="umap", show_default=True, 
              type=click.Choice(["umap", "umap-sphere", "pca", "tangent-pca"]),
              help="How places are found.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the layout.")
@click.option(
    "-k", default=15, show_default=True, type=click.IntRange(2), help="Neighbours in umap's graph."
)
@OVERWRITE
@JSON
def project(
    store: Path, out: Path, *, method: str, seed: int, k: int, overwrite: bool, as_json: bool
) -> None:
    """Add a map in the plane to a store.

    The store IN is written to OUT with a place for each crop. OUT may be IN with --overwrite.

    \b
    Example: gendkit project embeddings.zarr map.zarr --seed 1
    """
    import gendkit
    from gendkit.manifold.store import open_embeddings, write_embeddings

    _check(out, overwrite=overwrite)
    ds = gendkit.project(open_embeddings(store).load(), method=method, seed=seed, k=k)  # type: ignore[arg-type]
    write_embeddings(ds, out, overwrite=overwrite)
    _tell(ds, out, as_json=as_json)


def _check(out: Path, *, overwrite: bool) -> None:
    """Refuse an output that may not be written before any work is done."""
    from gendkit.manifold.store import MARKER
    from gendkit.output import new_folder

    new_folder(out, overwrite=overwrite, marker=MARKER)


def _tell(ds: xr.Dataset, out: Path, *, as_json: bool) -> None:
    about = {
        "store": str(out),
        "sizes": {str(k): int(v) for k, v in ds.sizes.items()},
        "variables": sorted(str(v) for v in ds.data_vars),
        "attributes": {str(k): v for k, v in ds.attrs.items()},
    }
    if as_json:
        return show_json(about)
    click.echo(f"{ds.sizes['sample']} crops in {out}: {', '.join(about['variables'])}")
    return None
