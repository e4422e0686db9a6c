"""Run by torchrun in each process of a test; see test_distributed.py.

torchrun ... ranks.py steps OUT.npz          steps of a trainer, in float64
torchrun ... ranks.py cli FAULT ARGUMENTS    the command line, with a fault in rank 1
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gendkit.model.adapter import header_of
from gendkit.model.backbone import build_backbone
from gendkit.model.losses import alignment
from gendkit.plugin.protocols import LossInputs
from gendkit.plugin.specs import LossSpec
from gendkit.testing.small import SIDE, registered, small_backbone
from gendkit.train.build import tune
from gendkit.train.distributed import World, joined
from gendkit.train.recipe import Recipe
from gendkit.train.trainer import Trainer

BATCH, STEPS = 8, 3
LOSSES = {"cross-entropy": 1.0, "uniformity": 0.5, "alignment": 0.1, "within-pairs": 0.3}
CASES: dict[str, dict[str, Any]] = {
    "whole": {},
    "micro": {"micro_batch": 3},
    "head": {"tuned_norms": 0},
}


def _within_pairs(inputs: LossInputs) -> Tensor:
    """A loss that reads the names of the joined batch."""
    numbers = torch.tensor([int(p) for p in inputs.pair])
    return alignment(inputs.embeddings, numbers)


PAIRS = LossSpec(name="within-pairs", summary="alignment of pairs", build=lambda: _within_pairs)


def steps(world: World, recipe: Recipe) -> dict[str, NDArray[Any]]:
    """Take some steps in float64 and return every loss and tuned number."""
    spec = small_backbone()
    backbone = build_backbone(spec).double()
    tune(backbone, spec, recipe)
    header = header_of(backbone, spec, spec.preprocessing, source="tests")
    trainer = Trainer(recipe, spec, backbone, header, "cpu", world=world)
    trainer.head.double()
    rng = np.random.default_rng(0)
    columns: dict[str, NDArray[Any]] = {
        "label": rng.integers(0, 2, 20),
        "pair": rng.integers(0, 4, 20).astype(str).astype(object),
        "target_identity": np.full(20, "ann", dtype=object),
        "donor_identity": np.full(20, "", dtype=object),
    }
    pixels = torch.from_numpy(rng.standard_normal((20, 3, SIDE, SIDE)))
    losses = []
    for _ in range(STEPS):
        rows = rng.permutation(20)[:BATCH]
        own = np.array_split(rows, world.size)[world.rank]
        losses.append(trainer.step(pixels[own], columns, rows)["loss"])
    state = {n: t.numpy() for n, t in trainer.state().items()}
    return {"losses": np.array(losses), **state}


def every_case(world: World) -> dict[str, NDArray[Any]]:
    """Run `steps` for each case."""
    base = Recipe(
        name="steps", backbone="small", losses=LOSSES, dtype="float32", learning_rate=1e-2,
        batch_size=BATCH, selection={"data": "none", "metric": "last"},
    )  # fmt: skip
    found = {}
    with registered(small_backbone(), PAIRS):
        for name, changes in CASES.items():
            made = steps(world, Recipe.of(base, **changes))
            found |= {f"{name}/{key}": value for key, value in made.items()}
    return found


def faulty(fault: str) -> LossSpec:
    """A loss of 0 that goes wrong in the third step of rank 1."""
    calls = 0

    def loss(inputs: LossInputs) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 3 and os.environ.get("RANK") == "1":
            if fault == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if fault == "stuck":
                os.kill(os.getpid(), signal.SIGSTOP)
        return inputs.logits.sum() * 0

    return LossSpec(name="faulty", summary="goes wrong", build=lambda: loss)


def main() -> int:
    """Do what the command line says."""
    what, first, *rest = sys.argv[1:]
    if what == "steps":
        with joined("cpu") as (world, _):
            found = every_case(world)
            if world.rank == 0:
                np.savez(first, **found)
        return 0
    from gendkit.cli import main as cli

    with registered(small_backbone(), faulty(first)):
        if first == "other weights" and os.environ.get("RANK") == "1":
            from gendkit.plugin.manager import register

            register(replace(small_backbone(seed=1), name="small"))
        return cli(rest)


if __name__ == "__main__":
    sys.exit(main())
