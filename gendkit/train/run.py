"""What a training run leaves: the detector, and the record of how it came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from gendkit.data.coverage import coverage_words
from gendkit.markup import card, grid, visible
from gendkit.model.adapter import Adapter
from gendkit.model.detector import Detector


@dataclass(frozen=True, kw_only=True)
class Run:
    """What came of `fit`.

    Attributes
    ----------
    detector
        With the adapter of the chosen epoch.
    probe
        The frozen probe as an adapter (base layer norms), where the recipe starts from it.
    history
        One row an epoch: `epoch`, `loss`, each loss's own value, `pairs` (fakes with their real in
        the same batch, mean over batches), `learning_rate`, the validation metrics (NaN where the
        recipe keeps the last epoch and this is another), `seconds`.
    layers
        How far each layer norm moved, whatever else did; see `gendkit.model.adapter.movement`.
    record
        Recipe, versions, counts, data digests and the chosen epoch; what `run.json` holds.
    """

    detector: Detector
    probe: Adapter | None
    history: pd.DataFrame
    layers: pd.DataFrame
    record: Mapping[str, Any]

    @property
    def adapter(self) -> Adapter:
        """The tuned numbers and the head."""
        return self.detector.adapter

    def __repr__(self) -> str:
        facts = "; ".join(f"{name} {value}" for name, value in self._facts.items())
        return visible(f"Run({facts})")

    def _repr_html_(self) -> str:
        head = list(self.history.columns)
        rows = [[row[name] for name in head] for row in self.record["history"]]
        return card(f"Run of {self.record['recipe']['name']}", self._facts, grid(head, rows))

    @property
    def _coverage(self) -> dict[str, str]:
        """Of the data that its numbers are about; older records have none."""
        counts = self.record.get("data", {}).get("validation", {}).get("coverage")
        return {"validated on": coverage_words(counts)} if counts else {}

    @property
    def _facts(self) -> dict[str, str]:
        epochs, by = len(self.history), self.record["chosen_by"]
        return {
            "backbone": str(self.record["backbone"]["name"]),
            "adapter": self.adapter.hash[:12],
            "epoch": f"{self.record['chosen_epoch']} of 0 to {epochs - 1}, by {by['metric']} on "
            f"{by['data']}",
            **self._coverage,
            "seconds": str(self.record["seconds"]),
        }
