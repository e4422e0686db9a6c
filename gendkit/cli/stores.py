"""What commands about stores share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gendkit.cli.options import FOLDER
from gendkit.cli.show import show_json

if TYPE_CHECKING:
    import xarray as xr

ABOUT_STORE = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document about the store."
)
REFERENCE = click.option("--reference", type=FOLDER, help="Store to search in [default: IN].")


def check_store(out: Path, *, overwrite: bool) -> None:
    """Refuse an output that may not be written before any work is done."""
    from gendkit.manifold.store import MARKER
    from gendkit.output import new_folder

    new_folder(out, overwrite=overwrite, marker=MARKER)


def tell_store(ds: xr.Dataset, out: Path, *, as_json: bool) -> None:
    """Say what a store holds."""
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
