from __future__ import annotations

import hashlib
from collections import Counter

import pytest

from gendkit.data.forge import FAMILIES
from gendkit.data.splits import (
    SPLITS,
    chosen_families,
    rendered_families,
    seen_families,
    split_of_family,
    split_of_identity,
    unseen_families,
)
from gendkit.errors import InvalidOption, UnknownPart


def test_the_committed_families_are_those_that_exist():
    assert {f.name: split_of_family(f.name) for f in FAMILIES} == {
        "self-blend": "train",
        "landmark-swap": "train",
        "upsampling": "development",
        "reenactment": "final",
        "lip-replacement": "final",
        "autoencoder": "train",
        "swap-restorer": "development",
        "diffusion": "final",
    }


def test_identities_are_split_half_a_fifth_and_the_rest():
    counts = Counter(split_of_identity("synthetic", str(i)) for i in range(1000))
    assert counts == {"train": 500, "development": 200, "final": 300}
    counts = Counter(split_of_identity("photos", f"person {i}") for i in range(4000))
    assert counts["train"] / 4000 == pytest.approx(0.5, abs=0.025)
    assert counts["development"] / 4000 == pytest.approx(0.2, abs=0.025)


def test_ten_synthetic_people_are_in_all_splits():
    splits = [split_of_identity("synthetic", str(i)) for i in range(10)]
    assert set(splits) == set(SPLITS)
    assert splits == [split_of_identity("synthetic", str(i)) for i in range(90, 100)]


@pytest.mark.parametrize("name", ["A000055", "Émile", "x/y z"])
def test_photos_are_split_by_the_hash_of_the_name(name):
    digest = hashlib.sha256(f"gendkit-split-1/{name}".encode()).hexdigest()
    fraction = int(digest[:8], 16) / 2**32
    expected = "train" if fraction < 0.5 else "development" if fraction < 0.7 else "final"
    assert split_of_identity("photos", name) == expected


def test_the_split_of_known_names_never_moves():
    assert [split_of_identity("photos", n) for n in ("A000055", "A000148", "A000370")] == [
        "train",
        "train",
        "development",
    ]


def test_what_is_rendered_for_each_split():
    seen = ("self-blend", "landmark-swap")
    assert rendered_families("train") == seen
    assert rendered_families("development") == (*seen, "upsampling")
    assert rendered_families("final") == (*seen, "reenactment", "lip-replacement")
    assert seen_families("final") == seen
    assert unseen_families("final") == ("reenactment", "lip-replacement")
    assert unseen_families("train") == ()


def test_the_families_that_are_fitted_are_rendered_where_they_are_asked_for():
    seen = ("self-blend", "landmark-swap", "autoencoder")
    assert rendered_families("train", "all") == seen
    assert rendered_families("development", "all") == (*seen, "upsampling", "swap-restorer")
    final = ("reenactment", "lip-replacement", "diffusion")
    assert rendered_families("final", "all") == (*seen, *final)
    assert unseen_families("final", "all") == final
    assert chosen_families("quick") == (*seen[:2], "upsampling", *final[:2])
    assert set(chosen_families("all")) == {f.name for f in FAMILIES}


def test_families_are_asked_for_by_name_and_come_in_the_order_of_the_split():
    assert chosen_families("diffusion, self-blend") == ("self-blend", "diffusion")
    assert chosen_families(["quick", "diffusion"])[-2:] == ("lip-replacement", "diffusion")
    assert rendered_families("train", "diffusion") == ()
    assert rendered_families("final", ("diffusion",)) == ("diffusion",)
    for wrong in ("", [], 3):
        with pytest.raises(InvalidOption, match="there is quick, all, or of self-blend"):
            chosen_families(wrong)
    with pytest.raises(UnknownPart, match="no family of forgeries is named 'swap'"):
        chosen_families("all,swap")


def test_no_family_of_final_is_rendered_before():
    for asked in ("quick", "all"):
        before = {*rendered_families("train", asked), *rendered_families("development", asked)}
        assert before.isdisjoint(unseen_families("final", asked))
        assert all(unseen_families(split, asked) for split in ("development", "final"))


def test_what_the_split_does_not_know_is_refused():
    with pytest.raises(UnknownPart, match="no rule for dataset 'other'"):
        split_of_identity("other", "1")
    with pytest.raises(UnknownPart, match="indices such as '7'"):
        split_of_identity("synthetic", "seven")
    with pytest.raises(UnknownPart, match="no family 'swap'"):
        split_of_family("swap")
    with pytest.raises(UnknownPart, match="no split is named 'test'"):
        rendered_families("test")
