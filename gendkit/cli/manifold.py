"""One store that grows, a stage a command: `gendkit embed`, `neighbours`, `project` and others."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from gendkit.cli.options import ADAPTER, BATCH_SIZE, DEVICE, DTYPE, FOLDER, OVERWRITE, manifest_of
from gendkit.cli.show import show_json
from gendkit.cli.stores import ABOUT_STORE, REFERENCE, check_store, tell_store

logger = logging.getLogger(__name__)


@click.command()
@click.argument("manifest", metavar="MANIFEST[:SPLIT]")
@click.argument("out", type=FOLDER)
@ADAPTER
@BATCH_SIZE
@click.option("--resume", is_flag=True,
              help="Go on with a run to OUT that was interrupted; without one, begin.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1), metavar="N",
              help="Share the work among N processes (needs gendkit[cluster]).")  # fmt: skip
@click.option("--scheduler", metavar="ADDRESS",
              help="Share it among the workers of a dask scheduler.")  # fmt: skip
@DEVICE
@DTYPE
@OVERWRITE
@ABOUT_STORE
def embed(
    manifest: str,
    out: Path,
    *,
    adapter: Path,
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
             gendkit embed crops:final embeddings.zarr --adapter run --workers 4 --resume
    """
    rows = manifest_of(manifest)
    import gendkit

    detector = gendkit.load(adapter, device=device, dtype=dtype)  # type: ignore[arg-type]
    ds = gendkit.embed(
        rows, detector, out, overwrite=overwrite, resume=resume, batch_size=batch_size,
        workers=workers, scheduler=scheduler,
    )  # fmt: skip
    tell_store(ds, out, as_json=as_json)


@click.command()
@click.argument("store", metavar="IN", type=FOLDER)
@click.argument("out", type=FOLDER)
@REFERENCE
@click.option(
    "-k", default=10, show_default=True, type=click.IntRange(1), help="A crop's neighbours."
)
@click.option("--index", default="flat", show_default=True, metavar="KIND|FOLDER",
              help="flat, which is exact, hnsw, ivf-pq, a factory string of faiss, or what "
              "`gendkit index` wrote.")  # fmt: skip
@click.option("--by-class", is_flag=True, help="Find k reals and k fakes apart.")
@OVERWRITE
@ABOUT_STORE
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

    check_store(out, overwrite=overwrite)
    asked = open_embeddings(store).load()
    others = open_embeddings(reference) if reference is not None else asked
    found = gendkit.open_index(index, others) if Path(index).is_dir() else index
    ds = gendkit.neighbours(asked, others, k=k, index=found, by_class=by_class)
    there = ds["class_neighbour" if by_class else "neighbour"].to_numpy() != ""
    if not there.all():
        logger.warning(
            "%d of %d crops have fewer than %d neighbours",
            (~there.reshape(len(there), -1).all(axis=1)).sum(),
            len(there),
            k,
        )
    write_embeddings(ds, out, overwrite=overwrite)
    tell_store(ds, out, as_json=as_json)


@click.command()
@click.argument("store", metavar="IN", type=FOLDER)
@click.argument("out", type=FOLDER)
@click.option("--method", default="umap", show_default=True, 
              type=click.Choice(["umap", "umap-sphere", "pca", "tangent-pca", "umap-learn"]),
              help="How places are found.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the layout.")
@click.option(
    "-k", default=15, show_default=True, type=click.IntRange(2), help="Neighbours in umap's graph."
)
@OVERWRITE
@ABOUT_STORE
def project(
    store: Path, out: Path, *, method: str, seed: int, k: int, overwrite: bool, as_json: bool
) -> None:
    """Add a map in the plane, or on a globe, to a store.

    The store IN is written to OUT with a place for each crop. OUT may be IN with --overwrite.

    \b
    Example: gendkit project embeddings.zarr map.zarr --seed 1
    """
    import gendkit
    from gendkit.manifold.store import open_embeddings, write_embeddings

    check_store(out, overwrite=overwrite)
    ds = gendkit.project(open_embeddings(store).load(), method=method, seed=seed, k=k)  # type: ignore[arg-type]
    write_embeddings(ds, out, overwrite=overwrite)
    tell_store(ds, out, as_json=as_json)


@click.command()
@click.argument("store", metavar="IN", type=FOLDER)
@click.argument("out", type=FOLDER)
@click.option("--reference", type=FOLDER, required=True, help="Store with a map.")
@click.option(
    "-k", default=10, show_default=True, type=click.IntRange(1), help="Neighbours of a crop."
)
@OVERWRITE
@ABOUT_STORE
def place(
    store: Path, out: Path, *, reference: Path, k: int, overwrite: bool, as_json: bool
) -> None:
    """Put crops on the map of a reference.

    A crop comes to the weighted mean of its nearest reference crops' places; the map stays as it
    is. The store IN is written to OUT with the places. OUT may be IN with --overwrite.

    \b
    Example: gendkit place clip.zarr placed.zarr --reference map.zarr
    """
    import gendkit
    from gendkit.manifold.store import open_embeddings, write_embeddings

    check_store(out, overwrite=overwrite)
    ds = gendkit.place(open_embeddings(store).load(), open_embeddings(reference), k=k)
    write_embeddings(ds, out, overwrite=overwrite)
    tell_store(ds, out, as_json=as_json)


@click.command()
@click.argument("stores", metavar="STORE...", nargs=-1, required=True, type=FOLDER)
@click.argument("out", type=FOLDER)
@OVERWRITE
@ABOUT_STORE
def combine(stores: tuple[Path, ...], out: Path, *, overwrite: bool, as_json: bool) -> None:
    """Join stores of one detector into one.

    Neighbours, votes and maps, which are of one store, are left out.

    \b
    Example: gendkit combine monday.zarr tuesday.zarr both.zarr
    """
    import gendkit
    from gendkit.manifold.store import open_embeddings, write_embeddings

    check_store(out, overwrite=overwrite)
    ds = gendkit.combine([open_embeddings(store).load() for store in stores])
    write_embeddings(ds, out, overwrite=overwrite)
    tell_store(ds, out, as_json=as_json)


@click.command("index")
@click.argument("store", type=FOLDER)
@click.argument("out", type=FOLDER)
@click.option("--kind", default="hnsw", show_default=True,
              help="flat, which is exact, hnsw, ivf-pq, or a factory string of faiss.")  # fmt: skip
@OVERWRITE
@click.option("--json", "as_json", is_flag=True, help="One JSON document about the index.")
def build(store: Path, out: Path, *, kind: str, overwrite: bool, as_json: bool) -> None:
    """Build an index of a store, to be searched many times.

    Its recall, the share of the true ten nearest that it finds, is measured and kept in it.
    `gendkit neighbours --index OUT` opens it, and refuses it for any other store.

    \b
    Example: gendkit index reference.zarr reference.index --kind hnsw
             gendkit neighbours in.zarr out.zarr --reference reference.zarr --index reference.index
    """
    import gendkit
    from gendkit.manifold.index import MARKER
    from gendkit.manifold.store import open_embeddings
    from gendkit.output import new_folder

    new_folder(out, overwrite=overwrite, marker=MARKER)
    made = gendkit.build_index(open_embeddings(store), kind)
    made.save(out, overwrite=overwrite)
    if as_json:
        return show_json(
            {
                "index": str(out), "kind": made.kind, "factory": made.factory,
                "crops": len(made.ids), "recall": made.recall,
                "reference_hash": made.reference_hash,
            }
        )  # fmt: skip
    click.echo(f"{len(made.ids)} crops in {out}: {made.kind}, recall {made.recall:.3f}")
    return None
