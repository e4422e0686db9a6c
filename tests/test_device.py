"""One module knows devices: what it sets is set back, and no other module asks."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import gendkit
from gendkit import device
from gendkit.device import Dtype, Mover, as_input, compute, exact, on_cpu, products
from gendkit.errors import InvalidArgument
from gendkit.train.recipe import Recipe

PACKAGE = Path(gendkit.__file__).parent
ASKS = {"is_available", "is_cuda", "is_mps", "is_cpu"}
KNOWN = {"cuda", "mps", "cpu"}
METHODS = {"startswith", "removeprefix", "index", "count"}


def questions(source: str) -> Iterator[int]:
    """Yield lines of a source that ask which device there is."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in ASKS:
            yield node.lineno
        asked: list[ast.AST] = []
        if isinstance(node, ast.Compare):
            asked = [node.left, *node.comparators]
        if isinstance(node, ast.MatchValue):
            asked = [node.value]
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in METHODS:
            asked = [*node.args]
        for part in asked:
            if any(isinstance(n, ast.Constant) and n.value in KNOWN for n in ast.walk(part)):
                yield node.lineno


@pytest.mark.parametrize(
    "path", sorted(p for p in PACKAGE.rglob("*.py") if p.name != "device.py"), ids=lambda p: p.stem
)
def test_no_other_module_asks_which_device_there_is(path: Path) -> None:
    assert list(questions(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ('if x.device.type == "cuda":\n    y()', [1]),
        ('\nz = a if "mps" != kind else b', [2]),
        ("while kind in ('cpu', 'mps'): pass", [1]),
        ("f(torch.cuda.is_available() and x.is_cuda)", [1, 1]),
        ('a if x.startswith("cuda") else b', [1]),
        ('match kind:\n    case "mps":\n        y()', [2]),
        ('usable(device="cpu")', []),
    ],
)
def test_a_question_is_seen(source: str, lines: list[int]) -> None:
    assert list(questions(source)) == lines


@pytest.fixture(params=["newer", "older"])
def settings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stand-ins of torch's settings, as newer or older versions have them."""
    if request.param == "newer":
        matmul, conv = (SimpleNamespace(fp32_precision=v) for v in ("none", "tf32"))
        monkeypatch.setattr(torch.backends.cuda, "matmul", matmul)
        monkeypatch.setattr(torch.backends, "cudnn", SimpleNamespace(conv=conv))
        return lambda: (matmul.fp32_precision, conv.fp32_precision)
    matmul, cudnn = (SimpleNamespace(allow_tf32=v) for v in (False, True))
    monkeypatch.setattr(torch.backends.cuda, "matmul", matmul)
    monkeypatch.setattr(torch.backends, "cudnn", cudnn)
    return lambda: (matmul.allow_tf32, cudnn.allow_tf32)


@pytest.mark.parametrize("dtype", get_args(Dtype))
def test_tf32_is_what_the_dtype_says_and_only_inside(dtype: Any, settings: Any) -> None:
    before = settings()
    on = dtype == "tf32"
    with products(dtype, "cuda"):
        assert settings() in [("tf32" if on else "ieee",) * 2, (on, on)]
    assert settings() == before
    with products(dtype, "cpu"):
        assert settings() == before


def test_exact_products_have_neither_autocast_nor_tf32(settings: Any) -> None:
    x = torch.ones(2, 2)
    with products("tf32", "cuda"), torch.autocast("cpu", dtype=torch.bfloat16):
        with exact("cuda"):
            assert settings() in [("ieee", "ieee"), (False, False)]
        with exact("cpu"):
            assert (x @ x).dtype == torch.float32
        assert settings() in [("tf32", "tf32"), (True, True)]
        assert (x @ x).dtype == torch.bfloat16


def test_torch_has_the_settings_that_are_set() -> None:
    for of, name, value in device._tf32_settings("ieee"):
        before = getattr(of, name)
        with products("float32", "cuda"):
            assert getattr(of, name) == value
        assert getattr(of, name) == before


def test_a_recipe_may_name_the_dtypes_that_there_are() -> None:
    assert Recipe.model_fields["dtype"].annotation == Dtype


def test_tf32_is_float32_on_the_cpu() -> None:
    x = torch.randn(8, 8)
    with compute("tf32", "cpu"):
        one = x @ x
    assert torch.equal(one, x @ x)


def test_a_batch_for_the_cpu_is_not_copied() -> None:
    batch = torch.zeros(2, 3, 4, 4)
    assert Mover("cpu").begin(batch)() is batch


class Cuda:
    """Notes what is asked of CUDA, in order, and computes on the CPU."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        self.side, self.main = self.stream("side"), self.stream("main")
        anew = device._side_stream.__wrapped__  # where there is a GPU, a real one is kept
        monkeypatch.setattr(device, "_side_stream", anew)
        monkeypatch.setattr(torch.cuda, "Stream", lambda *_: self.side)
        monkeypatch.setattr(torch.cuda, "stream", lambda s: nullcontext(self.log.append(s.name)))
        monkeypatch.setattr(torch.cuda, "current_stream", lambda *_: self.main)
        monkeypatch.setattr(Tensor, "pin_memory", lambda t: self.noted("pin", t))
        monkeypatch.setattr(Tensor, "to", lambda t, *a, **k: self.noted(f"to {k}", t))
        monkeypatch.setattr(
            Tensor, "record_stream", lambda t, s: self.log.append(f"used by {s.name}")
        )

    def noted(self, what: str, tensor: Tensor) -> Tensor:
        self.log.append(what)
        return tensor

    def stream(self, name: str) -> Any:
        return SimpleNamespace(
            name=name,
            record_event=lambda: self.log.append(f"{name} records") or "copied",
            wait_event=lambda event: self.log.append(f"{name} waits for {event}"),
        )


def test_cuda_copies_from_pinned_memory_beside_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Cuda(monkeypatch)
    batch = torch.arange(24).reshape(2, 3, 2, 2)
    take = Mover("cuda").begin(batch)
    assert cuda.log == ["side", "pin", "to {'non_blocking': True}", "side records"]
    moved = take()
    assert cuda.log[4:] == ["main waits for copied", "used by main"]
    assert torch.equal(moved, batch)


def test_images_are_given_to_cuda_channels_last_and_to_the_cpu_as_they_are() -> None:
    pixels = torch.zeros(2, 3, 4, 4)
    assert as_input(pixels, "cpu") is pixels
    with FakeTensorMode():
        given = as_input(torch.zeros(2, 3, 4, 4), "cuda")
    assert given.device.type == "cuda"
    assert given.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.skipif(sys.platform == "win32", reason="this system does not say")
@pytest.mark.parametrize(("system", "unit"), [("linux", 1024), ("darwin", 1)])
def test_the_peak_of_a_process_is_told_in_bytes(
    system: str, unit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(ru_maxrss=3_000_000)
    monkeypatch.setattr("resource.getrusage", lambda whose: usage)
    monkeypatch.setattr(device.sys, "platform", system)
    assert device.peak_bytes("cpu") == unit * 3_000_000
    monkeypatch.setattr(device.sys, "platform", "win32")
    assert device.peak_bytes("cpu") is None


def test_threads_that_leave_in_any_order_leave_the_setting_as_it_was(settings: Any) -> None:
    before = settings()
    one, other = products("tf32", "cuda"), products("float32", "cuda")
    one.__enter__()
    inside = settings()
    other.__enter__()
    assert settings() != inside
    one.__exit__(None, None, None)
    assert settings() in [("ieee", "ieee"), (False, False)]
    other.__exit__(None, None, None)
    assert settings() == before


def test_adamw_is_fused_where_torch_can(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device.can_fuse("cpu")

    def refuses(*_: Any, **__: Any) -> Any:
        raise RuntimeError("fused=True is not for this device")

    monkeypatch.setattr(torch.optim, "AdamW", refuses)
    assert not device.can_fuse("cpu")


def test_a_copy_is_made_only_of_a_module_that_is_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    module = nn.Linear(2, 2)
    assert on_cpu(module) is module
    moved: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "cpu", lambda self: moved.append(self) or self)
    elsewhere = nn.Linear(2, 2, device="meta")
    copy = on_cpu(elsewhere)
    assert moved == [copy]
    assert copy is not elsewhere
    assert {p.device.type for p in elsewhere.parameters()} == {"meta"}


@pytest.mark.gpu
def test_a_batch_comes_to_the_gpu_as_it_was() -> None:
    mover = Mover("cuda")
    batches = [torch.randn(16, 3, 64, 64) for _ in range(4)]
    taken = [begun() for begun in [mover.begin(b) for b in batches]]
    assert all(torch.equal(t.cpu(), b) for t, b in zip(taken, batches, strict=True))
    assert {t.device.type for t in taken} == {"cuda"}


def test_without_a_compiler_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: Any) -> Any:
        def call(*_: Any) -> Tensor:
            raise RuntimeError("No working C++ compiler found in: (None, 'g++').\nlong story")

        return call

    monkeypatch.setattr(torch, "compile", fails)
    with pytest.raises(InvalidArgument, match=r"for 'cpu' here: No .*\); leave compile out"):
        device.check_compiler("cpu")
