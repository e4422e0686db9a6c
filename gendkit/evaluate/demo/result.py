"""What the demo found, as one value: everything that its page shows and its JSON records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gendkit.evaluate.demo.families import Comparison
from gendkit.markup import Html, card, number, visible

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class ScoredClip:
    """A clip's frames in order of time.

    Attributes
    ----------
    name
        What it is, such as "carphone, as filmed".
    time
        (F,) seconds.
    score
        (F,) P(fake) of each frame; NaN where no face was found.
    faces
        F crops, or None where there is no face.
    clip_score
        Mean over the frames that have a face.
    """

    name: str
    time: NDArray[np.float64]
    score: NDArray[np.float64]
    faces: tuple[Image | None, ...]
    clip_score: float

    def __repr__(self) -> str:
        frames = f"{number(self.clip_score)}, {len(self.time)} frames"
        return f"ScoredClip({visible(self.name)}: {frames})"

    def _repr_html_(self) -> str:
        facts = {"score": number(self.clip_score), "frames": str(len(self.time))}
        return card(f"Score of {self.name}", facts)


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A face near another one on the sphere."""

    face: Image
    similarity: float
    sample: str
    method: str


@dataclass(frozen=True, kw_only=True)
class Neighbourhood:
    """One face and its nearest reals and nearest fakes, from other people's clips."""

    face: Image
    sample: str
    method: str
    label: int
    score: float
    reals: tuple[Neighbour, ...]
    fakes: tuple[Neighbour, ...]


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """The demo's findings.

    Attributes
    ----------
    facts
        Lines for the reader: backbone, hash, recipe, dtype, seeds, counts, versions, seconds.
    families
        One row a family or control: `group` (seen, unseen, control), `family`, `real`, `fake`
        (numbers of crops), `identities`, and for `probe`, `tuned` and `difference` (tuned - probe)
        the columns `X`, `X_low`, `X_high`: AUROC with its 95 % bootstrap interval over
        connected components: people, with those who lend them a face.
        A control's AUROC tells degraded from plain real crops: .5 is best.
    groups
        The same columns for the mean over the families of a group.
    roc
        Columns `group`, `detector` (probe, tuned), `fpr`, `tpr`: pooled over the group's families.
    curve
        One row an epoch: `epoch`, `loss`, and the terms of the loss, by column.
    clip, twin
        The real clip and its forged twin.
    sphere
        Embeddings of the examined crops with `projection` (sample, axis) and the manifest's
        columns.
    neighbourhood
        A suspicious face among its neighbours.
    layers
        One row a layer norm in order of depth: `layer` (name), `depth` (0 to 1), `weight`, `bias`:
        L2 norm of its change over the L2 norm of what it was.
    seconds
        Wall time by stage.
    quick
        Whether this was the quick form, whose numbers mean nothing.
    """

    facts: Mapping[str, Any]
    families: pd.DataFrame
    groups: pd.DataFrame
    roc: pd.DataFrame
    curve: pd.DataFrame
    clip: ScoredClip
    twin: ScoredClip
    sphere: xr.Dataset
    neighbourhood: Neighbourhood
    layers: pd.DataFrame
    seconds: Mapping[str, float] = field(default_factory=dict)
    quick: bool = False

    def __repr__(self) -> str:
        seconds = sum(self.seconds.values())
        return f"DemoResult({len(self.families)} families, {seconds:.0f} s)"

    def _repr_html_(self) -> str:
        numbers = Comparison(families=self.families, groups=self.groups, roc=self.roc)
        simple = {k: str(v) for k, v in self.facts.items() if not isinstance(v, Mapping)}
        return card("Demo", simple, Html(text=numbers._repr_html_()))
