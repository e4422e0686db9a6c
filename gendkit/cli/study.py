"""`gendkit study`: what a detector, or the training of one, does under conditions that vary."""

from __future__ import annotations

import click

from gendkit.cli.study_robustness import robustness
from gendkit.cli.study_trained import COMMANDS


@click.group()
def study() -> None:
    """Study a detector, or its training, under conditions that are varied one by one.

    All but robustness train what they need, keep each cell in OUT, and go on where they were
    stopped when the same command is given again, in several processes if wanted.

    \b
    Example: gendkit study ablation crops --out ablation --seeds 5
             gendkit study robustness crops:final --adapter run --out robust
    """


for command in (*COMMANDS, robustness):
    study.add_command(command)
