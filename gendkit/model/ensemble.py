"""An ensemble: several adapters on one copy of the backbone, from face crops or files to scores.

Its score is the mean of the members'; how far they are apart says how much of it is the luck of a
seed. A crop is decoded and resized once for all members.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gendkit.data.media import Order
from gendkit.data.which import Which
from gendkit.device import Dtype
from gendkit.errors import InvalidArgument, WrongBackbone
from gendkit.markup import card, grid
from gendkit.model.adapter import Adapter
from gendkit.model.batches import BATCH, batches
from gendkit.model.detector import load
from gendkit.model.files import score_file
from gendkit.model.kinds import need_layer_norms
from gendkit.model.score import Score, joined_hash, rescored
from gendkit.model.shared import SharedBackbone
from gendkit.plugin.specs import Preprocessing

if TYPE_CHECKING:
    from gendkit.plugin.protocols import FaceExtractor


@dataclass(frozen=True, kw_only=True)
class Opinions:
    """What the M members of an ensemble say of N crops.

    Attributes
    ----------
    score
        (N,) float32, the mean P(fake) of the members.
    deviation
        (N,) float32, the standard deviation over the members (divided by M), 0 to 0.5: their
        disagreement.
    members
        (M, N) float32, each member's P(fake).
    """

    score: NDArray[np.float32]
    deviation: NDArray[np.float32]
    members: NDArray[np.float32]

    def __repr__(self) -> str:
        return f"Opinions({self.score.size:,} crops, {len(self.members)} members)"

    def _repr_html_(self) -> str:
        facts = {"crops": self.score.size, "members": len(self.members)}
        if not self.score.size:
            return card("Opinions", facts)
        rows = [
            (name, float(v.mean()), float(v.min()), float(v.max()))
            for name, v in (
                ("score", self.score),
                ("deviation", self.deviation),
                *((f"member {i}", member) for i, member in enumerate(self.members)),
            )
        ]
        return card("Opinions", facts, grid(["of the crops", "mean", "least", "greatest"], rows))


class Ensemble:
    """Scores face crops and files by several adapters of one backbone.

    Parameters
    ----------
    adapters
        Files, folders of runs, or `Adapter` values.
    device
        Such as `cuda`; by default the best there is.
    dtype
        Compute dtype of the encoder; by default the one that all were trained in.
    backbone
        The base backbone, if it is already in memory.

    Raises
    ------
    InvalidArgument
        If there are none, or their preprocessing differs, or their compute dtypes do and none is
        given, or one is of another kind than layer norms.
    WrongBackbone
        If they belong to different backbones, or not to the one that is given.
    MissingMedia, InvalidAdapter
        If a file is not there, damaged or no adapter.
    """

    def __init__(
        self,
        adapters: Sequence[str | Path | Adapter],
        *,
        device: str | None = None,
        dtype: Dtype | None = None,
        backbone: SharedBackbone | None = None,
    ) -> None:
        read = [a if isinstance(a, Adapter) else Adapter.read(a) for a in adapters]
        _check_alike(read, dtype)
        header = read[0].header
        if backbone is None:
            backbone = SharedBackbone.of(header.backbone, image_size=header.preprocessing.size)
        self.backbone = backbone
        self.members = tuple(load(a, device=device, dtype=dtype, backbone=backbone) for a in read)

    def __repr__(self) -> str:
        first = self.members[0]
        return (
            f"Ensemble({len(self.members)} adapters of {self.backbone.spec.name}, "
            f"{self.preprocessing.size} px, {first.device}, {first.dtype})"
        )

    def _repr_html_(self) -> str:
        first = self.members[0]
        hashes = ", ".join(member.adapter.hash[:12] for member in self.members)
        where = {"device": first.device, "dtype": first.dtype, "adapters": hashes}
        return card(f"Ensemble of {len(self.members)}", {**first.adapter.header.facts, **where})

    @property
    def preprocessing(self) -> Preprocessing:
        """From crop to input, of all members."""
        return self.members[0].preprocessing

    def opinions(self, crops: Iterable[NDArray[np.uint8]], *, batch_size: int = BATCH) -> Opinions:
        """Score RGB uint8 crops (H, W, 3) of any sizes; errors as for `Detector.outputs`."""
        parts = [np.empty((len(self.members), 0), np.float32)]
        for pixels in batches(crops, self.preprocessing, batch_size, device=self.members[0].device):
            parts.append(np.stack([member.forward(pixels).score for member in self.members]))
        members = np.concatenate(parts, axis=1)
        return Opinions(
            score=members.mean(axis=0, dtype=np.float64).astype(np.float32),
            deviation=members.std(axis=0, dtype=np.float64).astype(np.float32),
            members=members,
        )

    def predict(
        self, crops: Iterable[NDArray[np.uint8]], *, batch_size: int = BATCH
    ) -> NDArray[np.float32]:
        """Return the mean P(fake) (N,) of N RGB uint8 crops (H, W, 3) of any sizes."""
        return self.opinions(crops, batch_size=batch_size).score

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
        """Score an image or a video; arguments and errors as for `Detector.score`.

        Returns
        -------
        Score
            The means over the members, and what each of them says of the same crops as `members`.

        Raises
        ------
        InvalidArgument
            If the members were trained on crops that were made differently.
        """
        first = self.members[0].adapter.header.extraction
        for header in (member.adapter.header for member in self.members[1:]):
            if dict(header.extraction) != dict(first):
                raise InvalidArgument(
                    f"the members' training crops were made differently ({dict(first)}, "
                    f"{dict(header.extraction)}); make the crops once and give them to opinions()."
                )
        said: list[Opinions] = []

        def predict(crops: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
            said.append(self.opinions(crops))
            return said[0].score

        mean = score_file(
            self.members[0], predict, media, frames=frames, order=order, extractor=extractor,
            which=which, time_limit=time_limit,
        )  # fmt: skip
        members = tuple(
            replace(mean, adapter=member.adapter.hash, frames=rescored(mean.frames, one.tolist()))
            for member, one in zip(self.members, said[0].members, strict=True)
        )
        return replace(mean, adapter=joined_hash(m.adapter for m in members), members=members)


def _check_alike(adapters: Sequence[Adapter], dtype: Dtype | None) -> None:
    if not adapters:
        raise InvalidArgument("an ensemble needs adapters; give one or more.")
    for adapter in adapters:
        need_layer_norms(adapter, "a member of an ensemble")
    first = adapters[0].header
    for header in (adapter.header for adapter in adapters):
        if header.backbone_hash != first.backbone_hash:
            raise WrongBackbone(
                f"{first.backbone} ({first.backbone_hash[:12]}) and {header.backbone} "
                f"({header.backbone_hash[:12]}) are different backbones; the members of an "
                "ensemble share one."
            )
        if header.preprocessing != first.preprocessing:
            raise InvalidArgument(
                f"the members take their crops differently ({first.preprocessing}, "
                f"{header.preprocessing}); an ensemble makes one batch for all."
            )
        if dtype is None and header.dtype != first.dtype:
            raise InvalidArgument(
                f"the members were trained in {first.dtype} and {header.dtype}; give the dtype."
            )
