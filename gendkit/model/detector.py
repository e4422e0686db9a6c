"""A detector: a backbone with tuned layer norms and a head, from face crops or files to scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gendkit.data.examine import Examined
from gendkit.data.extractors import WhenAsked, build_extractor
from gendkit.data.media import Order
from gendkit.data.which import Which
from gendkit.device import DTYPES, Dtype, as_input, compute, usable
from gendkit.errors import InvalidArgument, UnknownPart, WrongBackbone
from gendkit.markup import DASH, card, number, visible
from gendkit.model.adapter import Adapter
from gendkit.model.backbone import build_backbone, held
from gendkit.model.batches import BATCH, batches
from gendkit.model.export import Layout, check_layout, write_model
from gendkit.model.files import examine_file, score_file
from gendkit.model.gend import find_gend
from gendkit.model.head import Head
from gendkit.model.losses import normalise
from gendkit.model.score import Score
from gendkit.model.shared import SharedBackbone
from gendkit.model.tuned import put
from gendkit.plugin.manager import plugins
from gendkit.plugin.specs import BackboneSpec, Preprocessing

if TYPE_CHECKING:
    from gendkit.plugin.protocols import FaceExtractor

EXTRACTOR, SCALE = "centerface", 1.3


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What a detector says of N crops.

    Attributes
    ----------
    embedding
        (N, D) float32 unit vectors.
    logit
        (N, 2) float32, columns real and fake.
    score
        (N,) float32 P(fake) by softmax.
    length
        (N,) float32 lengths of the features that the embeddings are the directions of; None where
        these are not known.
    """

    embedding: NDArray[np.float32]
    logit: NDArray[np.float32]
    score: NDArray[np.float32]
    length: NDArray[np.float32] | None = None

    @property
    def margin(self) -> NDArray[np.float32]:
        """(N,) logit of fake less that of real."""
        return self.logit[:, 1] - self.logit[:, 0]

    def __repr__(self) -> str:
        crops, features = self.embedding.shape
        return f"Outputs({crops:,} crops, {features:,} features)"

    def _repr_html_(self) -> str:
        crops, features = self.embedding.shape
        mean = number(float(self.score.mean())) if crops else DASH
        return card("Outputs", {"crops": crops, "features": features, "mean score": mean})


class Detector:
    """Scores face crops, images and videos.

    `gk.load` makes one from an adapter file. The score is a softmax output with the training prior
    in it, not a calibrated probability.

    Parameters
    ----------
    backbone
        With the adapter applied, in evaluation mode.
    spec
        Of the backbone.
    adapter
        Head, preprocessing and provenance.
    device, dtype
        Where and in which compute dtype the encoder runs.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        spec: BackboneSpec,
        adapter: Adapter,
        device: str = "cpu",
        dtype: Dtype = "float32",
    ) -> None:
        compute(dtype, device)  # refuses a dtype that is not known
        if (narrow := held(backbone)) is not None and narrow.dtype is not DTYPES[dtype]:
            raise InvalidArgument(
                f"this backbone's frozen weights are held in {narrow.dtype} and cannot compute in "
                f"{dtype}; load the adapter by itself."
            )
        self.backbone = backbone.to(device).eval()
        self.spec = spec
        self.adapter = adapter
        self.device = device
        self.dtype = dtype
        self.head = Head.of(adapter.head).to(device)

    def __repr__(self) -> str:
        h = self.adapter.header
        return visible(
            f"Detector({h.backbone}, {h.preprocessing.size} px, adapter {self.adapter.hash[:12]}, "
            f"{self.device}, {self.dtype})"
        )

    def _repr_html_(self) -> str:
        where = {"device": self.device, "dtype": self.dtype, "adapter": self.adapter.hash[:12]}
        return card("Detector", {**self.adapter.header.facts, **where})

    @property
    def preprocessing(self) -> Preprocessing:
        """From crop to input."""
        return self.adapter.header.preprocessing

    @torch.inference_mode()
    def forward(self, pixels: Tensor) -> Outputs:
        """Run a normalised batch (B, 3, S, S)."""
        features = self._features(pixels)
        z, logit = self._read(features)
        return Outputs(
            embedding=z.cpu().numpy(),
            logit=logit.cpu().numpy(),
            score=logit.softmax(dim=1)[:, 1].cpu().numpy(),
            length=features.float().norm(dim=1).cpu().numpy(),
        )

    def tensors(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return unit embeddings (B, D) and logits (B, 2) of a normalised batch (B, 3, S, S).

        They are on the detector's device, and in a graph where gradients are on.
        """
        return self._read(self._features(pixels))

    def _features(self, pixels: Tensor) -> Tensor:
        with compute(self.dtype, self.device):
            features: Tensor = self.backbone(as_input(pixels, self.device))
        return features

    def _read(self, features: Tensor) -> tuple[Tensor, Tensor]:
        z = normalise(features)
        logit: Tensor = self.head(z if self.adapter.header.normalised else features.float())
        return z, logit

    def outputs(self, crops: Iterable[NDArray[np.uint8]], *, batch_size: int = BATCH) -> Outputs:
        """Run RGB uint8 crops (H, W, 3) of any sizes; of a generator, two batches are held.

        Raises
        ------
        InvalidImage
            For a crop of another dtype or shape, or one crop where a list of them is expected.
        InvalidArgument
            If `batch_size` is less than 1.
        """
        ready = batches(crops, self.preprocessing, batch_size, device=self.device)
        parts = [self.forward(pixels) for pixels in ready]
        return join(parts, dim=self.spec.dim)

    def predict(
        self, crops: Iterable[NDArray[np.uint8]], *, batch_size: int = BATCH
    ) -> NDArray[np.float32]:
        """Return P(fake) (N,) of N RGB uint8 crops (H, W, 3) of any sizes."""
        return self.outputs(crops, batch_size=batch_size).score

    def embed(
        self, crops: Iterable[NDArray[np.uint8]], *, batch_size: int = BATCH
    ) -> NDArray[np.float32]:
        """Return unit embeddings (N, D) of N RGB uint8 crops (H, W, 3) of any sizes."""
        return self.outputs(crops, batch_size=batch_size).embedding

    def score(
        self,
        media: str | Path,
        *,
        frames: int = 32,
        order: Order = "spread",
        extractor: str | FaceExtractor | None = None,
        which: Which = "largest",
        time_limit: float | None = None,
    ) -> Score:
        """Score an image or a video: the mean P(fake) over the frames with a face.

        Parameters
        ----------
        media
            A file.
        frames
            How many faces are sought in a video.
        order
            Which frames are looked at first; see `gendkit.data.media.frame_order`.
        extractor
            By default the one whose crops the adapter was trained on.
        which
            `largest`: one face a frame; `track`: those of the main person, see
            `gendkit.data.people.main_person`; `all`: every face, and each person a score, see
            `Score.people`. The more people are scored, the higher the highest is by chance: see
            `gendkit.measure.thresholds.corrected_threshold`.
        time_limit
            Seconds, after which a file is given up: it is then decoded in a child process, which
            may also crash. None is no limit, and decodes in this process.

        Returns
        -------
        Score
            Without a face, its `score` is None: not examined, which is not the same as real.

        Raises
        ------
        MissingMedia, UnreadableMedia
            If there is no file, nothing in it can be decoded, or not in time.
        InvalidArgument
            If `frames` is less than 1, the order is unknown, or `which` is none of these; with a
            time limit also for a built extractor that cannot be pickled.
        """
        return score_file(
            self, self.predict, media, frames=frames, order=order, extractor=extractor,
            which=which, time_limit=time_limit,
        )  # fmt: skip

    def export(self, path: str | Path, *, layout: Layout = "gend", overwrite: bool = False) -> Path:
        """Write the whole model, all weights in float32, as other programs read it.

        Low-rank factors are multiplied out and added to their weights.

        Parameters
        ----------
        path
            A new folder; for `onnx` a new file.
        layout
            `gend`: that of the released GenD models; see `gendkit.model.gend`. `onnx`: one file,
            checked against torch; see `gendkit.model.to_onnx`.
        overwrite
            Replace an earlier export.

        Raises
        ------
        InvalidCheckpoint
            If the layout has no such encoder.
        InvalidArgument
            If the layout is unknown.
        MissingDependency
            If the extra `onnx` is needed and not installed.
        ExportDiffers
            If onnxruntime does not say the same.
        OutputExists, UnwritableOutput
            If there is something else, or nothing can be written there.
        """
        check_layout(layout)
        if held(self.backbone) is not None:  # rounded: the file shall have them as published
            exact = load(self.adapter, device="cpu", dtype="float32")
            return exact.export(path, layout=layout, overwrite=overwrite)
        return write_model(path, self.backbone, self.adapter, layout=layout, overwrite=overwrite)

    def examine(
        self,
        media: str | Path,
        *,
        frames: int = 32,
        order: Order = "spread",
        seed: int = 0,
        extractor: str | FaceExtractor | None = None,
        which: Which = "largest",
        time_limit: float | None = None,
    ) -> Examined:
        """Crop the faces of a file as those of the training data were.

        As for `score`; `seed` and `which` as for `gendkit.data.examine.examine`.
        """
        return examine_file(
            self, media, frames=frames, order=order, seed=seed, extractor=extractor, which=which,
            time_limit=time_limit,
        )  # fmt: skip

    @property
    def extractor_name(self) -> str:
        """Of the face extractor of the training data; empty if that has none."""
        recorded = self.adapter.header.extraction.get("extractor")
        return EXTRACTOR if recorded is None else str(recorded)

    @property
    def scale(self) -> float:
        """Of the crops of the training data; see `gendkit.data.faces.align_face`."""
        return float(self.adapter.header.extraction.get("scale") or SCALE)

    def extractor(self, name: str | None = None) -> FaceExtractor:
        """Build the named face extractor, or that of the training data with its threshold.

        Raises
        ------
        UnknownPart
            If no plugin gives it, or that of the training data has no name.
        PluginError, MissingAsset, CorruptAsset, MissingDependency
            If it cannot be built.
        """
        name, options = self._extractor_options(name)
        return build_extractor(name, **options)

    def sendable_extractor(self, name: str | None = None) -> FaceExtractor:
        """Return the same as `extractor`, but one that child processes can build for themselves.

        Errors as there.
        """
        name, options = self._extractor_options(name)
        asked = WhenAsked(plugins().part("face-extractor", name), options)
        asked.build()
        return asked

    def _extractor_options(self, name: str | None) -> tuple[str, dict[str, Any]]:
        extraction = self.adapter.header.extraction
        default = self.extractor_name
        if name is None and not default:
            raise UnknownPart(
                "the face extractor of the training data has no name, so it cannot be built again; "
                "give it as extractor=, or another one by its name."
            )
        threshold = extraction.get("threshold") if name in (None, default) else None
        options: dict[str, Any] = {} if threshold is None else {"threshold": float(threshold)}
        return default if name is None else name, options


def load(
    adapter: str | Path | Adapter,
    *,
    device: str | None = None,
    dtype: Dtype | None = None,
    backbone: nn.Module | SharedBackbone | None = None,
) -> Detector:
    """Load a detector from an adapter file, or from a model in the layout of the released GenD.

    Parameters
    ----------
    adapter
        A file written by `gendkit train`, the folder that holds it, an `Adapter`; or a folder or
        hub id (`owner/name`) with `config.json` and `model.safetensors` as GenD's models have them,
        or a `.ckpt` of its training.
    device
        Such as `cuda`; by default the best there is.
    dtype
        Compute dtype of the encoder; by default the one that the adapter was trained in.
    backbone
        The base backbone, if it is already in memory. The layer norms of a module are overwritten;
        of a `SharedBackbone` there can be many detectors.

    Raises
    ------
    InvalidAdapter
        If the file is damaged or no adapter.
    WrongBackbone
        If the backbone's weights are not those that it was trained on.
    InvalidCheckpoint
        If a model in GenD's layout does not fit what it says of itself.
    MissingAsset
        If the backbone's weights, or a model of the hub, are not to be had. A checkpoint of the
        kind `full` needs none but its own.
    MissingDependency
        If it has low-rank factors, and peft is not installed.
    InvalidArgument
        If the device is not there, or a checkpoint of another kind than layer norms is to be put
        on a `SharedBackbone`.
    """
    device = usable(device)
    if not isinstance(adapter, Adapter):
        if (found := find_gend(adapter)) is not None:
            if backbone is None:
                return Detector(
                    found.backbone, spec=found.spec, adapter=found.adapter, device=device,
                    dtype=dtype or "float32",
                )  # fmt: skip
            adapter = found.adapter
        else:
            adapter = Adapter.read(adapter)
    header = adapter.header
    if isinstance(backbone, SharedBackbone):
        spec = backbone.spec
    else:
        spec = plugins().spec("backbone", header.backbone)
    if spec.dim != adapter.head["weight"].shape[1]:
        raise WrongBackbone(
            f"the adapter's head takes {adapter.head['weight'].shape[1]} features, "
            f"{spec.name} gives {spec.dim}."
        )
    module: nn.Module
    if isinstance(backbone, SharedBackbone):
        module = backbone.wearing(adapter)
    elif backbone is not None:
        module = backbone
        adapter.apply(module, spec)
    else:
        whole = header.kind == "full"  # then none of the base's numbers are needed
        with torch.random.fork_rng(devices=[], enabled=whole):
            module = build_backbone(
                spec, pretrained=not whole, image_size=header.preprocessing.size
            )
        if whole:
            put(module, spec, header.kind, adapter.tuned)
        else:
            adapter.apply(module, spec)
    chosen: Any = dtype or header.dtype
    return Detector(module, spec=spec, adapter=adapter, device=device, dtype=chosen)


def join(parts: Sequence[Outputs], *, dim: int) -> Outputs:
    """Join the outputs of batches."""
    empty = {
        "embedding": np.empty((0, dim), np.float32),
        "logit": np.empty((0, 2), np.float32),
        "score": np.empty(0, np.float32),
    }
    if all(part.length is not None for part in parts):
        empty["length"] = np.empty(0, np.float32)
    joined = {k: np.concatenate([e, *(getattr(p, k) for p in parts)]) for k, e in empty.items()}
    return Outputs(**joined)
