"""Installed plugins: found by their entry point, set aside when broken, refused when they clash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gendkit.errors import PluginError, RefusedPlugin, UnknownPart
from gendkit.plugin import Plugins

Code = Callable[[str], str]


def test_a_part_says_which_distribution_it_came_from(
    install: Callable[..., None], loss_plugin: Code
):
    install("gendkit-extra", loss_plugin("extra-loss"), version="3.1")
    part = Plugins().part("loss", "extra-loss")
    assert (part.source.distribution, part.source.version) == ("gendkit-extra", "3.1")
    assert part.spec.build() == 17


def test_built_in_parts_come_from_gendkit_through_the_same_hooks():
    import gendkit
    from gendkit import builtin

    found = Plugins(discover=False)
    assert {p.source.distribution for p in found.parts} == {"gendkit"}
    assert {p.source.version for p in found.parts} == {gendkit.__version__}
    given = [
        *builtin.gendkit_backbones(),
        *builtin.gendkit_face_extractors(),
        *builtin.gendkit_losses(),
        *builtin.gendkit_datasets(),
    ]
    assert {id(type(s)) for s in given} == {id(type(p.spec)) for p in found.parts}
    assert sorted(s.name for s in given) == sorted(p.spec.name for p in found.parts)
    assert {p.kind for p in found.parts} == {"backbone", "face-extractor", "loss", "dataset"}


BROKEN = {
    "raises at import": ("import gendkit_not_there", "ModuleNotFoundError: No module named"),
    "leaves at import": ("raise SystemExit(3)", "SystemExit: 3"),
    "has a syntax error": ("def (", "SyntaxError"),
    "raises what is no Exception": ("raise BaseException('odd')", "BaseException: odd"),
    "raises in its hook": (
        """
        from gendkit.plugin import hookimpl
        @hookimpl
        def gendkit_losses():
            raise OSError("no disk\\nat all\\x1b[31m")
            yield
        """,
        "OSError: no disk at all?[31m",
    ),
    "leaves in its hook": (
        """
        import sys
        from gendkit.plugin import hookimpl
        @hookimpl
        def gendkit_losses():
            sys.exit("no licence key")
        """,
        "SystemExit: no licence key",
    ),
    "raises gendkit's own error in its hook": (
        """
        from gendkit.errors import PluginError
        from gendkit.plugin import hookimpl
        @hookimpl
        def gendkit_losses():
            raise PluginError("not on this machine")
            yield
        """,
        "PluginError: not on this machine",
    ),
    "gives no spec": (
        """
        from gendkit.plugin import hookimpl
        @hookimpl
        def gendkit_losses():
            return [3]
        """,
        "gave a int; expected LossSpec",
    ),
    "forgets to yield": (
        """
        from gendkit.plugin import hookimpl
        @hookimpl
        def gendkit_losses():
            pass
        """,
        "gave a NoneType; it must yield or return a list of specs",
    ),
    "gives a spec of another kind": (
        """
        from gendkit.plugin import LossSpec, hookimpl
        @hookimpl
        def gendkit_datasets():
            yield LossSpec(name="a", summary="b", build=print)
        """,
        "gave a LossSpec; expected DatasetSpec",
    ),
    "gives one name twice": (
        """
        from gendkit.plugin import LossSpec, hookimpl
        @hookimpl
        def gendkit_losses():
            return [LossSpec(name="a", summary="b", build=print)] * 2
        """,
        "gives the loss 'a' twice",
    ),
    "forgets the marker": (
        """
        def gendkit_losses():
            return []
        """,
        "implements no hook; mark one of gendkit_backbones",
    ),
    "asks for an argument that no hook has": (
        """
        from gendkit.plugin import hookimpl
        @hookimpl
        def gendkit_losses(config):
            return []
        """,
        "Argument(s) {'config'} are declared in the hookimpl but can not be found",
    ),
    "fails to say why": (
        """
        class Silent(Exception):
            def __str__(self):
                raise ValueError("no words")
        raise Silent
        """,
        "Silent",
    ),
    "misses what has no name": ("raise ImportError('not there', name=5)", "ImportError: not there"),
    "gives a part that is built already": (
        """
        from gendkit.plugin import LossSpec, hookimpl
        @hookimpl
        def gendkit_losses():
            yield LossSpec(name="a", summary="b", build=3)
        """,
        "build must be a function, which is called when the part is needed, got a int",
    ),
    "names a part badly": (
        """
        from gendkit.plugin import LossSpec, hookimpl
        @hookimpl
        def gendkit_losses():
            yield LossSpec(name="My Loss", summary="b", build=print)
        """,
        "names are kebab-case",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_plugin_is_set_aside_with_its_reason_and_stops_no_other(
    install: Callable[..., None], loss_plugin: Code, fault: str
):
    code, reason = BROKEN[fault]
    install("gendkit-a-bad", code)
    install("gendkit-b-good", loss_plugin("good-loss"))
    found = Plugins()
    assert [b.source.distribution for b in found.broken] == ["gendkit-a-bad"]
    assert reason in found.broken[0].reason
    assert found.broken[0].reason.isprintable()
    assert found.part("loss", "good-loss").source.distribution == "gendkit-b-good"
    assert found.part("backbone", "dinov2-vits14")


def test_an_entry_point_may_name_a_class(install: Callable[..., None]):
    install(
        "gendkit-class",
        """
        from gendkit.plugin import LossSpec, hookimpl

        class Mine:
            @hookimpl
            def gendkit_losses(self):
                yield LossSpec(name="of-a-class", summary="a loss", build=print)
        """,
        attribute="Mine",
    )
    assert Plugins().part("loss", "of-a-class").source.distribution == "gendkit-class"


def test_an_entry_point_to_nowhere_is_told_as_such(install: Callable[..., None], tmp_path: Path):
    install("gendkit-bad", "")
    points = next(tmp_path.rglob("*.dist-info")) / "entry_points.txt"
    points.write_text("[gendkit]\nbad = gendkit_nowhere\n")
    (broken,) = Plugins().broken
    assert broken.reason == "ModuleNotFoundError: No module named 'gendkit_nowhere'"
    assert broken.remedy.startswith("its entry point names 'gendkit_nowhere', which is no module")
    assert "[project.entry-points.gendkit] in its pyproject.toml" in broken.remedy


def test_a_long_reason_is_cut(install: Callable[..., None]):
    install("gendkit-bad", "raise ValueError('x' * 10_000)")
    assert len(Plugins().broken[0].reason) == 300


def test_the_error_for_an_unknown_part_names_the_plugin_that_was_set_aside(
    install: Callable[..., None],
):
    install("gendkit-bad", "raise ValueError('out of order')")
    with pytest.raises(UnknownPart, match=r"'gendkit-bad' was set aside: ValueError: out of order"):
        Plugins().part("loss", "focal")


def test_two_plugins_that_give_one_name_are_an_error_that_names_both(
    install: Callable[..., None], loss_plugin: Code
):
    install("gendkit-one", loss_plugin("same"), version="1.0")
    install("gendkit-two", loss_plugin("same"), version="2.0")
    with pytest.raises(PluginError, match=r"loss 'same'.*gendkit-one 1\.0.*gendkit-two 2\.0"):
        Plugins()


def test_a_plugin_cannot_take_a_built_in_name(install: Callable[..., None], loss_plugin: Code):
    install("gendkit-thief", loss_plugin("cross-entropy"))
    with pytest.raises(PluginError, match=r"'cross-entropy'.*gendkit\.builtin.*gendkit-thief"):
        Plugins()


def test_two_distributions_with_one_plugin_name_are_an_error_that_names_both(
    install: Callable[..., None], loss_plugin: Code
):
    install("gendkit-one", loss_plugin("a"), plugin="same")
    install("gendkit-two", loss_plugin("b"), plugin="same")
    with pytest.raises(PluginError, match=r"'same': gendkit-one 1\.2 and gendkit-two 1\.2"):
        Plugins()


def test_a_misspelt_hook_is_an_error_with_the_hook_that_was_meant(install: Callable[..., None]):
    install(
        "gendkit-typo",
        """
        from gendkit.plugin import hookimpl
        @hookimpl
        def gendkit_backbone():
            return []
        """,
    )
    with pytest.raises(
        PluginError,
        match=r"'gendkit-typo' \(gendkit-typo 1\.2\) implements an unknown hook gendkit_backbone; "
        "was gendkit_backbones meant",
    ):
        Plugins()


def test_what_stops_every_command_is_an_error_of_its_own_kind(
    install: Callable[..., None], loss_plugin: Code
):
    install("gendkit-thief", loss_plugin("cross-entropy"))
    with pytest.raises(RefusedPlugin, match="GENDKIT_BLOCK_PLUGINS=gendkit-thief"):
        Plugins()


def test_an_interrupted_hook_is_no_broken_plugin(install: Callable[..., None]):
    install(
        "gendkit-slow",
        """
        from gendkit.plugin import hookimpl
        @hookimpl
        def gendkit_losses():
            raise KeyboardInterrupt
        """,
    )
    with pytest.raises(KeyboardInterrupt):
        Plugins()


def test_the_hint_names_only_the_hook_of_this_plugin(install: Callable[..., None]):
    found = Plugins(discover=False)
    from gendkit.plugin import hookimpl

    class First:
        @hookimpl
        def gendkit_lossses(self):
            return []

    class Second:
        @hookimpl
        def gendkit_nonsense(self):
            return []

    with pytest.raises(PluginError, match="gendkit_lossses; was gendkit_losses meant"):
        found.register(First)
    with pytest.raises(PluginError, match="unknown hook gendkit_nonsense; the hooks are"):
        found.register(Second)


def test_a_clashing_or_misspelt_plugin_can_be_left_out_by_the_environment(
    install: Callable[..., None], loss_plugin: Code, monkeypatch: pytest.MonkeyPatch
):
    install("gendkit-one", loss_plugin("same"))
    install("gendkit-two", loss_plugin("same"))
    monkeypatch.setenv("GENDKIT_BLOCK_PLUGINS", "something, gendkit-two")
    assert Plugins().part("loss", "same").source.distribution == "gendkit-one"


def test_a_blocked_plugin_is_not_even_imported(install: Callable[..., None]):
    install("gendkit-bad", "raise ValueError")
    found = Plugins(blocked=["gendkit-bad"])
    assert found.broken == ()


def test_what_is_left_out_is_known_with_what_said_so(
    install: Callable[..., None], loss_plugin: Code, monkeypatch: pytest.MonkeyPatch
):
    install("gendkit-one", loss_plugin("one"))
    install("gendkit-two", loss_plugin("two"))
    monkeypatch.setenv("GENDKIT_BLOCK_PLUGINS", "gendkit-one,,gendkit-oen")
    found = Plugins(blocked=["gendkit-two"])
    said = {b.name: (b.by, b.source and b.source.origin) for b in found.blocked}
    assert said == {
        "gendkit-one": ("GENDKIT_BLOCK_PLUGINS", "gendkit-one 1.2"),
        "gendkit-two": ("the argument `blocked`", "gendkit-two 1.2"),
        "gendkit-oen": ("GENDKIT_BLOCK_PLUGINS", None),
    }
    assert {"gendkit.builtin", "gendkit-one", "gendkit-two"} <= set(found.names)
    assert "gendkit-oen" not in found.names
    shown = found._repr_html_()
    assert "left out: gendkit-one" in shown
    assert "by GENDKIT_BLOCK_PLUGINS, but there is none" in shown


def test_gendkits_own_plugin_can_be_left_out_too():
    found = Plugins(discover=False, blocked=["gendkit.builtin"])
    assert found.parts == found.listeners == ()
    assert found.blocked[0].source is not None


def test_what_is_to_be_left_out_cannot_be_registered():
    from gendkit.plugin import hookimpl

    class Mine:
        @hookimpl
        def gendkit_losses(self):
            return []

    with pytest.raises(RefusedPlugin, match="'Mine' is to be left out, says the argument"):
        Plugins(discover=False, blocked=["Mine"]).register(Mine)


def test_a_distribution_without_a_name_in_its_metadata_still_loads(
    install: Callable[..., None], loss_plugin: Code, tmp_path
):
    install("gendkit-damaged", loss_plugin("damaged-loss"))
    info = next(tmp_path.rglob("*.dist-info"))
    (info / "METADATA").write_text("Metadata-Version: 2.1\n")
    assert Plugins().part("loss", "damaged-loss").source.distribution == "?"
