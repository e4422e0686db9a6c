"""Undoing one layer norm: against the same done by hand, and the detector is as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import gendkit as gk
from gendkit.data.manifest import Manifest
from gendkit.errors import InvalidArgument, InvalidManifest, WrongBackbone
from gendkit.manifold.sphere import geodesic
from gendkit.model.adapter import UNKNOWN, Adapter, load_norms
from gendkit.model.backbone import canonical_state, norms_of
from gendkit.model.detector import Detector
from gendkit.model.shared import SharedBackbone
from gendkit.model.tuning import copy_of
from gendkit.progress import silent

LAYERS = ["blocks.0.norm1", "blocks.0.norm2", "blocks.1.norm1", "blocks.1.norm2", "norm"]


def tuned(detector: Detector, *layers: str) -> Detector:
    """Move some layer norms of a detector, as training would."""
    generator = torch.Generator().manual_seed(1)
    norms = {
        name: t + 0.3 * torch.randn(t.shape, generator=generator)
        if name.rpartition(".")[0] in layers
        else t
        for name, t in detector.adapter.norms.items()
    }
    adapter = replace(detector.adapter, norms=norms)
    load_norms(detector.backbone, detector.spec, norms)
    return Detector(detector.backbone, spec=detector.spec, adapter=adapter)


def effects(manifest: Manifest, detector: Detector, **options: object):
    return gk.layer_effects(manifest, detector, resamples=20, progress=silent, **options)


def state(detector: Detector) -> dict[str, torch.Tensor]:
    return {n: t.clone() for n, t in canonical_state(detector.backbone, detector.spec).items()}


def test_each_layer_is_undone_as_by_hand(manifest: Manifest, detector: Detector) -> None:
    base = dict(detector.adapter.norms)
    moved = tuned(detector, *LAYERS)
    table = effects(manifest, moved, batch_size=3)
    assert table["layer"].tolist() == LAYERS
    crops = [manifest.crop(i) for i in range(len(manifest))]
    before = moved.outputs(crops, batch_size=3)
    labels = manifest.labels()
    for row in table.to_dict(orient="records"):
        undone = {
            n: base[n] if n.rpartition(".")[0] == row["layer"] else t
            for n, t in moved.adapter.norms.items()
        }
        load_norms(moved.backbone, moved.spec, undone)
        after = moved.outputs(crops, batch_size=3)
        change = np.diff(after.logit)[:, 0] - np.diff(before.logit)[:, 0]
        assert row["logit"] == pytest.approx(change.mean(), abs=1e-5)
        assert row["score"] == pytest.approx((after.score - before.score).mean(), abs=1e-5)
        shift = geodesic(before.embedding, after.embedding).mean()
        assert row["shift"] == pytest.approx(shift, abs=1e-5)
        assert shift > 0.01
        assert row["auroc"] == gk.auroc(labels, np.diff(after.logit)[:, 0])
        change_of_auroc = row["auroc"] - gk.auroc(labels, np.diff(before.logit)[:, 0])
        assert row["auroc_change"] == pytest.approx(change_of_auroc)
        for name in ("logit", "score", "shift", "auroc_change"):
            assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]


def test_undoing_the_only_layer_that_moved_gives_the_base(
    manifest: Manifest, detector: Detector
) -> None:
    crops = [manifest.crop(i) for i in range(len(manifest))]
    base = detector.outputs(crops)
    moved = tuned(detector, "blocks.1.norm1")
    after = moved.outputs(crops)
    table = effects(manifest, moved).set_index("layer")
    row = table.loc["blocks.1.norm1"]
    assert row["shift"] == geodesic(base.embedding, after.embedding).mean()
    logits = [np.diff(o.logit)[:, 0].astype(np.float64) for o in (base, after)]
    assert row["logit"] == pytest.approx((logits[0] - logits[1]).mean(), abs=1e-6)
    others = table.drop(index="blocks.1.norm1")
    assert (others[["weight", "logit", "score", "shift", "auroc_change"]] == 0).all(axis=None)
    assert row["weight"] > 0.1


def test_blocks_before_the_undone_layer_are_not_run_again(
    manifest: Manifest, detector: Detector
) -> None:
    moved = tuned(detector, *LAYERS)
    runs = [0, 0]
    for number, block in enumerate(moved.backbone.blocks):

        def counted(*_: object, number: int = number) -> None:
            runs[number] += 1

        block.attn.register_forward_hook(counted)
    effects(manifest, moved, batch_size=len(manifest))
    assert runs == [1 + 2, 1 + 4]


def test_the_detector_is_left_as_it_was_bit_for_bit(manifest: Manifest, detector: Detector) -> None:
    moved = tuned(detector, *LAYERS)
    before = state(moved)
    effects(manifest, moved)

    def stopped(done: int, total: int, text: str) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gk.layer_effects(manifest, moved, batch_size=4, progress=stopped)
    head = moved.backbone.blocks[1].register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        effects(manifest, moved)
    head.remove()
    after = state(moved)
    assert all(torch.equal(after[name], t) for name, t in before.items())
    for module in moved.backbone.modules():
        assert "forward" not in vars(module)
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_a_shared_backbone_gives_the_same_and_keeps_its_adapter(
    manifest: Manifest, detector: Detector
) -> None:
    shared = SharedBackbone.of(detector.spec.name)
    adapter = tuned(detector, *LAYERS).adapter
    alone = effects(manifest, Detector(detector.backbone, spec=detector.spec, adapter=adapter))
    sharing = gk.load(adapter, backbone=shared, device="cpu")
    before = shared.adapter
    assert effects(manifest, sharing).equals(alone)
    assert shared.adapter is before
    now = copy_of(norms_of(shared.module, shared.spec))
    assert all(torch.equal(now[name], t) for name, t in shared.base_norms.items())


def test_labels_that_are_not_known_give_no_auroc(manifest: Manifest, detector: Detector) -> None:
    table = manifest.table.assign(label=-1)
    found = effects(replace(manifest, table=table), tuned(detector, *LAYERS))
    assert found[["auroc", "auroc_change"]].isna().all(axis=None)
    assert (found["shift"] > 0).all()


def test_another_base_and_an_unknown_one_are_refused(
    manifest: Manifest, detector: Detector
) -> None:
    moved = tuned(detector, *LAYERS)

    def with_hash(norms_hash: str) -> Detector:
        header = replace(moved.adapter.header, norms_hash=norms_hash)
        adapter: Adapter = replace(moved.adapter, header=header)
        return Detector(moved.backbone, spec=moved.spec, adapter=adapter)

    with pytest.raises(WrongBackbone, match="tuned from layer norms 000000000000"):
        effects(manifest, with_hash("0" * 64))
    with pytest.raises(WrongBackbone, match=r"with_base\(SharedBackbone"):
        effects(manifest, with_hash(UNKNOWN))


def test_other_kinds_no_crops_and_no_batch_are_refused(
    manifest: Manifest, detector: Detector
) -> None:
    header = replace(detector.adapter.header, kind="full")
    other = Detector(
        detector.backbone, spec=detector.spec, adapter=replace(detector.adapter, header=header)
    )
    with pytest.raises(InvalidArgument, match="cannot be undone layer by layer"):
        effects(manifest, other)
    with pytest.raises(InvalidArgument, match="batch_size is 0"):
        effects(manifest, detector, batch_size=0)
    with pytest.raises(InvalidManifest, match="no face crop"):
        effects(manifest.where(manifest.table["label"] == 9), detector)
