"""`gendkit train`: from a recipe and two manifests to an adapter and the record of the run."""

from __future__ import annotations

from pathlib import Path

import click

from gendkit.cli.options import DEVICE, OVERWRITE, assignments, manifest_of
from gendkit.cli.show import show_json, show_table


@click.command()
@click.argument("recipe")
@click.option("--train", "train_on", required=True, metavar="MANIFEST[:SPLIT]",
              help="To train on: a folder of `gendkit extract`, or a split.")  # fmt: skip
@click.option("--val", required=True, metavar="MANIFEST[:SPLIT]",
              help="Crops by which the epoch is chosen.")  # fmt: skip
@click.option("--out", required=True, type=click.Path(path_type=Path),
              help="New folder for adapter.safetensors and run.json.")  # fmt: skip
@click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE",
              help="Change a field of the recipe; may be repeated.")  # fmt: skip
@click.option(
    "--augmentation",
    metavar="TEXT",
    help="Of the crops, such as 'gend, jpeg:40..100@0.5' [default: the recipe's].",
)
@click.option("--resume", is_flag=True,
              help="Go on with a run to OUT that was interrupted; without one, begin.")  # fmt: skip
@click.option("--checkpoint-every", type=click.IntRange(min=1), metavar="STEPS",
              help="Between checkpoints, beside OUT [default: an epoch].")  # fmt: skip
@click.option("--compile", is_flag=True, help="Let torch compile the encoder.")
@click.option("--tracker", "trackers", multiple=True, metavar="NAME",
              help="Tell an installed tracker, such as tensorboard; may be repeated.")  # fmt: skip
@DEVICE
@OVERWRITE
@click.option("--json", "as_json", is_flag=True, help="The record of the run as one JSON document.")
def train(
    recipe: str,
    *,
    train_on: str,
    val: str,
    out: Path,
    changes: tuple[str, ...],
    augmentation: str | None,
    resume: bool,
    checkpoint_every: int | None,
    compile: bool,
    trackers: tuple[str, ...],
    device: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Tune the layer norms of a backbone, and a head.

    RECIPE is a YAML file or a preset: gend-clip, gend-pe, gend-dinov3, small-data or, at 224 px and
    for longer, small-data-224; for comparison, probe, no-augmentation and last-norms, and of other
    kinds bitfit, lora (needs gendkit[lora]) and full. The two sets of crops must have no person and
    no target clip in common. A run that is interrupted is gone on with by the same command and
    --resume.

    An augmentation is gend, light or none, a chain of degradations, or one and then the other:
    jpeg:QUALITY, blur:KERNEL:SIGMA, resize:SIDE:INTERPOLATION, noise:SIGMA (white being 1),
    colour:BRIGHTNESS:CONTRAST:SATURATION:HUE and h264:CRF, where LOW..HIGH is drawn anew for each
    crop and epoch, and @P does a step with that probability. gend-batched and none-batched in front
    do it on the device, after the resize, which frees the host but is not the same.

    \b
    Example: gendkit train small-data --train crops:train --val crops:development --out run
             gendkit train my.yaml --train a --val b --out run --set epochs=5
             gendkit train my.yaml --train a --val b --out run --augmentation 'gend, h264:20..40@.3'
             torchrun --nproc-per-node 2 -m gendkit train my.yaml --train a --val b --out run
    """
    from gendkit.output import new_folder
    from gendkit.train.recipe import Recipe

    fields = assignments(changes)
    if augmentation is not None and fields.setdefault("augmentation", augmentation) != augmentation:
        raise click.UsageError("give --augmentation or --set augmentation=..., not both.")
    chosen = Recipe.of(recipe, **fields)
    new_folder(out, overwrite=overwrite, marker="run.json")  # before torch is loaded
    sets = manifest_of(train_on), manifest_of(val)

    from gendkit.train.distributed import first_rank
    from gendkit.train.engine import fit

    run = fit(
        chosen, *sets, out=out, device=device, overwrite=overwrite, resume=resume,
        checkpoint_every=checkpoint_every, compile=compile, trackers=trackers,
    )  # fmt: skip
    if not first_rank():
        return None
    if as_json:
        return show_json(run.record)
    metrics = [c for c in run.history.columns if c.startswith("validation_")]
    epoch = int(run.record["chosen_epoch"])
    show_table(
        [
            (
                f"{int(row['epoch'])}{' *' if int(row['epoch']) == epoch else ''}",
                f"{row['loss']:.4f}",
                *(f"{row[c]:.3f}" for c in metrics),
                f"{row['seconds']:.0f}",
            )
            for row in run.history.to_dict(orient="records")
        ],
        ("epoch", "loss", *(c.removeprefix("validation_") for c in metrics), "seconds"),
    )
    click.echo(f"kept epoch {epoch} (*) in {out / 'adapter.safetensors'}")
    return None
