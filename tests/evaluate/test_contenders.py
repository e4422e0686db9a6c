"""Who is compared: seeds are joined only where all else is recorded to be the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gendkit as gk
from gendkit.errors import InvalidArgument, MissingMedia, UnreadableMedia
from gendkit.evaluate.benchmark.contenders import NO_SEED, contenders
from gendkit.train.recipe import Recipe

Make = Callable[..., Path]


def recipe(**fields: Any) -> dict[str, Any]:
    return {"name": "tuned", "learning_rate": 0.1, "seed": 0, **fields}


def record(digest: str = "d1", *, trained: list[str] | None = None,
           selected: list[str] | None = None) -> dict[str, Any]:  # fmt: skip
    data: dict[str, Any] = {"train": {"digest": digest, "datasets": trained or ["ff"]}}
    return {"data": data | ({"validation": {"datasets": selected}} if selected else {})}


def test_adapters_that_differ_in_their_seed_alone_are_seeds_of_one_detector(run: Make) -> None:
    paths = [run(f"r{s}", head=s, recipe=recipe(seed=s), record=record()) for s in (3, 1)]
    found = contenders(paths)
    assert [(c.name, c.seed) for c in found] == [("tuned", 3), ("tuned", 1)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((recipe(), record()), (recipe(seed=1, learning_rate=0.2), record())),
        ((recipe(), record("d1")), (recipe(seed=1), record("d2"))),
        ((recipe(), None), (recipe(seed=1), None)),
    ],
    ids=["another rate", "other training data", "unknown training data"],
)
def test_adapters_that_differ_in_more_or_in_what_is_unknown_are_detectors_apart(
    run: Make, one: Any, other: Any
) -> None:
    paths = [run(n, head=i, recipe=r, record=rec) for i, (n, (r, rec)) in
             enumerate(zip(("left", "right"), (one, other), strict=True))]  # fmt: skip
    assert [c.name for c in contenders(paths)] == ["tuned (left)", "tuned (right)"]


def test_a_name_joins_seeds_whose_data_are_not_recorded(run: Make) -> None:
    paths = [run(f"r{s}", head=s, recipe=recipe(seed=s)) for s in (0, 1)]
    assert {(c.name, c.seed) for c in contenders({"mine": paths})} == {("mine", 0), ("mine", 1)}


@pytest.mark.parametrize(
    ("changed", "rec", "words"),
    [
        ({"seed": 0}, record(), "have the seed 0"),
        ({"seed": 1, "learning_rate": 0.2}, record(), "differ in learning_rate"),
        ({"seed": 1}, record("d2"), "differ in training data"),
    ],
)
def test_what_one_name_cannot_join_is_refused(
    run: Make, changed: dict[str, Any], rec: Any, words: str
) -> None:
    paths = [
        run("a", recipe=recipe(), record=record()),
        run("b", head=1, recipe=recipe(**changed), record=rec),
    ]
    with pytest.raises(InvalidArgument, match=words):
        contenders({"mine": paths})


def test_an_adapter_without_a_recipe_is_called_like_its_folder_and_has_no_seed(run: Make) -> None:
    (found,) = contenders(run("nameless"))
    assert (found.name, found.seed) == ("nameless", NO_SEED)
    assert found.trained_on is None
    assert found.selected_on is None


def test_the_same_adapter_twice_is_refused(run: Make) -> None:
    path = run("once", recipe=recipe(), record=record())
    with pytest.raises(InvalidArgument, match="give each once"):
        contenders([path, path])


def test_what_took_part_in_a_selection_is_read_from_the_run_and_from_the_recipe(run: Make) -> None:
    stated = recipe(selection={"data": "anything at all, such as ffiw", "datasets": ["celeb-df"]})
    (found,) = contenders(run("a", recipe=stated, record=record(selected=["uadfv"])))
    assert found.selected_on == {"celeb-df", "uadfv"}
    assert found.trained_on == {"ff"}


def test_the_record_of_another_adapter_says_nothing(run: Make) -> None:
    path = run("a", recipe=recipe(), record={**record(), "adapter": "0" * 64})
    (found,) = contenders(path)
    assert found.trained_on is None


def test_a_damaged_record_is_an_error(run: Make) -> None:
    path = run("a", recipe=recipe(), record=record())
    (path / "run.json").write_text("[]")
    with pytest.raises(UnreadableMedia, match=r"run\.json is no record"):
        contenders(path)


def test_the_methods_recipes_name_their_selection_data_as_the_benchmarks_do() -> None:
    names = Recipe.of("gend-clip").selection.datasets
    assert names is not None
    assert {"celeb-df-pp", "ffiw", "deepspeak-v2"} <= set(names)
    assert Recipe.of("small-data").selection.datasets is None


def test_a_live_detector_can_be_given_and_none_is_an_error(run: Make) -> None:
    detector = gk.load(run("a", recipe=recipe()))
    (found,) = contenders(detector)
    assert found.detector is detector
    with pytest.raises(InvalidArgument, match="computes in float32, asked for is bfloat16"):
        contenders(detector, dtype="bfloat16")
    with pytest.raises(InvalidArgument, match="no detector"):
        contenders([])
    with pytest.raises(MissingMedia):
        contenders("not-there")
