"""Recipes: the presets to the digit, and what is said about a field that cannot be."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

import gendkit as gk
from gendkit.errors import InvalidRecipe, MissingMedia
from gendkit.model.backbone import build_backbone
from gendkit.plugin.manager import plugins
from gendkit.train.build import tune
from gendkit.train.presets import PRESETS
from gendkit.train.recipe import Lora, LossTerm, Recipe, Selection

from .conftest import Sets

MODELS = (Recipe, Selection, Lora, LossTerm)
PAPER = ("gend-clip", "gend-pe", "gend-dinov3")


@pytest.mark.parametrize(
    ("name", "backbone", "losses"),
    [
        ("gend-clip", "clip-vitl14", {"cross-entropy": 1, "uniformity": 0.5, "alignment": 0.1}),
        ("gend-pe", "pe-core-l14", {"cross-entropy": 1}),
        ("gend-dinov3", "dinov3-vitl16", {"cross-entropy": 1, "uniformity": 0.5, "alignment": 0.5}),
    ],
)
def test_the_paper_s_presets_are_exact(name: str, backbone: str, losses: dict[str, float]) -> None:
    recipe = Recipe.of(name)
    selection = recipe.selection
    assert recipe.model_dump(exclude={"selection"}) == {
        "name": name,
        "backbone": backbone,
        "image_size": None,
        "tuning": "layer-norms",
        "tuned_norms": None,
        "lora": None,
        "losses": losses,
        "head_init": "random",
        "probe_c": 1.0,
        "logit_scale": 1.0,
        "sphere": True,
        "dtype": "bfloat16",
        "learning_rate": 3e-4,
        "head_learning_rate": None,
        "min_learning_rate": 1e-5,
        "betas": (0.9, 0.999),
        "weight_decay": 0.0,
        "batch_size": 128,
        "micro_batch": None,
        "recompute": False,
        "batches": "shuffled",
        "epochs": 30,
        "warmup_epochs": 1,
        "cycle_epochs": 10,
        "augmentation": "gend",
        "seed": 0,
    }
    assert selection.metric == "macro-ap"
    assert all(family in selection.data for family in ("DeepSpeak", "Celeb-DF++", "FFIW"))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("probe", {"tuned_norms": 0, "losses": {"cross-entropy": 1.0}}),
        ("no-augmentation", {"augmentation": "none"}),
        ("last-norms", {"tuned_norms": 13}),
        ("bitfit", {"tuning": "bitfit"}),
        ("lora", {"tuning": "lora", "lora": {"rank": 8, "alpha": 16.0}}),
        (
            "full",
            {
                "tuning": "full",
                "learning_rate": 1e-5,
                "head_learning_rate": 3e-4,
                "min_learning_rate": 1e-6,
            },
        ),
    ],
)
def test_an_ablation_is_the_clip_preset_but_for_what_it_leaves_out(
    name: str, changes: dict[str, Any]
) -> None:
    assert Recipe.of(name) == Recipe.of("gend-clip", name=name, **changes)


def test_small_data_at_224_px_is_small_data_larger_longer_and_through_codecs() -> None:
    changes = {"image_size": 224, "epochs": 14, "cycle_epochs": 13}
    codecs = "light, jpeg:40..100@0.2, h264:20..36@0.2"
    changed = Recipe.of("small-data", name="small-data-224", augmentation=codecs, **changes)
    assert Recipe.of("small-data-224") == changed


def test_the_command_line_names_every_preset() -> None:
    from gendkit.cli.train import train

    words = " ".join(str(train.help).split())
    assert all(name in words for name in PRESETS)


@pytest.mark.parametrize("name", PAPER)
def test_the_learning_rate_of_the_paper_is_stepped_per_batch(name: str) -> None:
    recipe = Recipe.of(name)
    steps = 100
    rates = [recipe.rate(step, steps) for step in range(recipe.epochs * steps)]
    assert rates[0] == 1e-5
    assert rates[50] == pytest.approx((1e-5 + 3e-4) / 2)  # linear, over one epoch
    peaks = [i for i, rate in enumerate(rates) if rate == 3e-4]
    assert peaks == [100, 1100, 2100]  # epochs 1, 11 and 21
    assert rates[600] == pytest.approx((1e-5 + 3e-4) / 2)  # half a cosine
    assert rates[1099] == pytest.approx(1e-5, abs=1e-9)
    assert rates[-1] > 1e-5 + 5e-6  # the third cycle is cut short, after nine of ten epochs
    assert min(rates) == 1e-5
    assert max(rates) == 3e-4
    assert all(a > b for a, b in pairwise(rates[100:1100]))


def test_a_rate_without_warm_up_begins_at_the_peak() -> None:
    recipe = Recipe.of("gend-clip", warmup_epochs=0, cycle_epochs=2)
    assert recipe.rate(0, 10) == recipe.rate(20, 10) == 3e-4


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_and_comes_back_from_yaml(name: str, tmp_path: Path) -> None:
    recipe = Recipe.of(name)
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.to_yaml(), encoding="utf-8")
    assert recipe.name
    assert Recipe.of(path) == recipe
    assert Recipe.of(recipe) == recipe


def test_a_yaml_file_changes_a_preset(tmp_path: Path) -> None:
    path = tmp_path / "mine.yml"
    path.write_text("preset: gend-clip\nepochs: 3\nselection: {data: mine, metric: last}\n")
    recipe = Recipe.of(path, seed=7)
    assert recipe.epochs == 3
    assert recipe.seed == 7
    assert recipe.selection == Selection(data="mine", metric="last")
    assert recipe.losses == Recipe.of("gend-clip").losses


def test_a_yaml_file_without_a_name_is_named_after_itself(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("backbone: small\nselection: {data: some}\n")
    assert Recipe.of(path).name == "mine"


@pytest.mark.parametrize(
    ("field", "meant"),
    [
        ("learnig_rate", "learning_rate"),
        ("batchsize", "batch_size"),
        ("epoch", "epochs"),
        ("augmentations", "augmentation"),
    ],
)
def test_an_unknown_field_names_the_one_that_was_meant(field: str, meant: str) -> None:
    with pytest.raises(InvalidRecipe, match=f"unknown field '{field}'; was '{meant}' meant"):
        Recipe.of("gend-clip", **{field: 1})


def test_an_unknown_field_of_the_selection_names_the_one_that_was_meant() -> None:
    with pytest.raises(InvalidRecipe, match=r"'selection\.metrics'; was 'selection\.metric' meant"):
        Recipe.of("gend-clip", selection={"data": "a", "metrics": "auroc"})


def test_a_field_of_the_selection_is_changed_alone() -> None:
    recipe = Recipe.of("small-data", **{"selection.metric": "last"})
    assert recipe.selection.metric == "last"
    assert recipe.selection.data == Recipe.of("small-data").selection.data
    with pytest.raises(InvalidRecipe, match=r"'selection\.metrics'; was 'selection\.metric' meant"):
        Recipe.of("small-data", **{"selection.metrics": "last"})


@pytest.mark.parametrize("name", ["source", "cls", "self"])
def test_a_word_of_python_s_is_an_unknown_field_too(name: str) -> None:
    with pytest.raises(InvalidRecipe, match=f"unknown field '{name}'"):
        Recipe.of("small-data", **{name: 1})


def test_an_unknown_field_like_no_other_lists_them_all() -> None:
    with pytest.raises(InvalidRecipe, match=r"the fields are name, backbone, .*selection\.metric"):
        Recipe.of("gend-clip", zzz=1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("learning_rate", 0),
        ("learning_rate", "fast"),
        ("min_learning_rate", -1e-5),
        ("min_learning_rate", 1e-3),
        ("head_learning_rate", 0),
        ("batch_size", 0),
        ("batch_size", 2.5),
        ("micro_batch", 0),
        ("tuned_norms", -1),
        ("epochs", 0),
        ("betas", (0.9, 1.0)),
        ("betas", (0.9,)),
        ("weight_decay", -1),
        ("cycle_epochs", 0),
        ("dtype", "float16"),
        ("augmentation", "heavy"),
        ("augmentation", "gend, jpeg:0"),
        ("augmentation", ""),
        ("augmentation", 5),
        ("batches", "sorted"),
        ("head_init", "zero"),
        ("image_size", 0),
        ("logit_scale", 0),
        ("probe_c", 0),
        ("seed", -1),
        ("losses", {}),
        ("losses", {"cross-entropy": "much"}),
        ("losses", {"cross-entropy": float("nan")}),
        ("losses", {"cross-entropy": {"a": 1}}),
        ("losses", {"cross-entropy": {"weight": 1, "a": [1]}}),
        ("losses", {"cross-entropy": {"weight": 1, "a": float("inf")}}),
        ("tuning", "prefix"),
        ("lora", {"rank": 8}),
        ("learning_rate", float("inf")),
        ("selection", {"data": "a", "metric": "test"}),
    ],
)
def test_an_impossible_value_is_refused_by_its_field(field: str, value: Any) -> None:
    with pytest.raises(InvalidRecipe, match=f"field '{field}") as caught:
        Recipe.of("gend-clip", **{field: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [("tuned_norms", 3), ("lora.rank", 0), ("lora.alpha", 0), ("lora", 8)],
)
def test_a_field_of_the_lora_preset_is_checked(field: str, value: Any) -> None:
    with pytest.raises(InvalidRecipe, match=f"field '{field}'"):
        Recipe.of("lora", **{field: value})


def test_lora_has_a_rank_wherever_it_is_tuned_and_only_there() -> None:
    assert Recipe.of("gend-clip", tuning="lora").lora == Lora(rank=8, alpha=16.0)
    assert Recipe.of("lora", **{"lora.rank": 2}).lora == Lora(rank=2, alpha=16.0)
    assert Recipe.of("gend-clip", tuning="lora", **{"lora.rank": 2}).lora == Lora(rank=2)
    with pytest.raises(InvalidRecipe, match=r"'lora' is .*: is for tuning lora, not bitfit"):
        Recipe.of("lora", tuning="bitfit")


def test_the_last_norms_of_the_preset_are_those_of_a_quarter_of_the_blocks() -> None:
    recipe = Recipe.of("last-norms")
    spec = plugins().spec("backbone", recipe.backbone)
    with torch.device("meta"):
        backbone = build_backbone(spec, pretrained=False)
    names = {n.rpartition(".")[0] for n in tune(backbone, spec, recipe).names}
    blocks = {f"visual.transformer.resblocks.{i}.ln_{j}" for i in range(18, 24) for j in (1, 2)}
    assert names == {*blocks, "visual.ln_post"}


@pytest.mark.parametrize("preset", ["gend-clip", "small-data"], ids=["given", "by default"])
def test_a_peak_below_the_least_rate_is_refused(preset: str) -> None:
    with pytest.raises(InvalidRecipe, match="field 'min_learning_rate'"):
        Recipe.of(preset, learning_rate=1e-6)


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("backbone: small\n")
    with pytest.raises(InvalidRecipe, match="field 'selection' is missing"):
        Recipe.of(path)


def test_an_unknown_preset_lists_those_there_are() -> None:
    with pytest.raises(InvalidRecipe, match="no recipe is named 'gend-clp'; the presets are gend-"):
        Recipe.of("gend-clp")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("preset: gend-clp\n", "preset 'gend-clp'; there is gend-clip"),
        ("- a list\n", "holds list; expected fields"),
        ("a: [1\n", "is no YAML"),
        ("", "holds NoneType"),
        ("preset: [gend-clip]\n", "preset"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(InvalidRecipe, match=words):
        Recipe.of(path)


def test_a_missing_file_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(MissingMedia):
        Recipe.of(tmp_path / "none.yaml")


def test_a_recipe_cannot_be_changed_in_place() -> None:
    recipe = Recipe.of("gend-clip")
    with pytest.raises(Exception, match="frozen"):
        recipe.epochs = 1


def test_every_field_says_what_it_means() -> None:
    for model in MODELS:
        without = [n for n, f in model.model_fields.items() if not f.description]
        assert without in ([], ["selection"])


def test_training_reads_every_field(
    recipe: Recipe, sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An option that nothing uses cannot exist.

    Dumping and validating go round attributes, so only what is asked for by name counts. What the
    selection data is, in words, is for the record alone.
    """
    read: set[tuple[type, str]] = set()
    get = Recipe.__getattribute__

    def noted(self: Any, name: str) -> Any:
        read.add((type(self), name))
        return get(self, name)

    for model in MODELS:
        monkeypatch.setattr(model, "__getattribute__", noted)
    changed = Recipe.of(recipe, head_init="probe", epochs=1, warmup_epochs=0)
    for tuning in ("layer-norms", "lora"):
        gk.fit(Recipe.of(changed, tuning=tuning), sets.train, sets.validation)
    fields = {(model, name) for model in MODELS for name in model.model_fields}
    assert fields - read == {(Selection, "data"), (Selection, "datasets")}  # for people, and tables
