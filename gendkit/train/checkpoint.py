"""Checkpoints: where a run stands after a step, in one file beside the folder it will write.

The file is replaced whole or not at all, so that a run killed at any moment leaves a good one. It
is a safetensors file with a JSON header; nothing is ever unpickled.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from gendkit.errors import (
    CorruptCheckpoint,
    InvalidArgument,
    InvalidManifest,
    InvalidRecipe,
    UnwritableOutput,
    WrongBackbone,
)
from gendkit.model.backbone import tensors_hash
from gendkit.output import part_of, write_whole
from gendkit.train.recipe import Recipe

FORMAT = 1
KEY = "gendkit-checkpoint"
Tensors = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a run was begun with; a resumed one must have the same.

    Attributes
    ----------
    recipe
        All fields.
    train, validation
        Digests; see `gendkit.train.record.digest`.
    compiled
        Whether torch compiled the encoder, which changes the last bits.
    """

    recipe: Mapping[str, Any]
    train: str
    validation: str
    compiled: bool = False


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The best epoch so far: its tuned numbers and head, and the value of the selection."""

    epoch: int
    value: float
    tuned: Tensors
    head: Tensors


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a run stands.

    Attributes
    ----------
    step
        Steps taken.
    sums, pairs, seconds
        Of the unfinished epoch: mean loss and terms as far as they go, pairs seen, time spent.
    history
        Rows of the finished epochs.
    chosen
        Of the finished epochs.
    """

    step: int = 0
    sums: Mapping[str, float] = field(default_factory=dict)
    pairs: int = 0
    seconds: float = 0.0
    history: tuple[Mapping[str, float], ...] = ()
    chosen: Chosen | None = None


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """All that a run needs to go on.

    Attributes
    ----------
    origin
        What it was begun with.
    backbone
        Hashes of its weights without the layer norms, and of its layer norms, before tuning.
    standing
        Where it stands.
    state
        Tuned numbers, head and optimiser; see `gendkit.train.trainer.Trainer.state`.
    probe
        Head of the frozen probe, if the recipe starts from it; else empty.
    resumed
        Steps at which it was resumed before.
    seconds
        Spent on all steps.
    """

    origin: Origin
    backbone: tuple[str, str]
    standing: Standing
    state: Tensors
    probe: Tensors
    resumed: tuple[int, ...] = ()
    seconds: float = 0.0

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all; an earlier one survives a failure.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        chosen = self.standing.chosen
        standing = asdict(replace(self.standing, chosen=None))
        tensors = {
            **_prefixed("state", self.state),
            **_prefixed("probe", self.probe),
            **_prefixed("tuned", chosen.tuned if chosen else {}),
            **_prefixed("head", chosen.head if chosen else {}),
        }
        if chosen:
            standing["chosen"] = {"epoch": chosen.epoch, "value": chosen.value}
        header = {
            "format": FORMAT,
            "hash": tensors_hash(tensors),
            "origin": asdict(self.origin),
            "backbone": self.backbone,
            "standing": standing,
            "resumed": self.resumed,
            "seconds": self.seconds,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, save(tensors, metadata={KEY: json.dumps(header)}))

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """Read a file.

        Raises
        ------
        CorruptCheckpoint
            If it is none, of another format, or damaged.
        """
        anew = "--overwrite begins anew"
        try:
            with safe_open(path, framework="pt", device="cpu") as file:
                header = json.loads((file.metadata() or {})[KEY])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if header["format"] != FORMAT:
                raise CorruptCheckpoint(
                    f"{path} has checkpoint format {header['format']}; this gendkit reads "
                    f"{FORMAT}; {anew}."
                )
            if tensors_hash(tensors) != header["hash"]:
                raise CorruptCheckpoint(
                    f"{path} is damaged: its numbers have another hash; {anew}."
                )
            standing = header["standing"]
            if standing["chosen"] is not None:
                tuned, head = _within("tuned", tensors), _within("head", tensors)
                standing["chosen"] = Chosen(tuned=tuned, head=head, **standing["chosen"])
            return cls(
                origin=Origin(**header["origin"]),
                backbone=tuple(header["backbone"]),
                standing=Standing(**{**standing, "history": tuple(standing["history"])}),
                state=_within("state", tensors),
                probe=_within("probe", tensors),
                resumed=tuple(header["resumed"]),
                seconds=header["seconds"],
            )
        except (SafetensorError, OSError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise CorruptCheckpoint(
                f"{path} is no checkpoint, or damaged: {error!r}; {anew}."
            ) from None

    def check_origin(self, origin: Origin, path: Path) -> None:
        """Refuse to go on with another recipe or other data.

        Raises
        ------
        InvalidRecipe, InvalidManifest, InvalidArgument
            Saying which field, or which crops, are others, or that one is compiled.
        """
        ours, theirs = origin.recipe, self.origin.recipe
        for name in [*theirs, *(set(ours) - set(theirs))]:
            # A field that came later is as it then was, which is its default.
            if (was := theirs.get(name, _default(name))) != (now := ours.get(name)):
                raise InvalidRecipe(
                    f"the run in {path} was begun with {name} {was!r}, not {now!r}; resume it "
                    "with its own recipe, or begin anew with --overwrite."
                )
        if self.origin.compiled != origin.compiled:
            was = "with" if self.origin.compiled else "without"
            raise InvalidArgument(
                f"the run in {path} was begun {was} compile; resume it {was}, or begin anew with "
                "--overwrite."
            )
        for name, words in (("train", "training"), ("validation", "validation")):
            if getattr(self.origin, name) != getattr(origin, name):
                raise InvalidManifest(
                    f"the run in {path} was begun with other {words} crops; resume it with its "
                    "own, or begin anew with --overwrite."
                )

    def check_backbone(self, backbone: tuple[str, str], path: Path) -> None:
        """Refuse to go on with other weights.

        Raises
        ------
        WrongBackbone
            If frozen weights or base layer norms are others.
        """
        if backbone != self.backbone:
            raise WrongBackbone(
                f"the run in {path} was begun with other weights of this backbone "
                f"({self.backbone[0][:12]}, now {backbone[0][:12]}); begin anew with --overwrite."
            )


class Keeper:
    """Keeps the newest checkpoint of one run.

    Parameters
    ----------
    path
        Of the file; see `checkpoint_path`.
    begun
        How the run begins in this process. What does not change is taken from it.
    every
        Steps between checkpoints; None is an epoch.
    """

    def __init__(self, path: Path, begun: Checkpoint, *, every: int | None = None) -> None:
        self.path, self.begun, self.every = path, begun, every
        self.last = begun.standing.step
        self._started = time.perf_counter()

    def due(self, step: int, steps_per_epoch: int) -> bool:
        """Tell whether a checkpoint is due after so many steps."""
        return step % (self.every or steps_per_epoch) == 0

    def keep(self, standing: Standing, state: Tensors) -> None:
        """Replace the checkpoint.

        Raises
        ------
        UnwritableOutput
            If it cannot be written; the earlier one is still there.
        """
        spent = self.begun.seconds + time.perf_counter() - self._started
        try:
            replace(self.begun, standing=standing, state=state, seconds=spent).write(self.path)
        except OSError as error:
            raise UnwritableOutput(
                f"the checkpoint of step {standing.step} cannot be written to {self.path}: "
                f"{error.strerror or error}; {self.kept()}. Make room or let it be written, then "
                "--resume."
            ) from None
        self.last = standing.step

    def kept(self) -> str:
        """Say which checkpoint there is."""
        if not self.last:
            return "there is no earlier one"
        return f"the one of step {self.last} is kept in {self.path}"

    def remove(self) -> None:
        """Remove the checkpoint of a run that is written."""
        for path in (self.path, part_of(self.path)):
            path.unlink(missing_ok=True)


def checkpoint_path(out: str | Path) -> Path:
    """Return where the checkpoint of a run is, by the folder that the run will write."""
    path = Path(out).resolve()
    return path.with_name(f".{path.name}-checkpoint.safetensors")


def _prefixed(prefix: str, tensors: Tensors) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": t.contiguous() for name, t in tensors.items()}


def _within(prefix: str, tensors: Tensors) -> dict[str, Tensor]:
    start = f"{prefix}/"
    return {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}


def _default(name: str) -> Any:
    fields = Recipe.model_fields
    return fields[name].default if name in fields else None
