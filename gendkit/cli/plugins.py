"""`gendkit plugins`: what is installed, and where each part comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gendkit.cli.check import check
from gendkit.cli.new_plugin import new
from gendkit.cli.show import printable, show_json, show_table

if TYPE_CHECKING:
    from gendkit.plugin import Plugins


@click.group()
def plugins() -> None:
    """Show what plugins give, and check them.

    They give backbones, face extractors, losses and datasets, or are told of training runs.

    \b
    Example: gendkit plugins list
    """


plugins.add_command(check)
plugins.add_command(new)


@plugins.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def list_(as_json: bool) -> None:
    """List each part with its licence and the distribution that it comes from.

    Instead of its summary, a part whose plugin lacks something says what, and what to run. Plugins
    that failed are listed with the reason and what to do, and plugins that are left out with what
    leaves them out. Nothing heavy is imported and no weight is read.

    \b
    Variables: GENDKIT_BLOCK_PLUGINS=NAME,NAME leaves plugins out.
               GENDKIT_TRACE_HOOKS=1 tells each call of a plugin on stderr (0: does not).
    \b
    Example: gendkit plugins list --json
    """
    from gendkit.plugin import plugins as load

    found = load()
    if as_json:
        return show_json(_record(found))
    return _show(found)


def _record(found: Plugins) -> dict[str, Any]:
    from dataclasses import asdict

    from gendkit.plugin.specs import options_of

    needs = {name: [asdict(need) for need in many] for name, many in found.needs.items()}
    return {
        "parts": [
            {
                "kind": part.kind,
                **options_of(part.spec),
                "name": part.name,
                **asdict(part.source),
                "needs": needs.get(part.source.plugin, []),
            }
            for part in found.parts
        ],
        "listeners": [
            {
                **asdict(listener.source),
                "hears": list(listener.calls),
                "always": listener.always,
                "needs": needs.get(listener.source.plugin, []),
            }
            for listener in found.listeners
        ],
        "broken": [
            {**asdict(broken.source), "reason": broken.reason, "remedy": broken.remedy}
            for broken in found.broken
        ],
        "blocked": [
            {
                "plugin": blocked.name,
                "by": blocked.by,
                "distribution": blocked.source and blocked.source.distribution,
                "version": blocked.source and blocked.source.version,
            }
            for blocked in found.blocked
        ],
    }


def _show(found: Plugins) -> None:
    from gendkit.plugin.remedies import told

    needs = {name: told(many) for name, many in found.needs.items()}
    show_table(
        [
            (
                part.kind,
                part.name,
                getattr(part.spec, "licence", None),
                part.source.origin,
                needs.get(part.source.plugin) or part.spec.summary,
            )
            for part in found.parts
        ]
        + [
            (
                "tracker",
                listener.source.plugin,
                None,
                listener.source.origin,
                needs.get(listener.source.plugin)
                or ("told of every run" if listener.always else "told of runs that name it"),
            )
            for listener in found.listeners
        ],
        ("kind", "name", "licence", "from", "summary"),
    )
    for broken in found.broken:
        who = f"{broken.source.plugin} ({broken.source.origin})"
        click.echo(printable(f"set aside: {who}: {broken.explained}"), err=True)
    for blocked in found.blocked:
        if blocked.source is not None:
            text = f"left out: {blocked.name} ({blocked.source.origin}): by {blocked.by}"
        else:
            there = ", ".join(found.names)
            text = f"left out: nothing by {blocked.name!r} in {blocked.by}; there is {there}"
        click.echo(printable(text), err=True)


@plugins.command("hooks")
@click.option("--table", "as_table", is_flag=True, help="One line a hook, as in CONTRIBUTING.md.")
def hooks(as_table: bool) -> None:
    """Print what each hook is told and gives, as Markdown.

    \b
    Example: gendkit plugins hooks > hooks.md
    """
    from gendkit.plugin.documentation import reference, table

    click.echo(table() if as_table else reference(), nl=False)
