"""The conformance kit: names, what is given, and the same rules for pytest and the command."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gendkit.errors import MissingMedia, UnknownPart
from gendkit.plugin.manager import Plugins
from gendkit.plugin.specs import LossSpec
from gendkit.testing import Given, check, checks_of, plugin_checks
from gendkit.testing.conformance import CHECKED, rules_of
from gendkit.testing.rules import Check, LeftOut, Rule, RuleBroken, demand
from gendkit.testing.small import small_backbone

Install = Callable[..., None]


@pytest.mark.parametrize("kind", CHECKED)
def test_a_rule_is_a_public_function_with_a_sentence_and_all_of_them_are_tried(kind: str):
    rules = rules_of(kind)
    module = inspect.getmodule(rules[0].check)
    assert module is not None
    tried = {rule.name for rule in rules}
    public = {
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and value.__module__ == module.__name__
        and not name.startswith("_")
        and value.__annotations__.get("return") == "None"
    }
    assert public == tried
    assert len(tried) == len(rules)
    for rule in rules:
        assert re.fullmatch(r"[A-Z].{20,}\.", rule.text), rule.name
        assert len(inspect.signature(rule.check).parameters) == 1


def test_a_folder_that_is_not_there_is_an_error_and_no_broken_rule(tmp_path: Path):
    with pytest.raises(MissingMedia, match=r"there is no .*absent, on which photos was to be"):
        checks_of(f"photos:{tmp_path / 'absent'}", among=Plugins(discover=False))
    assert checks_of(f"photos:{tmp_path}", among=Plugins(discover=False))


def test_no_two_kinds_share_the_text_of_a_rule_by_mistake():
    texts = [rule.text for kind in CHECKED for rule in rules_of(kind)]
    assert len(set(texts)) == len(texts)


def test_a_name_means_a_plugin_a_distribution_or_a_part(install: Install, loss_plugin):
    install("gendkit-extra", loss_plugin("extra-loss"), plugin="extra")
    found = Plugins()
    kinds = {
        name: [c.rule.kind for c in checks_of(name, among=found)]
        for name in ("extra", "gendkit-extra", "extra-loss")
    }
    assert set(kinds["extra"]) == {"plugin", "loss"}
    assert kinds["gendkit-extra"] == kinds["extra"]
    assert set(kinds["extra-loss"]) == {"loss"}


def test_an_unknown_name_is_told_what_there_is():
    with pytest.raises(
        UnknownPart, match=r"no plugin or part is named 'focal'; there is alignment"
    ):
        checks_of("focal", among=Plugins(discover=False))


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("cross_entropy", "cross-entropy"), ("dinov2-vit14", "dinov2-vits14"), ("gendkt", "gendkit")],
)
def test_a_misspelt_name_is_told_what_may_have_been_meant(wrong: str, meant: str):
    with pytest.raises(UnknownPart, match=f"is named '{wrong}'; was {meant} meant\\?$"):
        checks_of(wrong, among=Plugins(discover=False))


def test_a_distribution_may_be_meant_without_the_word_before_it(install: Install, loss_plugin):
    install("gendkit-extra", loss_plugin("extra-loss"), plugin="other")
    with pytest.raises(UnknownPart, match="no plugin or part is named 'extra'; was gendkit-extra"):
        checks_of("extra", among=Plugins())


def test_a_part_of_a_plugin_that_is_not_in_use_is_told_why(install: Install):
    install("gendkit-bad", "raise ValueError('out of order')")
    install("gendkit-other", "from gendkit.plugin import hookimpl")
    with pytest.raises(UnknownPart) as caught:
        checks_of("focal", among=Plugins(blocked=["gendkit-other"]))
    said = str(caught.value)
    assert "'gendkit-bad' was set aside: ValueError: out of order (gendkit_bad_module, " in said
    assert "Plugin 'gendkit-other' is left out by the argument `blocked`." in said


def test_a_plugin_that_was_set_aside_is_told_with_what_to_do(install: Install):
    install("gendkit-bad", "import nowhere", requires=["nowhere"])
    with pytest.raises(UnknownPart, match='; run: python -m pip install "nowhere"'):
        checks_of("gendkit-bad", among=Plugins())


def test_a_plugin_that_was_set_aside_is_told_with_its_reason(install: Install):
    install("gendkit-bad", "raise ValueError('out of order')")
    with pytest.raises(UnknownPart, match="was set aside: ValueError: out of order"):
        checks_of("gendkit-bad", among=Plugins())


def test_what_is_given_to_a_part_that_is_not_there_is_an_error():
    with pytest.raises(UnknownPart, match="'focal' is no part of 'uniformity'"):
        checks_of("uniformity", given={"focal": Given()})


def test_what_a_part_needs_is_made_once_in_a_folder_that_is_removed():
    made: list[Path] = []

    def give(folder: Path) -> Given:
        assert list(folder.iterdir()) == []
        made.append(folder)
        return Given(options={"weight": 3.0})

    built: list[float] = []

    def build(*, weight: float) -> object:
        built.append(weight)
        return lambda inputs: weight * inputs.logits.mean()

    found = Plugins(discover=False)
    found.register(LossSpec(name="tried", summary="a loss", build=build))
    checks = checks_of("tried", given={"tried": give}, among=found)
    assert made == []  # nothing is made before a rule needs it
    assert {c.outcome().verdict for c in checks if c.rule.kind == "loss"} == {"kept", "left out"}
    assert len(made) == 1
    assert set(built) == {3.0}
    del checks
    assert not made[0].exists()


@pytest.mark.parametrize(
    ("error", "verdict", "reason"),
    [
        (None, "kept", ""),
        (RuleBroken("two\nlines\x1b[31m"), "broken", "two lines?[31m"),
        (LeftOut("no root"), "left out", "no root"),
        (ValueError("odd"), "broken", "ValueError: odd"),
        (SystemExit(3), "broken", "SystemExit: 3"),
    ],
)
def test_an_outcome_says_what_came_of_a_rule(error, verdict: str, reason: str):
    def rule(subject: object) -> None:
        """Nothing goes wrong at all here."""
        if error is not None:
            raise error

    made = Check(rule=Rule(kind="loss", check=rule), part="a", subject=lambda: None).outcome()
    assert (made.verdict, made.reason, made.part) == (verdict, reason, "a")
    assert made.text == "Nothing goes wrong at all here."


def test_an_interrupt_is_the_user_s():
    def rule(subject: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Check(rule=Rule(kind="loss", check=rule), part="a", subject=lambda: None).outcome()


def test_a_demand_that_is_met_does_nothing_and_one_that_is_not_breaks_the_rule():
    demand(1, "nothing")
    with pytest.raises(RuleBroken, match="why"):
        demand(0, "why")


SUITE = """
from gendkit.testing import plugin_checks

test_conformance = plugin_checks({name!r})
"""
SEPARATION = """
from gendkit.plugin import LossSpec, hookimpl

@hookimpl
def gendkit_losses():
    yield LossSpec(name="separation", summary="of the classes' means", build=lambda: separation)

def separation(inputs):
    real, fake = (inputs.embeddings[inputs.labels == k].mean(0) for k in (0, 1))
    return real @ fake
"""


def pytest_says(folder: Path, name: str) -> str:
    (folder / "test_it.py").write_text(SUITE.format(name=name))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rfs", "-p", "no:cacheprovider", "test_it.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": ":".join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


def test_pytest_has_one_test_a_rule_and_shows_what_is_broken(install: Install, tmp_path: Path):
    install("gendkit-tried", SEPARATION, plugin="tried")
    said = pytest_says(tmp_path, "tried")
    checks = checks_of("tried", among=Plugins())
    broken = [c.rule.name for c in checks if c.outcome().verdict == "broken"]
    assert {"bears_one_class", "bears_one_sample"} <= set(broken)
    for name in broken:
        assert f"FAILED test_it.py::test_conformance[loss-separation-{name}]" in said
    left_out = 1
    assert f"{len(broken)} failed, {len(checks) - len(broken) - left_out} passed" in said
    assert "1 skipped" in said
    assert "it does not say that it is separable" in said


def test_the_command_runs_the_same_rules(install: Install, tmp_path: Path, monkeypatch, capsys):
    from gendkit.cli import main
    from gendkit.plugin.manager import plugins

    install("gendkit-tried", SEPARATION, plugin="tried")
    plugins.cache_clear()
    try:
        assert main(["plugins", "check", "tried", "--json"]) == 1
        found = json.loads(capsys.readouterr().out)
        assert main(["plugins", "check", "tried"]) == 1
        text = capsys.readouterr().out
    finally:
        plugins.cache_clear()
    checks = checks_of("tried", among=Plugins())
    assert [o["rule"] for o in found["outcomes"]] == [c.rule.name for c in checks]
    assert found["broken"] == sum(o["verdict"] == "broken" for o in found["outcomes"]) >= 2
    assert f"{found['kept']} rules kept, {found['broken']} broken, 1 left out" in text
    broken = text.splitlines().index(
        "  BROKEN    A batch of one class gives a finite number and a finite gradient."
    )
    assert text.splitlines()[broken + 1].strip().startswith("real crops only: it is nan")


def test_a_test_of_the_kit_carries_the_rule_as_its_name():
    test = plugin_checks("uniformity")
    (mark,) = test.pytestmark  # type: ignore[attr-defined]
    assert [p.id for p in mark.args[1]] == [c.id for c in checks_of("uniformity")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "no plugin or part is named 'nonsense'"),
        (["timm:nonsense"], "timm has no model 'nonsense'"),
        (["gendkit.builtin", "-o", "a=1"], "options are for one part"),
        (["dinov2-vits14", "-o", "a=1"], "is built without options"),
        (["uniformity", "--pretrained"], "has no backbone"),
        (["uniformity", "-o", "wrong=1"], "loss 'uniformity' has no option 'wrong'"),
        (["synthetic", "-o", "wrong=1"], "no option 'wrong'"),
        (["dinov2-vits14", "--same-weights", "nix"], "no backbone is named 'nix'"),
        (["uniformity", "-o", "nonsense"], "expected NAME=VALUE"),
        ([], "Missing argument 'NAME'"),
    ],
)
def test_nonsense_is_refused_in_one_line(arguments: list[str], said: str, capsys):
    from gendkit.cli import main

    assert main(["plugins", "check", *arguments]) in (1, 2)
    captured = capsys.readouterr()
    assert said in captured.err
    assert len(captured.err.strip().splitlines()) == 1


def test_rules_that_are_left_out_for_one_reason_share_a_line(capsys):
    from gendkit.cli import main

    assert main(["plugins", "check", "photos"]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = next(
        n for n, line in enumerate(lines) if "give one: gendkit plugins check photos:" in line
    )
    assert re.fullmatch(r"  left out  \d+ rules", lines[at - 1])
    assert sum("give one:" in line for line in lines) == 2  # rules in between were tried


def test_one_reason_of_several_broken_rules_is_said_once(install: Install, fresh: None, capsys):
    from gendkit.cli import main

    code = """
    from gendkit.plugin import LossSpec, hookimpl
    @hookimpl
    def gendkit_losses():
        yield LossSpec(name="tried", summary="a loss", build=lambda: 1 / 0)
    """
    install("gendkit-tried", code, plugin="tried")
    assert main(["plugins", "check", "tried"]) == 1
    lines = capsys.readouterr().out.splitlines()
    broken = [n for n, line in enumerate(lines) if line.startswith("  BROKEN    ")]
    said = [n for n, line in enumerate(lines) if "ZeroDivisionError" in line]
    assert len(broken) > 5
    # Once for those before the rule that is left out, and once for those behind it.
    assert len(said) == 2
    assert {n - 1 for n in said} <= set(broken)


def test_rules_are_listed_without_being_tried(capsys):
    from gendkit.cli import main

    assert main(["plugins", "check", "uniformity", "--rules"]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert len(lines) == len(rules_of("loss"))
    assert lines[0].startswith("uniformity  is_a_finite_number_with_a_gradient: On an ordinary")


def test_the_small_backbone_is_checked_by_its_name_in_a_session():
    found = Plugins(discover=False)
    found.register(small_backbone("mine"))
    verdicts = {c.outcome().verdict for c in checks_of("mine", among=found)}
    assert verdicts == {"kept", "left out"}


def test_what_came_of_a_check_is_counted_and_shown():
    found = Plugins(discover=False)
    found.register(LossSpec(name="sum", summary="a loss", build=lambda: _sum, separable=True))
    made = check("sum", among=found)
    assert [o.rule for o in made.broken] == ["is_a_mean_over_crops_if_it_says_so"]
    assert len(made.kept) + len(made.left_out) + 1 == len(made.all)
    assert str(made) == f"{len(made.kept)} rules kept, 1 broken, {len(made.left_out)} left out"
    assert repr(made) == f"Outcomes({made}: sum breaks is_a_mean_over_crops_if_it_says_so)"
    page = made._repr_html_()
    assert page.count("<tr") == len(made.all) + 2  # a head for the plugin and one for its part
    assert "A batch of one class gives a finite number" in page


def _sum(inputs):
    return inputs.logits.square().sum()


LAZY = """
from gendkit.plugin import DatasetSpec, FaceExtractorSpec, hookimpl

@hookimpl
def gendkit_datasets():
    yield DatasetSpec(name="lazy", summary="clips", licence="MIT", build=_build)

@hookimpl
def gendkit_face_extractors():
    yield FaceExtractorSpec(name="lazy", summary="faces", licence="MIT", threshold=0.5,
                            thread_safe=True, build=lambda **_: _build(None))

def _build(root):
    import gendkit_not_there
"""


@pytest.mark.parametrize(
    ("requires", "extras", "verdict"),
    [
        ([], [], "broken"),
        (["gendkit-not-there"], [], "left out"),
        (['gendkit-not-there; extra == "more"'], ["more"], "left out"),
    ],
)
def test_a_package_that_a_plugin_uses_and_does_not_declare_is_not_left_out(
    install: Install, fresh: None, requires: list[str], extras: list[str], verdict: str
):
    install("gendkit-lazy", LAZY, plugin="lazy", requires=requires, extras=extras)
    checks = checks_of("lazy")
    made = [c.outcome() for c in checks if c.rule.kind != "plugin"]
    assert {(o.kind, o.verdict) for o in made} == {
        ("dataset", verdict),
        ("face-extractor", verdict),
    }
    assert {o.reason for o in made if "gendkit_not_there" not in o.reason} == set()
    said = "gendkit-lazy does not declare what gives 'gendkit_not_there'"
    assert all((said in o.reason) == (verdict == "broken") for o in made)


NO_WEIGHTS = """
from gendkit.errors import MissingAsset
from gendkit.plugin import FaceExtractorSpec, hookimpl

@hookimpl
def gendkit_face_extractors():
    yield FaceExtractorSpec(
        name="far", summary="without weights", licence="MIT", threshold=0.5, build=_build
    )

def _build(*, threshold=None):
    raise MissingAsset("its weights are not in the cache.")
"""


def test_what_is_not_to_be_had_is_skipped_or_fails_where_all_must_be_there(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    install("gendkit-far", NO_WEIGHTS, plugin="far")
    monkeypatch.delenv("GENDKIT_REQUIRE_ASSETS", raising=False)
    said = pytest_says(tmp_path, "far")
    assert "its weights are not in the cache" in said
    assert " failed" not in said
    monkeypatch.setenv("GENDKIT_REQUIRE_ASSETS", "1")
    said = pytest_says(tmp_path, "far")
    assert "GENDKIT_REQUIRE_ASSETS=1, but it cannot be tried here: its weights" in said
    assert re.search(r"\d+ failed", said)


def test_nothing_that_could_be_tried_is_no_success(capsys):
    from gendkit.cli import main

    assert main(["plugins", "check", "timm"]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("0 rules kept, 0 broken")
