"""Options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from gendkit.data.manifest import Manifest

FOLDER = click.Path(path_type=Path)

OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace an earlier output at OUT.")
ADAPTER = click.option(
    "--adapter",
    required=True,
    metavar="FILE",
    type=FOLDER,
    help="Of the detector; written by `gendkit train` or `gendkit demo`.",
)


def _device(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Refuse a device that is not there, or no device at all."""
    if value is None:
        return None
    from gendkit.device import usable
    from gendkit.errors import InvalidArgument

    try:
        return usable(value)
    except InvalidArgument as error:
        raise click.BadParameter(str(error)) from None


DEVICE = click.option(
    "--device", callback=_device, help="Such as cuda or cpu [default: the best there is]."
)
DTYPE = click.option(
    "--dtype",
    type=click.Choice(["float32", "tf32", "bfloat16"]),
    help="Compute dtype of the encoder [default: that of the training].",
)


def _seconds(ctx: click.Context, parameter: click.Parameter, value: float) -> float | None:
    """Refuse what is no time; 0 means that there is no limit."""
    if not math.isfinite(value):
        raise click.BadParameter(f"{value} is no number of seconds.")
    return value or None


BATCH_SIZE = click.option(
    "--batch-size", default=32, show_default=True, type=click.IntRange(1), help="Crops."
)
TIME_LIMIT = click.option(
    "--time-limit", default=600.0, show_default=True, callback=_seconds, type=click.FloatRange(0),
    metavar="SECONDS",
    help="For one file, the search for its faces included, after which it is given up; 0 is no "
    "limit, and a file that crashes its decoder then ends all.",
)  # fmt: skip


def assignments(texts: Iterable[str]) -> dict[str, Any]:
    """Read NAME=VALUE, where VALUE is a number, true, false, null, a list or a text (as in YAML).

    Raises
    ------
    click.UsageError
        For a text without `=`, or whose value is no YAML.
    """
    import yaml

    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise click.UsageError(f"expected NAME=VALUE, got {text!r}.")
        try:
            values[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise click.UsageError(f"{text!r}: the value is no number, text or list.") from None
    return values


def manifest_of(text: str) -> Manifest:
    """Read MANIFEST, or the rows of one split of it."""
    from gendkit.data.columns import SPLITS
    from gendkit.data.manifest import Manifest

    path, _, split = text.rpartition(":")
    if path and (split in SPLITS or (Path(path).exists() and not Path(text).exists())):
        return Manifest.read(path).in_split(split)
    return Manifest.read(text)
