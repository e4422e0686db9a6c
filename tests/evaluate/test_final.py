"""The log of what was computed on final data: it grows, counts, and stands in the user's cache."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gendkit.data.manifest import Manifest
from gendkit.evaluate.final import LOG, log_final, read_log
from gendkit.testing.small import small_crops
from gendkit.train.engine import describe


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, which does not exist yet."""
    monkeypatch.setenv("GENDKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return small_crops(tmp_path_factory.mktemp("crops"), identities=("ann",), frames=1)


def test_times_are_counted_by_data(cache: Path, manifest: Manifest) -> None:
    other = manifest.where([True, False])
    assert [log_final(m) for m in (manifest, manifest, other, manifest)] == [1, 2, 1, 3]


def test_the_same_crops_elsewhere_are_the_same_data(cache: Path, manifest: Manifest) -> None:
    log_final(manifest)
    assert log_final(replace(manifest, root=Path("elsewhere"))) == 2
    relabelled = replace(manifest, table=manifest.table.assign(label=[1, 0]))
    assert log_final(relabelled) == 1


def test_an_entry_says_when_on_what_and_of_what(cache: Path, manifest: Manifest) -> None:
    log_final(manifest, adapter="abc", seed=3)
    [entry] = read_log()
    age = datetime.now(UTC) - datetime.fromisoformat(entry.pop("time"))
    assert 0 <= age.total_seconds() < 600
    assert entry == {"data": describe(manifest)["digest"], "adapter": "abc", "seed": 3}


def test_the_log_stands_in_the_cache_and_is_only_appended_to(
    cache: Path, manifest: Manifest
) -> None:
    log_final(manifest, adapter="a")
    before = (cache / LOG).read_text()
    log_final(manifest, adapter="b")
    after = (cache / LOG).read_text()
    assert after.startswith(before)
    assert [json.loads(line)["adapter"] for line in after.splitlines()] == ["a", "b"]
    assert read_log(cache / LOG) == read_log()


def test_without_a_log_nothing_was_evaluated(cache: Path) -> None:
    assert read_log() == []
    assert not cache.exists()
