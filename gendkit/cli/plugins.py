"""`gendkit plugins`: what is installed, and where each part comes from."""

from __future__ import annotations

import click

from gendkit.cli.check import check
from gendkit.cli.show import printable, show_json, show_table


@click.group()
def plugins() -> None:
    """Show what plugins give, and check them.

    They give backbones, face extractors, losses and datasets, or are told of training runs.

    \b
    Example: gendkit plugins list
    """


plugins.add_command(check)


@plugins.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def list_(as_json: bool) -> None:
    """List each part with its licence and the distribution that it comes from.

    Plugins that failed are listed with the reason; nothing heavy is imported and no weight is read.

    \b
    Example: gendkit plugins list --json
    """
    from gendkit.plugin import plugins as load
    from gendkit.plugin.specs import options_of

    found = load()
    if as_json:
        return show_json(
            {
                "parts": [
                    {
                        "kind": part.kind,
                        **options_of(part.spec),
                        "name": part.name,
                        "plugin": part.source.plugin,
                        "distribution": part.source.distribution,
                        "version": part.source.version,
                    }
                    for part in found.parts
                ],
                "listeners": [
                    {
                        "plugin": listener.source.plugin,
                        "distribution": listener.source.distribution,
                        "version": listener.source.version,
                        "hears": list(listener.calls),
                        "always": listener.always,
                    }
                    for listener in found.listeners
                ],
                "broken": [
                    {
                        "plugin": broken.source.plugin,
                        "distribution": broken.source.distribution,
                        "version": broken.source.version,
                        "reason": broken.reason,
                    }
                    for broken in found.broken
                ],
            }
        )
    show_table(
        [
            (
                part.kind,
                part.name,
                getattr(part.spec, "licence", None),
                f"{part.source.distribution} {part.source.version}",
                part.spec.summary,
            )
            for part in found.parts
        ]
        + [
            (
                "tracker",
                listener.source.plugin,
                None,
                f"{listener.source.distribution} {listener.source.version}",
                "told of every run" if listener.always else "told of runs that name it",
            )
            for listener in found.listeners
        ],
        ("kind", "name", "licence", "from", "summary"),
    )
    for broken in found.broken:
        where = f"{broken.source.distribution} {broken.source.version}"
        click.echo(
            printable(f"set aside: {broken.source.plugin} ({where}): {broken.reason}"), err=True
        )
    return None
