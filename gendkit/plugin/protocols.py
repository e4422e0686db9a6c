"""What a built part must be able to do, and the small values that pass between parts.

Shapes are written (rows, columns); images are RGB uint8 arrays (H, W, 3); a pixel's centre has
integer coordinates, x to the right and y down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Face:
    """One detected face.

    Attributes
    ----------
    box
        Left, top, right, bottom in pixels.
    landmarks
        (5, 2) float32 x, y: left eye, right eye, nose, left and right mouth corner, where left and
        right are those of the image.
    confidence
        The detector's own score, 0 to 1.
    """

    box: tuple[float, float, float, float]
    landmarks: NDArray[np.float32]
    confidence: float


class FaceExtractor(Protocol):
    """A function from an RGB image to its faces with five landmarks.

    One that looks for no face has an attribute `detects`, which is False; see `FaceExtractorSpec`.
    """

    @property
    def threshold(self) -> float:
        """The least confidence that counts as a face; recorded with every crop."""
        ...

    def __call__(self, image: Image, /) -> list[Face]:
        """Return the faces of an RGB image, most confident first; without any, an empty list."""
        ...


class Backbone(Protocol):
    """A `torch.nn.Module` from normalised pixels (B, 3, H, W) to pooled features (B, D)."""

    def __call__(self, pixels: torch.Tensor, /) -> torch.Tensor:
        """Return the pooled features."""
        ...


@dataclass(frozen=True, kw_only=True)
class LossInputs:
    """What a loss may look at: one batch of B face crops.

    Attributes
    ----------
    logits
        (B, 2), columns real and fake.
    embeddings
        (B, D) unit vectors in float32.
    labels
        (B,) integers, 0 real and 1 fake.
    pair, target_identity, donor_identity
        B strings each, ``DATASET/NAME``, empty where unknown: the id that a real clip and its fakes
        share, and the people who are seen and who lent their face.
    """

    logits: torch.Tensor
    embeddings: torch.Tensor
    labels: torch.Tensor
    pair: tuple[str, ...] = ()
    target_identity: tuple[str, ...] = ()
    donor_identity: tuple[str, ...] = ()


class Loss(Protocol):
    """A function, or a `torch.nn.Module` with weights of its own, from a batch to a number."""

    def __call__(self, inputs: LossInputs, /) -> torch.Tensor:
        """Return the loss, a tensor without dimensions."""
        ...


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One picture of a clip.

    Attributes
    ----------
    index, time
        Its number from 0 in order of display, and its time stamp in seconds (None for a picture).
    image
        RGB uint8 (H, W, 3).
    landmarks
        (5, 2) where the dataset knows them, so that no detector is asked; else None.
    mask
        (H, W) bool, true where the image was manipulated, if the dataset knows it; else None. The
        face that overlaps it most is the one that is meant, unless a run asks for other faces. A
        frame whose mask is empty, or that no face overlaps, is left out; landmarks, if there are
        any, already say which face is meant.
    """

    index: int
    image: Image
    time: float | None = None
    landmarks: NDArray[np.float32] | None = None
    mask: NDArray[np.bool_] | None = None


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One video or picture of a dataset, with everything that is known about it.

    Attributes
    ----------
    video
        Its id, unique within the dataset; at most letters, digits, `-`, `_`, `.` and `/`.
    media
        A file, or a function that renders the frames (it must be seeded and picklable).
    dataset
        The name of the dataset.
    label
        0 real, 1 fake, -1 unknown.
    method, family
        The manipulation and its kind; empty for a real clip.
    pair
        The id of the target clip, shared by a real clip and all its fakes.
    target_identity, donor_identity
        Who is seen, and whose face was put there.
    split
        `train`, `development` or `final`, if the dataset says so; else empty.
    degradation
        What was done to the clip that is no manipulation, such as `jpeg`; empty for nothing.
    year
        In which the clip was made, if that is known.
    generator_year
        In which its method was first published, if that is known.
    licence
        Of the clip, if it is another than that of the dataset.
    """

    video: str
    media: Path | Callable[[], Iterable[Frame]]
    dataset: str
    label: int
    method: str = ""
    family: str = ""
    pair: str = ""
    target_identity: str = ""
    donor_identity: str = ""
    split: str = ""
    degradation: str = ""
    year: int | None = None
    generator_year: int | None = None
    licence: str = ""


class Dataset(Protocol):
    """An object whose `clips()` gives the clips, always in the same order."""

    def clips(self) -> Iterable[Clip]:
        """Return the clips; their media are read or rendered later."""
        ...


Builder = Callable[..., Any]
