"""Blocks are replayed where that is exact, and run where it is not."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from gendkit.model.replay import recorded


class Counted(nn.Module):
    """A block with a layer norm that counts its runs."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4)
        self.runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        return self.norm(x) + x


class Tower(nn.Module):
    """Three blocks, of which the second may be run twice, that are looked at in between."""

    def __init__(self, *, twice: bool = False) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Counted() for _ in range(3))
        self.last = nn.LayerNorm(4)
        self.twice = twice

    def forward(self, x: Tensor) -> Tensor:
        seen = []
        for block in self.blocks:
            x = block(x)
            if self.twice and block is self.blocks[1]:
                x = block(x)
            seen.append(x.mean())
            x += 1  # in place
        return self.last(x) + torch.stack(seen).sum()

    def norms(self) -> dict[str, nn.Module]:
        return {n: m for n, m in self.named_modules() if isinstance(m, nn.LayerNorm)}


@torch.inference_mode()
def outcomes(tower: Tower) -> list[tuple[bool, list[int]]]:
    """For each layer: whether the replayed pass is exact, and how often each block was run."""
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    with recorded(tower, tower.norms()) as passed:
        before = tower(x.clone())
    found = []
    for name, norm in tower.norms().items():
        kept = norm.weight.clone()
        norm.weight.fill_(3.0)
        expected = tower(x.clone())
        for block in tower.blocks:
            block.runs = 0
        with passed.replayed(name):
            replayed = tower(x.clone())
        assert not torch.equal(expected, before)
        norm.weight.copy_(kept)
        found.append((torch.equal(replayed, expected), [b.runs for b in tower.blocks]))
    return found


def test_blocks_before_a_layer_are_replayed_exactly_even_if_changed_in_place() -> None:
    assert outcomes(Tower()) == [
        (True, [1, 1, 1]), (True, [0, 1, 1]), (True, [0, 0, 1]), (True, [0, 0, 0]),
    ]  # fmt: skip


def test_nothing_is_replayed_if_a_block_is_run_twice() -> None:
    assert outcomes(Tower(twice=True)) == [(True, [1, 2, 1])] * 4


def test_nothing_stays_on_the_modules_and_an_own_forward_comes_back() -> None:
    tower = Tower()
    own = tower.blocks[0].forward
    tower.blocks[0].forward = own
    with recorded(tower, tower.norms()) as passed:
        tower(torch.zeros(2, 4))
    with passed.replayed("last"):
        assert all("forward" in vars(b) for b in tower.blocks)
        assert vars(tower.blocks[0])["forward"] is not own
    assert vars(tower.blocks[0])["forward"] is own
    assert not any("forward" in vars(b) for b in tower.blocks[1:])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in tower.modules())


def test_a_layer_that_is_not_called_is_not_replayed() -> None:
    tower = Tower()
    with recorded(tower, {**tower.norms(), "idle": nn.LayerNorm(4)}) as passed:
        tower(torch.zeros(2, 4))
    assert list(pairwise(passed.before.values())) == [(0, 1), (1, 2), (2, 3)]
    with passed.replayed("idle"):
        assert not any("forward" in vars(b) for b in tower.blocks)
