"""`gendkit plugins new`: a plugin that works, for its author to change."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from gendkit.cli.options import FOLDER
from gendkit.cli.show import printable
from gendkit.plugin.scaffold import NEW_KINDS, NewKind, new_plugin


@click.command()
@click.argument("kind", type=click.Choice(NEW_KINDS))
@click.argument("name")
@click.option("--out", type=FOLDER, metavar="FOLDER",
              help="The folder to make [default: gendkit-NAME].")  # fmt: skip
def new(kind: NewKind, name: str, *, out: Path | None) -> None:
    """Write a plugin that works: a small part, its tests and its project file.

    NAME is that of the part, such as focal: the distribution is then gendkit-focal, and the package
    gendkit_focal. It installs and passes its own tests as it is; its README says what to change.

    \b
    Example: gendkit plugins new loss focal
    """
    folder = new_plugin(kind, name, out=out)
    click.echo(f"{printable(str(folder))} has a {kind.replace('-', ' ')} that works. Next:")
    click.echo(f'  cd {shlex.quote(str(folder))} && python -m pip install -e ".[test]"')
    click.echo(f"  gendkit plugins check {name}")
    click.echo("  python -m pytest")
    click.echo("README.md there says what to change.")
