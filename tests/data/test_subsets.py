"""Subsets are drawn by names and a seed, keep their promises, and say what they rest on."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import gendkit as gk
from gendkit.data.manifest import Manifest
from gendkit.data.subsets import META, distinct, write_subset
from gendkit.errors import InvalidArgument, OutputExists

METHODS = ("swap", "edit", "lips")


def corpus(
    people: int = 6, clips: int = 3, *, frames: int = 2, methods: tuple[str, ...] = METHODS,
    root: Path = Path("crops"),
) -> Manifest:  # fmt: skip
    """Real clips, some of one person, each with a fake of every method."""
    rows = []
    for person, clip in itertools.product(range(people), range(clips)):
        real = f"{person}-{clip}"
        for method in ("", *methods):
            name = f"{real}-{method}" if method else real
            rows += [
                {
                    "sample": f"d/{name}/{frame}/0", "path": f"{name}/{frame}.png",
                    "dataset": "d", "video": name, "pair": real, "method": method,
                    "family": method, "label": int(bool(method)), "frame": frame,
                    "target_identity": f"p{person}", "split": "train",
                }
                for frame in range(frames)
            ]  # fmt: skip
    return Manifest.from_rows(rows, root, meta={"frames": frames})


def clips_of(manifest: Manifest, label: int) -> list[str]:
    table = manifest.table
    return sorted(set(table["video"][table["label"] == label]))


def pairs_of(manifest: Manifest, label: int) -> set[str]:
    table = manifest.table
    return set(table["pair"][table["label"] == label])


def shuffled(manifest: Manifest, seed: int) -> Manifest:
    order = np.random.default_rng(seed).permutation(len(manifest))
    return replace(manifest, table=manifest.table.iloc[order].reset_index(drop=True))


def test_paired_has_each_real_with_fakes_of_it() -> None:
    subset = gk.paired(corpus(), clips=5, fakes=2)
    reals, fakes = clips_of(subset, 0), clips_of(subset, 1)
    assert (len(reals), len(fakes)) == (5, 10)
    assert pairs_of(subset, 1) == set(reals)
    assert len(subset) == 15 * 2  # all rows of a clip


def test_unpaired_has_the_same_fakes_and_as_many_reals_and_people_of_other_clips() -> None:
    rows = corpus()
    for clips, fakes, seed in ((1, 1, 0), (5, 2, 0), (5, 2, 1), (8, 3, 2)):
        one = gk.paired(rows, clips=clips, fakes=fakes, seed=seed)
        other = gk.unpaired(rows, clips=clips, fakes=fakes, seed=seed)
        assert clips_of(one, 1) == clips_of(other, 1)
        assert not pairs_of(other, 1) & set(clips_of(other, 0))
        columns = ["clips", "sources", "people", "methods", "frames"]
        same = [distinct(subset).loc[["real", "fake"], columns] for subset in (one, other)]
        pd.testing.assert_frame_equal(*same)


def test_methods_are_drawn_evenly() -> None:
    subset = gk.paired(corpus(), clips=9, fakes=1)
    fakes = subset.table[subset.table["label"] == 1].drop_duplicates("video")
    assert Counter(fakes["method"]) == dict.fromkeys(METHODS, 3)


@given(st.integers(0, 50), st.integers(0, 50))
@settings(max_examples=5, deadline=None)
def test_the_order_of_rows_is_no_matter_and_the_seed_is(order: int, seed: int) -> None:
    rows = corpus()
    for draw in (
        lambda m: gk.paired(m, clips=4, seed=seed),
        lambda m: gk.unpaired(m, clips=4, seed=seed),
        lambda m: gk.k_frames(m, 1, seed=seed),
    ):
        assert set(draw(rows).table["sample"]) == set(draw(shuffled(rows, order)).table["sample"])


def test_another_seed_draws_others_and_the_same_one_the_same() -> None:
    drawn = [tuple(clips_of(gk.paired(corpus(), clips=4, seed=seed), 0)) for seed in (0, 0, 1, 2)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 3


def test_a_larger_subset_keeps_what_a_smaller_one_has() -> None:
    rows = corpus()
    small, large = (set(gk.paired(rows, clips=n).table["sample"]) for n in (3, 6))
    assert small < large


def test_what_cannot_be_had_is_refused_with_the_most_that_can() -> None:
    rows = corpus(people=4, clips=2)
    with pytest.raises(InvalidArgument, match=r"9 real clips .* largest number of clips is 8 "):
        gk.paired(rows, clips=9)
    assert len(clips_of(gk.paired(rows, clips=8), 0)) == 8
    with pytest.raises(InvalidArgument, match="largest number of clips is 0 "):
        gk.paired(rows, clips=1, fakes=4)
    with pytest.raises(InvalidArgument, match=r"largest number of clips is (\d)") as error:
        gk.unpaired(rows, clips=5)
    most = int(str(error.value).partition("clips is ")[2][0])
    with pytest.raises(InvalidArgument, match=f"largest number of clips is {most} "):
        gk.unpaired(rows, clips=100)
    assert len(clips_of(gk.unpaired(rows, clips=most), 0)) == most
    with pytest.raises(InvalidArgument, match="give at least 1"):
        gk.paired(rows, clips=0)


def test_without_a_second_clip_there_is_nothing_unpaired() -> None:
    with pytest.raises(InvalidArgument, match="largest number of clips is 0 here"):
        gk.unpaired(corpus(people=1, clips=1), clips=1)


def test_of_few_people_with_many_clips_as_many_people_are_found() -> None:
    """Whoever has one clip gives way to who has many, for the numbers to be the same."""
    rows = corpus(people=2, clips=6).table
    lone = corpus(people=8, clips=1).table
    lone = lone.assign(dataset="e", sample="e" + lone["sample"], path="e" + lone["path"])
    fakes = lone["label"] == 1
    both = pd.concat([rows, lone[~fakes]], ignore_index=True)
    manifest = Manifest(table=both, root=Path())
    for seed in range(8):
        subset = distinct(gk.unpaired(manifest, clips=5, seed=seed))
        assert subset.loc["real", "people"] == subset.loc["fake", "people"]
        assert subset.loc["real", "clips"] == 5


def test_degraded_clips_and_those_without_a_face_or_a_pair_are_not_drawn() -> None:
    table = corpus(people=3, clips=1, methods=("swap",)).table
    table = table.assign(
        degradation=["jpeg" if v == "0-0" else "" for v in table["video"]],
        path=["" if v == "1-0" else p for v, p in zip(table["video"], table["path"], strict=True)],
    )
    rows = Manifest(table=table, root=Path())
    assert clips_of(gk.paired(rows, clips=1), 0) == ["2-0"]
    with pytest.raises(InvalidArgument, match="clips is 1 "):
        gk.paired(rows, clips=2)
    loose = replace(rows, table=table.assign(pair=""))
    with pytest.raises(InvalidArgument, match="clips is 0 "):
        gk.paired(loose, clips=1)


def test_names_of_two_data_sets_do_not_meet() -> None:
    one = corpus(people=2, clips=1, methods=("swap",)).table
    reals = one[one["label"] == 0]
    other = one[one["label"] == 1].assign(dataset="e")
    apart = Manifest(table=pd.concat([reals, other], ignore_index=True), root=Path())
    with pytest.raises(InvalidArgument, match="clips is 0 "):
        gk.paired(apart, clips=1)


def test_each_clip_keeps_k_frames_with_a_face() -> None:
    rows = corpus(frames=8)
    table = rows.table.assign(
        path=["" if f % 2 else p for f, p in zip(rows.table["frame"], rows.table["path"],
                                                strict=True)]
    )  # fmt: skip
    subset = gk.k_frames(replace(rows, table=table), 3)
    assert (subset.table.groupby("video").size() == 3).all()
    assert (subset.table["path"] != "").all()
    chosen = subset.table.groupby("video")["frame"].apply(tuple)
    assert len(set(chosen)) > 1  # each clip has its own draw
    fewer = gk.k_frames(replace(rows, table=table), 2)
    assert set(fewer.table["sample"]) < set(subset.table["sample"])


def test_of_a_frame_all_people_are_kept() -> None:
    table = corpus(people=1, clips=1, frames=4).table
    second = table.assign(sample=table["sample"] + "b", path=table["path"] + "b", track=1)
    both = Manifest(table=pd.concat([table, second], ignore_index=True), root=Path())
    subset = gk.k_frames(both, 2)
    assert (subset.table.groupby(["video", "frame"]).size() == 2).all()
    assert (subset.table.groupby("video")["frame"].nunique() == 2).all()


def test_clips_with_fewer_frames_are_refused_kept_or_dropped() -> None:
    rows = corpus(people=2, clips=1, frames=4)
    short = rows.where((rows.table["video"] != "0-0") | (rows.table["frame"] < 2))
    with pytest.raises(InvalidArgument, match=r"1 clips have fewer than 3 .* has is 2\."):
        gk.k_frames(short, 3)
    kept = gk.k_frames(short, 3, fewer="keep").table.groupby("video").size()
    assert kept.to_dict() == {v: 2 if v == "0-0" else 3 for v in kept.index}
    dropped = gk.k_frames(short, 3, fewer="drop")
    assert "0-0" not in set(dropped.table["video"])
    with pytest.raises(InvalidArgument, match="at least 1"):
        gk.k_frames(short, 0)
    with pytest.raises(InvalidArgument, match=r"no clip has 5 .* that one has is 4\."):
        gk.k_frames(short, 5, fewer="drop")
    with pytest.raises(InvalidArgument, match="expected refuse, keep, drop"):
        gk.k_frames(short, 3, fewer="kept")  # type: ignore[arg-type]


def test_what_was_done_stands_in_the_meta_one_after_the_other() -> None:
    subset = gk.k_frames(gk.paired(corpus(), clips=4, fakes=2, seed=3), 1, seed=5)
    first, second = subset.meta[META]
    assert subset.meta["frames"] == 2
    assert {k: first[k] for k in ("kind", "clips", "fakes", "seed")} == {
        "kind": "paired", "clips": 4, "fakes": 2, "seed": 3
    }  # fmt: skip
    assert second["kind"] == "frames"
    assert second["distinct"]["fake"]["frames"] == 8
    assert first["distinct"]["both"]["sources"] == 4


def test_distinct_sources_are_counted_by_class_and_in_both() -> None:
    found: dict[str, Any] = distinct(corpus(people=2, clips=3)).to_dict("index")
    assert found["real"] == {"frames": 12, "clips": 6, "sources": 6, "people": 2, "methods": 0}
    assert found["fake"] == {"frames": 36, "clips": 18, "sources": 6, "people": 2, "methods": 3}
    assert found["both"] == {"frames": 0, "clips": 0, "sources": 6, "people": 2, "methods": 0}


@pytest.fixture
def written(tmp_path: Path) -> Manifest:
    manifest = corpus(people=3, clips=2, frames=1, root=tmp_path / "crops")
    for number, path in enumerate(manifest.table["path"]):
        (tmp_path / "crops" / path).parent.mkdir(parents=True)
        Image.new("RGB", (3, 3), (number, 0, 0)).save(tmp_path / "crops" / path)
    manifest.write()
    return manifest


def same_crops(subset: Manifest, whole: Manifest) -> bool:
    rows = {sample: row for row, sample in enumerate(whole.table["sample"])}
    return all(
        np.array_equal(subset.crop(row), whole.crop(rows[sample]))
        for row, sample in enumerate(subset.table["sample"])
    )


def test_a_subset_beside_the_crops_is_one_more_manifest_of_them(written: Manifest) -> None:
    out = written.root / "paired.parquet"
    subset = write_subset(gk.paired(written, clips=2), out)
    assert subset.root == written.root
    assert len(subset) == 4
    assert same_crops(subset, written)
    assert len(Manifest.read(written.root)) == len(written)
    with pytest.raises(OutputExists):
        write_subset(subset, out)
    write_subset(gk.paired(written, clips=1), out, overwrite=True)
    assert len(Manifest.read(out)) == 2


def test_a_subset_in_a_folder_of_its_own_takes_its_crops_along(written: Manifest) -> None:
    out = written.root.parent / "two"
    subset = write_subset(gk.paired(written, clips=2), out)
    assert subset.root == out
    assert same_crops(subset, written)
    assert len(list(out.rglob("*.png"))) == 4
    assert (out / subset.table["path"].iloc[0]).stat().st_nlink == 2  # no room is taken
    with pytest.raises(OutputExists, match="--overwrite"):
        write_subset(subset, out)
    assert len(write_subset(gk.paired(written, clips=1), out, overwrite=True)) == 2
    with pytest.raises(OutputExists, match="was not made by gendkit manifest subset"):
        write_subset(subset, written.root, overwrite=True)


def test_packed_crops_without_files_come_out_of_the_pack(written: Manifest) -> None:
    whole = written.pack()
    subset = gk.paired(whole, clips=1)
    for path in written.root.rglob("*.png"):
        path.unlink()
    out = write_subset(subset, written.root.parent / "unpacked")
    assert out.packed is None
    assert same_crops(out, whole)


def test_a_file_from_which_no_path_leads_to_the_crops_is_refused(written: Manifest) -> None:
    subset = gk.paired(written, clips=1)
    with pytest.raises(InvalidArgument, match="not beside the crops"):
        write_subset(subset, written.root.parent / "away.parquet")
    with pytest.raises(InvalidArgument, match="would replace the manifest itself"):
        write_subset(subset, written.root / "manifest.parquet")
