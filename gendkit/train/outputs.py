"""From a detector and a manifest to what it says of each crop, in the manifest's order."""

from __future__ import annotations

from gendkit.data.loader import Loader
from gendkit.data.manifest import Manifest
from gendkit.model.detector import Detector, Outputs, join
from gendkit.progress import Progress
from gendkit.train.distributed import Alone, World


def run_over(
    detector: Detector,
    manifest: Manifest,
    *,
    batch_size: int = 32,
    progress: Progress | None = None,
    world: World | None = None,
) -> Outputs:
    """Run a detector over all crops of a manifest, in its order.

    Parameters
    ----------
    detector
        Whose preprocessing the crops get.
    manifest
        N rows with a crop each; see `Manifest.faces`.
    batch_size
        Crops that are held at once.
    progress
        Told after each batch.
    world
        The processes that share the batches; each gets all outputs.

    Raises
    ------
    MissingMedia, UnreadableMedia
        If a crop is gone or damaged.
    """
    world = world or Alone()
    loader = Loader(
        manifest,
        detector.preprocessing,
        batch_size=batch_size,
        share=(world.rank, world.size),
        device=detector.device,
    )
    parts: dict[int, Outputs] = {}
    for batch in loader:
        parts[int(batch.rows[0])] = detector.forward(batch.pixels)
        if progress is not None:
            progress(int(batch.rows[-1]) + 1, len(manifest), "embed")
    for others in world.collect(parts):
        parts |= others
    return join([parts[first] for first in sorted(parts)], dim=detector.spec.dim)
