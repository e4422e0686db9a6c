"""A detector that tells small crops apart, without training: its head is solved for.

A detector and labelled crops enter, a detector with the same backbone leaves.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gendkit.data.manifest import Manifest
    from gendkit.model.detector import Detector


def telling(detector: Detector, manifest: Manifest, *, strength: float = 1.0) -> Detector:
    """Give a detector the head that tells a manifest's reals and fakes apart best, linearly.

    Parameters
    ----------
    detector
        Whose head takes unit vectors.
    manifest
        Labelled crops of both classes.
    strength
        Standard deviation of the margin, logit of fake less that of real, over the crops.
    """
    import torch

    from gendkit.model.detector import Detector

    crops = manifest.faces()
    z = detector.embed([crops.crop(i) for i in range(len(crops))]).astype(np.float64)
    labels = crops.labels()
    means = np.stack([z[labels == label].mean(axis=0) for label in (0, 1)])
    within = np.cov((z - means[labels]).T) + 1e-3 * np.eye(z.shape[1]) * z.var(axis=0).mean()
    direction = np.linalg.solve(within, means[1] - means[0])
    margin = z @ direction
    direction *= strength / margin.std()
    middle = float(means.mean(axis=0) @ direction)
    weight = torch.tensor(np.stack([-direction, direction]) / 2, dtype=torch.float32)
    bias = torch.tensor([middle / 2, -middle / 2], dtype=torch.float32)
    adapter = replace(detector.adapter, head={"weight": weight, "bias": bias})
    return Detector(detector.backbone, spec=detector.spec, adapter=adapter, device=detector.device)
