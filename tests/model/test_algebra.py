"""The arithmetic of adapters: exact where it can be, and only among adapters of one base."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gendkit.errors import InvalidAdapter, InvalidArgument, WrongBackbone
from gendkit.model.adapter import Adapter, Header, movement
from gendkit.model.algebra import Difference
from gendkit.model.backbone import norms_of, tensors_hash
from gendkit.model.tuning import copy_of
from gendkit.plugin.specs import BackboneSpec, Preprocessing

SHAPES = {"a.weight": (3,), "a.bias": (3,), "b.weight": (2,)}
HEAD = {"weight": (2, 3), "bias": (2,)}
EPS = 2.0**-23
LARGEST = 2.0**20
PREPROCESSING = Preprocessing(
    size=32, mean=(0.5,) * 3, std=(0.5,) * 3, resize="squash", interpolation="bilinear"
)


def tensors(shapes: dict[str, tuple[int, ...]], number: Callable[[], float]) -> dict[str, Tensor]:
    return {
        name: torch.tensor([number() for _ in range(torch.Size(shape).numel())]).reshape(shape)
        for name, shape in shapes.items()
    }


@st.composite
def numbers(draw: st.DrawFn) -> Adapter:
    """An adapter of a made-up base with any numbers that float32 holds well."""
    any_float = st.floats(-LARGEST, LARGEST, width=32)
    return Adapter(
        header=HEADER,
        norms=tensors(SHAPES, lambda: draw(any_float)),
        head=tensors(HEAD, lambda: draw(any_float)),
    )


BASE = {name: torch.ones(shape) for name, shape in SHAPES.items()}
HEADER = Header(
    backbone="made-up",
    backbone_hash="b" * 64,
    norms_hash=tensors_hash(BASE),
    source="tests",
    preprocessing=PREPROCESSING,
    recipe={"name": "by hand"},
)


def assert_same(one: Adapter, other: Adapter, *, rtol: float = 0, atol: float = 0) -> None:
    """Without tolerances: equal but for the sign of a zero."""
    for ours, theirs in ((one.norms, other.norms), (one.head, other.head)):
        torch.testing.assert_close(dict(ours), dict(theirs), rtol=rtol, atol=atol)


@settings(deadline=None)
@given(numbers(), numbers())
def test_a_difference_added_again_gives_back_the_adapter(a: Adapter, b: Adapter):
    tiny = 2.0**-52 * LARGEST  # the difference is kept in float64
    assert_same(b + (a - b), a, rtol=EPS, atol=tiny)
    assert_same(a + -(a - b), b, rtol=EPS, atol=tiny)


@settings(deadline=None)
@given(numbers(), st.integers(1, 5))
def test_the_average_of_copies_is_the_copy(a: Adapter, copies: int):
    assert_same(Adapter.average([a] * copies), a)


@settings(deadline=None)
@given(numbers(), numbers())
def test_the_average_of_two_is_half_way(a: Adapter, b: Adapter):
    half_way, mean = b + 0.5 * (a - b), Adapter.average([a, b])
    for name, tensor in mean.norms.items():
        size = max(float(a.norms[name].abs().max()), float(b.norms[name].abs().max()))
        torch.testing.assert_close(tensor, half_way.norms[name], rtol=EPS, atol=EPS * size)


@settings(deadline=None)
@given(numbers())
def test_the_ends_of_the_interpolation_are_exact(a: Adapter):
    assert_same(a.interpolate(BASE, 1), a)
    start = a.interpolate(BASE, 0)
    assert all(torch.equal(start.norms[name], BASE[name]) for name in BASE)
    assert all(torch.equal(start.head[name], a.head[name]) for name in a.head)


@settings(deadline=None)
@given(numbers(), st.floats(-2, 3))
def test_the_interpolation_is_a_straight_line(a: Adapter, t: float):
    start, between = a.interpolate(BASE, 0), a.interpolate(BASE, t)
    along = start + t * (a - start)
    for name, tensor in between.norms.items():
        torch.testing.assert_close(tensor, along.norms[name], rtol=4 * EPS, atol=1e-6)


@settings(deadline=None)
@given(numbers(), numbers(), st.floats(-10, 10), st.floats(-10, 10))
def test_scaling_is_linear(a: Adapter, b: Adapter, s: float, t: float):
    d = a - b
    together, apart = (s + t) * d, s * d + d * t
    for name, tensor in d.norms.items():
        size = float(tensor.abs().max()) * (abs(s) + abs(t))
        torch.testing.assert_close(
            together.norms[name], apart.norms[name], rtol=0, atol=1e-15 * size + 1e-300
        )
    assert_same(b + 0.0 * d, b)


@settings(deadline=None)
@given(numbers(), numbers(), st.sampled_from(["backbone_hash", "norms_hash"]))
def test_nothing_is_combined_across_bases(a: Adapter, b: Adapter, field: str):
    other = replace(b, header=replace(b.header, **{field: "c" * 64}))
    difference = a - b
    for operation in (
        lambda: a - other,
        lambda: other + difference,
        lambda: difference + (other - other),
        lambda: Adapter.average([a, other]),
    ):
        with pytest.raises(WrongBackbone, match=r"only (adapters|those) of the same"):
            operation()


@pytest.fixture
def base(spec: BackboneSpec, backbone: nn.Module) -> dict[str, Tensor]:
    return copy_of(norms_of(backbone, spec))


def imported(adapter: Adapter) -> Adapter:
    return replace(adapter, header=replace(adapter.header, norms_hash="unknown"))


def test_an_imported_adapter_names_its_base_before_it_is_combined(
    adapter: Adapter, base: dict[str, Tensor]
):
    stranger = imported(adapter)
    operations: list[Callable[[Adapter], Any]] = [
        lambda a: a - a,
        lambda a: a.interpolate(base, 0.5),
        lambda a: Adapter.average([a, a]),
    ]
    for operation in operations:
        with pytest.raises(WrongBackbone, match="name them first"):
            operation(stranger)
        operation(stranger.with_base(base))
    assert stranger.with_base(base).header == adapter.header
    assert adapter.with_base(base) is adapter


def test_a_base_is_checked_by_its_numbers(adapter: Adapter, base: dict[str, Tensor]):
    wrong = {**base, "norm.weight": base["norm.weight"] + 1e-6}
    for operation in (lambda: adapter.interpolate(wrong, 0.5), lambda: adapter.with_base(wrong)):
        with pytest.raises(WrongBackbone, match="take them from the backbone before"):
            operation()


@pytest.mark.parametrize("change", ["missing", "unknown", "shape"])
def test_other_layers_are_refused(adapter: Adapter, base: dict[str, Tensor], change: str):
    def changed(norms: Any) -> dict[str, Tensor]:
        first, *rest = norms
        if change == "missing":
            return {name: norms[name] for name in rest}
        return {**norms, (first if change == "shape" else "more"): torch.ones(3)}

    other = replace(adapter, norms=changed(adapter.norms))
    for operation in (
        lambda: adapter - other,
        lambda: Adapter.average([adapter, other]),
        lambda: other + (adapter - adapter),
        lambda: adapter.interpolate(changed(base), 0.5),
        lambda: imported(adapter).with_base(changed(base)),
    ):
        with pytest.raises(InvalidAdapter, match="do not fit"):
            operation()


def test_another_head_is_refused(adapter: Adapter):
    other = replace(adapter, head={**adapter.head, "weight": torch.ones(2, 3)})
    with pytest.raises(InvalidAdapter, match="other head do not fit"):
        adapter - other


def test_heads_of_two_kinds_are_not_combined(adapter: Adapter):
    other = replace(adapter, header=replace(adapter.header, normalised=False))
    for operation in (
        lambda: adapter - other,
        lambda: adapter + (other - other),
        lambda: Adapter.average([adapter, other]),
    ):
        with pytest.raises(InvalidArgument, match="only heads of one kind"):
            operation()


def test_adapters_of_other_preprocessing_are_compared_but_not_averaged(adapter: Adapter):
    larger = replace(adapter.header, preprocessing=adapter.header.preprocessing.at(64))
    other = replace(adapter, header=larger)
    assert_same(other + (adapter - other), adapter)
    with pytest.raises(InvalidArgument, match="differ in their preprocessing"):
        Adapter.average([adapter, other])


def test_only_adapters_are_averaged(adapter: Adapter):
    with pytest.raises(InvalidArgument, match="give one or more"):
        Adapter.average([])
    with pytest.raises(InvalidArgument, match="str is no adapter of layer norms"):
        Adapter.average([adapter, "run"])  # type: ignore[list-item]


def test_what_makes_no_sense_is_a_type_error(adapter: Adapter):
    difference = adapter - adapter
    for operation in (
        lambda: adapter + adapter,
        lambda: adapter * 2,
        lambda: adapter - difference,
        lambda: difference * difference,
        lambda: difference + 1,
        lambda: adapter - 1,
    ):
        with pytest.raises(TypeError, match="unsupported operand"):
            operation()


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(
    adapter: Adapter, base: dict[str, Tensor], number: float
):
    with pytest.raises(InvalidArgument, match="give a finite number"):
        adapter.interpolate(base, number)
    with pytest.raises(InvalidArgument, match="give a finite number"):
        number * (adapter - adapter)


def test_a_result_that_float32_cannot_hold_is_refused(adapter: Adapter, base: dict[str, Tensor]):
    with pytest.raises(InvalidArgument, match="not finite in float32; scale by less"):
        adapter.interpolate(base, 1e42)


def test_a_difference_is_related_to_what_was_subtracted(adapter: Adapter, base: dict[str, Tensor]):
    start = adapter.interpolate(base, 0)
    difference = adapter - start
    table, expected = difference.by_layer(), movement(base, adapter.norms)
    assert table["layer"].tolist() == expected["layer"].tolist()
    assert table["weight"].tolist() == pytest.approx(expected["weight"].tolist(), rel=1e-6)
    assert table["bias"].isna().tolist() == expected["bias"].isna().tolist()
    half = (0.5 * difference).by_layer()["weight"]
    assert half.tolist() == pytest.approx((table["weight"] / 2).tolist())
    assert all(not t.any() for t in difference.head.values())


def test_a_difference_says_what_it_is(adapter: Adapter):
    assert repr(adapter - adapter) == "Difference(small, 10 tensors, L2 norm 0)"


def test_the_recipe_says_how_an_adapter_was_made(
    adapter: Adapter, base: dict[str, Tensor], tmp_path: Path
):
    seed = replace(adapter, head={k: 2 * t for k, t in adapter.head.items()})
    soup = Adapter.average([adapter, seed])
    recipes = {adapter.hash: adapter.header.recipe, seed.hash: seed.header.recipe}
    assert soup.header.recipe == {"average_of": [adapter.hash, seed.hash], "recipes": recipes}
    moved = soup + 0.5 * (adapter - seed)
    assert moved.header.recipe == {
        "sum_of": [
            soup.hash,
            {
                "scaled_by": 0.5,
                "of": {"difference_of": [adapter.hash, seed.hash], "recipes": recipes},
            },
        ],
        "recipes": {soup.hash: soup.header.recipe},
    }
    between = adapter.interpolate(base, 0.25)
    assert between.header.recipe["interpolated"] == adapter.hash
    assert between.header.recipe["t"] == 0.25
    for number, made in enumerate((soup, moved, between)):
        path = made.write(tmp_path / f"{number}.safetensors")
        assert Adapter.read(path).header == made.header
        assert replace(made.header, recipe={}, gendkit="") == replace(
            adapter.header, recipe={}, gendkit=""
        )


def test_operands_are_not_changed(adapter: Adapter, base: dict[str, Tensor]):
    before = adapter.hash, tensors_hash(base)
    difference: Difference = adapter - adapter.interpolate(base, 0.5)
    Adapter.average([adapter, adapter + 2 * difference])
    assert (adapter.hash, tensors_hash(base)) == before
    assert {t.dtype for t in difference.norms.values()} == {torch.float64}
    assert {t.dtype for t in (adapter + difference).norms.values()} == {torch.float32}
