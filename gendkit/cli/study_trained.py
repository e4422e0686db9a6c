"""The commands of `gendkit study` that train: options of all of them, and a command for each."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gendkit.cli.options import DEVICE, FOLDER, assignments
from gendkit.cli.show import frame_rows, show_json, show_table
from gendkit.markup import number

SHARED = (
    click.argument("manifest", metavar="MANIFEST"),
    click.option("--out", required=True, type=FOLDER,
                 help="Folder of the study, new or to go on with."),
    click.option("--recipe", default="small-data", show_default=True, metavar="RECIPE",
                 help="A preset or a YAML file, as for `gendkit train`."),
    click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE",
                 help="Change a field of the recipe; may be repeated."),
    click.option("--seeds", default=5, show_default=True, type=click.IntRange(min=1),
                 help="How many, from 0; more may be asked for later."),
    click.option("--families", metavar="A,B",
                 help="Of forgeries to learn from [default: all, but those left out]."),
    click.option("--on", default="development", show_default=True,
                 type=click.Choice(["development", "final"]),
                 help="The split that is scored; each look at the final one is logged."),
    DEVICE,
    click.option("--json", "as_json", is_flag=True, help="The result as one JSON document."),
)  # fmt: skip
LEFT_OUT = click.option(
    "--left-out", metavar="A,B", help="Families that are scored and never learned from."
)


def shared(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command what all studies ask."""
    for option in reversed(SHARED):
        command = option(command)
    return command


@click.command()
@shared
@click.option("--max-fpr", default=0.05, show_default=True,
              type=click.FloatRange(0, 1, max_open=True),
              help="Part of the development reals that may be called fake.")  # fmt: skip
def families(*, max_fpr: float, **given: Any) -> None:
    """Ask what tuning is worth on a family of forgeries that was left out.

    Each family is left out once: the probe and the tuned detector learn from all others, and are
    asked about it. Degraded reals are negative controls: how many more of them are called fake.
    `gendkit extract photos:FOLDER crops -o families=all -o crossed=true` makes crops for it.

    \b
    Example: gendkit study families crops --out families --seeds 5
             gendkit study families crops --out last --on final --set image_size=224
    """
    _run("families", {"max_fpr": max_fpr}, **given)


@click.command()
@shared
@LEFT_OUT
@click.option("--variant", "variants", multiple=True, metavar="NAME",
              help="Only these, and the probe; may be repeated [default: all].")  # fmt: skip
@click.option("--rate", "rates", multiple=True, metavar="NAME=RATE",
              help="Peak learning rate of a variant; may be repeated.")  # fmt: skip
def ablation(*, variants: tuple[str, ...], rates: tuple[str, ...], **given: Any) -> None:
    """Ask what each part of the method gains over a frozen probe.

    The variants are probe, LN (layer norms, a linear head off the sphere), LN+L2, LN+L2+UnAl,
    'no augmentation', full, LoRA (needs gendkit[lora]) and bitfit, all of the same crops. Tuning,
    losses and head are the variants' own, whatever the recipe says.

    \b
    Example: gendkit study ablation crops --out ablation
             gendkit study ablation crops --out ablation --set image_size=98 --seeds 3
             gendkit study ablation crops --out some --variant LN+L2 --left-out diffusion
    """
    chosen = {name: _rate(name, value) for name, value in assignments(rates).items()}
    _run("ablation", {"variants": list(variants), "rates": chosen}, **given)


@click.command()
@shared
@LEFT_OUT
@click.option("--clips", type=click.IntRange(min=1), metavar="N",
              help="Real clips in each set [default: as many as both sets can have].")  # fmt: skip
@click.option("--fakes", default=1, show_default=True, type=click.IntRange(min=1), metavar="N",
              help="Fakes of each source clip.")  # fmt: skip
@click.option("--frames", type=click.IntRange(min=1), metavar="N",
              help="Frames of each clip, clips with fewer left out [default: all].")  # fmt: skip
def paired(*, clips: int | None, fakes: int, frames: int | None, **given: Any) -> None:
    """Ask whether fakes should be learned from with the videos that they were made of.

    Two sets are drawn anew for each seed: the same fakes, with their own source clips or with as
    many other real clips of as many people. By default layer norms are tuned with a linear head
    off the sphere, in batches that are shuffled (sphere=false, batches=shuffled).

    \b
    Example: gendkit study paired crops --out paired --seeds 5
    """
    _run("paired", {"clips": clips, "fakes": fakes, "frames": frames}, **given)


@click.command()
@shared
@click.option("--by", default="dataset", show_default=True,
              type=click.Choice(["dataset", "family", "method", "year"]),
              help="What makes a group.")  # fmt: skip
def difficulty(*, by: str, **given: Any) -> None:
    """Ask which forgeries are hard: train on each group, test on all.

    A group is hard where detectors trained on the others do badly. Whether difficulty grows with
    the year is Kendall's tau over groups, whose years are permuted; it takes four groups with a
    year. Thresholds fixed on one group are applied to all.

    \b
    Example: gendkit study difficulty crops --out hard --by family --seeds 3
    """
    _run("difficulty", {"by": by}, **given)


@click.command("data-size")
@shared
@LEFT_OUT
@click.option("--fraction", "fractions", multiple=True,
              type=click.FloatRange(0, 1, min_open=True), metavar="PART",
              help="Of the training people; may be repeated [default: .125 .25 .5 1].")  # fmt: skip
def data_size(*, fractions: tuple[float, ...], **given: Any) -> None:
    """Ask how the probe and the tuned detector grow with the people in training.

    Smaller parts are parts of larger ones; people who are linked stay together.

    \b
    Example: gendkit study data-size crops --out size --fraction .25 --fraction 1
    """
    _run("data-size", {"fractions": sorted(set(fractions))} if fractions else {}, **given)


@click.command()
@shared
@LEFT_OUT
def layers(**given: Any) -> None:
    """Ask how many of the last layer norms must be tuned: 0 (probe), 1, 1/4, 1/2, all.

    \b
    Example: gendkit study layers crops --out layers --set image_size=98
    """
    _run("layers", {}, **given)


COMMANDS = (families, ablation, paired, difficulty, data_size, layers)


def _run(
    name: str,
    options: dict[str, Any],
    *,
    manifest: str,
    out: Path,
    recipe: str,
    changes: tuple[str, ...],
    seeds: int,
    families: str | None,
    on: str,
    device: str | None,
    as_json: bool,
    left_out: str | None = None,
) -> None:
    from gendkit.train.recipe import Recipe

    fields = assignments(changes)
    Recipe.of(recipe, **fields)  # what is misspelt is refused before torch is loaded
    import gendkit
    from gendkit.evaluate.study.study import about, said

    ds = gendkit.study(
        name, manifest, out=out, recipe=recipe, changes=fields, seeds=range(seeds),
        families=_names(families), left_out=_names(left_out), on=on, options=options,
        device=device,
    )  # fmt: skip
    words, tables = said(ds), gendkit.study_tables(ds)
    if as_json:
        return show_json(
            {
                "study": name, "question": ds.attrs["question"], "answer": words.answer,
                "shows": words.shows, "not_shown": words.not_shown, **about(ds), "out": out,
                "tables": {caption: frame_rows(frame) for caption, frame in tables.items()},
            }
        )  # fmt: skip
    frame = next(iter(tables.values()))
    columns = [str(c) for c in frame.columns if not str(c).endswith(("_low", "_high"))]
    first = str(frame.index.name)
    rows = [[str(row[first]), *(_cell(row, c) for c in columns)] for row in frame_rows(frame)]
    show_table(rows, [first, *columns], right=columns)
    click.echo(words.answer)
    click.echo(f"page, notebook and numbers in {out}")
    return None


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _rate(name: str, value: Any) -> float:
    try:
        rate = math.nan if isinstance(value, bool) else float(value)  # to YAML, 1e-5 is a text
    except (TypeError, ValueError):
        rate = math.nan
    if not 0 < rate < math.inf:
        raise click.UsageError(f"the rate of {name} is {value!r}; give a number above 0.")
    return rate


def _cell(row: dict[str, Any], column: str) -> str | None:
    value = row[column]
    if not isinstance(value, float):
        return None if value is None else str(value)
    if value != value:
        return None
    if f"{column}_low" not in row:
        return number(value)
    ends = (number(row[f"{column}_{end}"], digits=2) for end in ("low", "high"))
    return f"{number(value)} ({' to '.join(ends)})"
