from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gendkit as gk
from gendkit.data.manifest import Manifest
from gendkit.errors import InvalidArgument, InvalidManifest, InvalidReport, MissingMedia
from gendkit.evaluate.reproduce import Reproduction, agreeing_digits, compare, read_record
from gendkit.progress import silent
from gendkit.testing.small import registered, small_backbone, small_crops
from gendkit.train.recipe import Recipe

RECIPE = Recipe(
    name="tiny", backbone="small", dtype="float32", learning_rate=1e-2, batch_size=8, epochs=2,
    warmup_epochs=1, cycle_epochs=1, augmentation="light", losses={"cross-entropy": 1.0},
    selection={"data": "eve and fay", "metric": "auroc"},
)  # fmt: skip


@pytest.fixture(autouse=True)
def small() -> Iterator[None]:
    with registered(small_backbone()):
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest, Manifest]:
    """A run's folder, and the crops that it was made of."""
    root = tmp_path_factory.mktemp("reproduce")
    for name in ("train", "validation"):
        (root / name).mkdir()
    train = small_crops(root / "train")
    validation = small_crops(root / "validation", identities=("eve", "fay"), seed=1)
    with registered(small_backbone()):
        gk.fit(RECIPE, train, validation, out=root / "run", device="cpu", progress=silent)
    return root / "run", train, validation


@pytest.fixture
def copy(run: tuple[Path, Manifest, Manifest], tmp_path: Path) -> Path:
    """The run in a folder of its own, which may be changed."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in run[0].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def changed(folder: Path, *keys: str, to: Any) -> Path:
    """Change one value of a record."""
    path = folder / "run.json"
    record = json.loads(path.read_text())
    inner = record
    for key in keys[:-1]:
        inner = inner[int(key) if isinstance(inner, list) else key]
    inner[keys[-1]] = to
    path.write_text(json.dumps(record))
    return folder


def again(folder: Path, run: tuple[Path, Manifest, Manifest], **options: Any) -> Reproduction:
    return gk.reproduce(folder, *run[1:], progress=silent, **options)


def test_a_run_comes_out_the_same_to_the_last_digit(
    run: tuple[Path, Manifest, Manifest], tmp_path: Path
) -> None:
    found = again(run[0], run, out=tmp_path / "again")
    assert found.same, found.differences
    assert found.verdict == f"all digits of {found.compared} values are the same"
    assert found.compared > 40
    assert not len(found.around)
    first, second = ((d / "adapter.safetensors").read_bytes() for d in (run[0], tmp_path / "again"))
    assert first == second
    assert found.record()["differences"] == []


def test_what_was_changed_in_a_record_is_named(
    copy: Path, run: tuple[Path, Manifest, Manifest]
) -> None:
    record = read_record(copy)
    loss = record["history"][1]["loss"]
    changed(copy, "history", "1", "loss", to=loss * (1 + 1e-5))
    changed(copy, "versions", "torch", to="1.0")
    found = again(copy, run)
    assert not found.same
    assert found.differences["what"].tolist() == ["history/1/loss"]
    row = found.differences.iloc[0]
    assert (row["recorded"], row["repeated"]) == (repr(loss * (1 + 1e-5)), repr(loss))
    assert 4 <= row["digits"] <= 6
    assert found.verdict.startswith(f"1 of {found.compared} values differ; the worst agrees in ")
    assert found.around["what"].tolist() == ["torch"]
    assert found.around["recorded"].tolist() == ["1.0"]
    assert found.record()["differences"][0]["what"] == "history/1/loss"


def test_another_recipe_than_that_of_the_adapter_is_named_and_gives_another_adapter(
    copy: Path, run: tuple[Path, Manifest, Manifest]
) -> None:
    found = again(changed(copy, "recipe", "seed", to=1), run)
    names = found.differences["what"].tolist()
    assert "recipe/seed (recorded, and of the file)" in names
    assert {"adapter", "history/0/loss", "history/1/loss"} <= set(names)
    assert found.differences.set_index("what")["digits"].isna()["adapter"]


def test_a_record_that_is_not_of_the_adapter_beside_it_is_named(
    copy: Path, run: tuple[Path, Manifest, Manifest]
) -> None:
    found = again(changed(copy, "adapter", to="0" * 64), run)
    assert found.differences["what"].tolist() == ["adapter (recorded, and of the file)", "adapter"]


def test_other_crops_are_refused_before_anything_is_trained(
    run: tuple[Path, Manifest, Manifest], tmp_path: Path
) -> None:
    folder, train, validation = run
    with pytest.raises(InvalidManifest, match=r"validation manifest is not .* samples"):
        gk.reproduce(folder, train, train)
    fewer = train.where(train.table["frame"] < 2)
    with pytest.raises(InvalidManifest, match=r"32 crops of 8 clips recorded, 16 of 8 found"):
        gk.reproduce(folder, fewer, validation)
    (tmp_path / "other").mkdir()
    other = small_crops(tmp_path / "other", seed=5)  # the same names, other pixels
    with pytest.raises(InvalidManifest, match="crops, or what is known of them, are others"):
        gk.reproduce(folder, other, validation)


def test_a_run_is_not_written_over_by_its_repetition(run: tuple[Path, Manifest, Manifest]) -> None:
    with pytest.raises(InvalidArgument, match="is the run itself"):
        again(run[0], run, out=run[0], overwrite=True)


def test_a_folder_without_a_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingMedia, match=r"no record at .*run\.json"):
        read_record(tmp_path)
    whole = {"recipe": {}, "adapter": "", "data": {}, "history": [], "chosen_by": {},
             "chosen_epoch": 0}  # fmt: skip
    (tmp_path / "run.json").write_text(json.dumps(whole))
    assert read_record(tmp_path) == whole
    damaged = [json.dumps({**whole, name: None}) for name in whole]
    for text in ("{", "[]", "3", '{"recipe": {}}', *damaged):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(InvalidReport, match="is no record of a run"):
            read_record(tmp_path)


@pytest.mark.parametrize(
    ("a", "b", "digits"),
    [
        (0.25, 0.25, 17),
        (1.2345, 1.2349, 3),
        (0.9999, 1.0, 3),
        (1.0, 2.0, 0),
        (1.0, -1.0, 0),
        (1.0, float("nan"), 0),
        (3, 3.04, 2),
        ("a", 1.0, None),
        (True, 1.0, None),
    ],
)
def test_digits_agree_as_far_as_numbers_round_to_the_same(
    a: Any, b: Any, digits: int | None
) -> None:
    assert agreeing_digits(a, b) == digits


def test_what_only_one_record_has_differs_and_missing_numbers_are_alike() -> None:
    nan = float("nan")
    one = {"history": [{"loss": 1.0, "auroc": nan, "seconds": 1.0}], "seconds": 5}
    two = {"history": [{"loss": 1.0, "auroc": nan, "seconds": 2.0}, {"loss": 0.5}], "seconds": 6}
    rows, compared = compare(one, two)
    assert [row[:3] for row in rows] == [("history/1/loss", "–", "0.5")]
    assert compared == 3
