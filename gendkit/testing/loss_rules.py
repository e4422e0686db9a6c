"""Rules about losses: finite numbers and gradients on every batch that training can bring.

Batches are drawn from a seed: B = 12 unit embeddings (B, 32) of six people in pairs of real and
fake, with logits (B, 2).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gendkit.plugin.manager import Plugins, plugins
from gendkit.plugin.parts import HERE, Part
from gendkit.plugin.protocols import LossInputs
from gendkit.plugin.specs import LossSpec
from gendkit.testing.fresh import in_fresh_process
from gendkit.testing.rules import Given, LeftOut, demand
from gendkit.train.losses import build_loss

COUNT, DIM = 12, 32
_RANK = """
import json, sys
from gendkit.testing.loss_rules import rank_answer
print(json.dumps(rank_answer(sys.argv[1], json.loads(sys.argv[2]))))
"""
CLOSE = 2e-3
"""How far, relative to its size, a loss under bfloat16 autocast may be from that in float64."""
SAME = 1e-5
"""How far, relative to its size, two values may be apart that only rounding tells apart."""


class LossUnderCheck:
    """A loss, built anew for each rule as training builds it.

    Parameters
    ----------
    part
        The loss.
    found
        Not needed: a loss is built from its own spec.
    given
        Options of its `build`.
    """

    def __init__(self, part: Part, found: Plugins, given: Given) -> None:
        assert isinstance(part.spec, LossSpec)
        self.part, self.spec, self.given = part, part.spec, given

    def built(self, *, seed: int = 0) -> Callable[[LossInputs], Tensor]:
        """Build it for embeddings of length 32."""
        return build_loss(self.spec, self.given.options, dim=DIM, seed=seed)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A loss's value, and its gradient on embeddings and logits side by side (B, D + 2)."""

    value: Tensor
    gradient: Tensor


def batch(
    *, count: int = COUNT, seed: int = 0, dtype: torch.dtype = torch.float32, spread: float = 1.0
) -> LossInputs:
    """Draw a batch; with a small spread, embeddings are near to their class's centre."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    centres = torch.randn(2, DIM, generator=draw, dtype=torch.float64)
    noise = torch.randn(count, DIM, generator=draw, dtype=torch.float64)
    z = F.normalize(centres[labels] * (1 - spread) + spread * noise, dim=1)
    logits = torch.randn(count, 2, generator=draw, dtype=torch.float64)
    people = tuple(f"set/person-{k // 2}" for k in range(count))
    return LossInputs(
        logits=logits.to(dtype),
        embeddings=z.to(dtype),
        labels=labels,
        pair=tuple(f"{p}-clip" for p in people),
        target_identity=people,
        donor_identity=tuple("" if k % 2 == 0 else people[k - 3] for k in range(count)),
    )


def rows(inputs: LossInputs, chosen: Sequence[int]) -> LossInputs:
    """Return some rows of a batch, in the order given."""
    at = list(chosen)
    return LossInputs(
        logits=inputs.logits[at],
        embeddings=inputs.embeddings[at],
        labels=inputs.labels[at],
        pair=tuple(inputs.pair[k] for k in at),
        target_identity=tuple(inputs.target_identity[k] for k in at),
        donor_identity=tuple(inputs.donor_identity[k] for k in at),
    )


def answer(loss: Callable[[LossInputs], Tensor], inputs: LossInputs, *, what: str) -> Answer:
    """Compute a loss and its gradient, demanding a finite number with finite gradients."""
    z = inputs.embeddings.clone().requires_grad_()
    logits = inputs.logits.clone().requires_grad_()
    value = loss(replace(inputs, embeddings=z, logits=logits))
    demand(
        isinstance(value, Tensor), f"{what}: it gave a {type(value).__name__}; expected a tensor."
    )
    demand(value.ndim == 0, f"{what}: it gave the shape {tuple(value.shape)}; expected one number.")
    demand(bool(value.isfinite()), f"{what}: it is {value.item()}; expected a finite number.")
    demand(
        value.requires_grad,
        f"{what}: it has no gradient; it must depend on embeddings or logits through torch, "
        "also where there is nothing to compare: multiply by 0 rather than return a new 0.",
    )
    with torch.autocast("cpu", enabled=False):  # training too leaves autocast before it goes back
        value.backward()  # type: ignore[no-untyped-call]
    gradients = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in (z, logits)]
    gradient = torch.cat(gradients, dim=1)
    demand(bool(gradient.isfinite().all()), f"{what}: its gradient is not finite.")
    return Answer(value=value.detach(), gradient=gradient)


def rank_answer(name: str, options: Mapping[str, Any]) -> list[Any]:
    """Return value and gradient (B, D + 2) of an installed loss, as another process sees them."""
    spec = plugins().spec("loss", name)
    made = _on_rank(lambda: build_loss(spec, options, dim=DIM), 1002)
    return [made.value.tolist(), made.gradient.tolist()]


def is_a_finite_number_with_a_gradient(loss: LossUnderCheck) -> None:
    """On an ordinary batch it is one finite number, and its gradient is finite and not all zero."""
    found = answer(loss.built(), batch(), what="12 crops of both classes")
    demand(bool(found.gradient.any()), "its gradient is zero everywhere; nothing would be learned.")


def does_not_depend_on_the_order(loss: LossUnderCheck) -> None:
    """A batch in another order gives the same number, and each crop the same gradient."""
    inputs = batch()
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(1)).tolist()
    first = answer(loss.built(), inputs, what="a batch")
    other = answer(loss.built(), rows(inputs, order), what="the same batch in another order")
    _demand_same(other.value, first.value, "the value in another order")
    _demand_same(other.gradient, first.gradient[order], "the gradient in another order")


def bears_one_class(loss: LossUnderCheck) -> None:
    """A batch of one class gives a finite number and a finite gradient."""
    for label, name in ((0, "real"), (1, "fake")):
        answer(loss.built(), rows(batch(), range(label, COUNT, 2)), what=f"{name} crops only")


def bears_one_sample(loss: LossUnderCheck) -> None:
    """A batch of one crop gives a finite number and a finite gradient."""
    answer(loss.built(), rows(batch(), [1]), what="one crop")


def bears_identical_embeddings(loss: LossUnderCheck) -> None:
    """Embeddings that are all the same give a finite number and a finite gradient."""
    inputs = batch()
    same = inputs.embeddings[:1].expand(COUNT, -1).clone()
    answer(loss.built(), replace(inputs, embeddings=same), what="identical embeddings")


def bears_unknown_pairs_and_people(loss: LossUnderCheck) -> None:
    """Where pairs and people are not known it gives a finite number and a finite gradient."""
    unknown = ("",) * COUNT
    inputs = replace(batch(), pair=unknown, target_identity=unknown, donor_identity=unknown)
    answer(loss.built(), inputs, what="crops without pair and people")


def is_close_to_float64_under_bfloat16(loss: LossUnderCheck) -> None:
    """Under bfloat16 autocast, value and gradient are close to those in float64.

    One with weights that computes in float32 whatever it is given is compared with itself without
    autocast.
    """
    for spread, name in ((1.0, "spread embeddings"), (0.02, "embeddings that are near each other")):
        true = _exactly(loss, spread=spread, what=name)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = answer(loss.built(), batch(spread=spread), what=f"{name} under autocast")
        _demand_same(rough.value, true.value, f"the value of {name} under autocast", within=CLOSE)
        _demand_same(
            rough.gradient, true.gradient, f"the gradient on {name} under autocast", within=CLOSE
        )


def agrees_on_ranks(loss: LossUnderCheck) -> None:
    """Two processes that each see the joined batch compute the same, whatever their random state.

    Training on several processes rests on it: every rank computes the loss of the joined batch, and
    takes its own rows of the gradient. A loss that draws random numbers has to draw them from its
    `seed`. An installed one is also computed in another process, where sets have another order.
    """
    found = [_on_rank(loss.built, state) for state in (1000, 1001)]
    if loss.part.source.distribution != HERE:
        options = json.dumps(dict(loss.given.options))
        said = in_fresh_process(_RANK, loss.spec.name, options, PYTHONHASHSEED="1")
        found.append(Answer(value=torch.tensor(said[0]), gradient=torch.tensor(said[1])))
    for other in found[1:]:
        _demand_same(other.value, found[0].value, "the value on another rank")
        _demand_same(other.gradient, found[0].gradient, "the gradient on another rank")


def is_a_mean_over_crops_if_it_says_so(loss: LossUnderCheck) -> None:
    """A loss that says it is separable is the mean of those of a batch's parts, by their sizes."""
    if not loss.spec.separable:
        raise LeftOut("it does not say that it is separable.")
    inputs = batch()
    whole = answer(loss.built(), inputs, what="a batch")
    cut = 5
    first = answer(loss.built(), rows(inputs, range(cut)), what="a part of a batch")
    rest = answer(loss.built(), rows(inputs, range(cut, COUNT)), what="the rest of a batch")
    share = cut / COUNT
    value = share * first.value + (1 - share) * rest.value
    _demand_same(value, whole.value, "the mean over two parts")
    gradient = torch.cat([share * first.gradient, (1 - share) * rest.gradient])
    _demand_same(gradient, whole.gradient, "the gradient of two parts")


def leaves_its_inputs(loss: LossUnderCheck) -> None:
    """Logits, embeddings and labels are not written to."""
    inputs = batch()
    before = [t.clone() for t in (inputs.logits, inputs.embeddings, inputs.labels)]
    with torch.no_grad():
        loss.built()(inputs)
    after = (inputs.logits, inputs.embeddings, inputs.labels)
    names = ("logits", "embeddings", "labels")
    for name, a, b in zip(names, before, after, strict=True):
        demand(torch.equal(a, b), f"it changed the {name}, which other losses see too.")


RULES = (
    is_a_finite_number_with_a_gradient,
    does_not_depend_on_the_order,
    bears_one_class,
    bears_one_sample,
    bears_identical_embeddings,
    bears_unknown_pairs_and_people,
    is_close_to_float64_under_bfloat16,
    agrees_on_ranks,
    is_a_mean_over_crops_if_it_says_so,
    leaves_its_inputs,
)


def _demand_same(got: Tensor, expected: Tensor, what: str, *, within: float = SAME) -> None:
    """Demand that two tensors differ by a small share of the larger one's greatest value."""
    got, expected = got.double(), expected.double()
    scale = max(float(expected.abs().max()), 1e-3)
    worst = float((got - expected).abs().max()) / scale
    demand(worst <= within, f"{what} differs by {worst:.1e} of its size; at most {within:.0e}.")


def _exactly(loss: LossUnderCheck, *, spread: float, what: str) -> Answer:
    """Compute a loss in float64, or in float32 if its weights and its own dtype do not go along."""
    exact = loss.built()
    inputs = batch(dtype=torch.float64, spread=spread)
    if not isinstance(exact, nn.Module):
        return answer(exact, inputs, what=f"{what} in float64")
    try:
        return answer(copy.deepcopy(exact).double(), inputs, what=f"{what} in float64")
    except RuntimeError:  # torch's, of two dtypes in one product
        return answer(exact, batch(spread=spread), what=f"{what} in float32")


def _on_rank(build: Callable[[], Callable[[LossInputs], Tensor]], state: int) -> Answer:
    """Take two steps of a process whose generators have a state of their own."""
    with torch.random.fork_rng(devices=[]), _numpy_state(state):
        torch.manual_seed(state)
        built = build()
        answer(built, batch(seed=1), what="a first step")
        return answer(built, batch(), what="a second step")


@contextmanager
def _numpy_state(seed: int) -> Iterator[None]:
    """Give numpy's and Python's own generators another state inside the block."""
    import random

    import numpy as np

    before: Any = np.random.get_state()  # noqa: NPY002
    own = random.getstate()
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
        random.setstate(own)
