"""A detector that needs no weights: a tiny backbone, and an extractor that sees bright pictures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gendkit.cli import main
from gendkit.plugin import BackboneSpec, Face, FaceExtractorSpec, plugins

SIZE, DIM = 28, 8
BRIGHT = 60


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def complaints(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("gendkit: error: ")]


@pytest.fixture
def gendkit(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Said]]:
    """A function that runs the command line in this process."""
    monkeypatch.setenv("HF_HUB_VERBOSITY", "error")
    root = logging.getLogger()
    loggers = [root, logging.getLogger("gendkit"), logging.getLogger("huggingface_hub")]
    handlers, levels = root.handlers[:], [logger.level for logger in loggers]

    def run(*arguments: object) -> Said:
        capfd.readouterr()
        code = main([str(a) for a in arguments])
        captured = capfd.readouterr()
        return Said(code=code, out=captured.out, err=captured.err)

    yield run
    root.handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def build_backbone(*, pretrained: bool = True, image_size: int = SIZE) -> Any:
    import torch
    from torch import nn

    generator = torch.Generator().manual_seed(3)
    module = nn.Sequential(
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(3 * 4, DIM),
        nn.LayerNorm(DIM),
        nn.Linear(DIM, DIM),
    )
    with torch.no_grad():
        for layer in (module[2], module[4]):
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
            layer.bias.zero_()
    return module


class Bright:
    """Sees one face in the middle of a bright picture, and none in a dark one."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def __call__(self, image: Any, /) -> list[Face]:
        height, width = image.shape[:2]
        if image.mean() < BRIGHT or min(height, width) < 16:
            return []
        template = np.array([(0.4, 0.4), (0.6, 0.4), (0.5, 0.5), (0.42, 0.62), (0.58, 0.62)])
        return [
            Face(
                box=(0.3 * width, 0.3 * height, 0.7 * width, 0.7 * height),
                landmarks=(template * (width, height)).astype(np.float32),
                confidence=0.9,
            )
        ]


def parts() -> list[Any]:
    colours = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    about = {"summary": "for tests", "licence": "none", "dim": DIM, "image_size": SIZE}
    return [
        BackboneSpec(name="toy", build=build_backbone, **about, **colours),
        BackboneSpec(name="other", build=_other, **about, **colours),
        FaceExtractorSpec(
            name="bright",
            summary="for tests",
            licence="none",
            threshold=0.5,
            build=lambda *, threshold=0.5: Bright(threshold),
        ),
    ]


def _other(**options: Any) -> Any:
    import torch

    module = build_backbone(**options)
    with torch.no_grad():
        module[2].weight.mul_(2)
    return module


@pytest.fixture(scope="module")
def toys() -> Iterator[None]:
    """Register the toys for the tests of a module."""
    plugins.cache_clear()
    plugins().register(parts(), name="toys")
    yield
    plugins.cache_clear()


@pytest.fixture(scope="module")
def adapter(toys: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter file of the toy backbone."""
    return write_adapter(tmp_path_factory.mktemp("adapter") / "adapter.safetensors")


def write_adapter(path: Path) -> Path:
    import torch

    from gendkit.model.adapter import Adapter, header_of
    from gendkit.model.tuning import copy_of, norm_parameters, norm_types

    spec = plugins().spec("backbone", "toy")
    backbone = build_backbone()
    header = header_of(
        backbone,
        spec,
        spec.preprocessing,
        source="toys",
        extraction={"extractor": "bright", "threshold": 0.5, "scale": 1.3, "size": None},
    )
    norms = copy_of(norm_parameters(backbone, norm_types(spec.norm_classes)))
    head = {"weight": torch.arange(2.0 * DIM).reshape(2, DIM) / 20, "bias": torch.zeros(2)}
    return Adapter(header=header, norms=norms, head=head).write(path)


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bright picture."""
    from PIL import Image

    pixels = np.random.default_rng(0).integers(100, 255, (48, 64, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("picture") / "bright.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of videos of 24 frames: bright, dark, half (bright at first) and cut (off)."""
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "bright.mp4", [200] * 24)
    write_video(folder / "dark.mp4", [5] * 24)
    write_video(folder / "half.mp4", [200] * 12 + [5] * 12)
    whole = (folder / "bright.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) * 6 // 10])
    return folder


def write_video(path: Path, levels: list[int]) -> None:
    import av

    rng = np.random.default_rng(1)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = 6
        for level in levels:
            noise = rng.integers(0, 25, (48, 64, 3))
            frame = av.VideoFrame.from_ndarray((level + noise).astype(np.uint8), format="rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
