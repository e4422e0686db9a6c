"""What CONTRIBUTING.md promises to plugin authors; what is recorded here may only grow.

Whoever removes or renames one of these breaks somebody's plugin or script. A new field of a value
needs a default, so that it is added to FIELDS and never to REQUIRED.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest

import gendkit
from gendkit import plugin, testing
from gendkit.cli import COMMANDS
from gendkit.plugin import hooks
from gendkit.plugin.documentation import hooks_of

ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = {
    "gendkit_backbones": "",
    "gendkit_face_extractors": "",
    "gendkit_losses": "",
    "gendkit_datasets": "",
    "gendkit_fit_started": "run",
    "gendkit_epoch_ended": "run epoch",
    "gendkit_fit_ended": "run end",
}
REQUIRED = {
    "BackboneFamily": "name summary pattern licence resolve",
    "BackboneSpec": "name summary dim image_size licence build",
    "Clip": "video media dataset label",
    "DatasetSpec": "name summary licence build",
    "EpochEnded": "number history movement chosen",
    "Face": "box landmarks confidence",
    "FaceExtractorSpec": "name summary licence build threshold",
    "FitEnded": "outcome",
    "Frame": "index image",
    "LossInputs": "logits embeddings labels",
    "LossSpec": "name summary build",
    "Part": "kind spec source",
    "Preprocessing": "size mean std resize interpolation",
    "ResolvedBackbone": "name summary dim image_size licence build",
    "RunInfo": "name recipe out epochs steps resumed_from device ranks compiled data backbone "
    "versions",
}
FIELDS = {
    "BackboneSpec": "mean std resize interpolation norm_classes canonical",
    "Clip": (
        "method family pair target_identity donor_identity split degradation year generator_year "
        "licence"
    ),
    "DatasetSpec": "homepage",
    "FaceExtractorSpec": "thread_safe detects weights",
    "FitEnded": "reason record",
    "Frame": "time landmarks mask",
    "LossInputs": "pair target_identity donor_identity",
    "LossSpec": "reference separable",
    "ResolvedBackbone": "mean std resize interpolation norm_classes canonical",
}
NAMES = (
    "Backbone Dataset FaceExtractor Loss Plugins hookimpl plugins register "
    f"{' '.join(REQUIRED)}"
)  # fmt: skip
KIT = "Given Outcome Outcomes check checks_of plugin_checks"
PUBLIC = (
    "Adapter Detector Ensemble Manifest Recipe SharedBackbone asset_path at_level audit auroc "
    "build_backbone build_index check_manifest class_angle combine contact_sheet "
    "corrected_threshold dataset drift drift_table duplicates embed errors explore extract fit "
    "geometry k_frames label_issues layer_effects leaks likely_method load metric_intervals "
    "neighbours novelty "
    "open_embeddings open_index pair_displacement paired paired_difference place plot "
    "plot_displacement plot_drift plot_layers plugins project pull push register report "
    "open_study plot_study study study_tables "
    "Calibration calibrate plot_reliability plot_tippett "
    "benchmark benchmark_page open_benchmark plot_benchmark threshold_transfer "
    "explain model_card plot_explanations reproduce "
    "plot_robustness robustness robustness_table "
    "sensitivity show_faces show_scores summary summary_table timeline training tune_layer_norms "
    "unpaired "
    "verify votes"
)
ERRORS = (
    "GendkitError PluginError RefusedPlugin InvalidSpec UnknownPart InvalidOption "
    "MissingDependency MissingService MissingAsset CorruptAsset MissingMedia UnreadableMedia "
    "NotExamined InvalidManifest InvalidRecipe InvalidArgument Diverged RankLost StaleIndex "
    "WorkerLost CorruptCheckpoint NothingToTune InvalidAdapter InvalidCheckpoint ExportDiffers "
    "WrongBackbone InvalidImage InvalidLabels InvalidEmbeddings InvalidReport OutputExists "
    "UnwritableOutput UndefinedMetric InvalidCalibration"
)
OPTIONS = {
    "app": "adapter device draws frames no-browser port",
    "assets list": "json",
    "assets fetch": "",
    "assets path": "",
    "audit": "by csv json no-images run",
    "bench": "compile data device json set steps",
    "calibrate": "adapter alpha batch-size beta device dtype json on out overwrite seed",
    "card": "json licence name out overwrite result",
    "combine": "json overwrite",
    "demo": "device faces json out overwrite quick seed",
    "doctor": "json",
    "drift": "adapter batch-size by change device dtype json level overwrite resamples",
    "embed": "adapter batch-size device dtype json overwrite resume scheduler workers",
    "evaluate": "alike batch-size device dtype json on out resamples seed threshold",
    "explain": "adapter device dtype extractor frames json method out overwrite stride time-limit "
    "window",
    "export": "layout overwrite",
    "extract": "crop extractor frames json option order overwrite pack scale scheduler seed sheet "
    "size store time-limit which workers",
    "geometry": "by csv json",
    "index": "json kind overwrite",
    "layers": "adapter batch-size csv device dtype json resamples",
    "manifest check": "allow json no-images split-key strict",
    "manifest sheet": "clips crops json out overwrite seed",
    "manifest subset": "clips fakes fewer frames json kind overwrite seed",
    "neighbours": "by-class index json overwrite reference",
    "place": "json overwrite reference",
    "plugins check": "json option pretrained rules same-weights",
    "plugins hooks": "table",
    "plugins list": "json",
    "plugins new": "out",
    "project": "json method overwrite seed",
    "report make": "adapter calibration device draws dtype frames json known member out overwrite "
    "reference seed",
    "report verify": "adapter calibration digits json media reference",
    "reproduce": "device json out overwrite train val",
    "score": "adapter calibration csv device dtype extractor fpr frames json order per-frame reals "
    "time-limit which",
    "study ablation": "device families json left-out on out rate recipe seeds set variant",
    "study data-size": "device families fraction json left-out on out recipe seeds set",
    "study difficulty": "by device families json on out recipe seeds set",
    "study families": "device families json max-fpr on out recipe seeds set",
    "study layers": "device families json left-out on out recipe seeds set",
    "study paired": "clips device fakes families frames json left-out on out recipe seeds set",
    "study robustness": "adapter against batch-size chain device dtype grid json max-fpr out "
    "overwrite reference seed",
    "suspects": "angle json reference",
    "train": "augmentation checkpoint-every compile device json out overwrite resume set tracker "
    "train val",
    "votes": "json likely-method novelty overwrite reference",
}
LISTED = {
    "parts": "kind name summary plugin distribution version needs",
    "listeners": "plugin distribution version hears always needs",
    "broken": "plugin distribution version reason remedy",
    "blocked": "plugin by distribution version",
}
VARIABLES = "GENDKIT_BLOCK_PLUGINS GENDKIT_CACHE GENDKIT_RANK_TIMEOUT GENDKIT_TRACE_HOOKS"
CHECKED = {
    "": "name kept broken left_out outcomes",
    "outcomes": "rule kind part text verdict reason seconds",
}
"""Keys of `plugins check --json`, and fields of the kit's values."""
MANIFEST = {
    "": "manifest errors warnings checks leaks coverage",
    "checks": "check text verdict count examples",
    "leaks": "fact kind auroc low high real fake people tells flagged",
    "coverage": "dataset method label clips",
}
"""Keys of `manifest check --json`."""
GIVEN = "key root options pretrained same_weights"
VALUES = {name: value for name, value in vars(plugin).items() if dataclasses.is_dataclass(value)}


def required(kind: Any) -> set[str]:
    return {
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }


def lost(recorded: str, there: Iterable[str]) -> set[str]:
    """Return what was recorded and is no more."""
    return set(recorded.split()) - set(there)


def documented(value: object) -> bool:
    """Tell whether a docstring was written for a value, and not made by `dataclass`."""
    text = inspect.getdoc(value) or ""
    return bool(text) and not text.startswith(f"{getattr(value, '__name__', '')}(")


@pytest.mark.parametrize("name", [*plugin.__all__, *getattr(testing, "__all__", ())])
def test_every_name_for_plugin_authors_is_there_and_documented(name: str) -> None:
    module = plugin if name in plugin.__all__ else testing
    assert documented(getattr(module, name))


@pytest.mark.slow  # each room is loaded
@pytest.mark.parametrize("name", sorted(gendkit._PUBLIC))
def test_every_public_name_is_documented(name: str) -> None:
    assert documented(getattr(gendkit, name))


def test_no_name_for_plugin_authors_is_lost() -> None:
    assert lost(NAMES, plugin.__all__) == set()
    assert lost(KIT, testing.__all__) == set()
    assert lost(PUBLIC, gendkit._PUBLIC) == set()


def test_no_value_of_the_kit_loses_a_field_or_needs_one() -> None:
    assert lost(GIVEN, (field.name for field in dataclasses.fields(testing.Given))) == set()
    assert required(testing.Given) == set()
    fields = [field.name for field in dataclasses.fields(testing.Outcome)]
    assert lost(CHECKED["outcomes"], fields) == set()
    assert lost("all kept broken left_out", dir(testing.Outcomes(()))) == set()


def test_all_that_is_promised_is_recorded() -> None:
    """What is added goes into the lists too, so that it cannot be lost from then on."""
    errors = {n for n, v in vars(gendkit.errors).items() if inspect.isclass(v)}
    for recorded, there in (
        (NAMES, plugin.__all__),
        (KIT, testing.__all__),
        (PUBLIC, gendkit._PUBLIC),
        (ERRORS, errors),
        (" ".join(ARGUMENTS), (spec.name for spec in hooks_of())),
        (GIVEN, (field.name for field in dataclasses.fields(testing.Given))),
    ):
        assert set(there) - set(recorded.split()) == set()
    for name, kind in VALUES.items():
        fields = {field.name for field in dataclasses.fields(kind)}
        assert fields == set(f"{REQUIRED[name]} {FIELDS.get(name, '')}".split()), name
    assert {name: set(OPTIONS.get(name, "").split()) for name in commands()} == {
        name: options(name) for name in commands()
    }


def test_every_value_that_plugins_make_or_are_given_is_frozen_and_keyword_only() -> None:
    assert set(VALUES) >= set(REQUIRED)
    for name, kind in VALUES.items():
        assert kind.__dataclass_params__.frozen, name
        assert all(field.kw_only for field in dataclasses.fields(kind)), name


@pytest.mark.parametrize("hook", ARGUMENTS)
def test_no_hook_loses_an_argument(hook: str) -> None:
    there = {spec.name: spec.arguments for spec in hooks_of()}
    assert lost(ARGUMENTS[hook], there[hook]) == set()


@pytest.mark.parametrize("name", REQUIRED)
def test_no_value_loses_a_field_and_what_is_added_has_a_default(name: str) -> None:
    kind = VALUES[name]
    known = f"{REQUIRED[name]} {FIELDS.get(name, '')}"
    assert lost(known, (field.name for field in dataclasses.fields(kind))) == set()
    assert required(kind) <= set(REQUIRED[name].split())


def test_no_error_is_lost() -> None:
    assert lost(ERRORS, vars(gendkit.errors)) == set()
    assert all(
        issubclass(getattr(gendkit.errors, n), gendkit.errors.GendkitError) for n in ERRORS.split()
    )


def test_plugins_are_found_in_the_group_and_project_gendkit() -> None:
    assert hooks.PROJECT == "gendkit"


def command(name: str, *, group: bool = False) -> click.Command:
    first, _, second = name.partition(" ")
    module, _, attribute = COMMANDS[first].partition(":")
    found = getattr(importlib.import_module(module), attribute)
    if second:
        assert isinstance(found, click.Group)
        return found.commands[second]
    assert isinstance(found, click.Command)
    assert group or not isinstance(found, click.Group)
    return found


def commands() -> set[str]:
    """All commands, those of a group by both words."""
    groups = {name: command(name, group=True) for name in COMMANDS}
    return {
        f"{name} {inner}".strip()
        for name, found in groups.items()
        for inner in (found.commands if isinstance(found, click.Group) else [""])
    }


def options(name: str) -> set[str]:
    """The long options of a command."""
    every = [o for p in command(name).params for o in (*p.opts, *p.secondary_opts)]
    return {option.removeprefix("--") for option in every if option.startswith("--")}


@pytest.mark.parametrize("name", OPTIONS)
def test_no_command_loses_an_option(name: str) -> None:
    assert lost(OPTIONS[name], options(name)) == set()


def test_the_check_of_a_plugin_loses_no_key(capsys: pytest.CaptureFixture[str]) -> None:
    from gendkit.cli import main

    assert main(["plugins", "check", "cross-entropy", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert lost(CHECKED[""], found) == set()
    for outcome in found["outcomes"]:
        assert lost(CHECKED["outcomes"], outcome) == set()


def test_the_check_of_a_manifest_loses_no_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from gendkit.cli import main
    from gendkit.testing.small import small_crops

    small_crops(tmp_path, identities=("ann",)).write()
    assert main(["manifest", "check", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    for key, names in MANIFEST.items():
        for record in found[key] if key else [found]:
            assert lost(names, record) == set()


def test_no_variable_is_lost() -> None:
    code = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "gendkit").rglob("*.py"))
    assert lost(VARIABLES, re.findall(r'= "(GENDKIT_[A-Z_]+)"', code)) == set()


def test_the_list_of_plugins_loses_no_key(
    install: Callable[..., None],
    loss_plugin: Callable[[str], str],
    fresh: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from gendkit.cli import main

    install("gendkit-one", "import gendkit_not_there")
    install("gendkit-two", loss_plugin("extra"))
    monkeypatch.setenv("GENDKIT_BLOCK_PLUGINS", "gendkit-two")
    assert main(["plugins", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert lost(" ".join(LISTED), found) == set()
    for key, names in LISTED.items():
        assert found[key]
        for record in found[key]:
            assert lost(names, record) == set()


def test_the_note_names_what_is_tested_here() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (note,) = re.findall(r"^## What stays\n\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    assert 10 <= len(note.strip().splitlines()) <= 15
    for word in ("gendkit.plugin.__all__", "gendkit.testing.__all__", "gendkit/__init__.py"):
        assert f"`{word}`" in note


# The rules can fail.


@dataclass(frozen=True)
class Grown:
    """Made by dataclass."""

    old: int
    new: int
    later: int = 0


@dataclass
class Bare:
    old: int


def test_what_is_lost_or_newly_required_is_found() -> None:
    assert lost("old gone", ["old", "new"]) == {"gone"}
    assert required(Grown) == {"old", "new"}
    assert documented(Grown)
    assert not documented(Bare)
    assert not documented(lambda: None)


def test_what_is_recorded_is_written_as_words() -> None:
    """A list with commas would record nothing that could be lost."""
    for record in (ARGUMENTS, REQUIRED, FIELDS, OPTIONS, LISTED, CHECKED, MANIFEST):
        assert all(re.fullmatch(r"[\w-]*( [\w-]+)*", words) for words in record.values())
