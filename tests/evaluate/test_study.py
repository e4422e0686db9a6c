from __future__ import annotations

import pytest

from gendkit.evaluate.study.catalogue import STUDIES
from gendkit.evaluate.study.run import run_study
from gendkit.progress import silent
from gendkit.testing.small import registered, small_backbone, small_families
from gendkit.train.recipe import Recipe


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return small_families(tmp_path_factory.mktemp("crops"), frames=2)


@pytest.fixture(autouse=True)
def backbone():
    with registered(small_backbone()):
        yield


RECIPE = Recipe.of(
    "small-data", backbone="small", image_size=None, epochs=2, batch_size=8, cycle_epochs=1,
    dtype="float32",
)  # fmt: skip


def test_ab(manifest, tmp_path):
    import time

    t = time.time()
    ds = run_study(
        STUDIES["ablation"],
        manifest,
        out=tmp_path / "s",
        recipe=RECIPE,
        seeds=(0, 1),
        progress=silent,
        device="cpu",
    )
    print(time.time() - t)
    print(ds)
    for a in ("answer", "shows", "not_shown", "about"):
        print(ds.attrs[a])
    assert 0
