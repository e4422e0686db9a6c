"""Votes, suspects, geometry, audits, indices and placements on the command line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import gendkit as gk
from gendkit.data.manifest import Manifest
from gendkit.manifold.store import write_embeddings
from gendkit.testing.small import small_crops

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Crops of 12 people, two frames of a real and a fake clip each, on a map."""
    rng = np.random.default_rng(0)
    label = np.tile([0, 0, 1, 1], 12)
    raw = rng.normal(size=(48, 8)) * 0.3 + np.eye(8)[label]
    raw[1::2] = raw[::2] + 0.01
    person = np.repeat([f"p{i:02d}" for i in range(12)], 4).astype(object)
    video = np.array([f"{p}-{c}" for p, c in zip(person, label, strict=True)], object)
    columns = {
        "label": label, "video": video, "pair": person, "target_identity": person,
        "donor_identity": np.full(48, "", object),
        "dataset": np.repeat(["one", "two"], 24).astype(object),
        "method": np.where(label == 1, "swap", "").astype(object),
        "embedding": (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32),
    }  # fmt: skip
    ds = xr.Dataset(
        {name: (("sample", "feature")[: v.ndim], v) for name, v in columns.items()},
        coords={"sample": np.array([f"{v}/{i}" for i, v in enumerate(video)], object)},
    )
    path = tmp_path_factory.mktemp("store") / "e.zarr"
    return write_embeddings(gk.project(ds, method="pca"), path)


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Crops of four people, two in each of two splits."""
    root = tmp_path_factory.mktemp("crops")
    made = small_crops(root, identities=("ann", "bob", "cid", "dan"), frames=1)
    first = made.table["target_identity"].isin(["ann", "bob"])
    return written(made, root, np.where(first, "train", "final"))


def written(manifest: Manifest, out: Path, split: Any) -> Manifest:
    rows = manifest.table.assign(split=split).to_dict("records")
    made = Manifest.from_rows(rows, manifest.root, meta=manifest.meta)  # type: ignore[arg-type]
    out.mkdir(exist_ok=True)
    made.write(out)
    return made


def test_votes_are_added_and_on_demand_novelty_and_the_likely_method(
    gendkit: Run, store: Path, tmp_path: Path
):
    said = gendkit("votes", store, tmp_path / "v.zarr", "-k", 5, "--json")
    assert said.code == 0, said.err
    assert {"votes_real", "vote_p"} <= set(json.loads(said.out)["variables"])
    assert "novelty" not in json.loads(said.out)["variables"]
    said = gendkit(
        "votes", store, tmp_path / "v.zarr", "--reference", store, "--novelty", "--likely-method",
        "--overwrite",
    )  # fmt: skip
    assert said.code == 0, said.err
    ds = gk.open_embeddings(tmp_path / "v.zarr")
    assert {"votes_fake", "novelty_p", "likely_method", "nearest_dataset"} <= set(ds.data_vars)


def test_suspects_are_candidates_and_duplicates(gendkit: Run, store: Path):
    found = json.loads(gendkit("suspects", store, "--angle", 1, "--json").out)
    assert found["duplicate_angle"] == 1
    assert found["duplicates"][0].keys() == {"sample", "other", "angle", "same_label", "rank"}
    lines = gendkit("suspects", store, "--angle", 1).out.splitlines()
    issues, same = len(found["label_issues"]), len(found["duplicates"])
    assert lines[0] == f"{issues} clips whose label the nearest people contradict"
    assert f"{same} pairs of crops of unrelated clips within 1.000 rad" in lines


def test_labels_are_doubted_even_if_duplicates_cannot_be_told(
    gendkit: Run, store: Path, tmp_path: Path
):
    one_crop_a_clip = gk.open_embeddings(store).load().isel(sample=slice(0, None, 2))
    write_embeddings(one_crop_a_clip, tmp_path / "e.zarr")
    said = gendkit("suspects", tmp_path / "e.zarr", "--json")
    assert said.code == 0
    assert json.loads(said.out).keys() == {"label_issues"}
    (line,) = said.err.splitlines()
    assert "duplicates were not sought: no clip has two crops" in line
    assert "--angle" in line


def test_geometry_is_a_table_csv_or_json_with_the_same_numbers(gendkit: Run, store: Path):
    table = gk.geometry(gk.open_embeddings(store), ["label", "dataset"])
    asked = ("geometry", store, "--by", "label", "--by", "dataset")
    rows = json.loads(gendkit(*asked, "--json").out)
    assert [row["uniformity"] for row in rows] == table["uniformity"].tolist()
    lines = list(csv.DictReader(io.StringIO(gendkit(*asked, "--csv").out)))
    assert [float(row["uniformity"]) for row in lines] == table["uniformity"].tolist()
    text = gendkit(*asked).out.splitlines()
    assert text[0].split()[:3] == ["variable", "value", "count"]
    assert [line.split()[0] for line in text[1:]] == ["all", "label", "label", "dataset", "dataset"]


def test_an_audit_fails_where_something_is_shared(gendkit: Run, crops: Manifest, tmp_path: Path):
    clean = gendkit("audit", crops.root, "--json")
    assert clean.code == 0, clean.out
    assert {row["level"] for row in json.loads(clean.out)} >= {"content", "identity", "generator"}
    split = crops.table["split"].to_numpy().copy()
    split[0] = "final"
    written(crops, tmp_path / "leaking", split)
    said = gendkit("audit", tmp_path / "leaking", "--no-images", "--csv")
    assert (said.code, said.err) == (1, "")
    shared = {row["level"]: row for row in csv.DictReader(io.StringIO(said.out))}
    assert int(shared["identity"]["shared"]) > 0
    assert "content" not in shared


def test_stores_of_one_detector_are_combined(gendkit: Run, store: Path, tmp_path: Path):
    ds = gk.open_embeddings(store).load()
    parts = [tmp_path / "one.zarr", tmp_path / "two.zarr"]
    write_embeddings(ds.isel(sample=slice(0, 20)), parts[0])
    write_embeddings(ds.isel(sample=slice(20, 48)), parts[1])
    said = gendkit("combine", *parts, tmp_path / "all.zarr", "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out)["sizes"]["sample"] == 48
    twice = gendkit("combine", parts[0], parts[0], tmp_path / "no.zarr")
    assert twice.code == 1
    assert len(twice.err.splitlines()) == 1
    assert not (tmp_path / "no.zarr").exists()


def test_a_saved_index_is_searched_and_refused_for_another_store(
    gendkit: Run, store: Path, tmp_path: Path
):
    index = tmp_path / "e.index"
    about = json.loads(gendkit("index", store, index, "--json").out)
    assert (about["kind"], about["crops"]) == ("hnsw", 48)
    assert 0.9 < about["recall"] <= 1
    out = tmp_path / "n.zarr"
    said = gendkit("neighbours", store, out, "-k", 3, "--index", index)
    assert said.code == 0, said.err
    exact = gk.neighbours(gk.open_embeddings(store).load(), k=3)
    found = gk.open_embeddings(out)
    assert found["neighbour"].attrs["index"] == "hnsw"
    assert (found["neighbour"].to_numpy() == exact["neighbour"].to_numpy()).mean() > 0.9
    other = tmp_path / "other.zarr"
    write_embeddings(gk.open_embeddings(store).load().isel(sample=slice(0, 9)), other)
    stale = gendkit("neighbours", other, tmp_path / "no.zarr", "--index", index)
    assert stale.code == 1
    assert "is of other embeddings" in stale.err
    assert gendkit("index", store, index).code == 1
    bad = gendkit("index", store, tmp_path / "bad", "--kind", "nonsense")
    assert (bad.code, len(bad.err.splitlines())) == (1, 1)


def test_more_neighbours_than_there_are_is_told(gendkit: Run, store: Path, tmp_path: Path):
    said = gendkit("neighbours", store, tmp_path / "n.zarr", "-k", 1000)
    assert said.code == 0
    assert said.err == "gendkit: warning: 48 of 48 crops have fewer than 1000 neighbours\n"


def test_crops_are_placed_on_a_map_that_stays(gendkit: Run, store: Path, tmp_path: Path):
    part = gk.open_embeddings(store).load().isel(sample=slice(0, 4)).drop_vars("projection")
    write_embeddings(part, tmp_path / "new.zarr")
    out = tmp_path / "placed.zarr"
    said = gendkit("place", tmp_path / "new.zarr", out, "--reference", store, "-k", 4)
    assert said.code == 0, said.err
    assert gk.open_embeddings(out)["projection"].attrs["placed"] == 4
    no_map = gendkit("place", out, tmp_path / "no.zarr", "--reference", tmp_path / "new.zarr")
    assert no_map.code == 1
    assert "the reference has no map" in no_map.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("votes", "no", "out"), "no embeddings at no"),
        (("geometry", "no"), "no embeddings at no"),
        (("suspects", "no"), "no embeddings at no"),
        (("audit", "no"), "no manifest at no"),
        (("combine", "no", "out"), "no embeddings at no"),
        (("index", "no", "out"), "no embeddings at no"),
        (("place", "no", "out", "--reference", "no"), "no embeddings at no"),
    ],
)
def test_what_is_not_there_is_one_line(
    gendkit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: Any, words: str
):
    monkeypatch.chdir(tmp_path)
    said = gendkit(*arguments)
    assert (said.code, said.out) == (1, "")
    (line,) = said.err.splitlines()
    assert words in line
    assert list(tmp_path.iterdir()) == []


def test_nonsense_is_wrong_usage_or_one_line(gendkit: Run, store: Path):
    assert gendkit("geometry", store, "--json", "--csv").code == 2
    assert gendkit("combine").code == 2
    assert gendkit("audit", store, "--by", "colour").code == 2
    said = gendkit("geometry", store, "--by", "colour")
    assert said.code == 1
    assert "there is no variable 'colour' of each crop" in said.err
