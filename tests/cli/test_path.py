"""The whole path on the command line: train, score, embed, neighbours, project."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("toys")

RECIPE = """
name: toy
backbone: toy
epochs: 2
batch_size: 4
warmup_epochs: 0
augmentation: none
dtype: float32
selection: {data: the other people, metric: auroc}
"""


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of 24 people with a real and a fake clip each, in three splits."""
    from PIL import Image

    from gendkit.data.manifest import Manifest

    root = tmp_path_factory.mktemp("crops")
    rng, rows = np.random.default_rng(0), []
    for person in range(24):
        for label, method in ((0, ""), (1, "swap")):
            pixels = rng.integers(60 + 90 * label, 160 + 90 * label, (30, 30, 3), dtype=np.uint8)
            name = f"{person:02d}-{label}"
            Image.fromarray(pixels).save(root / f"{name}.png")
            rows.append(
                {
                    "sample": f"toy/{name}/0/0",
                    "path": f"{name}.png",
                    "dataset": "toy",
                    "method": method,
                    "family": method,
                    "label": label,
                    "video": name,
                    "pair": f"{person:02d}",
                    "target_identity": f"{person:02d}",
                    "split": ("train", "development", "final")[person % 3],
                }
            )
    meta = {"extractor": "bright", "threshold": 0.5, "scale": 1.3, "size": None}
    Manifest.from_rows(rows, root, meta=meta).write()
    return root


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "toy.yaml"
    path.write_text(RECIPE)
    return path


def train(gendkit: Run, recipe: Path, crops: Path, out: Path, *more: object) -> Any:
    return gendkit(
        "train", recipe, "--train", f"{crops}:train", "--val", f"{crops}:development",
        "--out", out, *more,
    )  # fmt: skip


def test_an_augmentation_is_given_by_itself_and_recorded(
    gendkit: Run, recipe: Path, crops: Path, tmp_path: Path
):
    from gendkit.model.adapter import Adapter

    text = "light, jpeg:40..100@.5, noise:0.01..0.05"
    said = train(gendkit, recipe, crops, tmp_path / "run", "--augmentation", text)
    assert said.code == 0, said.err
    written = "light,jpeg:40..100@0.5,noise:0.01..0.05"
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["recipe"]["augmentation"] == written
    assert Adapter.read(tmp_path / "run").header.recipe["augmentation"] == written


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (["--augmentation", "blur:4:1"], 1, "kernel is 4; it is an odd number from 1 to 99"),
        (["--augmentation", "none", "--set", "augmentation=light"], 2, "not both"),
    ],
)
def test_an_impossible_augmentation_is_refused_before_anything_is_written(
    gendkit: Run, recipe: Path, crops: Path, tmp_path: Path, more: list[str], code: int, words: str
):
    said = train(gendkit, recipe, crops, tmp_path / "run", *more)
    assert said.code == code
    assert words in said.err
    assert not (tmp_path / "run").exists()


def test_from_recipe_to_map(gendkit: Run, recipe: Path, crops: Path, tmp_path: Path):
    run, store = tmp_path / "run", tmp_path / "e.zarr"
    said = train(gendkit, recipe, crops, run)
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0].split()[:3] == ["epoch", "loss", "auroc"]
    assert len(lines) == 4
    assert lines[-1].endswith(f"in {run / 'adapter.safetensors'}")

    said = gendkit("score", crops / "00-1.png", "--adapter", run, "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out)[0]["status"] == "scored"

    said = gendkit("embed", f"{crops}:final", store, "--adapter", run, "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out)["sizes"]["sample"] == 16

    said = gendkit("neighbours", store, tmp_path / "n.zarr", "-k", 3, "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out)["sizes"]["rank"] == 3
    assert "neighbour" in json.loads(said.out)["variables"]

    said = gendkit(
        "project", tmp_path / "n.zarr", tmp_path / "n.zarr", "--method", "pca", "--overwrite"
    )
    assert said.code == 0, said.err
    from gendkit import open_embeddings

    ds = open_embeddings(tmp_path / "n.zarr")
    assert {"embedding", "score", "neighbour", "similarity", "projection"} <= set(ds.data_vars)
    assert ds["projection"].shape == (16, 2)
    assert "projection" not in open_embeddings(store)


def test_neighbours_can_be_sought_in_another_store(
    gendkit: Run, adapter: Path, crops: Path, tmp_path: Path
):
    for split in ("train", "final"):
        said = gendkit(
            "embed", f"{crops}:{split}", tmp_path / f"{split}.zarr", "--adapter", adapter
        )
        assert said.code == 0, said.err
        assert said.out.startswith("16 crops in ")
    said = gendkit(
        "neighbours", tmp_path / "final.zarr", tmp_path / "n.zarr",
        "--reference", tmp_path / "train.zarr", "-k", 2,
    )  # fmt: skip
    assert said.code == 0, said.err
    from gendkit import open_embeddings

    reference = set(open_embeddings(tmp_path / "train.zarr")["sample"].to_numpy())
    assert set(open_embeddings(tmp_path / "n.zarr")["neighbour"].to_numpy().ravel()) <= reference


def test_the_record_of_a_run_is_one_json_document_and_fields_can_be_set(
    gendkit: Run, recipe: Path, crops: Path, tmp_path: Path
):
    said = train(gendkit, recipe, crops, tmp_path / "run", "--json", "--set", "epochs=1")
    assert said.code == 0, said.err
    record = json.loads(said.out)
    assert record["recipe"]["epochs"] == 1
    assert record["data"]["train"]["crops"] == 16
    assert json.loads((tmp_path / "run" / "run.json").read_text())["adapter"] == record["adapter"]


def test_a_folder_with_another_run_is_refused_before_any_work(
    gendkit: Run, recipe: Path, crops: Path, tmp_path: Path
):
    assert train(gendkit, recipe, crops, tmp_path / "run", "--set", "epochs=1").code == 0
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    said = train(gendkit, recipe, crops, tmp_path / "run", "--set", "seed=1")
    assert (said.code, said.out) == (1, "")
    assert len(said.err.splitlines()) == 1
    assert "already holds a run" in said.err
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before
    again = train(gendkit, recipe, crops, tmp_path / "run", "--set", "epochs=1", "--overwrite")
    assert again.code == 0, again.err


def test_an_interrupted_run_is_gone_on_with(
    gendkit: Run, recipe: Path, crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from gendkit.train.checkpoint import checkpoint_path
    from gendkit.train.trainer import Trainer

    assert train(gendkit, recipe, crops, tmp_path / "whole").code == 0
    run, step, taken = tmp_path / "run", Trainer.step, []

    def interrupted(self: Any, *arguments: Any) -> dict[str, float]:
        taken.append(1)
        if len(taken) == 6:
            raise KeyboardInterrupt
        return step(self, *arguments)

    monkeypatch.setattr(Trainer, "step", interrupted)
    said = train(gendkit, recipe, crops, run, "--checkpoint-every", 2)
    assert (said.code, said.err.strip()) == (130, "gendkit: error: interrupted.")
    assert checkpoint_path(run).is_file()
    refused = train(gendkit, recipe, crops, run)
    assert refused.code == 1
    assert "go on with --resume, or begin anew with --overwrite" in refused.err
    other = train(gendkit, recipe, crops, run, "--resume", "--set", "seed=1")
    assert other.code == 1
    assert len(other.err.splitlines()) == 1
    assert "begun with seed 0, not 1" in other.err
    taken.clear()
    said = train(gendkit, recipe, crops, run, "--resume", "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out)["resumed"] == [4]
    assert len(taken) == 4
    adapters = [
        (folder / "adapter.safetensors").read_bytes() for folder in (run, tmp_path / "whole")
    ]
    assert adapters[0] == adapters[1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run", "toy.yaml", "whole"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (RECIPE + "learning_rat: 3\n", "unknown field 'learning_rat'; was 'learning_rate' meant?"),
        (RECIPE.replace("epochs: 2", "epochs: 0"), "field 'epochs' is 0"),
        ("- a\n- b\n", "holds list; expected fields of a recipe"),
        ("a: [", "is no YAML"),
        (RECIPE.replace("backbone: toy", "backbone: nowhere"), "no backbone is named 'nowhere'"),
        (RECIPE + "losses: {cross-entropi: 1}\n", "no loss is named 'cross-entropi'"),
    ],
)
def test_a_bad_recipe_is_one_line_and_leaves_no_output(
    gendkit: Run, recipe: Path, crops: Path, tmp_path: Path, text: str, words: str
):
    recipe.write_text(text)
    said = train(gendkit, recipe, crops, tmp_path / "run")
    assert (said.code, said.out) == (1, "")
    (line,) = said.err.splitlines()
    assert words in line
    assert [p.name for p in tmp_path.iterdir()] == [recipe.name]


def test_a_missing_recipe_manifest_or_split_is_one_line(
    gendkit: Run, recipe: Path, crops: Path, tmp_path: Path
):
    out = ("--out", tmp_path / "run")
    for arguments, words in [
        (("no-preset", "--train", crops, "--val", crops), "the presets are gend-clip"),
        (("no.yaml", "--train", crops, "--val", crops), "no recipe at no.yaml"),
        ((recipe, "--train", "no", "--val", crops), "no manifest at no"),
        ((recipe, "--train", f"{crops}:trian", "--val", crops), "no row of split 'trian'"),
        ((recipe, "--train", crops, "--val", crops), "are linked by a target or donor"),
    ]:
        said = gendkit("train", *arguments, *out)
        assert (said.code, said.out) == (1, "")
        (line,) = said.err.splitlines()
        assert words in line
    assert not (tmp_path / "run").exists()


def test_a_store_that_is_missing_or_would_be_replaced_is_one_line(
    gendkit: Run, adapter: Path, crops: Path, tmp_path: Path
):
    store = tmp_path / "e.zarr"
    assert gendkit("embed", crops, store, "--adapter", adapter).code == 0
    for arguments, words in [
        (("embed", crops, store, "--adapter", adapter), "already holds a run"),
        (("embed", crops, crops, "--adapter", adapter, "--overwrite"), "is never replaced"),
        (("neighbours", tmp_path / "no", tmp_path / "n.zarr"), "no embeddings at"),
        (("neighbours", store, store), "already holds a run"),
        (("project", store, crops, "--overwrite"), "is never replaced"),
    ]:
        said = gendkit(*arguments)
        assert (said.code, said.out) == (1, "")
        (line,) = said.err.splitlines()
        assert words in line
    assert (crops / "manifest.parquet").exists()
    assert not (tmp_path / "n.zarr").exists()
