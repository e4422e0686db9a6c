"""`gendkit study robustness`: what a detector says of crops that lose quality."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import click

from gendkit.cli.options import ADAPTER, BATCH_SIZE, DEVICE, DTYPE, FOLDER, OVERWRITE, manifest_of
from gendkit.cli.show import frame_rows, show_json, show_table

MARKER = "robustness.json"


@click.command()
@click.argument("manifest", metavar="MANIFEST[:SPLIT]")
@ADAPTER
@click.option("--out", required=True, type=FOLDER, help="New folder for tables and picture.")
@click.option("--grid", "grids", multiple=True, metavar="NAME",
              help="Of the paper: jpeg, blur, resize, noise; may be repeated "
              "[default: all].")  # fmt: skip
@click.option("--chain", "chains", multiple=True, metavar="TEXT",
              help="A degradation of your own, such as 'resize:112:area, h264:30'; may be "
              "repeated, from mild to strong.")  # fmt: skip
@click.option("--reference", metavar="MANIFEST[:SPLIT]",
              help="Crops on which the threshold is fixed [default: MANIFEST].")  # fmt: skip
@click.option("--against", metavar="FILE", type=FOLDER,
              help="Another adapter, such as of a probe, to compare with on the page.")  # fmt: skip
@click.option("--max-fpr", default=0.05, show_default=True,
              type=click.FloatRange(0, 1, max_open=True),
              help="Part of the reals, as they are, that may be called fake.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Of noise.")
@BATCH_SIZE
@DEVICE
@DTYPE
@OVERWRITE
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON document.")
def robustness(
    manifest: str,
    *,
    adapter: Path,
    out: Path,
    grids: tuple[str, ...],
    chains: tuple[str, ...],
    reference: str | None,
    against: Path | None,
    max_fpr: float,
    seed: int,
    batch_size: int,
    device: str | None,
    dtype: Any,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Score crops that lose quality, level by level.

    By default at the paper's levels of JPEG, blur, resize and noise. Writes robustness.csv, .json
    and .png to OUT, and with bands over people report.html, study.ipynb and result.zarr. Called
    fake is what scores above a threshold that is fixed on crops as they are. The same command goes
    on where one was stopped: until OUT is written, scores are kept in .OUT-scores beside it.

    \b
    Example: gendkit study robustness crops:final --adapter run --out robust
             gendkit study robustness crops:final --adapter run --out robust --grid jpeg --grid blur
             gendkit study robustness crops:final --adapter run --out robust
                 --chain 'resize:112:area, jpeg:60' --reference crops:development
    """
    from gendkit.output import new_folder

    chosen = _chosen(grids, chains)
    written = new_folder(out, overwrite=overwrite, marker=MARKER)  # before torch is loaded
    crops = manifest_of(manifest)
    clean = None if reference is None else manifest_of(reference)
    import gendkit
    from gendkit.data.coverage import coverage_words
    from gendkit.evaluate.robustness import robustness_table
    from gendkit.evaluate.study.curves import robustness_study
    from gendkit.evaluate.study.run import RESULT, open_study, write_result
    from gendkit.notebook.study import write_pages

    kept = out.resolve().with_name(f".{out.resolve().name}-scores")
    found = {
        name: gendkit.robustness(
            crops, gendkit.load(path, device=device, dtype=dtype), grids=chosen, reference=clean,
            max_fpr=max_fpr, seed=seed, batch_size=batch_size, keep=kept,
        )
        for name, path in _named(adapter, against).items()
    }  # fmt: skip
    ds, *others = found.values()
    table, counts = robustness_table(ds), json.loads(ds.attrs["coverage"])
    result = {
        "manifest": manifest, "reference": reference or manifest, **ds.attrs, "coverage": counts,
        "clips": ds.sizes["clip"], "crops": int(ds["crops"].sum()), "levels": frame_rows(table),
        "against": [
            {"adapter": other.attrs["adapter"], "threshold": other.attrs["threshold"],
             "levels": frame_rows(robustness_table(other))} for other in others
        ],
    }  # fmt: skip
    page = robustness_study(found, data=manifest, reference=reference or "")
    with written as folder:
        table.to_csv(folder / "robustness.csv", lineterminator="\n")
        (folder / MARKER).write_text(json.dumps(result, indent=2), encoding="utf-8")
        gendkit.plot_robustness(ds).savefig(folder / "robustness.png", dpi=200)
        write_result(page, folder / RESULT)
        write_pages(open_study(folder), folder)
    shutil.rmtree(kept, ignore_errors=True)
    if as_json:
        return show_json(result)
    columns = ("grid", "level", "AUROC", "fakes found", "false alarms", "real moves", "fake moves")
    show_table(
        [
            (r["grid"] if not r["level"] else "", r["chain"] or "as is", _shown(r["auroc"], ".3f"),
             _shown(r["tpr"], ".1%"), _shown(r["fpr"], ".1%"), _shown(r["shift_real"], "+.3f"),
             _shown(r["shift_fake"], "+.3f"))
            for r in result["levels"]
        ],
        columns, right=columns[2:],
    )  # fmt: skip
    click.echo(
        f"{coverage_words(counts) if counts else 'coverage is not known'}; {result['crops']:,} "
        f"crops of {result['clips']:,} clips, of {page.attrs['components']:,} linked groups of "
        "people; called fake above "
        f"{ds.attrs['threshold']:.3f}, fixed on {ds.attrs['threshold_reals']} real clips of "
        f"{reference or manifest} as they are. Page, tables and picture in {out}"
    )
    return None


def _shown(value: float | None, style: str) -> str | None:
    """Return a number as it is shown; None if a class is missing that it is of."""
    return None if value is None or not math.isfinite(value) else format(value, style)


def _chosen(names: tuple[str, ...], chains: tuple[str, ...]) -> dict[str, Any]:
    """Return the grids that were asked for; misspelt ones are refused before torch is loaded."""
    from gendkit.data.degrade import Chain

    grids: dict[str, Any] = {"own": [Chain.parse(text) for text in chains]} if chains else {}
    for chain in grids.get("own", ()):
        chain.at(seed=0)  # refuses one that is not exact
    if names or not chains:
        from gendkit.evaluate.robustness import GRIDS

        kinds = {grid: (grid, grid.split("-")[0]) for grid in GRIDS}
        if unknown := [name for name in names if not any(name in k for k in kinds.values())]:
            known = ", ".join(dict.fromkeys([*(kind for _, kind in kinds.values()), *GRIDS]))
            raise click.UsageError(f"no grid is named {unknown[0]!r}; there is {known}.")
        paper = [g for g in GRIDS if not names or set(names) & set(kinds[g])]
        grids = {name: GRIDS[name] for name in paper} | grids
    return grids


def _named(adapter: Path, against: Path | None) -> dict[str, Path]:
    """Return the adapters by names to show: their own, or their places where these are the same."""
    paths = [adapter] if against is None else [adapter, against]
    names = [path.resolve().name.removesuffix(".safetensors") for path in paths]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    return dict(zip(names, paths, strict=True))
