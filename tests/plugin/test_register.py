"""Plugins and parts that are written on the spot, as in a notebook's cell."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

import gendkit
from gendkit.errors import InvalidSpec, PluginError, UnknownPart
from gendkit.plugin import LossSpec, Plugins, hookimpl, plugins


def loss(name: str, value: Any = None) -> LossSpec:
    return LossSpec(name=name, summary="a loss", build=lambda: value)


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


def test_a_clash_of_two_cells_tells_how_to_replace(found: Plugins):
    found.register([loss("a"), loss("b")])
    with pytest.raises(PluginError, match=r"to replace the first, register with name='a'"):
        found.register(loss("b"))
    found.register([loss("b"), loss("c")], name="a")
    assert {"b", "c"} <= {p.name for p in found.parts}


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
