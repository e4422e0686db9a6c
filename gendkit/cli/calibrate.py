"""`gendkit calibrate`: what a detector's scores are worth, among clips that are named."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gendkit.cli.options import ADAPTER, BATCH_SIZE, DEVICE, DTYPE, OVERWRITE, manifest_of
from gendkit.cli.show import show_json, show_table

if TYPE_CHECKING:
    from gendkit.evaluate.population import Checked

SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)


@click.command()
@click.argument("manifest", metavar="MANIFEST[:SPLIT]")
@ADAPTER
@click.option("--out", required=True, metavar="FILE.json",
              type=click.Path(path_type=Path, dir_okay=False),
              help="The calibration; two pictures come beside it.")  # fmt: skip
@click.option("--on", "others", multiple=True, metavar="MANIFEST[:SPLIT]",
              help="Other labelled clips on which it is tried; may be repeated.")  # fmt: skip
@click.option("--alpha", default=0.05, show_default=True, type=SHARE,
              help="The most of further reals that may be called fake.")  # fmt: skip
@click.option("--beta", default=0.05, show_default=True, type=SHARE,
              help="The most of further fakes that may be called real.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0),
              help="Of draws and cuts.")  # fmt: skip
@BATCH_SIZE
@DEVICE
@DTYPE
@OVERWRITE
@click.option("--json", "as_json", is_flag=True, help="The calibration as one JSON document.")
def calibrate(
    manifest: str,
    *,
    adapter: Path,
    out: Path,
    others: tuple[str, ...],
    alpha: float,
    beta: float,
    seed: int,
    batch_size: int,
    device: str | None,
    dtype: Any,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Learn from labelled clips what a score is worth as evidence.

    Fits a likelihood ratio without a prior and within bounds that so many clips support, a
    decision (real, fake, cannot tell) with few errors among clips like these, and a temperature and
    an isotonic curve to a share of fakes. `gendkit score --calibration` and `gendkit report
    --calibration` use the file. Clips of one person, or of one target clip, count as one.

    In the table, least is the Cllr that the best rising transform of the scores would leave, and
    outside the share of clips outside the validated range, of which nothing would be said.

    Rows of the final split are refused: take another one, such as development, and --on the final
    one. Rates hold for clips that are exchangeable with those of MANIFEST; --on shows what becomes
    of them elsewhere.

    \b
    Example: gendkit calibrate crops:development --adapter run --out calibration.json
             gendkit calibrate crops:development --adapter run --out calibration.json
                 --on crops:final --on elsewhere
    """
    from gendkit.output import check_new_file

    if out.suffix != ".json":
        raise click.UsageError(f"a calibration is written as NAME.json, got {out}.")
    pictures = [out.with_name(f"{out.stem}-{name}.png") for name in ("tippett", "reliability")]
    for file in (out, *pictures):
        check_new_file(file, overwrite=overwrite)
    crops = manifest_of(manifest)
    on = {text: manifest_of(text) for text in others}
    import gendkit
    from gendkit.train.record import record_beside

    detector = gendkit.load(adapter, device=device, dtype=dtype)
    made = gendkit.calibrate(
        crops, detector, on=on, name=manifest, alpha=alpha, beta=beta, seed=seed,
        batch_size=batch_size, record=record_beside(adapter, detector.adapter.hash),
    )  # fmt: skip
    found = made.calibration
    found.write(out, overwrite=overwrite)
    for file, draw in zip(pictures, (gendkit.plot_tippett, gendkit.plot_reliability), strict=True):
        draw(made).savefig(file, dpi=200)
    if as_json:
        likeness = {
            k: v for k, v in asdict(found.likeness).items() if k not in ("points", "groups")
        }
        return show_json({**asdict(found), "likeness": likeness, "digest": found.digest})
    columns = ("clips", "real", "fake", "AUROC", "Cllr", "least", "reals called fake",
               "fakes called real", "cannot tell", "outside")  # fmt: skip
    show_table([_row(check) for check in found.checks], columns, right=columns[1:])
    ratio = found.likelihood
    click.echo(f"Population: {found.population}.")
    click.echo(
        f"Likelihood ratios from {10**ratio.low:.3g} to {10**ratio.high:.3g} (log10 "
        f"{ratio.low:+.2f} to {ratio.high:+.2f}) are supported by {ratio.reals} independent real "
        f"and {ratio.fakes} independent fake clips."
    )
    for limit in found.limits:
        click.echo(f"Note: {limit}.")
    click.echo(f"The calibration: {out}; pictures: {', '.join(map(str, pictures))}")
    return None


def _row(check: Checked) -> tuple[Any, ...]:
    """Return a line of the table: a set, and how often it is misled."""
    both = [
        (check.cannot_tell_of_real, check.reals), (check.cannot_tell_of_fake, check.fakes),
    ]  # fmt: skip
    outside = [(check.outside_of_real, check.reals), (check.outside_of_fake, check.fakes)]
    return (
        f"{check.name}{' (left out in turn)' if check.own else ''}",
        f"{check.reals}", f"{check.fakes}",
        None if check.auroc is None else f"{check.auroc:.3f}",
        None if check.cllr is None else f"{check.cllr:.3f}",
        None if check.cllr_min is None else f"{check.cllr_min:.3f}",
        _rate(check.fake_of_real, check.fake_of_real_interval),
        _rate(check.real_of_fake, check.real_of_fake_interval),
        _mean(both), _mean(outside),
    )  # fmt: skip


def _rate(value: float | None, ends: tuple[float, float] | None) -> str | None:
    if value is None or ends is None or not all(map(math.isfinite, ends)):
        return None
    return f"{value:.1%} ({ends[0]:.1%} to {ends[1]:.1%})"


def _mean(parts: list[tuple[float | None, int]]) -> str | None:
    known = [(value, n) for value, n in parts if value is not None]
    total = sum(n for _, n in known)
    return f"{sum(value * n for value, n in known) / total:.1%}" if total else None
