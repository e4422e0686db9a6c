"""The likely method: right where methods are apart, silent where nothing could be measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import xarray as xr

import gendkit as gk
from gendkit.errors import InvalidEmbeddings
from gendkit.manifold.methods import NONE, left_out_accuracy


def collection(
    rng: np.random.Generator,
    *,
    datasets: Sequence[str] = ("a", "b"),
    methods: Sequence[str] = ("", "swap", "warp"),
    people: int = 12,
    apart: float = 3.0,
    codec: float = 0.5,
) -> xr.Dataset:
    """A clip a person, method and data set; methods lie in directions of their own."""
    rows = []
    columns: dict[str, list[object]] = {n: [] for n in ("dataset", "method", "video", "label")}
    who = []
    for i, dataset in enumerate(datasets):
        for person in range(people):
            place = rng.normal(size=8) * 0.4
            place[7] += codec * (-1) ** i
            for method in methods:
                kind = ("", "swap", "warp", "new").index(method)
                place_of = place.copy()
                place_of[kind] += apart
                rows.append(place_of)
                columns["dataset"].append(dataset)
                columns["method"].append(method)
                columns["video"].append(f"{dataset}{person}{method}")
                columns["label"].append(int(bool(method)))
                who.append(f"{dataset}{person}")
    raw = np.array(rows)
    unit = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    labels = np.array(columns.pop("label"))
    return xr.Dataset(
        {
            "embedding": (("sample", "feature"), unit),
            "label": ("sample", labels),
            "target_identity": ("sample", np.array(who, object)),
            **{k: ("sample", np.array(v, object)) for k, v in columns.items()},
        },
        coords={"sample": np.array([f"s{'-'.join(datasets)}{i}" for i in range(len(who))], object)},
    )


def test_methods_that_lie_apart_are_told_apart_with_their_accuracy() -> None:
    rng = np.random.default_rng(0)
    reference = collection(rng)
    queries = collection(rng, datasets=("c",), methods=("swap", "warp"), people=5)
    found = gk.likely_method(queries, reference, k=5)
    assert found["likely_method"].to_numpy().tolist() == ["swap", "warp"] * 5
    about = found["likely_method"].attrs
    assert about["accuracy"] == 1.0
    assert about["chance"] == 0.5
    assert about["accuracy_clips"] == 48
    assert about["accuracy_datasets"] == 2


def test_where_methods_do_not_differ_the_accuracy_says_so() -> None:
    reference = collection(np.random.default_rng(1), apart=0.0, people=30)
    accuracy = left_out_accuracy(reference, k=5)
    assert accuracy.share == pytest.approx(0.5, abs=0.15)


def test_the_accuracy_is_of_data_sets_that_were_left_out() -> None:
    """Here method and data set are the same thing, as they often are."""
    rng = np.random.default_rng(2)
    one = collection(rng, datasets=("a",), methods=("", "swap"), codec=3.0)
    other = collection(rng, datasets=("b",), methods=("", "warp"), codec=-3.0)
    reference = xr.concat([one, other], dim="sample")
    found = gk.likely_method(one, reference, k=5)
    assert set(found["likely_method"].to_numpy()) == {""}
    assert np.isnan(found["likely_method"].attrs["accuracy"])
    assert found["likely_method"].attrs["accuracy_clips"] == 0
    assert set(found["nearest_dataset"].to_numpy()) == {"a"}


def test_a_method_that_is_not_known_is_none_of_those_known() -> None:
    rng = np.random.default_rng(3)
    reference = collection(rng, people=60)
    strange = collection(rng, datasets=("c",), methods=("new",), people=6)
    found = gk.likely_method(strange, reference, k=5)
    assert set(found["likely_method"].to_numpy()) == {NONE}
    usual = collection(rng, datasets=("c",), methods=("swap",), people=40)
    named = gk.likely_method(usual, reference, k=5)["likely_method"].to_numpy()
    assert np.mean(named == "swap") >= 0.85


def test_the_accuracy_is_that_of_what_is_shown_with_those_that_are_refused() -> None:
    """The data sets lie far apart: each one's fakes are refused among those of the other."""
    reference = collection(np.random.default_rng(6), people=60, codec=8.0)
    found = gk.likely_method(reference, k=5)["likely_method"].attrs
    assert found["refused"] > 0.9
    assert found["accuracy"] < 0.1


def test_methods_of_few_people_are_named_as_never_refused() -> None:
    reference = collection(np.random.default_rng(7), people=10)
    assert gk.likely_method(reference, k=3)["likely_method"].attrs["never_refused"] == "swap, warp"
    many = collection(np.random.default_rng(7), people=30)
    assert gk.likely_method(many, k=3)["likely_method"].attrs["never_refused"] == ""


def test_frames_of_a_track_share_one_answer() -> None:
    rng = np.random.default_rng(4)
    reference = collection(rng)
    queries = collection(rng, datasets=("c",), methods=("swap",), people=4).assign(
        video=("sample", np.array(["one clip"] * 4, object)),
        track=("sample", [0, 0, 1, 1]),
    )
    found = gk.likely_method(queries, reference, k=5)
    assert len(set(found["nearest_dataset"].to_numpy()[:2])) == 1
    assert len(set(found["nearest_dataset"].to_numpy()[2:])) == 1


def test_it_survives_a_store_and_nonsense_is_refused(
    reopened: Callable[[xr.Dataset], xr.Dataset],
) -> None:
    reference = collection(np.random.default_rng(5), people=5)
    expected = gk.likely_method(reference, k=3)
    found = gk.likely_method(reopened(reference), k=3)
    assert found["likely_method"].to_numpy().tolist() == expected["likely_method"].data.tolist()
    assert reopened(expected)["likely_method"].attrs["accuracy_clips"] == 20
    with pytest.raises(InvalidEmbeddings, match="k must be at least 1"):
        gk.likely_method(reference, k=0)
    with pytest.raises(InvalidEmbeddings, match="'method'"):
        gk.likely_method(reference, reference.drop_vars("method"))
    with pytest.raises(InvalidEmbeddings, match="no labels"):
        gk.likely_method(reference, reference.drop_vars("label"))


def test_every_vote_counts_and_not_only_whether_there_was_one() -> None:
    """Four of five votes are for one method; with one vote each the first by name would win."""
    kinds = ["warp"] * 4 + ["swap"] * 4
    angles = [0.1, 0.11, 0.12, 0.13, 0.14, 1.0, 1.1, 1.2]
    unit = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    names = [f"p{i}" for i in range(8)]
    reference = xr.Dataset(
        {
            "embedding": (("sample", "feature"), unit),
            "label": ("sample", np.ones(8, int)),
            "method": ("sample", np.array(kinds, object)),
            "dataset": ("sample", np.array(kinds, object)),
            "target_identity": ("sample", np.array(names, object)),
        },
        coords={"sample": np.array(names, object)},
    )
    query = xr.Dataset(
        {"embedding": (("sample", "feature"), np.array([[1, 0]], np.float32))},
        coords={"sample": np.array(["q"], object)},
    )
    found = gk.likely_method(query, reference, k=5)
    assert found["nearest_dataset"].to_numpy().tolist() == ["warp"]
