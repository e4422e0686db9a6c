"""The embedded backbone against the ONNX file that its weights come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from gendkit.builtin.dinov2 import GRID, DinoV2, build, read_onnx
from gendkit.errors import CorruptAsset, InvalidSpec
from gendkit.model.backbone import build_backbone, frozen_hash
from gendkit.model.tuning import norm_parameters
from gendkit.plugin.manager import plugins

LAST_NORM = "/backbone/layernorm/Add_1_output_0"


@pytest.fixture(scope="module")
def file(asset: Callable[[str], Path]) -> Path:
    return asset("dinov2-vits14")


@pytest.fixture(scope="module")
def backbone(file: Path) -> torch.nn.Module:
    return build_backbone("dinov2-vits14")


def test_features_agree_with_the_onnx_file(file: Path, backbone: torch.nn.Module) -> None:
    """CLS after the last norm, at 224 px, to 1e-4."""
    onnxruntime = pytest.importorskip("onnxruntime")
    model = onnx.load(file)
    wanted = helper.make_tensor_value_info(LAST_NORM, onnx.TensorProto.FLOAT, None)
    model.graph.output.append(wanted)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    [entry] = session.get_inputs()
    expected = np.concatenate(
        [session.run([LAST_NORM], {entry.name: p[None].numpy()})[0][:, 0] for p in pixels]
    )
    with torch.inference_mode():
        features = backbone(pixels).numpy()
    assert features.shape == (2, 384)
    assert np.abs(features - expected).max() < 1e-4
    assert np.abs(expected).max() > 1  # so 1e-4 is a small part of it


def test_its_sizes_are_those_of_a_vit_s(backbone: torch.nn.Module) -> None:
    norms = norm_parameters(backbone)
    assert len(norms) == 2 * 25
    assert sum(p.numel() for p in norms.values()) == 19_200
    assert sum(p.numel() for p in backbone.parameters()) == 22_056_192  # without the mask token


def test_one_set_of_weights_serves_all_sizes(file: Path, backbone: torch.nn.Module) -> None:
    spec = plugins().spec("backbone", "dinov2-vits14")
    other = build_backbone(spec, image_size=126)
    assert frozen_hash(other, spec) == frozen_hash(backbone, spec)
    with torch.inference_mode():
        assert other(torch.zeros(1, 3, 126, 126)).shape == (1, 384)
        assert other(torch.zeros(1, 3, 126, 84)).shape == (1, 384)


def test_a_reduced_depth_takes_the_first_blocks(file: Path, backbone: torch.nn.Module) -> None:
    state = build(depth=2).state_dict()
    whole = backbone.state_dict()
    assert {name for name in whole if "blocks.2." in name}
    assert not {name for name in state if "blocks.2." in name}
    assert all(torch.equal(tensor, whole[name]) for name, tensor in state.items())


def test_random_weights_need_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GENDKIT_CACHE", str(tmp_path))
    module = build_backbone("dinov2-vits14", pretrained=False, depth=1)
    with torch.inference_mode():
        assert module(torch.zeros(1, 3, 28, 28)).shape == (1, 384)


def test_the_native_grid_uses_the_position_embedding_as_it_is() -> None:
    """At 518 px nothing is resampled: tokens get exactly the stored embedding."""
    module = DinoV2(depth=0).eval()
    side = GRID * 14
    with torch.inference_mode():
        module.vit.pos_embed.normal_(generator=torch.Generator().manual_seed(0))
        features = module(torch.zeros(1, 3, side, side))
        first = module.vit.cls_token + module.vit.pos_embed[:, :1]
        torch.testing.assert_close(features, module.vit.norm(first[:, 0]))


@pytest.mark.parametrize("size", [100, 225, 13])
def test_a_size_that_is_no_multiple_of_a_patch_is_refused(size: int) -> None:
    with pytest.raises(InvalidSpec, match=f"multiples of 14, got {size}"):
        build_backbone("dinov2-vits14", pretrained=False, image_size=size)


def test_another_onnx_graph_is_refused(tmp_path: Path) -> None:
    entry = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    exit_ = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    node = helper.make_node("Identity", ["x"], ["y"])
    path = tmp_path / "other.onnx"
    onnx.save(helper.make_model(helper.make_graph([node], "g", [entry], [exit_])), path)
    with pytest.raises(CorruptAsset, match="no position embedding"):
        read_onnx(path)


def test_a_graph_with_a_layer_more_is_refused(file: Path, tmp_path: Path) -> None:
    model = onnx.load(file)
    extra = onnx.numpy_helper.from_array(np.zeros(3, np.float32), "backbone.extra.weight")
    model.graph.initializer.append(extra)
    path = tmp_path / "more.onnx"
    onnx.save(model, path)
    with pytest.raises(CorruptAsset, match=r"unknown encoder weights: extra\.weight"):
        read_onnx(path)


def test_a_graph_with_a_layer_less_is_refused(file: Path, tmp_path: Path) -> None:
    model = onnx.load(file)
    [gone] = [t for t in model.graph.initializer if t.name == "backbone.layernorm.bias"]
    model.graph.initializer.remove(gone)
    path = tmp_path / "less.onnx"
    onnx.save(model, path)
    with pytest.raises(CorruptAsset, match=r"layernorm\.bias"):
        read_onnx(path)
