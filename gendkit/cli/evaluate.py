"""`gendkit evaluate`: detectors compared across data sets, each scored once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gendkit.cli.options import BATCH_SIZE, DEVICE, DTYPE, FOLDER, manifest_of
from gendkit.cli.show import show_json, show_table

if TYPE_CHECKING:
    from gendkit.evaluate.benchmark.run import Benchmark

ON = "--on"


class _Greedy(click.Command):
    """A command whose option `--on` takes all that follows it, up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        spread: list[str] = []
        taking = False
        for text in args:
            if text.startswith("-") and text != "-":
                taking = text == ON
                if not taking:
                    spread.append(text)
            else:
                spread += [ON, text] if taking else [text]
        if args and args[-1] == ON:
            spread.append(ON)  # click says that it needs a value
        return super().parse_args(ctx, spread)


@click.command(cls=_Greedy)
@click.argument("adapters", nargs=-1, required=True, metavar="[NAME=]ADAPTER...")
@click.option(ON, "on", multiple=True, required=True, metavar="[NAME=]MANIFEST[:SPLIT]...",
              help="Labelled crops; all that stand after it, up to the next option.")  # fmt: skip
@click.option("--out", required=True, type=FOLDER,
              help="Folder for scores, result, tables, pictures and page.")  # fmt: skip
@click.option("--threshold", default=0.5, show_default=True, type=click.FloatRange(0, 1),
              help="Called fake is what scores above it.")  # fmt: skip
@click.option("--alike", multiple=True, metavar="NAME,NAME",
              help="Data sets whose names mean the same clips and people; may be "
              "repeated.")  # fmt: skip
@click.option("--resamples", default=1000, show_default=True, type=click.IntRange(min=1),
              help="Of the intervals.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0),
              help="Of the resamples.")  # fmt: skip
@BATCH_SIZE
@DEVICE
@DTYPE
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def evaluate(
    adapters: tuple[str, ...],
    *,
    on: tuple[str, ...],
    out: Path,
    threshold: float,
    alike: tuple[str, ...],
    resamples: int,
    seed: int,
    batch_size: int,
    device: str | None,
    dtype: Any,
    as_json: bool,
) -> None:
    """Compare detectors across data sets.

    Each detector scores each data set once: the scores are kept in OUT by the hashes of all that
    they depend on, so that the same command goes on where it was killed, computes nothing once it
    is done, and with further detectors or data scores only these. The result is of what the command
    names: that of an earlier command is replaced.

    Adapters whose recipe and training data are recorded to be the same but for the seed are seeds
    of one detector, as are those of one NAME. A manifest with several data sets is taken apart by
    its column; with a NAME it is one. Data cropped in several ways, each for the detectors that
    were trained on such crops, is given several times under one NAME.

    The page is OUT/result/benchmark.html, with tables as CSV, Markdown and LaTeX, pictures, the
    scores of each crop, and the result as a zarr store beside it.

    \b
    Example: gendkit evaluate run --on crops:development --out benchmark
             gendkit evaluate probe=a/run tuned=b/run tuned=c/run
                 --on celeb-df kodf mine=crops:final --out benchmark
    """
    from gendkit.evaluate.benchmark.run import RESULT, check_folder

    check_folder(out)
    from gendkit.pages.benchmark import PAGE, benchmark_page

    who = _named(adapters)
    what = {name: [manifest_of(text) for text in texts] for name, texts in _named(on).items()}
    from gendkit.evaluate.benchmark.run import benchmark

    found = benchmark(
        who, what, out, threshold=threshold, alike=[_names(text) for text in alike],
        resamples=resamples, seed=seed, batch_size=batch_size, device=device, dtype=dtype,
    )  # fmt: skip
    page = out / RESULT / PAGE
    if not (found.kept and page.is_file()):
        benchmark_page(found)
    if as_json:
        return show_json(_record(found, page))
    from gendkit.evaluate.benchmark.tables import tables

    main = tables(found)[0]
    show_table(main.rows, main.head, right=main.head[1:-1])
    for note in found.notes:
        click.echo(note, err=True)
    done = "the result was there already" if found.kept else f"{found.scored:,} crops were scored"
    click.echo(f"{'nothing was computed, ' if found.kept else ''}{done}; the page: {page}")
    return None


def _named(texts: Iterable[str]) -> dict[str, list[str]]:
    """Read [NAME=]PATH, by name; what is there as a whole is a path."""
    found: dict[str, list[str]] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or Path(text).exists():
            name, path = "", text
        elif not (name and path):
            raise click.UsageError(f"expected [NAME=]PATH, got {text!r}.")
        found.setdefault(name, []).append(path)
    return found


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if len(names) < 2:
        raise click.UsageError(f"--alike takes two or more names, such as a,b; got {text!r}.")
    return names


def _record(found: Benchmark, page: Path) -> dict[str, Any]:
    """Return what the command says as JSON values."""
    from gendkit.cli.show import frame_rows
    from gendkit.evaluate.benchmark.clips import ALL

    ds = found.ds
    by_set = ds[[f"{n}{e}" for n in ("auroc", "method_mean", "fpr", "tpr", "balanced_accuracy")
                 for e in ("", "_low", "_high")]].sel({"method": ALL}, drop=True)  # fmt: skip
    beside = ds[["crops_made", "same_crops", "trained_on", "selected_on"]]
    examined = {f"{name}_{kind}": ds[name].sel({"class": kind}, drop=True)
                for name in ("examined", "clips") for kind in ("real", "fake")}  # fmt: skip
    table = by_set.merge(beside).assign(examined).to_dataframe()
    overall = ds[["overall", "overall_low", "overall_high"]].to_dataframe()
    kept = ("name", "seed", "adapter", "hash", "dtype", "backbone", "preprocessing")
    return {
        "out": str(found.folder), "page": str(page), "scored": found.scored or 0,
        "kept": found.kept, "threshold": ds.attrs["threshold"],
        "detectors": [{k: c[k] for k in kept} for c in found.record["detectors"]],
        "datasets": found.record["datasets"], "results": frame_rows(table),
        "overall": frame_rows(overall), "notes": found.notes,
        "undefined": list(found.record["undefined"]),
    }  # fmt: skip
