"""The rules of gendkit's conformance kit, each a test, on a miniature of each benchmark."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np

from gendkit.testing import Given, plugin_checks


def videos(folder: Path, names: Iterable[str]) -> None:
    """Write videos of two frames."""
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(seed).integers(0, 256, (2, 48, 64, 3), dtype=np.uint8)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for image in noise:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())


def faceforensics(folder: Path) -> Given:
    real, fake = (
        "original_sequences/{}/c23/videos/{}.mp4",
        "manipulated_sequences/{}/c23/videos/{}.mp4",
    )
    pairs = {"train": ("000", "003"), "val": ("010", "011"), "test": ("020", "021")}
    names = [real.format("actors", "01__kitchen_still")]
    names += [fake.format("DeepFakeDetection", "01_02__kitchen_still__ABCD1234")]
    for split, (a, b) in pairs.items():
        names += [real.format("youtube", one) for one in (a, b)]
        names += [fake.format(m, f"{a}_{b}") for m in ("Deepfakes", "NeuralTextures")]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{split}.json").write_text(json.dumps([[a, b]]))
    videos(folder, names)
    return Given(root=folder)


def celeb_df(folder: Path) -> Given:
    names = ["Celeb-real/id0_0000.mp4", "Celeb-real/id1_0000.mp4", "YouTube-real/00000.mp4"]
    names += ["Celeb-synthesis/id0_id1_0000.mp4", "Celeb-synthesis/id1_id0_0000.mp4"]
    videos(folder, names)
    (folder / "List_of_testing_videos.txt").write_text(f"1 {names[0]}\n0 {names[3]}\n")
    return Given(root=folder)


test_conformance = plugin_checks(
    "gendkit-benchmarks", given={"faceforensics": faceforensics, "celeb-df": celeb_df}
)
