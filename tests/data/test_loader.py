"""Batches: reproducible whatever the threads, shuffled by epoch, whole, and paired on request."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from gendkit.data import loader as module
from gendkit.data.augment import light
from gendkit.data.degrade import Chain
from gendkit.data.degrade_image import degrade_image
from gendkit.data.loader import Batch, Loader
from gendkit.data.manifest import Manifest
from gendkit.data.pixels import to_pixels
from gendkit.errors import InvalidArgument, MissingMedia
from gendkit.testing.small import small_backbone, small_crops

PREPROCESSING = small_backbone().preprocessing


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """32 crops of four people: four frames of a real and a fake clip each."""
    return small_crops(tmp_path_factory.mktemp("crops"))


def rows(batches: list[Batch]) -> list[list[int]]:
    return [b.rows.tolist() for b in batches]


def same(one: list[Batch], other: list[Batch]) -> bool:
    return rows(one) == rows(other) and all(
        torch.equal(a.pixels, b.pixels) for a, b in zip(one, other, strict=True)
    )


CHAIN = "blur:3..9:0.5..2@0.5,colour:0.8..1.2,noise:0.01..0.1@0.5,jpeg:40..100"
EITHER = pytest.mark.parametrize(
    "augmentation",
    ["gend", "gend-batched", f"gend,{CHAIN}", f"gend-batched,{CHAIN}", f"none-batched,{CHAIN}"],
)


@EITHER
def test_one_seed_and_epoch_give_the_same_batches_whatever_the_threads(
    manifest: Manifest, augmentation: str
) -> None:
    runs = [
        list(
            Loader(
                manifest, PREPROCESSING, batch_size=5, augmentation=augmentation, seed=3,
                workers=workers,
            ).epoch(1)
        )
        for workers in (1, 4)
    ]  # fmt: skip
    assert same(*runs)


@EITHER
def test_the_shares_of_a_batch_are_the_batch(manifest: Manifest, augmentation: str) -> None:
    whole, *shares = (
        list(
            Loader(
                manifest, PREPROCESSING, batch_size=8, augmentation=augmentation, share=share
            ).epoch(1)
        )
        for share in ((0, 1), (0, 2), (1, 2))
    )
    assert rows(whole) == rows(shares[0]) == rows(shares[1])
    for batch, *parts in zip(whole, *shares, strict=True):
        assert torch.equal(batch.pixels, torch.cat([part.pixels for part in parts]))


def test_batches_in_order_are_shared_out_whole(manifest: Manifest) -> None:
    shares = [
        rows(list(Loader(manifest, PREPROCESSING, batch_size=5, share=(rank, 2))))
        for rank in range(2)
    ]
    assert sorted(shares[0] + shares[1]) == rows(
        list(Loader(manifest, PREPROCESSING, batch_size=5))
    )
    assert len(shares[0]) - len(shares[1]) in (0, 1)


@EITHER
def test_a_second_pass_over_an_epoch_is_the_first(manifest: Manifest, augmentation: str) -> None:
    loader = Loader(manifest, PREPROCESSING, batch_size=8, augmentation=augmentation)
    first = list(loader.epoch(0))
    list(loader.epoch(1))
    assert same(first, list(loader.epoch(0)))


@EITHER
def test_a_sample_is_augmented_the_same_in_batches_of_any_size(
    manifest: Manifest, augmentation: str
) -> None:
    found = []
    for size in (32, 16):
        loader = Loader(manifest, PREPROCESSING, batch_size=size, augmentation=augmentation)
        batches = list(loader.epoch(0))
        order = np.argsort(np.concatenate([b.rows for b in batches]))
        found.append(torch.cat([b.pixels for b in batches])[torch.from_numpy(order)])
    assert torch.equal(*found)


def test_gend_and_gend_batched_draw_the_same_for_a_sample(manifest: Manifest) -> None:
    """Crops of the input's own size are not resized, and few are blurred: the rest is the same."""
    as_is = PREPROCESSING.at(40)
    one, other = (
        next(Loader(manifest, as_is, batch_size=32, augmentation=name).epoch(0))
        for name in ("gend", "gend-batched")
    )
    assert (one.pixels == other.pixels).flatten(1).all(1).float().mean() > 0.7


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        (CHAIN, f"none-batched,{CHAIN}", 0.01),
        (f"gend,{CHAIN}", f"gend-batched,{CHAIN}", 0.3),  # where `gend` blurs
    ],
)
def test_a_chain_does_the_same_on_the_host_and_on_the_device(
    manifest: Manifest, one: str, other: str, apart: float
) -> None:
    """Where crops have the input's own size; a blurred pixel may be rounded the other way."""
    as_is = PREPROCESSING.at(40)
    found = [
        next(Loader(manifest, as_is, batch_size=32, augmentation=text).epoch(0)).pixels
        for text in (one, other)
    ]
    assert (found[0] != found[1]).float().mean() < apart
    assert (found[0] == found[1]).flatten(1).all(1).float().mean() > 0.4


def test_a_chain_is_drawn_by_seed_epoch_and_row_after_what_the_name_draws(
    manifest: Manifest,
) -> None:
    as_is = PREPROCESSING.at(40)
    loader = Loader(manifest, as_is, batch_size=32, augmentation="light,jpeg:1..100", seed=5)
    batch = next(loader.epoch(2))
    for at, row in list(enumerate(batch.rows.tolist()))[:4]:
        rng = np.random.default_rng([5, 2, 1, row])
        crop = light(manifest.crop(row), rng)
        expected = degrade_image(crop, Chain.parse("jpeg:1..100").draw(rng))
        assert torch.equal(batch.pixels[at], to_pixels([expected], as_is)[0])


def test_crops_are_not_augmented_where_they_are_read_in_order(manifest: Manifest) -> None:
    plain, other = (
        next(iter(Loader(manifest, PREPROCESSING, batch_size=8, augmentation=text)))
        for text in ("none", "none-batched,noise:0.5")
    )
    assert torch.equal(plain.pixels, other.pixels)


def test_an_unknown_augmentation_is_refused_at_once(manifest: Manifest) -> None:
    with pytest.raises(InvalidArgument, match=r"named 'heavy'; there is gend, .*gend-batched"):
        Loader(manifest, PREPROCESSING, batch_size=4, augmentation="heavy")


@pytest.mark.parametrize("name", ["light", "gend-batched"])
@pytest.mark.parametrize("change", ["epoch", "seed"])
def test_epochs_and_seeds_differ_in_order_and_augmentation(
    manifest: Manifest, change: str, name: str
) -> None:
    def batches(*, seed: int, epoch: int) -> list[Batch]:
        loader = Loader(manifest, PREPROCESSING, batch_size=32, augmentation=name, seed=seed)
        return list(loader.epoch(epoch))

    [one], [other] = (
        batches(seed=0, epoch=0),
        batches(seed=int(change == "seed"), epoch=int(change == "epoch")),
    )
    assert one.rows.tolist() != other.rows.tolist()
    sort = np.argsort(one.rows), np.argsort(other.rows)
    assert not torch.equal(one.pixels[sort[0]], other.pixels[sort[1]])


def test_the_last_partial_batch_is_dropped_and_no_crop_comes_twice(manifest: Manifest) -> None:
    loader = Loader(manifest, PREPROCESSING, batch_size=5)
    batches = list(loader.epoch(0))
    assert loader.steps() == 6
    assert [len(b.rows) for b in batches] == [5] * 6
    assert len(set(np.concatenate([b.rows for b in batches]))) == 30


def test_a_manifest_smaller_than_a_batch_gives_one_batch_of_all(manifest: Manifest) -> None:
    loader = Loader(manifest, PREPROCESSING, batch_size=128)
    [batch] = loader.epoch(0)
    assert loader.steps() == 1
    assert sorted(batch.rows) == list(range(32))


def test_paired_batches_keep_the_crops_of_a_target_clip_together(manifest: Manifest) -> None:
    loader = Loader(manifest, PREPROCESSING, batch_size=8, paired=True)
    orders = []
    for epoch in range(3):
        batches = list(loader.epoch(epoch))
        for batch in batches:
            part = manifest.table.iloc[batch.rows]
            assert part["pair"].nunique() == 1
            assert part["label"].sum() == 4
        orders.append([manifest.table["pair"].iloc[b.rows[0]] for b in batches])
    assert len(set(map(tuple, orders))) > 1


def test_a_batch_says_how_many_fakes_have_their_real_in_it(manifest: Manifest) -> None:
    table = manifest.table
    for size in (1, 2, 5, 32):
        for batch in Loader(manifest, PREPROCESSING, batch_size=size).epoch(0):
            part = table.iloc[batch.rows]
            reals = set(part.loc[part["label"] == 0, "pair"])
            expected = sum(pair in reals for pair in part.loc[part["label"] == 1, "pair"])
            assert batch.pairs == expected
    [whole] = Loader(manifest, PREPROCESSING, batch_size=32)
    assert whole.pairs == 16
    alone = replace(manifest, table=table.assign(pair=""))
    [whole] = Loader(alone, PREPROCESSING, batch_size=32)
    assert whole.pairs == 0


def test_pairs_of_two_datasets_are_not_mixed(manifest: Manifest) -> None:
    table = manifest.table
    other = table["dataset"].where(table["label"] == 0, "other")
    [whole] = Loader(
        replace(manifest, table=table.assign(dataset=other)), PREPROCESSING, batch_size=32
    )
    assert whole.pairs == 0


@pytest.mark.parametrize("paired", [False, True])
def test_an_epoch_can_be_taken_up_at_any_batch(manifest: Manifest, paired: bool) -> None:
    loader = Loader(manifest, PREPROCESSING, batch_size=5, augmentation="gend", paired=paired)
    whole = list(loader.epoch(2))
    for start in range(7):
        assert same(list(loader.epoch(2, start=start)), whole[start:])


def test_clips_without_a_pair_are_not_one_group(manifest: Manifest) -> None:
    table = manifest.table.assign(pair="")
    loader = Loader(replace(manifest, table=table), PREPROCESSING, batch_size=32, paired=True)
    [batch] = loader.epoch(0)
    videos = table["video"].iloc[batch.rows].tolist()
    assert sum(a != b for a, b in pairwise(videos)) == 7  # eight clips, each in one run
    plain = Loader(manifest, PREPROCESSING, batch_size=32)
    [shuffled] = plain.epoch(0)
    assert batch.rows.tolist() != shuffled.rows.tolist()


def test_iterating_gives_all_rows_in_order_without_augmentation(manifest: Manifest) -> None:
    loader = Loader(manifest, PREPROCESSING, batch_size=12, augmentation="gend")
    batches = list(loader)
    assert rows(batches) == [list(range(12)), list(range(12, 24)), list(range(24, 32))]
    expected = to_pixels([manifest.crop(i) for i in range(32)], PREPROCESSING)
    assert torch.equal(torch.cat([b.pixels for b in batches]), expected)


def test_an_empty_manifest_gives_no_batch(manifest: Manifest) -> None:
    empty = manifest.where(np.zeros(32, dtype=bool))
    loader = Loader(empty, PREPROCESSING, batch_size=4)
    assert list(loader) == []
    assert list(loader.epoch(0)) == []


@pytest.mark.parametrize("augmentation", ["none", "gend-batched"])
def test_later_epochs_do_not_read_crops_again(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch, augmentation: str
) -> None:
    read: list[int] = []
    crop = Manifest.crop
    monkeypatch.setattr(Manifest, "crop", lambda self, row: read.append(row) or crop(self, row))
    loader = Loader(manifest, PREPROCESSING, batch_size=32, augmentation=augmentation)
    for epoch in range(2):
        list(loader.epoch(epoch))
    assert sorted(read) == list(range(32))


def test_no_more_crops_are_kept_than_there_is_room_for(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    crop = Manifest.crop
    monkeypatch.setattr(Manifest, "crop", lambda self, row: read.append(row) or crop(self, row))
    monkeypatch.setattr(module, "CACHE_BYTES", 10 * manifest.crop(0).nbytes)
    read.clear()
    loader = Loader(manifest, PREPROCESSING, batch_size=32)
    for epoch in range(2):
        list(loader.epoch(epoch))
    assert len(read) == 32 + 22


def test_a_crop_that_is_gone_is_an_error_and_no_other_sample(
    manifest: Manifest, tmp_path: Path
) -> None:
    elsewhere = replace(manifest, root=tmp_path)
    with pytest.raises(MissingMedia):
        list(Loader(elsewhere, PREPROCESSING, batch_size=4))


def test_a_loader_that_is_left_early_stops_reading(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    crop = Manifest.crop
    monkeypatch.setattr(Manifest, "crop", lambda self, row: read.append(row) or crop(self, row))
    batches = iter(Loader(manifest, PREPROCESSING, batch_size=2))
    next(batches)
    batches.close()
    assert len(read) <= 2 * (module.AHEAD + 1)


def test_a_batch_says_how_long_it_was_waited_for(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter(range(0, 99, 3))  # a clock that goes on by three seconds at each look
    monkeypatch.setattr(module.time, "perf_counter", lambda: float(next(looks)))
    batches = list(Loader(manifest, PREPROCESSING, batch_size=16))
    assert [batch.waited for batch in batches] == [3.0, 3.0]


def test_as_many_threads_read_as_there_are_cores_but_not_more_than_four(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "cores", lambda: 3)
    assert Loader(manifest, PREPROCESSING, batch_size=4).workers == 3
    monkeypatch.setattr(module, "cores", lambda: 16)
    assert Loader(manifest, PREPROCESSING, batch_size=4).workers == 4
    assert Loader(manifest, PREPROCESSING, batch_size=4, workers=16).workers == 16
