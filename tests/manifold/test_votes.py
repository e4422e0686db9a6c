"""Votes of the nearest people: against brute force, permutations, and who may not vote."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import xarray as xr

import gendkit as gk
from gendkit.errors import InvalidEmbeddings
from gendkit.manifold import parties
from gendkit.manifold.votes import _chance

from .conftest import Points


@pytest.fixture
def crowd(points: Points) -> xr.Dataset:
    """240 crops of 30 people, each with real and fake clips of several frames."""
    rng = np.random.default_rng(0)
    person = rng.integers(0, 30, 240)
    label = rng.integers(0, 2, 240)
    clip = [f"{p}-{real}-{rng.integers(0, 2)}" for p, real in zip(person, label, strict=True)]
    ds = points(
        240, dim=6, target_identity=[f"person {p}" for p in person], video=clip,
        dataset=["d"] * 240,
    )  # fmt: skip
    return ds.assign(label=("sample", label))


def brute(ds: xr.Dataset, reference: xr.Dataset, k: int) -> list[tuple[int, int, int, int]]:
    """Fake and real votes cast and possible of each crop, one crop after another."""
    out = []
    for i in range(ds.sizes["sample"]):
        near: dict[tuple[int, str], float] = {}
        for j in range(reference.sizes["sample"]):
            same = any(
                str(ds[a].values[i]) == str(reference[a].values[j])
                for a in ("sample", "target_identity", "video")
            )
            label = int(reference["label"].values[j])
            if same or label < 0:
                continue
            unit = label, str(reference["target_identity"].values[j])
            cosine = float(ds["embedding"].values[i] @ reference["embedding"].values[j])
            near[unit] = max(near.get(unit, -2.0), cosine)
        cast = sorted(near, key=lambda unit: -near[unit])[:k]
        fakes, all_fakes = (sum(label for label, _ in some) for some in (cast, near))
        out.append((fakes, len(cast) - fakes, all_fakes, len(near) - all_fakes))
    return out


@pytest.mark.parametrize("k", [1, 7, 500])
def test_votes_are_those_of_brute_force(crowd: xr.Dataset, k: int) -> None:
    ds = crowd.isel(sample=slice(0, 40))
    found = gk.votes(ds, crowd, k=k)
    expected = np.array(brute(ds, crowd, k))
    np.testing.assert_array_equal(found["votes_fake"], expected[:, 0])
    np.testing.assert_array_equal(found["votes_real"], expected[:, 1])
    with np.errstate(divide="ignore"):
        ratio = expected[:, 0] / expected[:, 2] / (expected[:, 1] / expected[:, 3])
    np.testing.assert_allclose(found["vote_ratio"], ratio, rtol=1e-6)
    assert found["vote_ratio"].attrs["k"] == k


def test_counting_in_parts_changes_nothing(
    crowd: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = gk.votes(crowd)
    monkeypatch.setattr(parties, "SIMILARITIES", 1000)
    xr.testing.assert_identical(gk.votes(crowd), whole)


def test_the_chance_is_that_of_permuted_labels() -> None:
    """Five possible votes, two of them fake; the three nearest have both."""
    labels, cast = (1, 1, 0, 0, 0), 3
    drawn = [sum(order[:cast]) for order in permutations(labels)]
    for fakes in (0, 1, 2):
        tails = np.mean([d <= fakes for d in drawn]), np.mean([d >= fakes for d in drawn])
        one = [np.array([n]) for n in (fakes, cast - fakes, 2, 3)]
        assert _chance(*one)[0] == pytest.approx(min(1.0, 2 * min(tails)))


def test_without_a_difference_chances_are_spread_and_few_are_small(points: Points) -> None:
    """Labels that have nothing to do with place: p is small no more often than it says."""
    small = []
    for seed in range(6):
        ds = points(300, dim=8, seed=seed)
        ds = ds.assign(label=("sample", np.random.default_rng(seed).integers(0, 2, 300)))
        small.append((gk.votes(ds, k=15)["vote_p"].values <= 0.05).mean())
    assert np.mean(small) <= 0.06


def test_frames_of_one_clip_and_clips_of_one_person_count_once(points: Points) -> None:
    """Thirty fakes of one person are nearest; five reals of five people come behind."""
    ds = points(36, dim=4, target_identity=["asked"] + ["ann"] * 30 + list("bcdef"))
    values = ds["embedding"].values
    values[1:31] = values[0] + 0.01 * values[1:31]
    values[31:] = values[0] + 0.5 * values[31:]
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    ds = ds.assign(label=("sample", np.array([0] + [1] * 30 + [0] * 5)))
    found = gk.votes(ds.isel(sample=[0]), ds, k=6)
    assert (int(found["votes_fake"][0]), int(found["votes_real"][0])) == (1, 5)
    assert float(found["vote_ratio"][0]) == 1
    assert float(found["vote_p"][0]) == 1


def test_crops_without_a_label_do_not_vote(crowd: xr.Dataset) -> None:
    label = crowd["label"].values.copy()
    label[label == 1] = -1
    found = gk.votes(crowd, crowd.assign(label=("sample", label)))
    assert int(found["votes_fake"].max()) == 0
    assert np.isnan(found["vote_ratio"]).all()
    nobody = gk.votes(crowd, crowd.assign(label=("sample", np.full(240, -1))))
    assert np.isnan(nobody["vote_p"]).all()


def test_a_fake_among_fakes_is_told(points: Points) -> None:
    ds = points(200, dim=16).assign(label=("sample", np.arange(200) % 2))
    values = ds["embedding"].values
    values[1::2] += 0.6
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    found = gk.votes(ds, k=15)
    fake = ds["label"].values == 1
    assert (found["vote_ratio"].values[fake] > 3).mean() > 0.9
    assert (found["vote_p"].values[fake] < 0.01).mean() > 0.9


def shorter(ds: xr.Dataset) -> xr.Dataset:
    part = ds["embedding"].values[:, :3]
    unit = part / np.linalg.norm(part, axis=1, keepdims=True)
    return ds.drop_vars("embedding").assign(embedding=(("sample", "feature"), unit))


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (lambda ds: ds, {"k": 0}, "k must be at least 1"),
        (lambda ds: ds.drop_vars("label"), {}, "no labels"),
        (shorter, {}, "length 3"),
        (lambda ds: ds.assign_attrs(adapter_hash="b"), {}, "adapter"),
    ],
)
def test_what_cannot_vote_is_refused(
    crowd: xr.Dataset, change: Any, options: dict[str, int], words: str
) -> None:
    reference = change(crowd.assign_attrs(adapter_hash="a"))
    with pytest.raises(InvalidEmbeddings, match=words):
        gk.votes(crowd.assign_attrs(adapter_hash="a"), reference, **options)


def test_a_store_votes_as_what_was_written(
    crowd: xr.Dataset, reopened: Callable[[xr.Dataset], xr.Dataset]
) -> None:
    found, expected = gk.votes(reopened(crowd)), gk.votes(crowd)
    for name in ("votes_real", "votes_fake", "vote_ratio", "vote_p"):
        np.testing.assert_array_equal(found[name], expected[name])


@pytest.mark.parametrize("k", [1, 3, 7, 50])
def test_the_nearest_parties_are_those_of_a_stable_sort(k: int) -> None:
    rng = np.random.default_rng(0)
    best = np.round(rng.normal(size=(40, 20)), 1).astype(np.float32)  # with many ties
    best[rng.random(best.shape) < 0.2] = -np.inf
    best[0] = -np.inf
    expected = np.zeros(best.shape, bool)
    order = np.argsort(-best, axis=1, kind="stable")[:, :k]
    np.put_along_axis(expected, order, True, axis=1)
    expected &= np.isfinite(best)
    np.testing.assert_array_equal(parties.among_nearest(best, k), expected)
