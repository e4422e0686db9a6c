"""`gendkit plugins check`: the rules of the conformance kit, tried on a plugin or a part."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Any

import click

from gendkit.cli.options import assignments
from gendkit.cli.show import printable, show_json
from gendkit.errors import InvalidOption

if TYPE_CHECKING:
    from gendkit.testing.rules import Check, Outcome

MARKS = {"kept": "ok", "broken": "BROKEN", "left out": "left out"}


@click.command()
@click.argument("name", metavar="NAME")
@click.option(
    "-o", "--option", "options", multiple=True, metavar="NAME=VALUE",
    help="For the part's build, such as margin=0.1; may be repeated.",
)  # fmt: skip
@click.option("--pretrained", is_flag=True, help="Check a backbone with its weights, all blocks.")
@click.option(
    "--same-weights", multiple=True, metavar="BACKBONE",
    help="Another backbone that holds the same weights; may be repeated.",
)  # fmt: skip
@click.option("--rules", is_flag=True, help="Only say which rules would be tried.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def check(name: str, *, rules: bool, as_json: bool, **settings: Any) -> int:
    """Try gendkit's rules on a plugin, a distribution or a part.

    NAME is as `gendkit plugins list` shows it; a member of a family and a dataset's folder follow a
    colon. Backbones have random weights and two blocks unless --pretrained is given. Options are
    for NAME alone, which must be one part then. The exit code is 1 if a rule is broken, or if none
    could be tried; a rule that cannot be is left out with the reason.

    \b
    Example: gendkit plugins check metric-learning
             gendkit plugins check timm:vit_tiny_patch16_224
             gendkit plugins check photos:portraits -o variants=1
    """
    from gendkit.cli import FAILED
    from gendkit.testing.rules import Outcomes

    checks = _checks(name, **settings)
    if rules:
        said = {(c.part, c.rule.name): c.rule.text for c in checks}
        if as_json:
            show_json([{"part": p, "rule": r, "text": text} for (p, r), text in said.items()])
        else:
            for (part, rule), text in said.items():
                click.echo(printable(f"{part}  {rule}: {text}"))
        return 0
    done: list[Outcome] = []
    lines = _Lines()
    for each in checks:
        done.append(each.outcome())
        if not as_json:
            lines.add(done[-1])
    lines.flush()
    outcomes = Outcomes(tuple(done))
    if as_json:
        show_json(
            {
                "name": name,
                "kept": len(outcomes.kept),
                "broken": len(outcomes.broken),
                "left_out": len(outcomes.left_out),
                "outcomes": [dataclasses.asdict(outcome) for outcome in outcomes.all],
            }
        )
    else:
        click.echo(str(outcomes))
    return FAILED if outcomes.broken or not outcomes.kept else 0


def _checks(
    name: str, *, options: tuple[str, ...], pretrained: bool, same_weights: tuple[str, ...]
) -> tuple[Check, ...]:
    from gendkit.plugin import plugins
    from gendkit.testing.conformance import checks_of
    from gendkit.testing.rules import Given

    told = assignments(options)
    given = Given(options=told, pretrained=pretrained, same_weights=same_weights)
    checks = checks_of(name, otherwise=given)
    kinds = {c.rule.kind for c in checks}
    parts = sorted({c.part for c in checks if c.rule.kind != "plugin"})
    if told and len(parts) != 1:
        listed = ", ".join(map(printable, parts))
        raise click.UsageError(f"options are for one part, and {printable(name)} has {listed}.")
    if told and kinds & {"backbone", "tracker"}:
        raise click.UsageError(f"{printable(name)} is built without options.")
    if (pretrained or same_weights) and "backbone" not in kinds:
        raise click.UsageError(f"{printable(name)} has no backbone, so that no weights are meant.")
    for other in same_weights:
        plugins().spec("backbone", other)
    if told:
        _try_options(checks[-1])
    return checks


def _try_options(check: Check) -> None:
    """Tell at once of an option that the part does not have: it is the user's, not the part's."""
    try:
        check.subject().built()
    except InvalidOption:
        raise
    except Exception:  # code of a plugin; the rules tell what is wrong with it
        return


class _Lines:
    """Says what comes of each rule as it comes; one reason of several rules is said once."""

    def __init__(self) -> None:
        self._part = ""
        self._waiting: list[Outcome] = []

    def add(self, outcome: Outcome) -> None:
        """Say it, unless the next ones may have the same reason."""
        part = f"{outcome.kind} {outcome.part}"
        if part != self._part:
            self.flush()
            self._part = part
            click.echo(printable(part))
        before = self._waiting[-1] if self._waiting else outcome
        if (before.verdict, before.reason) != (outcome.verdict, outcome.reason):
            self.flush()
        self._waiting.append(outcome)
        if outcome.verdict == "kept":
            self.flush()

    def flush(self) -> None:
        """Say what waits: each rule that is broken, and of those left out how many."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        first, texts = waiting[0], [outcome.text for outcome in waiting]
        if first.verdict == "left out" and len(texts) > 1:
            texts = [f"{len(texts)} rules"]
        # What a rule says is ours; why it is broken may hold a stranger's text.
        for text in texts:
            click.echo(printable(f"  {MARKS[first.verdict]:<8}  {text}"))
        if first.reason:
            click.echo(printable(f"            {first.reason}"))
        sys.stdout.flush()
