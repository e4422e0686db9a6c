"""Tunes layer norms: from a recipe and two manifests to a detector and the record of the run."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gendkit.data.loader import Loader
from gendkit.data.manifest import Manifest
from gendkit.errors import Diverged, InvalidManifest, InvalidRecipe
from gendkit.measure.metrics import METRICS, auroc, video_level
from gendkit.model.adapter import Adapter, Header, header_of, movement
from gendkit.model.backbone import build_backbone, norms_of
from gendkit.model.detector import Detector, Outputs, join
from gendkit.model.device import compute, usable
from gendkit.model.head import Head
from gendkit.model.losses import normalise, shared_gram
from gendkit.model.tuning import copy_of, norm_types, tune_layer_norms
from gendkit.output import new_folder
from gendkit.plugin.manager import plugins
from gendkit.plugin.protocols import Loss, LossInputs
from gendkit.plugin.specs import BackboneSpec
from gendkit.progress import Bars, Progress
from gendkit.train.probe import fit_probe
from gendkit.train.recipe import Recipe

if TYPE_CHECKING:
    import pandas as pd

ADAPTER, RUN = "adapter.safetensors", "run.json"
EXTRACTION = ("extractor", "threshold", "scale", "size")


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
        One row an epoch: `epoch`, `loss`, each loss's own value, `learning_rate`, the validation
        metrics (NaN where the recipe keeps the last epoch and this is another), `seconds`.
    layers
        How far each layer norm moved; see `gendkit.model.adapter.movement`.
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


def fit(
    recipe: str | Path | Recipe,
    train: str | Path | Manifest,
    validation: str | Path | Manifest,
    *,
    out: str | Path | None = None,
    device: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Tune the layer norms of a recipe's backbone and its head.

    Parameters
    ----------
    recipe
        A preset's name, a YAML file or a `Recipe`.
    train, validation
        Labelled face crops, or the folder that holds them with their manifest. Their clips must
        share neither targets, donors nor identities.
    out
        A new folder for `adapter.safetensors` and `run.json`.
    device
        Such as `cuda`; by default the best there is.
    overwrite
        Replace `out` if it holds another run.
    progress
        Told after each step; by default a progress bar.

    Raises
    ------
    InvalidLabels, InvalidManifest
        If a label is unknown, a class is missing, or the two manifests are linked.
    OutputExists
        If `out` holds something else.
    Diverged
        If the loss stops being finite; it names the step and the samples.
    """
    recipe = Recipe.of(recipe)
    device = usable(device)
    train, validation = _faces_of(train), _faces_of(validation)
    _check_data(train, validation)
    folder = new_folder(out, overwrite=overwrite, marker=RUN) if out is not None else None
    progress = progress or Bars()
    started = time.perf_counter()

    part = plugins().part("backbone", recipe.backbone)
    spec = plugins().spec("backbone", recipe.backbone)
    build_losses(recipe.losses)  # an unknown name is told before weights are loaded
    backbone = build_backbone(spec, image_size=recipe.image_size)
    tuned = tune_layer_norms(backbone, norm_types(spec.norm_classes))
    header = header_of(
        backbone,
        spec,
        spec.preprocessing.at(recipe.image_size or spec.image_size),
        source=f"{part.source.distribution} {part.source.version}".strip(),
        recipe=recipe.model_dump(mode="json"),
        extraction={k: train.meta[k] for k in EXTRACTION if train.meta.get(k) is not None},
        dtype=recipe.dtype,
    )
    trainer = _Trainer(recipe, spec, backbone.to(device), header, device)
    probe = trainer.start_from_probe(train) if recipe.head_init == "probe" else None
    history, chosen = trainer.train(train, validation, progress)

    adapter = chosen.adapter
    adapter.apply(trainer.backbone, spec)
    detector = Detector(backbone, spec=spec, adapter=adapter, device=device, dtype=recipe.dtype)
    record = {
        "recipe": recipe.model_dump(mode="json"),
        "adapter": adapter.hash,
        "backbone": {"name": spec.name, "hash": header.backbone_hash, "source": header.source},
        "tuned": {"layer_norms": tuned.numbers, "head": _numbers(adapter.head), "of": tuned.total},
        "chosen_epoch": chosen.epoch,
        "chosen_by": recipe.selection.model_dump(),
        "batches": {"crops": min(recipe.batch_size, len(train)), "an_epoch": trainer.steps(train)},
        "data": {"train": describe(train), "validation": describe(validation)},
        "history": [
            {k: v for k, v in row.items() if np.isfinite(v)}
            for row in history.to_dict(orient="records")
        ],
        "versions": versions(),
        "device": device,
        "dtype": recipe.dtype,
        "seconds": round(time.perf_counter() - started, 1),
    }
    if folder is not None:
        with folder as path:
            adapter.write(path / ADAPTER)
            (path / RUN).write_text(json.dumps(record, indent=1), encoding="utf-8")
    return Run(
        detector=detector,
        probe=probe,
        history=history,
        layers=movement(trainer.base_norms, dict(adapter.norms)),
        record=record,
    )


def describe(manifest: Manifest) -> dict[str, Any]:
    """Return counts and a digest of a manifest's samples and labels."""
    import hashlib

    table = manifest.table
    digest = hashlib.sha256()
    for sample, label in zip(table["sample"], table["label"], strict=True):
        digest.update(f"{sample}\t{label}\n".encode())
    return {
        "crops": len(table),
        "real": int((table["label"] == 0).sum()),
        "fake": int((table["label"] == 1).sum()),
        "videos": int(table[["dataset", "video"]].drop_duplicates().shape[0]),
        "identities": len(set(table["target_identity"]) - {""}),
        "families": sorted(set(table["family"]) - {""}),
        "digest": digest.hexdigest(),
    }


def versions() -> dict[str, str]:
    """Return the versions that a result may depend on."""
    from importlib import metadata

    names = ("gendkit", "torch", "torchvision", "timm", "numpy", "scikit-learn")
    return {"python": platform.python_version(), **{n: metadata.version(n) for n in names}}


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    adapter: Adapter
    epoch: int
    value: float


class _Trainer:
    """One run's state: backbone, head, optimiser."""

    def __init__(
        self, recipe: Recipe, spec: BackboneSpec, backbone: nn.Module, header: Header, device: str
    ) -> None:
        self.recipe, self.spec, self.header, self.device = recipe, spec, header, device
        self.backbone = backbone
        self.norms = norms_of(backbone, spec)
        self.base_norms = copy_of(self.norms)
        generator = torch.Generator().manual_seed(recipe.seed)
        self.head = Head(spec.dim, scale=recipe.logit_scale, generator=generator).to(device)
        self.losses = build_losses(recipe.losses)
        peak = recipe.learning_rate
        self.head_factor = (recipe.head_learning_rate or peak) / peak
        self.optimiser = torch.optim.AdamW(
            [{"params": list(self.norms.values())}, {"params": list(self.head.parameters())}],
            lr=peak,
            betas=recipe.betas,
            weight_decay=recipe.weight_decay,
        )

    def adapter(self) -> Adapter:
        head = {name: t.cpu().float() for name, t in self.head.folded().items()}
        return Adapter(header=self.header, norms=copy_of(self.norms), head=head)

    def start_from_probe(self, train: Manifest) -> Adapter:
        outputs = self.outputs(train)
        head = fit_probe(outputs.embedding, train.labels(), c=self.recipe.probe_c)
        with torch.no_grad():
            self.head.weight.copy_(head["weight"] / self.head.scale)
            self.head.bias.copy_(head["bias"] / self.head.scale)
        return self.adapter()

    def train(
        self, train: Manifest, validation: Manifest, progress: Progress
    ) -> tuple[pd.DataFrame, _Chosen]:
        import pandas as pd

        recipe, loader = self.recipe, self._loader(train, self.recipe.batch_size)
        columns = _columns(train)
        steps = loader.steps()
        rows: list[dict[str, float]] = []
        best: _Chosen | None = None
        for epoch in range(recipe.epochs):
            start = time.perf_counter()
            sums: dict[str, float] = {}
            for i, batch in enumerate(loader.epoch(epoch)):
                step = epoch * steps + i
                rate = self._set_rate(step, steps)
                terms = self.step(batch.pixels, columns, batch.rows)
                if not all(np.isfinite(v) for v in terms.values()):
                    samples = ", ".join(train.table["sample"].iloc[batch.rows[:4]])
                    raise Diverged(
                        f"step {step} has loss {terms}; its batch begins with {samples}; "
                        "lower learning_rate, or look at these crops."
                    )
                for key, value in terms.items():
                    sums[key] = sums.get(key, 0.0) + value / steps
                progress(step + 1, recipe.epochs * steps, f"train {recipe.name}")
            metric = recipe.selection.metric
            row = {"epoch": epoch, **sums, "learning_rate": rate}
            if metric != "last" or epoch == recipe.epochs - 1:
                row |= self.validate(validation)
            rows.append({**row, "seconds": time.perf_counter() - start})
            value = float(epoch) if metric == "last" else row[f"validation_{metric}"]
            if best is None or value > best.value:
                best = _Chosen(adapter=self.adapter(), epoch=epoch, value=value)
        assert best is not None  # epochs >= 1
        return pd.DataFrame(rows), best

    def step(
        self, pixels: Tensor, columns: Mapping[str, NDArray[Any]], rows: NDArray[np.int64]
    ) -> dict[str, float]:
        """Take one optimiser step; return the loss and each term before weighting."""
        with compute(self.recipe.dtype, self.device):
            features = self.backbone(pixels.to(self.device))
        z = normalise(features)
        inputs = LossInputs(
            logits=self.head(z),
            embeddings=z,
            labels=torch.from_numpy(columns["label"][rows]).to(self.device),
            pair=tuple(columns["pair"][rows]),
            target_identity=tuple(columns["target_identity"][rows]),
            donor_identity=tuple(columns["donor_identity"][rows]),
        )
        with shared_gram():
            terms = {name: loss(inputs) for name, (_, loss) in self.losses.items()}
        total = torch.stack([w * terms[name] for name, (w, _) in self.losses.items()]).sum()
        values = {"loss": float(total.detach()), **{k: float(v.detach()) for k, v in terms.items()}}
        if np.isfinite(values["loss"]):
            self.optimiser.zero_grad(set_to_none=True)
            total.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()
        return values

    def validate(self, validation: Manifest) -> dict[str, float]:
        scores = self.outputs(validation).score
        frame_labels = validation.labels()
        videos = (validation.table["dataset"] + "/" + validation.table["video"]).tolist()
        labels, means = video_level(videos, frame_labels, scores)
        values = {f"validation_{name}": metric(labels, means) for name, metric in METRICS.items()}
        return {**values, "validation_frame-auroc": auroc(frame_labels, scores)}

    def steps(self, train: Manifest) -> int:
        """Return the number of batches of an epoch."""
        return self._loader(train, self.recipe.batch_size).steps()

    def outputs(self, manifest: Manifest) -> Outputs:
        """Run the detector as it stands over a manifest's crops."""
        return run_over(
            Detector(
                self.backbone,
                spec=self.spec,
                adapter=self.adapter(),
                device=self.device,
                dtype=self.recipe.dtype,
            ),
            manifest,
        )

    def _loader(self, manifest: Manifest, batch_size: int) -> Loader:
        return Loader(
            manifest,
            self.header.preprocessing,
            batch_size=batch_size,
            augmentation=self.recipe.augmentation,
            paired=self.recipe.batches == "paired",
            seed=self.recipe.seed,
        )

    def _set_rate(self, step: int, steps: int) -> float:
        rate = self.recipe.rate(step, steps)
        norms, head = self.optimiser.param_groups
        norms["lr"], head["lr"] = rate, rate * self.head_factor
        return rate


def run_over(
    detector: Detector,
    manifest: Manifest,
    *,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> Outputs:
    """Run a detector over all crops of a manifest, in its order."""
    loader = Loader(manifest, detector.preprocessing, batch_size=batch_size)
    parts = []
    for batch in loader:
        parts.append(detector.forward(batch.pixels))
        if progress is not None:
            progress(int(batch.rows[-1]) + 1, len(manifest), "embed")
    return join(parts, dim=detector.spec.dim)


def build_losses(weights: Mapping[str, float]) -> dict[str, tuple[float, Loss]]:
    """Build losses by plugin name, with their weights."""
    if not weights:
        raise InvalidRecipe("the recipe names no loss.")
    return {name: (w, plugins().spec("loss", name).build()) for name, w in weights.items()}


def _faces_of(source: str | Path | Manifest) -> Manifest:
    return (source if isinstance(source, Manifest) else Manifest.read(source)).faces()


def _check_data(train: Manifest, validation: Manifest) -> None:
    import pandas as pd

    for name, manifest in (("train", train), ("validation", validation)):
        if not len(manifest):
            raise InvalidManifest(f"the {name} manifest has no face crop.")
        if len(set(manifest.labels().tolist())) < 2:
            raise InvalidManifest(f"the {name} manifest has crops of one class only.")
    both = [
        m.table.assign(split=name) for name, m in (("train", train), ("validation", validation))
    ]
    Manifest(table=pd.concat(both, ignore_index=True), root=train.root).check_no_leak()


def _columns(manifest: Manifest) -> dict[str, NDArray[Any]]:
    names = ("pair", "target_identity", "donor_identity")
    return {
        "label": manifest.labels(),
        **{n: manifest.table[n].to_numpy(dtype=object) for n in names},
    }


def _numbers(tensors: Mapping[str, Tensor]) -> int:
    return sum(t.numel() for t in tensors.values())
