"""`gendkit bench`: how fast a recipe trains here, and what its steps wait for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from gendkit.cli.options import DEVICE, assignments, manifest_of
from gendkit.cli.show import show_json, show_table

if TYPE_CHECKING:
    from gendkit.train.bench import Bench


@click.command()
@click.argument("recipe", default="small-data")
@click.option("--data", metavar="MANIFEST[:SPLIT]",
              help="Labelled crops [default: drawn faces of 256 px].")  # fmt: skip
@click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE",
              help="Change a field of the recipe; may be repeated.")  # fmt: skip
@click.option("--steps", type=click.IntRange(min=1), default=10, show_default=True,
              help="How many are timed; with few a slow loader may not show.")  # fmt: skip
@click.option("--compile", is_flag=True, help="Let torch compile the encoder.")
@DEVICE
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def bench(
    recipe: str,
    *,
    data: str | None,
    changes: tuple[str, ...],
    steps: int,
    compile: bool,
    device: str | None,
    as_json: bool,
) -> None:
    """Time training steps, and say whether they wait for crops.

    RECIPE is a preset or a YAML file, by default small-data. Weights are random, so that none are
    fetched: time does not depend on them. Nothing is written.

    \b
    Example: gendkit bench
             gendkit bench gend-clip --device cuda --data crops
             gendkit bench gend-clip --set batch_size=4 --steps 2
    """
    from gendkit.progress import Bars
    from gendkit.train.recipe import Recipe

    chosen = Recipe.of(recipe, **assignments(changes))  # before torch is loaded
    crops = None if data is None else manifest_of(data)
    from gendkit.train import bench as measured

    found = measured.bench(
        chosen, crops, device=device, steps=steps, compile=compile, progress=Bars()
    )
    if as_json:
        return show_json(found.as_dict())
    _show(found)
    return None


def _show(found: Bench) -> None:
    compiled = ", compiled" if found.compiled else ""
    reached, limit = _three(found.flops / 1e12), _three(found.machine_flops / 1e12)
    memory = "not known" if found.peak_bytes is None else f"{found.peak_bytes / 1e9:.2f} GB"
    facts = {
        "recipe": f"{found.recipe}: {found.tuning} of {found.backbone} at {found.image_size} px, "
        f"batches of {found.batch_size}, {found.dtype}{compiled}",
        "device": f"{found.device}: {found.device_name}, {found.threads} CPU threads",
        "crops": f"{found.crops}{', packed' if found.packed else ''}; augmentation "
        f"{found.augmentation}; {found.workers} threads read",
        "images": f"{_three(found.images_per_second)} a second; the loader alone gives "
        f"{_three(found.loader_images_per_second)}",
        "products": f"{reached} TFLOP/s, {found.flops / found.machine_flops:.0%} of the {limit} "
        "that large matrices reach",
        "peak memory": memory,
    }
    for name, text in facts.items():
        click.echo(f"{name:<12} {text}")
    click.echo()
    whole = sum(found.milliseconds.values())
    show_table(
        [
            (part, f"{ms:.1f}", f"{ms / whole:.0%}")
            for part, ms in (*found.milliseconds.items(), ("the step", whole))
        ],
        ("part", "ms", "share"),
        right=("ms", "share"),
    )
    click.echo(f"\n{_verdict(found)}")


def _verdict(found: Bench) -> str:
    from gendkit.data.augmentation import NONE, Augmentation
    from gendkit.data.loader import THREADS

    share = f"{found.waiting:.0%} of its time"
    if not found.starved:
        return f"The loader keeps up: a step waits {share} for crops."
    ways = [] if found.packed or found.drawn else ["pack them (gendkit extract --pack)"]
    asked = Augmentation.parse(found.augmentation)
    if asked.name == "gend" or (asked.name == NONE and asked.chain.steps):
        batched = replace(asked, name=f"{asked.name}-batched")
        ways.append(f"--set augmentation={batched}, which is not the same")
    if found.workers < THREADS:
        ways.append("more CPU cores")
    return f"Crops come too slowly: a step waits {share}.\nTo change it: {', or '.join(ways)}."


def _three(value: float) -> str:
    """Write three digits of a number, or its whole part."""
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"
