"""`gendkit study`: what a detector, or the training of one, does under conditions that vary."""

from __future__ import annotations

import click

from gendkit.cli.study_robustness import robustness
from gendkit.cli.study_trained import COMMANDS


@click.group()
def study() -> None:
    """Study a detector, or its training, under conditions that are varied one by one.

    The same command goes on where one was stopped. All but robustness train what they need and
    keep each cell in OUT, which several processes may share.

    \b
    Example: gendkit study ablation crops --out ablation --seeds 5
             gendkit study robustness crops:final --adapter run --out robust
    """


for command in (*COMMANDS, robustness):
    study.add_command(command)
