"""Rules about backbones: what is declared is what is built, and layer norms alone are tuned in it.

`gendkit.testing.backbone_subject` says how a backbone is built and what it is shown.
"""

from __future__ import annotations

import inspect
import pickle
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from gendkit.device import best_device
from gendkit.errors import InvalidSpec
from gendkit.model.backbone import build_backbone, canonical_state, frozen_hash, norms_hash
from gendkit.model.tuning import norm_layers, norm_parameters, tune_layer_norms
from gendkit.plugin.parts import HERE
from gendkit.plugin.specs import BackboneSpec
from gendkit.testing.backbone_subject import COUNT, BackboneUnderCheck
from gendkit.testing.elsewhere import run_on_fake_cuda, stray, without_network
from gendkit.testing.features import features_of, tunable
from gendkit.testing.fresh import in_fresh_process
from gendkit.testing.rules import LeftOut, RuleBroken, demand

ROWS = 1e-4
"""How far a crop's feature may depend on the batch it is in, relative to the feature's size."""
LAYOUTS = 1e-4
"""How far two layouts of the same weights may differ, relative to the feature's size."""
NARROW = 0.1
"""How far a feature in bfloat16 may be from that in float32, relative to its length."""

_WORKER = """
import json, pickle, sys
from pathlib import Path
import torch
folder = Path(sys.argv[1])
module, pixels = pickle.loads((folder / "module.pickle").read_bytes())
with torch.no_grad():
    print(json.dumps(module(pixels).tolist()))
"""


def builds_what_it_declares(backbone: BackboneUnderCheck) -> None:
    """From pixels of the declared size comes one finite feature of the declared length a crop."""
    spec = backbone.spec
    found = backbone.features
    expected = (COUNT, spec.dim)
    demand(
        tuple(found.shape) == expected,
        f"{COUNT} crops of {spec.image_size} px gave features {tuple(found.shape)}; expected "
        f"{expected}, as dim is {spec.dim}.",
    )
    demand(found.dtype == torch.float32, f"features are {found.dtype}; expected torch.float32.")
    demand(bool(found.isfinite().all()), "features of ordinary pixels are not finite.")
    demand(
        len(spec.mean) == len(spec.std) == 3 and min(spec.std) > 0,
        f"mean {spec.mean} and std {spec.std} are not three numbers each, std above 0.",
    )


def looks_at_its_input(backbone: BackboneUnderCheck) -> None:
    """Different crops have different features."""
    found = backbone.features
    demand(
        not torch.allclose(found[0], found[1], atol=1e-7, rtol=1e-5),
        "two crops of different noise have the same feature.",
    )


def is_known_by_its_own_name(backbone: BackboneUnderCheck) -> None:
    """Asked for by its name it is given under this name, by which adapters will ask for it."""
    demand(
        backbone.spec.name == backbone.name,
        f"asked for {backbone.name!r}, it gave the spec of {backbone.spec.name!r}.",
    )


def has_the_norms_that_it_declares(backbone: BackboneUnderCheck) -> None:
    """Each declared norm class occurs in the module, and brings weights."""
    for name, kind in zip(backbone.spec.norm_classes, backbone.norms, strict=True):
        layers = list(norm_layers(backbone.module, (kind,)))
        there = {type(m) for m in backbone.module.modules() if "norm" in type(m).__name__.lower()}
        named = ", ".join(sorted(f"{t.__module__}:{t.__qualname__}" for t in there))
        demand(
            layers,
            f"norm class {name} does not occur in {type(backbone.module).__name__}; its norms are "
            f"{named or 'not to be seen by their names'}. Declare those to tune as norm_classes.",
        )
        numbers = norm_parameters(backbone.module, (kind,))
        demand(numbers, f"the {len(layers)} layers of norm class {name} have no weights.")


def takes_the_sizes_that_it_offers(backbone: BackboneUnderCheck) -> None:
    """If `build` takes `image_size`, a module of twice the size takes crops of twice the size."""
    if "image_size" not in inspect.signature(backbone.spec.build).parameters:
        raise LeftOut(
            "its build takes no image_size; a recipe that sets another one, such as small-data, "
            "needs image_size: null."
        )
    side = 2 * backbone.spec.image_size
    _ = backbone.module  # one that cannot be built at all is not left out
    try:
        module = backbone.built(image_size=side)
    except InvalidSpec as error:
        raise LeftOut(f"it says that it cannot: {error}") from None
    found = features_of(module, backbone.pixels(side=side, count=1))
    demand(
        tuple(found.shape) == (1, backbone.spec.dim),
        f"built for {side} px, one crop gave {tuple(found.shape)}; expected "
        f"(1, {backbone.spec.dim}).",
    )


def answers_the_same_twice(backbone: BackboneUnderCheck) -> None:
    """In evaluation mode, the same pixels give the same numbers twice, bit by bit."""
    again = features_of(backbone.module, backbone.pixels())
    demand(
        torch.equal(again, backbone.features),
        f"a second call differs by up to {float((again - backbone.features).abs().max()):.1e}; "
        "nothing random may be left in evaluation mode.",
    )


def answers_one_crop_as_in_a_batch(backbone: BackboneUnderCheck) -> None:
    """A batch of one gives the row that the crop has in a batch of several."""
    pixels = backbone.pixels()
    alone = torch.cat([features_of(backbone.module, pixels[k : k + 1]) for k in range(COUNT)])
    far = _apart(alone, backbone.features)
    demand(
        far <= ROWS,
        f"a crop's feature alone differs from that in a batch by {far:.1e} of its size; at most "
        f"{ROWS:.0e}.",
    )


def is_tuned_by_its_norms_alone(backbone: BackboneUnderCheck) -> None:
    """A training step moves the norms and the output, and no other number of the module."""
    module = backbone.copied()
    tuned = set(tune_layer_norms(module, backbone.norms).names)
    before = {name: t.clone() for name, t in module.state_dict().items()}
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=0.05, weight_decay=0.0)
    loss = tunable(module(backbone.pixels())).square().sum()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    moved = {n for n, t in module.state_dict().items() if not _equal(t, before[n])}
    demand(
        moved <= tuned,
        f"a step also moved {', '.join(sorted(moved - tuned)[:3])}; only {len(tuned)} tensors of "
        "layer norms may.",
    )
    demand(moved, "a step moved no layer norm; their gradient is zero.")
    far = _apart(features_of(module, backbone.pixels()), backbone.features)
    demand(far > 1e-4, f"the tuned norms changed the output by {far:.1e} of its size only.")


def has_finite_gradients(backbone: BackboneUnderCheck) -> None:
    """In float32 the norms' gradients are finite, and not all zero."""
    _demand_gradients(backbone, dtype=None)


def has_finite_gradients_under_bfloat16(backbone: BackboneUnderCheck) -> None:
    """Under bfloat16 autocast the norms' gradients are finite, and not all zero."""
    _demand_gradients(backbone, dtype=torch.bfloat16)


def computes_in_other_dtypes(backbone: BackboneUnderCheck) -> None:
    """Moved to float64 or bfloat16 it answers in that dtype, with nearly the same numbers."""
    for dtype, most in ((torch.float64, 1e-3), (torch.bfloat16, NARROW)):
        try:
            found = features_of(backbone.copied().to(dtype), backbone.pixels().to(dtype))
        except RuntimeError as error:
            why = stray(backbone.module) or error
            raise RuleBroken(f"moved to {dtype} it does not run: {why}") from None
        demand(found.dtype == dtype, f"moved to {dtype}, it answered in {found.dtype}.")
        far = _apart_in_all(found, backbone.features)
        demand(
            far <= most, f"in {dtype} features differ by {far:.1e} of their size; at most {most}."
        )


def runs_on_another_device(backbone: BackboneUnderCheck) -> None:
    """Moved to a GPU it computes there, and no tensor is left behind."""
    run_on_fake_cuda(backbone.copied(), tuple(backbone.pixels().shape))
    device = best_device()  # a real one, if there is one
    module = backbone.copied().to(device)
    found = features_of(module, backbone.pixels().to(device)).cpu()
    far = _apart_in_all(found, backbone.features)
    demand(far <= NARROW, f"on {device} features differ by {far:.1e} of their size.")


def seeds_nothing(backbone: BackboneUnderCheck) -> None:
    """Building and calling it seeds no generator of the process, whose draws are the user's."""
    depth, states = backbone.depth, []
    for seed in (1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = build_backbone(
                backbone.spec, pretrained=backbone.given.pretrained, depth=depth
            )
            features_of(module, backbone.pixels(count=1))
            states.append(torch.get_rng_state())
    demand(
        not torch.equal(*states),
        "after it was built, torch draws the same whatever was seeded before; draw weights inside "
        "`with torch.random.fork_rng():`, or from a generator of their own.",
    )


def needs_no_network_without_weights(backbone: BackboneUnderCheck) -> None:
    """With `pretrained=False` it is built without asking the network for anything."""
    with without_network() as asked:
        build_backbone(backbone.spec, pretrained=False, depth=backbone.depth)
    demand(not asked, f"it asked the network for {', '.join(asked[:3])}.")


def goes_to_a_worker(backbone: BackboneUnderCheck) -> None:
    """Pickled, and unpickled in another process, it gives the same features."""
    pixels = backbone.pixels()
    try:
        packed = pickle.dumps((backbone.module, pixels))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise RuleBroken(
            f"it cannot be pickled: {error}; write functions and classes that it holds at the top "
            "of a module, and no lambda."
        ) from None
    if backbone.part.source.distribution == HERE:
        module, pixels = pickle.loads(packed)  # our own bytes, of this moment
        found = features_of(module, pixels)
    else:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "module.pickle").write_bytes(packed)
            found = torch.tensor(in_fresh_process(_WORKER, folder))
    far = _apart(found, backbone.features)
    demand(far <= ROWS, f"another process gave features that differ by {far:.1e} of their size.")


def is_named_by_its_frozen_weights(backbone: BackboneUnderCheck) -> None:
    """Its hash stays when norms are tuned, and is another one when a frozen weight changes."""
    spec, module = backbone.spec, backbone.copied()
    first = frozen_hash(module, spec)
    again = backbone.built(seed=int(backbone.given.pretrained))  # what is loaded needs no seed
    demand(
        frozen_hash(again, spec) == first,
        "two builds have different hashes; weights that are loaded are the same every time, and "
        "drawn ones need a seed of their own: an adapter is refused with any others.",
    )
    norms = norm_parameters(module, backbone.norms)
    with torch.no_grad():
        for parameter in norms.values():
            parameter.add_(1.0)
    demand(frozen_hash(module, spec) == first, "the hash of the frozen weights depends on norms.")
    frozen = [p for name, p in module.named_parameters() if name not in norms]
    demand(frozen, "all of its parameters are layer norms; there is nothing frozen.")
    with torch.no_grad():
        for parameter in frozen:
            _first(parameter).add_(1.0)
    demand(frozen_hash(module, spec) != first, "the hash stays when frozen weights change.")


def names_every_weight_once(backbone: BackboneUnderCheck) -> None:
    """The canonical names hold each weight that the features depend on, and hold it once."""
    module = backbone.copied()
    weights = dict(module.named_parameters())
    changed = _changed(module, backbone.spec, weights.values())
    demand(
        changed <= len(weights),
        f"one number was changed in each of {len(weights)} tensors, and {changed} changed under "
        "canonical names; canonical must hold each once.",
    )
    if changed == len(weights):
        return
    dropped = [n for n, p in weights.items() if not _changed(module, backbone.spec, [p])]
    module = backbone.copied()
    with torch.no_grad():
        for name in dropped:
            module.get_parameter(name).add_(1.0)
    far = _apart(features_of(module, backbone.pixels()), backbone.features)
    demand(
        far == 0.0,
        f"canonical drops {', '.join(dropped[:3])}, on which the features depend; two encoders "
        "would have one hash.",
    )


def has_the_same_hash_in_every_layout(backbone: BackboneUnderCheck) -> None:
    """The same weights in another layout have the same hashes and give the same features."""
    if not backbone.given.same_weights:
        raise LeftOut("no other layout of these weights was named.")
    for name in backbone.given.same_weights:
        spec = backbone.found.spec("backbone", name)
        module, own = (build_backbone(s, pretrained=True) for s in (spec, backbone.spec))
        for what, hashed in (("frozen weights", frozen_hash), ("layer norms", norms_hash)):
            a, b = hashed(own, backbone.spec), hashed(module, spec)
            demand(
                a == b,
                f"the {what} have the hash {a[:12]}…, and {b[:12]}… as {name}; canonical must "
                "give both layouts the same names.",
            )
        pixels = backbone.pixels()
        far = _apart(features_of(module, pixels), features_of(own, pixels))
        demand(far <= LAYOUTS, f"the features differ by {far:.1e} of their size from {name}'s.")


RULES = (
    builds_what_it_declares,
    looks_at_its_input,
    is_known_by_its_own_name,
    has_the_norms_that_it_declares,
    takes_the_sizes_that_it_offers,
    answers_the_same_twice,
    answers_one_crop_as_in_a_batch,
    is_tuned_by_its_norms_alone,
    has_finite_gradients,
    has_finite_gradients_under_bfloat16,
    computes_in_other_dtypes,
    runs_on_another_device,
    seeds_nothing,
    needs_no_network_without_weights,
    goes_to_a_worker,
    is_named_by_its_frozen_weights,
    names_every_weight_once,
    has_the_same_hash_in_every_layout,
)


def _apart(got: Tensor, expected: Tensor) -> float:
    """Return how far features (B, D) differ at most, relative to their root mean square."""
    demand(
        got.shape == expected.shape,
        f"features have the shape {tuple(got.shape)}; expected {tuple(expected.shape)}.",
    )
    scale = float(expected.double().square().mean().sqrt()) or 1.0
    return float((got.double() - expected.double()).abs().max()) / scale


def _apart_in_all(got: Tensor, expected: Tensor) -> float:
    """Return how far a crop's feature differs at most, relative to its own length."""
    got, expected = got.double(), expected.double()
    return float(((got - expected).norm(dim=1) / expected.norm(dim=1).clamp(min=1e-12)).max())


def _equal(a: Tensor, b: Tensor) -> bool:
    return (
        torch.equal(a.nan_to_num(), b.nan_to_num()) if a.is_floating_point() else torch.equal(a, b)
    )


def _first(weight: Tensor) -> Tensor:
    """Return its first number to write to, whatever its layout in memory; of none, nothing."""
    return weight[tuple(slice(0, 1) for _ in weight.shape)]


def _changed(module: nn.Module, spec: BackboneSpec, weights: Iterable[Tensor]) -> int:
    """Change one number in each weight; return how many changed under canonical names."""
    before = {name: t.clone() for name, t in canonical_state(module, spec).items()}
    with torch.no_grad():
        for weight in weights:
            _first(weight).add_(1.0)
    after = canonical_state(module, spec)
    return sum(int((after[name] != t).sum()) for name, t in before.items())


def _demand_gradients(backbone: BackboneUnderCheck, *, dtype: torch.dtype | None) -> None:
    module = backbone.copied()
    tune_layer_norms(module, backbone.norms)
    with _autocast(dtype):
        found = tunable(module(backbone.pixels()))
    unit = nn.functional.normalize(found.float(), dim=1)
    total = (unit * torch.linspace(-1, 1, unit.shape[1])).sum()
    total.backward()  # type: ignore[no-untyped-call]
    gradients = {n: p.grad for n, p in module.named_parameters() if p.grad is not None}
    wrong = [name for name, grad in gradients.items() if not bool(grad.isfinite().all())]
    demand(not wrong, f"the gradient of {', '.join(wrong[:3])} is not finite.")
    demand(any(bool(g.any()) for g in gradients.values()), "no layer norm gets a gradient.")


@contextmanager
def _autocast(dtype: torch.dtype | None) -> Iterator[None]:
    if dtype is None:
        yield
        return
    with torch.autocast("cpu", dtype=dtype):
        yield
