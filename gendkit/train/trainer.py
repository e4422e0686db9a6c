"""One run's moving parts: backbone, head, losses and optimiser, and the step that moves them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gendkit.data.loader import Loader
from gendkit.data.manifest import Manifest
from gendkit.device import as_input, can_fuse, compute, exact, products
from gendkit.errors import CorruptCheckpoint, Diverged
from gendkit.measure.metrics import METRICS, auroc, video_level
from gendkit.model.adapter import Adapter, Header
from gendkit.model.backbone import norms_of
from gendkit.model.detector import Detector, Outputs
from gendkit.model.head import Head
from gendkit.model.losses import normalise, shared_gram
from gendkit.model.tuned import tensors_of
from gendkit.model.tuning import copy_of
from gendkit.plugin.protocols import LossInputs
from gendkit.plugin.specs import BackboneSpec
from gendkit.train.distributed import Alone, World
from gendkit.train.losses import build_losses
from gendkit.train.losses import tensors_of as tensors_of_losses
from gendkit.train.outputs import run_over
from gendkit.train.probe import fit_probe
from gendkit.train.recipe import Recipe

PARTS = ("forward", "losses", "backward", "optimiser")
"""Of a step. `losses` has the head and their own backward pass in it, `backward` is the encoder's,
and `optimiser` looks first whether all gradients are finite."""


class Trainer:
    """A backbone on its way from the base weights to an adapter.

    Parameters
    ----------
    recipe
        Which losses, rates and head.
    spec
        Of the backbone.
    backbone
        On the device, in evaluation mode, with gradients where it is to be tuned.
    header
        Of the adapters that come out.
    device
        Where it runs.
    world
        The processes that share each batch.
    ended
        Called with the name of each part of a step when it has ended; see `PARTS`.

    Raises
    ------
    UnknownPart, InvalidRecipe, InvalidOption
        If a loss is not known, none is named, or one cannot be built with its options.
    """

    def __init__(
        self,
        recipe: Recipe,
        spec: BackboneSpec,
        backbone: nn.Module,
        header: Header,
        device: str,
        *,
        world: World | None = None,
        ended: Callable[[str], None] = lambda part: None,
    ) -> None:
        self.ended = ended
        self.world: World = world or Alone()
        self.recipe, self.spec, self.header, self.device = recipe, spec, header, device
        self.backbone = backbone
        self.norms = norms_of(backbone, spec)
        self.base_norms = copy_of(self.norms)
        self.tuned = tensors_of(backbone, spec, recipe.tuning)
        generator = torch.Generator().manual_seed(recipe.seed)
        # Of features that are not put on the sphere; see `Recipe.sphere`.
        self.length = torch.ones(())
        self.head = Head(spec.dim, scale=recipe.logit_scale, generator=generator).to(device)
        self.losses = build_losses(recipe.losses, dim=spec.dim, seed=recipe.seed)
        for term in self.losses.values():
            if isinstance(term.loss, nn.Module):
                term.loss.to(device)
        peak = recipe.learning_rate
        tuned = [p for p in self.tuned.values() if p.requires_grad]
        with_losses = [*self.head.parameters(), *tensors_of_losses(self.losses).values()]
        self.tunes = bool(tuned)
        self.head_factor = (recipe.head_learning_rate or peak) / peak
        self.optimiser = torch.optim.AdamW(
            [{"params": tuned}, {"params": [t for t in with_losses if t.requires_grad]}],
            lr=peak,
            betas=recipe.betas,
            weight_decay=recipe.weight_decay,
            fused=can_fuse(device),
        )

    def adapter(self) -> Adapter:
        """Return the tuned numbers as they stand."""
        head = {name: t.cpu().float() for name, t in self.head.folded().items()}
        head["weight"] = head["weight"] / self.length
        return Adapter.holding(self.header, copy_of(self.tuned), head)

    def state(self) -> dict[str, Tensor]:
        """Return copies of all that steps change, on the CPU and as they are: no cast."""
        moments = self.optimiser.state_dict()["state"]
        tensors = {
            **self._moving(),
            **{f"optimiser/{i}/{k}": t for i, of in moments.items() for k, t in of.items()},
        }
        return {name: t.detach().to("cpu", copy=True) for name, t in tensors.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state` gave, in a trainer of the same recipe and backbone.

        Raises
        ------
        CorruptCheckpoint
            If tensors are missing, unknown or of another shape.
        """
        own = self._moving()
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in state.items():
            kind, _, rest = name.partition("/")
            if kind == "optimiser":
                number, _, key = rest.partition("/")
                moments.setdefault(int(number), {})[key] = tensor
        found = {n: t.shape for n, t in state.items() if not n.startswith("optimiser/")}
        if found != {n: p.shape for n, p in own.items()}:
            raise CorruptCheckpoint(
                "the checkpoint's tensors are not those of this backbone, head and losses; "
                "begin anew with --overwrite."
            )
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(state[name])
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": moments})

    def agree(self) -> None:
        """Take up the state of the first rank, so that all begin with the same numbers."""
        if self.world.size > 1:
            self.restore(self.world.from_first(self.state))

    def _moving(self) -> dict[str, Tensor]:
        return {
            **{f"tuned/{name}": t for name, t in self.tuned.items()},
            **{f"head/{name}": p for name, p in self.head.named_parameters()},
            **{f"losses/{name}": t for name, t in tensors_of_losses(self.losses).items()},
            **({} if self.recipe.sphere else {"length": self.length}),
        }

    def begin_with(self, train: Manifest) -> Mapping[str, Tensor]:
        """Take from the frozen backbone's view of the training crops what the recipe asks for.

        Returns
        -------
        Mapping
            The head fitted on it, from which the run begins; empty if it begins with a random one.
        """
        if self.recipe.sphere and self.recipe.head_init != "probe":
            return {}
        outputs = self.outputs(train)
        seen = outputs.embedding
        if not self.recipe.sphere and outputs.length is not None:
            self.length.fill_(float(np.sqrt(np.square(outputs.length, dtype=np.float64).mean())))
            seen = seen * (outputs.length / self.length.numpy())[:, None]
        return self._start_from_probe(seen, train) if self.recipe.head_init == "probe" else {}

    def _start_from_probe(self, seen: NDArray[np.float32], train: Manifest) -> Mapping[str, Tensor]:
        head = fit_probe(seen, train.labels(), c=self.recipe.probe_c)
        with torch.no_grad():
            self.head.weight.copy_(head["weight"] / self.head.scale)
            self.head.bias.copy_(head["bias"] / self.head.scale)
        return self.adapter().head

    def set_rate(self, step: int, steps_per_epoch: int) -> float:
        """Set the learning rates for a step counted from 0; return that of the backbone."""
        rate = self.recipe.rate(step, steps_per_epoch)
        tuned, head = self.optimiser.param_groups
        tuned["lr"], head["lr"] = rate, rate * self.head_factor
        return rate

    def step(
        self, pixels: Tensor, columns: Mapping[str, NDArray[Any]], rows: NDArray[np.int64]
    ) -> dict[str, float]:
        """Take one optimiser step, or none where the loss or its gradient is not finite.

        Parameters
        ----------
        pixels
            (B, 3, S, S) normalised; of several ranks, this one's share.
        columns
            (N,) values of the whole manifest; see `columns_of`.
        rows
            (B,) the rows of the whole batch in them.

        Returns
        -------
        dict
            The `loss`, and each term by its name before weighting; with a `gradient` of NaN where
            that is not finite.
        """
        parts = torch.split(pixels, self.recipe.micro_batch or len(pixels))
        whole = len(parts) == 1
        if not whole and self.world.size == 1 and all(t.separable for t in self.losses.values()):
            return self._step_by_parts(parts, columns, rows)
        own = self._features(pixels) if whole else self._features_without_graph(parts)
        self.ended("forward")
        features = self.world.gather(own)  # a leaf: the loss and the encoder go back each by itself
        self.optimiser.zero_grad(set_to_none=True)
        with exact(self.device):
            total, values = self._loss(features, columns, rows)
            if not np.isfinite(values["loss"]):
                return values
            total.backward()  # type: ignore[no-untyped-call]
        self.ended("losses")
        if self.tunes and features.grad is not None:
            with products(self.recipe.dtype, self.device):
                self._backward(own if whole else None, self.world.share(features.grad), parts)
        self.ended("backward")
        self.world.sum_gradients(self.optimiser.param_groups[0]["params"])
        return self._updated(values)

    def _step_by_parts(
        self,
        parts: Sequence[Tensor],
        columns: Mapping[str, NDArray[Any]],
        rows: NDArray[np.int64],
    ) -> dict[str, float]:
        """Take a step on losses that are means over crops: each part by itself, embedded once."""
        self.optimiser.zero_grad(set_to_none=True)
        values: dict[str, float] = {}
        at = np.split(rows, np.cumsum([len(part) for part in parts])[:-1])
        for part, of_part in zip(parts, at, strict=True):
            own = self._features(part)
            self.ended("forward")
            features = self.world.gather(own)
            share = len(part) / len(rows)
            with exact(self.device):
                total, said = self._loss(features, columns, of_part)
                values = {name: values.get(name, 0.0) + share * said[name] for name in said}
                if not np.isfinite(values["loss"]):
                    return values
                (share * total).backward()  # type: ignore[no-untyped-call]
            self.ended("losses")
            if self.tunes and features.grad is not None:
                with products(self.recipe.dtype, self.device):
                    own.backward(features.grad)  # type: ignore[no-untyped-call]
            self.ended("backward")
        return self._updated(values)

    def _updated(self, values: dict[str, float]) -> dict[str, float]:
        """Let the optimiser take its step, unless a gradient is not finite."""
        if not self._gradient_is_finite():
            return {**values, "gradient": float("nan")}
        self.optimiser.step()
        self.ended("optimiser")
        return values

    def _features(self, pixels: Tensor) -> Tensor:
        with compute(self.recipe.dtype, self.device):
            features: Tensor = self.backbone(as_input(pixels, self.device))
        return features

    def _features_without_graph(self, parts: Sequence[Tensor]) -> Tensor:
        with torch.no_grad():
            return torch.cat([self._features(part) for part in parts])

    def _backward(self, own: Tensor | None, grad: Tensor, parts: Sequence[Tensor]) -> None:
        """Carry the gradient of this rank's features (b, D) into what is tuned.

        Where their graph was not kept, a micro-batch at a time: the loss needs all features at
        once, but the gradient of the weights is a sum over crops.

        References
        ----------
        Gao et al., Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup,
        RepL4NLP 2021.
        """
        if own is not None:
            own.backward(grad)  # type: ignore[no-untyped-call]
            return
        for part, of_part in zip(parts, torch.split(grad, [len(p) for p in parts]), strict=True):
            self._features(part).backward(of_part)  # type: ignore[no-untyped-call]

    def _gradient_is_finite(self) -> bool:
        every = (p.grad for group in self.optimiser.param_groups for p in group["params"])
        finite = [grad.isfinite().all() for grad in every if grad is not None]
        return not finite or bool(torch.stack(finite).all())

    def _loss(
        self, features: Tensor, columns: Mapping[str, NDArray[Any]], rows: NDArray[np.int64]
    ) -> tuple[Tensor, dict[str, float]]:
        z = normalise(features)
        taken = z if self.recipe.sphere else features.float() / self.length
        inputs = LossInputs(
            logits=self.head(taken),
            embeddings=z,
            labels=torch.from_numpy(columns["label"][rows]).to(self.device),
            pair=tuple(columns["pair"][rows]),
            target_identity=tuple(columns["target_identity"][rows]),
            donor_identity=tuple(columns["donor_identity"][rows]),
        )
        with shared_gram():
            terms = {name: loss(inputs) for name, loss in self.losses.items()}
        total = torch.stack([loss.weight * terms[n] for n, loss in self.losses.items()]).sum()
        values = {"loss": float(total.detach()), **{k: float(v.detach()) for k, v in terms.items()}}
        return total, values

    def validate(self, validation: Manifest) -> dict[str, float]:
        """Return the metrics of the detector as it stands, by `validation_` and their names.

        Raises
        ------
        Diverged
            If a score is not finite.
        """
        outputs = self.outputs(validation)
        return self.world.from_first(lambda: self._metrics(validation, outputs.score))

    def _metrics(self, validation: Manifest, scores: NDArray[np.float32]) -> dict[str, float]:
        if not np.isfinite(scores).all():
            bad = validation.table["sample"].iloc[int(np.argmin(np.isfinite(scores)))]
            raise Diverged(f"the score of validation crop {bad} is not finite; lower learning_rate")
        frame_labels = validation.labels()
        videos = (validation.table["dataset"] + "/" + validation.table["video"]).tolist()
        labels, means = video_level(videos, frame_labels, scores)
        values = {f"validation_{name}": metric(labels, means) for name, metric in METRICS.items()}
        return {**values, "validation_frame-auroc": auroc(frame_labels, scores)}

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
            world=self.world,
        )

    def loader(self, train: Manifest) -> Loader:
        """Return the recipe's batches of a manifest."""
        return Loader(
            train,
            self.header.preprocessing,
            batch_size=self.recipe.batch_size,
            augmentation=self.recipe.augmentation,
            paired=self.recipe.batches == "paired",
            seed=self.recipe.seed,
            share=(self.world.rank, self.world.size),
            device=self.device,
        )


def columns_of(manifest: Manifest) -> dict[str, NDArray[Any]]:
    """Return what a loss may know of each crop: `label`, `pair` and identities, (N,) each.

    A name has its data set in front: it is a name within that one.
    """
    table = manifest.table
    known = {"label": manifest.labels()}
    for column in ("pair", "target_identity", "donor_identity"):
        names = table[column]
        whole = (table["dataset"] + "/" + names).where(names != "", "")
        known[column] = whole.to_numpy(dtype=object)
    return known
