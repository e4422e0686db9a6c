"""`gendkit explain`: where on the faces of one file the score comes from."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import click

from gendkit.cli.options import ADAPTER, DEVICE, DTYPE, FOLDER, OVERWRITE, TIME_LIMIT
from gendkit.cli.show import show_json, show_table

MARKER = "explanations.json"
METHODS = ("rollout", "gradient", "occlusion")


@click.command()
@click.argument("media", type=click.Path(path_type=Path))
@ADAPTER
@click.option("--out", required=True, type=FOLDER, metavar="FOLDER|FILE.png",
              help="New folder for picture and maps, or the picture alone.")  # fmt: skip
@click.option("--method", "methods", multiple=True, type=click.Choice(METHODS),
              help="May be repeated [default: all].")  # fmt: skip
@click.option("--frames", default=4, show_default=True, type=click.IntRange(1),
              help="Faces sought in a video.")  # fmt: skip
@click.option("--window", type=click.IntRange(1), metavar="PX",
              help="Side of occlusion's grey window [default: that of the input / 4].",
              )  # fmt: skip
@click.option("--stride", type=click.IntRange(1), metavar="PX",
              help="By which it is moved [default: half the window].")  # fmt: skip
@click.option("--extractor", help="Face extractor [default: that of the training].")
@TIME_LIMIT
@DEVICE
@DTYPE
@OVERWRITE
@click.option("--json", "as_json", is_flag=True, help="What was found as one JSON document.")
def explain(
    media: Path,
    *,
    adapter: Path,
    out: Path,
    methods: tuple[Any, ...],
    frames: int,
    window: int | None,
    stride: int | None,
    extractor: str | None,
    time_limit: float | None,
    device: str | None,
    dtype: Any,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Show where on the faces of a picture or video the score comes from.

    rollout is where the encoder looks, whatever its head says; gradient what of that speaks for
    fake; both need an encoder with attention. occlusion is what the score loses where a grey window
    covers the face (extra gendkit[explain]). None of them shows where a picture was changed: they
    show what this detector uses, and may disagree. A folder gets explanations.png, .json and the
    maps as result.zarr.

    \b
    Example: gendkit explain holiday.jpg --adapter run --out holiday-explained.png
             gendkit explain clip.mp4 --adapter run --out explained --method occlusion --frames 8
    """
    from gendkit.output import check_new_file, new_folder, write_whole

    alone = out.suffix.lower() == ".png"
    written = None  # both before torch is loaded
    if alone:
        check_new_file(out, overwrite=overwrite)
    else:
        written = new_folder(out, overwrite=overwrite, marker=MARKER)
    import gendkit
    from gendkit.errors import NotExamined

    detector = gendkit.load(adapter, device=device, dtype=dtype)
    built = detector.sendable_extractor(extractor)
    examined = detector.examine(media, frames=frames, extractor=built, time_limit=time_limit)
    faces = [(crop, crop.image) for crop in examined.crops if crop.image is not None]
    if not faces:
        raise NotExamined(
            f"{media}: no face was found in {examined.frames_looked_at} frames; expected is one "
            "that can be seen: give other media, or another --extractor."
        )
    ds = gendkit.explain(
        [image for _, image in faces], detector, method=methods or METHODS, window=window,
        stride=stride,
    )  # fmt: skip
    ds = ds.assign_coords(frame=("crop", [crop.frame for crop, _ in faces]))
    result = {
        "media": media.name, "methods": list(methods or METHODS), **ds.attrs,
        "problem": examined.problem,
        "faces": [
            {"frame": crop.frame, "time": crop.time, "score": score, "margin": margin}
            for (crop, _), score, margin in zip(
                faces, ds["score"].to_numpy().tolist(), ds["margin"].to_numpy().tolist(),
                strict=True,
            )
        ],
    }  # fmt: skip
    figure = gendkit.plot_explanations(ds)
    if written is None:
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=200)
        out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(out, buffer.getvalue())
    else:
        with written as folder:
            figure.savefig(folder / "explanations.png", dpi=200)
            (folder / MARKER).write_text(json.dumps(result, indent=2), encoding="utf-8")
            ds.to_zarr(folder / "result.zarr", mode="w", zarr_format=3, consolidated=False)
    if as_json:
        return show_json(result)
    show_table(
        [
            (str(face["frame"]), f"{face['score']:.3f}", f"{face['margin']:+.2f}")
            for face in result["faces"]
        ],
        ("frame", "score", "margin"), right=("frame", "score", "margin"),
    )  # fmt: skip
    click.echo(f"{', '.join(result['methods'])} of {len(faces)} faces in {out}")
    return None
