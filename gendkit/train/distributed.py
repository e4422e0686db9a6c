"""Several processes that train one detector: each embeds its share of every batch.

`torchrun` starts the processes; Lightning Fabric joins them. The losses see the embeddings of all
ranks: features are gathered, every rank computes the loss of the joined batch, and takes its own
rows of the gradient back through its share. What layer norms get is then summed over ranks, so that
a step is that of one process with the joined batch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import Tensor, nn

from gendkit.device import of_rank
from gendkit.errors import GendkitError, InvalidArgument, InvalidRecipe, RankLost
from gendkit.optional import require

TIMEOUT = "GENDKIT_RANK_TIMEOUT"
SECONDS = 600
T = TypeVar("T")


class World(Protocol):
    """The processes of a run.

    Attributes
    ----------
    rank, size
        Number of this process from 0, and how many there are.
    """

    rank: int
    size: int

    def check_batch(self, count: int) -> None:
        """Refuse a batch that cannot be shared out evenly."""
        ...

    def gather(self, features: Tensor) -> Tensor:
        """Join the features (b, D) of all ranks to (size b, D).

        What comes back is a leaf of the graph, whose gradient `share` cuts.
        """
        ...

    def share(self, joined: Tensor) -> Tensor:
        """Return this rank's rows of what was gathered."""
        ...

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sum the gradients of parameters over ranks, in place."""
        ...

    def collect(self, value: T) -> list[T]:
        """Return the values of all ranks, in their order."""
        ...

    def from_first(self, make: Callable[[], T]) -> T:
        """Call a function in the first rank alone; all return what it returned."""
        ...


class Alone:
    """One process: nothing is sent."""

    rank, size = 0, 1

    def check_batch(self, count: int) -> None:
        """Any batch will do."""

    def gather(self, features: Tensor) -> Tensor:
        """Return the features as a leaf."""
        return features.detach().requires_grad_()

    def share(self, joined: Tensor) -> Tensor:
        """Return all rows."""
        return joined

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Leave the gradients as they are."""

    def collect(self, value: T) -> list[T]:
        """Return the one value."""
        return [value]

    def from_first(self, make: Callable[[], T]) -> T:
        """Call the function."""
        return make()


class Group:
    """The processes that `torchrun` started, joined by Lightning Fabric.

    Parameters
    ----------
    fabric
        That was launched.
    seconds
        How long a rank waits for the others.
    """

    def __init__(self, fabric: Any, *, seconds: float) -> None:
        self.fabric, self.seconds = fabric, seconds
        self.rank, self.size = int(fabric.global_rank), int(fabric.world_size)

    def check_batch(self, count: int) -> None:
        """Refuse a batch that cannot be shared out evenly.

        Raises
        ------
        InvalidRecipe
            Naming the nearest that can.
        """
        if count % self.size:
            near = [n for n in (count - count % self.size, count + -count % self.size) if n]
            raise InvalidRecipe(
                f"a batch of {count} crops cannot be shared by {self.size} ranks; give a "
                f"batch_size that is a multiple of it, such as {' or '.join(map(str, near))}."
            )

    def gather(self, features: Tensor) -> Tensor:
        """Join the features of all ranks; see `World.gather`."""
        with self._together():
            joined: Tensor = self.fabric.all_gather(features.detach())
        return joined.flatten(0, 1).requires_grad_()

    def share(self, joined: Tensor) -> Tensor:
        """Return this rank's rows."""
        return joined.tensor_split(self.size)[self.rank]

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sum the gradients over ranks, as one vector."""
        grads = [p.grad for p in parameters if p.grad is not None]
        if not grads:
            return
        with self._together():
            summed = self.fabric.all_reduce(
                torch.cat([g.flatten() for g in grads]), reduce_op="sum"
            )
        for grad, part in zip(grads, summed.split([g.numel() for g in grads]), strict=True):
            grad.copy_(part.view_as(grad))

    def collect(self, value: T) -> list[T]:
        """Return the values of all ranks, which are pickled on the way."""
        found: list[Any] = [None] * self.size
        with self._together():
            torch.distributed.all_gather_object(found, value)
        return found

    def from_first(self, make: Callable[[], T]) -> T:
        """Call a function in the first rank; what it returns or raises, all return or raise."""
        made, error = None, None
        if self.rank == 0:
            try:
                made = make()
            except GendkitError as caught:
                error = caught
        with self._together():
            made, error = self.fabric.broadcast((made, error))
        if error is not None:
            raise error
        return cast(T, made)

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Say in one line that another rank is gone."""
        try:
            yield
        except RuntimeError as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise RankLost(
                f"rank {self.rank} of {self.size} lost another rank, or waited for it longer than "
                f"{self.seconds:g} s ({TIMEOUT}): {reason[:200]}; look for the first error above, "
                "then go on with --resume."
            ) from None


def first_rank() -> bool:
    """Tell whether this process is the one that writes and shows results."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def joined(device: str) -> Iterator[tuple[World, str]]:
    """Join the processes that `torchrun` started; without it this process is alone.

    Parameters
    ----------
    device
        Such as `cuda`: each rank then takes the one of its number on its machine.

    Yields
    ------
    tuple
        The world and the rank's device.

    Raises
    ------
    MissingDependency
        If Lightning Fabric is not installed.
    InvalidArgument
        If the variables that `torchrun` sets, or the time limit, make no sense.
    RankLost
        If the others do not come.
    """
    size = _number("WORLD_SIZE", 1)
    if size == 1:
        yield Alone(), device
        return
    fabric_module = require("lightning_fabric", extra="distributed")
    require("lightning_fabric.strategies", extra="distributed")
    seconds, here = _number(TIMEOUT, SECONDS), _number("LOCAL_WORLD_SIZE", size)
    fabric = fabric_module.Fabric(
        accelerator=torch.device(device).type,
        devices=here,
        num_nodes=max(1, size // here),
        strategy=fabric_module.strategies.DDPStrategy(timeout=timedelta(seconds=seconds)),
    )
    try:
        fabric.launch()
    except RuntimeError as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RankLost(
            f"{size} processes could not be joined: {reason[:200]}; start them with torchrun."
        ) from None
    try:
        yield Group(fabric, seconds=seconds), of_rank(device, _number("LOCAL_RANK", 0))
    finally:
        torch.distributed.destroy_process_group()


def check_same(world: World, facts: Mapping[str, object]) -> None:
    """Refuse ranks that were started with different things.

    Raises
    ------
    InvalidArgument
        Saying what differs, and in which rank.
    """
    every = world.collect(dict(facts))
    for rank, other in enumerate(every):
        for name, value in every[0].items():
            if other.get(name) != value:
                raise InvalidArgument(
                    f"rank {rank} has another {name} than rank 0; start all ranks with the same "
                    "command, files and versions."
                )


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable, "")
    try:
        value = int(text) if text else default
    except ValueError:
        value = -1
    if value < (0 if variable == "LOCAL_RANK" else 1):
        raise InvalidArgument(f"the environment variable {variable} is {text!r}; give a number.")
    return value
