"""ONNX files compute what the detector does, or are not written."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import gendkit as gk
from gendkit.errors import (
    ExportDiffers,
    InvalidCheckpoint,
    MissingDependency,
    OutputExists,
    UnwritableOutput,
)
from gendkit.model import to_onnx
from gendkit.model.adapter import Adapter, header_of
from gendkit.model.backbone import build_backbone, norms_of
from gendkit.model.detector import Detector
from gendkit.model.shared import SharedBackbone
from gendkit.model.tuning import copy_of
from gendkit.plugin.manager import plugins
from gendkit.progress import silent
from gendkit.testing.small import registered, small_backbone, small_crops
from gendkit.train.recipe import Recipe

NAMES = ("clip-vitl14", "pe-core-l14", "dinov3-vitl16", "dinov2-vits14")


def detector(name: str = "", **changes: bool) -> Detector:
    """Return a detector two blocks deep whose layer norms are not those of the base."""
    torch.manual_seed(0)
    spec = plugins().spec("backbone", name) if name else small_backbone()
    module = build_backbone(spec, pretrained=False, depth=2)
    header = replace(header_of(module, spec, spec.preprocessing, source="tests"), **changes)
    with torch.no_grad():
        for parameter in norms_of(module, spec).values():
            parameter.add_(0.1 * torch.randn_like(parameter))
    adapter = Adapter(
        header=header,
        norms=copy_of(norms_of(module, spec)),
        head={"weight": torch.randn(2, spec.dim), "bias": torch.randn(2)},
    )
    return Detector(module, spec=spec, adapter=adapter)


def run_file(path: Path, pixels: torch.Tensor) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(list(to_onnx.OUTPUTS), {"pixels": pixels.numpy()})


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n.startswith("dinov2") else pytest.mark.slow) for n in NAMES],
)
def test_every_encoder_gives_the_detector_s_numbers_for_any_batch(
    name: str, tmp_path: Path
) -> None:
    made = detector(name)
    path = made.export(tmp_path / "new" / "detector.onnx", layout="onnx")
    for count in (1, 2, 5):
        pixels = torch.randn(count, 3, 224, 224)
        expected = made.forward(pixels)
        embedding, logit, score = run_file(path, pixels)
        np.testing.assert_allclose(embedding, expected.embedding, rtol=0, atol=1e-5)
        np.testing.assert_allclose(logit, expected.logit, rtol=0, atol=1e-5)
        np.testing.assert_allclose(score, expected.score, rtol=0, atol=1e-5)


def test_the_file_says_what_it_was_made_from(tmp_path: Path) -> None:
    made = detector()
    model = onnx.load(made.export(tmp_path / "a.onnx", layout="onnx"))
    facts = {prop.key: prop.value for prop in model.metadata_props}
    assert facts["adapter"] == made.adapter.hash
    assert facts["backbone_hash"] == made.adapter.header.backbone_hash
    assert json.loads(facts["preprocessing"])["size"] == 32
    assert json.loads(facts["classes"]) == ["real", "fake"]
    assert 0 <= max(json.loads(facts["gendkit_largest_difference"]).values()) < 1e-5
    assert {d.version for d in model.opset_import if d.domain == ""} == {to_onnx.OPSET}


def test_the_file_does_not_name_where_it_was_made(tmp_path: Path) -> None:
    content = detector().export(tmp_path / "a.onnx", layout="onnx").read_bytes()
    for place in (Path(gk.__file__).parent, Path(torch.__file__).parent, tmp_path):
        assert str(place).encode() not in content


def test_weights_too_large_for_a_file_are_refused_before_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(to_onnx, "LARGEST", 1000)
    monkeypatch.setattr(to_onnx, "_exported", None)
    with pytest.raises(InvalidCheckpoint, match="an ONNX file is at most"):
        detector().export(tmp_path / "a.onnx", layout="onnx")


def test_what_onnxruntime_does_not_run_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = to_onnx._exported

    def other(whole: nn.Module, pixels: torch.Tensor) -> Any:
        model = exported(whole, pixels)
        model.graph.node[0].op_type = "Nonsense"
        return model

    monkeypatch.setattr(to_onnx, "_exported", other)
    with pytest.raises(InvalidCheckpoint, match="onnxruntime does not run this") as caught:
        detector().export(tmp_path / "a.onnx", layout="onnx")
    assert "\n" not in str(caught.value)


def test_a_place_that_cannot_be_written_is_told_before_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(to_onnx, "_exported", None)
    (tmp_path / "file").write_text("")
    with pytest.raises(UnwritableOutput, match="is a file"):
        detector().export(tmp_path / "file" / "a.onnx", layout="onnx")


@pytest.mark.parametrize("kind", ["bitfit", "lora", "layer-norms"])
def test_every_kind_held_in_bfloat16_is_written_with_its_exact_weights(
    kind: str, tmp_path: Path
) -> None:
    for name in ("t", "v"):
        (tmp_path / name).mkdir()
    recipe = Recipe(
        name="tiny", backbone="small", tuning=kind, batch_size=8, epochs=1, warmup_epochs=0,
        learning_rate=0.05, augmentation="none", selection={"data": "none", "metric": "last"},
    )  # fmt: skip
    with registered(small_backbone()):
        run = gk.fit(
            recipe, small_crops(tmp_path / "t"),
            small_crops(tmp_path / "v", identities=("eve", "fay"), seed=1),
            device="cpu", progress=silent,
        )  # fmt: skip
        path = run.detector.export(tmp_path / "a.onnx", layout="onnx")
        exact = gk.load(run.adapter, device="cpu", dtype="float32")
    pixels = torch.randn(2, 3, 32, 32)
    expected = exact.forward(pixels)
    np.testing.assert_allclose(run_file(path, pixels)[0], expected.embedding, atol=1e-5)
    np.testing.assert_allclose(run_file(path, pixels)[1], expected.logit, atol=1e-5)


def test_a_head_on_raw_features_stays_one(tmp_path: Path) -> None:
    made = detector(normalised=False)
    path = made.export(tmp_path / "a.onnx", layout="onnx")
    pixels = torch.randn(2, 3, 32, 32)
    np.testing.assert_allclose(run_file(path, pixels)[1], made.forward(pixels).logit, atol=1e-5)


def test_a_detector_on_a_shared_backbone_is_written_with_its_own_norms(tmp_path: Path) -> None:
    alone = detector()
    base = build_backbone(small_backbone())
    shared = SharedBackbone(base, small_backbone())
    view = Detector(shared.wearing(alone.adapter), spec=alone.spec, adapter=alone.adapter)
    path = view.export(tmp_path / "a.onnx", layout="onnx")
    pixels = torch.randn(2, 3, 32, 32)
    np.testing.assert_allclose(
        run_file(path, pixels)[0], alone.forward(pixels).embedding, atol=1e-5
    )


def test_a_file_that_computes_something_else_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = to_onnx._exported

    def other(whole: nn.Module, pixels: torch.Tensor) -> object:
        model = exported(whole, pixels)
        with torch.no_grad():
            whole.head.bias.add_(1.0)
        return model

    monkeypatch.setattr(to_onnx, "_exported", other)
    with pytest.raises(ExportDiffers, match=r"onnxruntime's logit of 1 images differs .* by 1"):
        detector().export(tmp_path / "a.onnx", layout="onnx")
    assert not list(tmp_path.iterdir())


def test_a_backbone_that_onnx_cannot_express_is_one_line(tmp_path: Path) -> None:
    class Branches(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.inner(pixels if pixels.sum() > 0 else -pixels)

    made = detector()
    made.backbone = Branches(made.backbone)
    with pytest.raises(InvalidCheckpoint, match="cannot be written as ONNX: ") as caught:
        made.export(tmp_path / "a.onnx", layout="onnx")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_an_earlier_file_is_replaced_only_on_request(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(b"mine")
    with pytest.raises(OutputExists, match="already there"):
        detector().export(path, layout="onnx")
    assert path.read_bytes() == b"mine"
    with pytest.raises(OutputExists, match="no export of gendkit's and is never replaced"):
        detector().export(path, layout="onnx", overwrite=True)
    assert path.read_bytes() == b"mine"
    path.unlink()
    for _ in range(2):
        detector().export(path, layout="onnx", overwrite=True)
    onnx.checker.check_model(onnx.load(path))
    with pytest.raises(OutputExists, match="is a folder"):
        detector().export(tmp_path, layout="onnx", overwrite=True)


def test_without_the_extra_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingDependency, match=r"gendkit\[onnx\]"):
        detector().export(tmp_path / "a.onnx", layout="onnx")
