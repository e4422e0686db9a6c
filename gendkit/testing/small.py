"""A backbone and face crops that are small enough to train on in a second.

A seed enters; a `BackboneSpec` or a `Manifest` on disk leaves. The backbone is a random vision
transformer of two blocks, the crops are noise, and a fake differs from its real by a visible grid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from gendkit.data.manifest import Manifest
from gendkit.plugin.manager import plugins
from gendkit.plugin.specs import BackboneSpec, Spec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gendkit.model.detector import Detector

DIM, SIDE, PATCH, DEPTH = 32, 32, 8, 2
FAMILIES: MappingProxyType[str, Any] = MappingProxyType(
    {
        "rows": np.s_[::4],
        "columns": np.s_[:, ::4],
        "corner": np.s_[:14, :14],
    }
)
"""Of `small_families`: which pixels of a fake are darker."""
NOWHERE = np.s_[:0]


def small_backbone(name: str = "small", *, seed: int = 0) -> BackboneSpec:
    """Declare a vision transformer of 2 blocks, 32 features and 32 px with seeded random weights.

    Its 5 layer norms hold 320 numbers. `gendkit.register` makes it known by its name.

    Parameters
    ----------
    name
        By which it is asked for.
    seed
        Of the weights, which `pretrained` does not change.
    """

    def build(*, pretrained: bool = True, image_size: int = SIDE, depth: int = DEPTH) -> Any:
        return _vision_transformer(seed=seed, image_size=image_size, depth=depth)

    return BackboneSpec(
        name=name,
        summary="two random blocks, for tests",
        licence="MIT",
        dim=DIM,
        image_size=SIDE,
        build=build,
    )


def small_detector(spec: BackboneSpec) -> Detector:
    """Return a detector: a small backbone with the layer norms of its base and a random head.

    What loads it from its adapter needs the backbone to be `registered`.
    """
    import torch

    from gendkit.model.adapter import Adapter, header_of
    from gendkit.model.backbone import build_backbone, norms_of
    from gendkit.model.detector import Detector
    from gendkit.model.head import Head
    from gendkit.model.tuning import copy_of

    backbone = build_backbone(spec)
    header = header_of(
        backbone, spec, spec.preprocessing, source="gendkit.testing", recipe={"name": "by hand"}
    )
    head = Head(DIM, generator=torch.Generator().manual_seed(0)).folded()
    adapter = Adapter(header=header, norms=copy_of(norms_of(backbone, spec)), head=head)
    return Detector(backbone, spec=spec, adapter=adapter)


@contextmanager
def registered(*specs: Spec) -> Iterator[None]:
    """Make parts known by their names inside the block, beside those that are installed.

    What was registered before the block is forgotten, and so are these after it.
    """
    plugins.cache_clear()
    try:
        plugins().register(list(specs), name="gendkit.testing")
        yield
    finally:
        plugins.cache_clear()


def small_crops(
    root: Path,
    *,
    identities: Sequence[str] = ("ann", "bob", "cem", "dee"),
    frames: int = 4,
    size: int = 40,
    split: str = "",
    seed: int = 0,
) -> Manifest:
    """Write crops of one real clip and one fake a person, with their manifest, into a folder.

    Parameters
    ----------
    root
        An existing folder.
    identities
        The people; each fake is made from the same person's real clip.
    frames
        Crops of each clip.
    size
        Side of a crop in pixels.
    split
        Of all rows.
    seed
        Of the noise; another seed with other people gives a set that is not linked to this one.
    """
    from PIL import Image

    rows = []
    for number, person in enumerate(identities):
        rng = np.random.default_rng([seed, number])
        for label, kind in enumerate(("real", "fake")):
            for frame in range(frames):
                crop = _crop(rng, size=size, fake=bool(label))
                path = f"{kind}/{person}-{frame}.png"
                (root / path).parent.mkdir(exist_ok=True)
                Image.fromarray(crop).save(root / path)
                rows.append(
                    {
                        "sample": f"small/{kind}-{person}/{frame}",
                        "path": path,
                        "dataset": "small",
                        "method": "grid" if label else "",
                        "family": "grid" if label else "",
                        "label": label,
                        "video": f"{kind}-{person}",
                        "pair": f"real-{person}",
                        "target_identity": person,
                        "split": split,
                        "frame": frame,
                        "time": frame / 25,
                        "box": [0.0, 0.0, float(size), float(size)],
                        "landmarks": [*(0.25 * size * k for k in (1, 1, 3, 1, 2, 2, 1, 3, 3, 3))],
                        "confidence": 0.9,
                        "licence": "CC0-1.0",
                    }
                )
    manifest = Manifest.from_rows(rows, root, meta={"made_by": __name__, "seed": seed})
    manifest.write()
    return manifest


def small_families(
    root: Path, *, people: int = 4, frames: int = 1, size: int = 40, seed: int = 0
) -> Manifest:
    """Write crops of three splits of people, of each a real clip and one fake of each family.

    Families are dark rows, columns and a corner; of the reals of development and final there is a
    brightened copy too, as a negative control.

    Parameters
    ----------
    root
        An existing folder.
    people
        Of each split.
    frames, size, seed
        As for `small_crops`.
    """
    from PIL import Image

    rows, number = [], 0
    for split in ("train", "development", "final"):
        for _ in range(people):
            number += 1
            person, rng = f"p{number}", np.random.default_rng([seed, number])
            kinds = [("", ""), *((family, "") for family in FAMILIES)]
            kinds += [("", "bright")] if split != "train" else []
            for family, degradation in kinds:
                video = f"{person}-{family or 'real'}{degradation}"
                for frame in range(frames):
                    crop = _crop(rng, size=size, fake=False)
                    crop[FAMILIES.get(family, NOWHERE)] //= 2
                    crop += np.minimum(255 - crop, 20 if degradation else 0).astype(np.uint8)
                    Image.fromarray(crop).save(root / f"{video}-{frame}.png")
                    rows.append(
                        {
                            "sample": f"small/{video}/{frame}",
                            "path": f"{video}-{frame}.png",
                            "dataset": "small",
                            "method": family,
                            "family": family,
                            "degradation": degradation,
                            "label": int(bool(family)),
                            "video": video,
                            "pair": f"{person}-real",
                            "target_identity": person,
                            "split": split,
                            "frame": frame,
                            "licence": "CC0-1.0",
                        }
                    )
    manifest = Manifest.from_rows(rows, root, meta={"made_by": __name__, "seed": seed})
    manifest.write()
    return manifest


def _crop(rng: np.random.Generator, *, size: int, fake: bool) -> NDArray[np.uint8]:
    """Draw noise around a grey of its own; a fake has a grid of one dark row in four."""
    crop = rng.normal(rng.uniform(90, 160), 25, (size, size, 3))
    if fake:
        crop[::4] -= 50
    return np.clip(crop, 0, 255).astype(np.uint8)


def _vision_transformer(*, seed: int, image_size: int, depth: int) -> Any:
    import torch
    from timm.models.vision_transformer import VisionTransformer

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VisionTransformer(
            img_size=image_size,
            patch_size=PATCH,
            embed_dim=DIM,
            depth=depth,
            num_heads=2,
            num_classes=0,
            class_token=True,
            global_pool="token",
        )
