"""From a lossless crop on disk to an augmented, normalised 224 px batch.

The reference takes one image at a time: PNG (with OpenCV's choice of filter), Pillow, torchvision's
augmentations, CLIP's image processor (that of transformers for Pillow, where it is installed; else
the same steps in Pillow and numpy). Ours begins with PNG as `gendkit extract` writes it, or a pack.
What counts is processor time, summed over threads, an image: "per image and core". All are timed in
turns, each from a loader that has kept nothing in memory; the median of the rounds counts.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from run import Row
from torch import Tensor
from torchvision.transforms import v2

from gendkit.builtin.datasets import SyntheticFaces
from gendkit.data.loader import Loader
from gendkit.data.manifest import Manifest
from gendkit.data.png import encode_png
from gendkit.plugin.manager import plugins
from gendkit.plugin.specs import Preprocessing

CROPS, BATCH, ROUNDS, TIMES = 64, 32, 7, 4
SIDES = (256, 320, 384)
AUGMENT = v2.Compose(
    [
        v2.RandomHorizontalFlip(),
        v2.RandomAffine(10, translate=(0.1, 0.1), scale=(0.9, 1.1)),
        v2.RandomApply([v2.GaussianBlur(7, (0.1, 2.0))], p=0.1),
        v2.ColorJitter(brightness=0.1, contrast=0.1),
        v2.JPEG((40, 100)),
    ]
)


def rows() -> Iterator[Row]:
    """Compare the paths that a recipe can choose with the reference."""
    preprocessing = plugins().spec("backbone", "clip-vitl14").preprocessing
    threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield from _rows(drawn_crops(Path(folder)), preprocessing)
        with tempfile.TemporaryDirectory() as folder:
            yield from _stores(drawn_crops(Path(folder), sides=(224,)), preprocessing)
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])


def _rows(crops: Manifest, preprocessing: Preprocessing) -> Iterator[Row]:
    packed, process = crops.pack(), processor()
    files = [crops.root / path for path in crops.table["path"]]
    photos = [_as_opencv_writes(file) for file in files]

    def ours(manifest: Manifest, augmentation: str | None) -> Callable[[], None]:
        return partial(epoch, manifest, preprocessing, augmentation)

    paths = {
        "PNG, gend": (ours(crops, "gend"), "≥ 1.7"),
        "packed, gend": (ours(packed, "gend"), "≥ 3"),
        "PNG, host's part of gend-batched": (ours(crops, None), "≥ 1.7"),
        "packed, host's part of gend-batched": (ours(packed, None), "≥ 3"),
        "packed, gend-batched, all on the CPU": (ours(packed, "gend-batched"), ""),
    }
    calls = {name: call for name, (call, _) in paths.items()}
    other, same = "one at a time", "one at a time, PNG as ours"
    taken = in_turns(
        {other: partial(one_by_one, photos, process), same: partial(one_by_one, files, process)}
        | calls
    )
    ratios = [(other, name, reach) for name, (_, reach) in paths.items()]
    for reference, name, reach in (*ratios, (same, "PNG, gend", "")):
        yield Row(
            work=f"crop to batch: {reference} ÷ {name}",
            reach=reach,
            found=f"{taken[reference] / taken[name]:.2f} "
            f"({taken[reference] / CROPS:.2f} and {taken[name] / CROPS:.2f} ms an image)",
        )


def _stores(files: Manifest, preprocessing: Preprocessing) -> Iterator[Row]:
    """Compare the ways of keeping crops that are as large as the backbone takes them.

    Nothing is augmented: what is timed is reading, stacking and normalising.
    """
    rows = np.tile(np.arange(CROPS), TIMES)
    ways = {
        name: replace(manifest, table=manifest.table.iloc[rows].reset_index(drop=True))
        for name, manifest in (("zarr", files.to_zarr(files.root / "zarr")), ("pack", files.pack()))
    }
    ways["PNG"] = replace(files, table=files.table.iloc[rows].reset_index(drop=True))
    for workers in (1, 4):
        for shuffled in (False, True):
            calls = {
                name: partial(_read, way, preprocessing, workers=workers, shuffled=shuffled)
                for name, way in ways.items()
            }
            cpu, wall = in_turns(calls), in_turns(calls, clock=time.perf_counter)
            for name, reach in (("zarr", "≥ 5"), ("pack", "")):
                each = [1000 * len(rows) / wall[which] for which in (name, "PNG")]
                yield Row(
                    work=f"crops a second: {name} ÷ PNG, 224 px, "
                    f"{'shuffled' if shuffled else 'in order'}, threads: {workers}",
                    reach=reach,
                    found=f"{wall['PNG'] / wall[name]:.1f} ({each[0]:.0f} and {each[1]:.0f}); "
                    f"by processor time {cpu['PNG'] / cpu[name]:.1f}",
                )


def _read(
    manifest: Manifest, preprocessing: Preprocessing, *, workers: int, shuffled: bool
) -> None:
    loader = Loader(manifest, preprocessing, batch_size=BATCH, workers=workers)
    batches = loader.epoch(0) if shuffled else iter(loader)
    assert sum(len(batch.pixels) for batch in batches) == len(manifest)


def _as_opencv_writes(file: Path) -> Path:
    """Write a PNG again, with OpenCV's own choice of filter, and return where."""
    copy = file.with_name(f"{file.stem}-opencv.png")
    cv2.imwrite(str(copy), cv2.imread(str(file)), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return copy


def epoch(manifest: Manifest, preprocessing: Preprocessing, augmentation: str | None) -> None:
    """Make all batches of a first epoch; without augmentation for None, which is the host's part.

    With `gend-batched`, the host reads, resizes and stacks; the device does the rest.
    """
    loader = Loader(
        manifest, preprocessing, batch_size=BATCH, augmentation=augmentation or "none", workers=1
    )
    batches = loader.epoch(0) if augmentation else iter(loader)
    assert sum(len(batch.pixels) for batch in batches) == CROPS


def one_by_one(paths: list[Path], process: Callable[[Image.Image], Tensor]) -> None:
    """Make the same batches by the reference."""
    for start in range(0, len(paths), BATCH):
        images = []
        for path in paths[start : start + BATCH]:
            with Image.open(path) as picture:
                images.append(process(AUGMENT(picture.convert("RGB"))))
        torch.stack(images)


def processor() -> Callable[[Image.Image], Tensor]:
    """Return CLIP's image processor in Pillow and numpy."""
    try:
        from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    except ImportError:
        return clip_by_hand
    made: Any = CLIPImageProcessorPil()
    return lambda picture: made(images=picture, return_tensors="pt")["pixel_values"][0]


def clip_by_hand(picture: Image.Image) -> Tensor:
    """Do what the processor does: short side to 224, centre, scale, normalise, step by step."""
    short = min(picture.size)
    size = [int(224 * side / short) for side in picture.size]
    pixels = np.asarray(picture.convert("RGB").resize(size, Image.Resampling.BICUBIC))
    left, top = ((side - 224) // 2 for side in size)
    pixels = pixels[top : top + 224, left : left + 224]
    scaled = (pixels.astype(np.float64) * (1 / 255)).astype(np.float32)
    mean = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
    std = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
    return torch.from_numpy(np.ascontiguousarray(((scaled - mean) / std).transpose(2, 0, 1)))


def in_turns(
    calls: dict[str, Callable[[], None]], *, clock: Callable[[], float] = time.process_time
) -> dict[str, float]:
    """Return the median time in milliseconds of each, after one round of all."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(ROUNDS + 1):
        for name, call in calls.items():
            start = clock()
            call()
            if number:
                taken[name].append((clock() - start) * 1000)
    return {name: statistics.median(times) for name, times in taken.items()}


def drawn_crops(folder: Path, *, sides: Sequence[int] = SIDES) -> Manifest:
    """Write drawn faces of several sizes as extraction writes crops."""
    table = []
    people = SyntheticFaces(identities=CROPS, clips=1, controls=False).clips()
    faces = [clip for clip in people if clip.label == 0]
    for number, clip in enumerate(faces):
        frame = next(iter(clip.media()))
        side = sides[number % len(sides)]
        image = cv2.resize(frame.image, (side, side), interpolation=cv2.INTER_LINEAR)
        (folder / f"{number}.png").write_bytes(encode_png(image))
        table.append({"sample": str(number), "path": f"{number}.png", "label": 0})
    return Manifest.from_rows(table, folder)
