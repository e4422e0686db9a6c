"""Plugins and parts that are written on the spot, as in a notebook's cell."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

import gendkit
from gendkit.errors import InvalidSpec, PluginError, UnknownPart
from gendkit.plugin import FaceExtractorSpec, LossSpec, Plugins, hookimpl, plugins


def loss(name: str, value: Any = None) -> LossSpec:
    return LossSpec(name=name, summary="a loss", build=lambda: value)


def extractor(name: str) -> FaceExtractorSpec:
    return FaceExtractorSpec(name=name, summary="faces", licence="MIT", build=print, threshold=0.5)


@pytest.fixture
def found() -> Plugins:
    return Plugins(discover=False)


def test_running_a_cell_again_replaces_what_it_registered(found: Plugins):
    for value in (1, 2):
        found.register(loss("mine", value))
    assert found.spec("loss", "mine").build() == 2
    assert sum(p.name == "mine" for p in found.parts) == 1


def test_a_class_that_is_defined_again_replaces_the_first_with_all_its_parts(found: Plugins):
    def cell(*names: str) -> type:
        class Mine:
            @hookimpl
            def gendkit_losses(self):
                return [loss(name) for name in names]

        return Mine

    found.register(cell("a", "b"))
    found.register(cell("b", "c"))
    assert {"b", "c"} <= {p.name for p in found.parts}
    with pytest.raises(UnknownPart):
        found.part("loss", "a")


def test_parts_of_several_registrations_are_there_side_by_side(found: Plugins):
    found.register([loss("a"), loss("b")])
    found.register([loss("c")])
    found.register(loss("d"))
    assert {"a", "b", "c", "d"} <= {p.name for p in found.parts}
    assert found.part("loss", "b").source.plugin == "a"
    assert found.part("loss", "b").source.distribution == "registered here"


def test_a_plugin_that_cannot_be_hashed_is_taken(found: Plugins):
    for name in ("a", "b"):
        found.register(
            SimpleNamespace(gendkit_losses=hookimpl(lambda name=name: [loss(name)])), name=name
        )
    assert {"a", "b"} <= {p.name for p in found.parts}


@pytest.mark.parametrize("wrong", [[loss("mine", 2), 3], [loss("mine", 2), loss("mine", 3)], [], 7])
def test_a_failing_registration_leaves_the_earlier_one_in_place(found: Plugins, wrong: object):
    found.register(loss("mine", 1))
    with pytest.raises(InvalidSpec):
        found.register(wrong, name="mine")
    assert found.spec("loss", "mine").build() == 1
    found.register(loss("mine", 4))
    assert found.spec("loss", "mine").build() == 4


def test_an_error_in_a_hook_of_a_cell_is_raised_as_it_is(found: Plugins):
    class Mine:
        @hookimpl
        def gendkit_losses(self):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        found.register(Mine)
    assert found.broken == ()


def values(found: Plugins) -> dict[str, Any]:
    here = [p for p in found.parts if p.source.distribution == "registered here"]
    return {p.name: p.spec.build() for p in here}


def test_parts_of_two_kinds_may_have_one_name(found: Plugins):
    found.register(loss("a-b", 1))
    found.register(extractor("a-b"))
    assert found.spec("loss", "a-b").build() == 1
    assert found.spec("face-extractor", "a-b").licence == "MIT"


def test_a_list_in_another_order_replaces_its_parts(found: Plugins):
    found.register([loss("a", 1), loss("b", 1)])
    found.register([loss("b", 2), loss("a", 2)])
    assert values(found) == {"a": 2, "b": 2}


def test_one_part_of_a_list_can_be_replaced_alone(found: Plugins):
    found.register([loss("a", 1), loss("b", 1)])
    found.register(loss("a", 2))
    assert values(found) == {"a": 2, "b": 1}
    assert found.part("loss", "a").source.distribution == "registered here"


def test_specs_with_a_name_replace_all_that_the_name_gave(found: Plugins):
    found.register([loss("a", 1), loss("b", 1)], name="mine")
    found.register([loss("c", 2), loss("b", 2)], name="mine")
    assert values(found) == {"b": 2, "c": 2}
    assert found.part("loss", "c").source.plugin == "mine"


def test_a_named_plugin_takes_nothing_with_it_that_was_registered_beside_it(found: Plugins):
    found.register([loss("mine", 1), loss("a", 1)])
    for value in (2, 3):
        found.register(loss("b", value), name="mine")
    assert values(found) == {"mine": 1, "a": 1, "b": 3}


def test_a_part_of_a_plugin_can_be_replaced_by_a_spec_and_comes_back_with_the_plugin(
    found: Plugins,
):
    class Mine:
        @hookimpl
        def gendkit_losses(self):
            return [loss("a", 1), loss("b", 1)]

    found.register(Mine)
    found.register(loss("a", 2))
    assert values(found) == {"a": 2, "b": 1}
    found.register(Mine)
    assert values(found) == {"a": 1, "b": 1}


def test_a_plugin_with_a_faulty_hook_can_be_mended_and_registered_again(found: Plugins):
    def cell(hook: Any) -> type:
        return type("Mine", (), {"gendkit_losses": hookimpl(hook)})

    found.register(cell(lambda self: [loss("a", 1)]))
    with pytest.raises(InvalidSpec, match="'Mine'"):
        found.register(cell(lambda self, config: [loss("a", 2)]))
    assert values(found) == {"a": 1}
    found.register(cell(lambda self: [loss("a", 3)]))
    assert values(found) == {"a": 3}


def test_a_hook_that_leaves_does_not_take_the_earlier_plugin_with_it(found: Plugins):
    def cell(hook: Any) -> type:
        return type("Mine", (), {"gendkit_losses": hookimpl(hook)})

    found.register(cell(lambda self: [loss("a", 1)]))
    with pytest.raises(SystemExit):
        found.register(cell(lambda self: sys.exit(2)))
    assert values(found) == {"a": 1}
    found.register(cell(lambda self: [loss("a", 3)]))
    assert values(found) == {"a": 3}


def _focal() -> None:
    """A function as one writes it in a cell."""


class CosFace:
    def __init__(self, margin: float) -> None:
        self.margin = margin


WRAPPED = {
    "a function": (_focal, "_focal is a function", "name='focal', summary=.*build=lambda: _focal"),
    "a class": (CosFace, "CosFace is a class", "name='cos-face', summary=.*build=CosFace"),
    "an object": (CosFace(0.1), "it is an object of type CosFace", "name='cos-face', .*lambda: it"),
    "a number": (7, "it is an object of type int", "name='int'"),
    "a lambda": (lambda: 3, "it is a function", "name='function', .*lambda: it"),
    "nothing": (None, "it is an object of type NoneType", "name='none-type'"),
}


@pytest.mark.parametrize("what", WRAPPED)
def test_what_is_neither_a_spec_nor_a_plugin_is_refused_with_how_to_wrap_it(
    found: Plugins, what: str
):
    plugin, is_a, wrapped = WRAPPED[what]
    with pytest.raises(InvalidSpec, match=f"{is_a}.*gk.register\\(LossSpec\\({wrapped}"):
        found.register(plugin)


def test_a_hook_without_its_marker_is_told_to_be_marked(found: Plugins):
    class Mine:
        def gendkit_losses(self):
            return []

    with pytest.raises(InvalidSpec, match="mark one of gendkit_backbones"):
        found.register(Mine)


def test_what_an_object_computes_is_not_computed_to_look_for_hooks(found: Plugins):
    class Costly:
        @property
        def weights(self) -> None:
            raise AssertionError("it was asked")

    with pytest.raises(InvalidSpec, match="of type Costly"):
        found.register(Costly())


def test_a_static_hook_is_found(found: Plugins):
    class Mine:
        @staticmethod
        @hookimpl
        def gendkit_losses():
            return [loss("mine", 1)]

    found.register(Mine)
    assert values(found) == {"mine": 1}


def test_a_cell_cannot_take_the_name_of_an_installed_part_or_plugin(found: Plugins):
    with pytest.raises(PluginError, match=r"'cross-entropy'.*give yours another name"):
        found.register(loss("cross-entropy"))
    with pytest.raises(PluginError, match="is the name of an installed plugin"):
        found.register(loss("mine"), name="gendkit.builtin")


def test_register_adds_to_the_plugins_of_the_process():
    plugins.cache_clear()
    try:
        gendkit.register(loss("mine"))
        assert plugins().part("loss", "mine")
    finally:
        plugins.cache_clear()
