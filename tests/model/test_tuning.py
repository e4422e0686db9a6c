"""What is tuned: layer norms, found by type."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gendkit.errors import InvalidSpec, NothingToTune
from gendkit.model.tuning import copy_of, norm_parameters, norm_types, tune_layer_norms


class OwnNorm(nn.LayerNorm):
    """A subclass, as most libraries have one."""


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Linear(4, 6)
        self.oddly_named = nn.LayerNorm(6)
        self.inner = nn.Sequential(nn.Linear(6, 6), OwnNorm(6), nn.Dropout(0.5))
        self.plain = nn.LayerNorm(6, elementwise_affine=False)
        self.layernorm_by_name_only = nn.Linear(6, 6)
        self.batch = nn.BatchNorm1d(6)


def test_layer_norms_are_found_by_type_and_all_else_is_frozen() -> None:
    toy = Toy()
    tuned = tune_layer_norms(toy)
    trainable = {name for name, p in toy.named_parameters() if p.requires_grad}
    assert trainable == set(tuned.names)
    assert tuned.names == (
        "oddly_named.weight",
        "oddly_named.bias",
        "inner.1.weight",
        "inner.1.bias",
    )
    assert tuned.numbers == 4 * 6
    assert tuned.total == sum(p.numel() for p in toy.parameters())
    assert tuned.share == tuned.numbers / tuned.total


def test_the_backbone_is_in_evaluation_mode_while_it_is_tuned() -> None:
    toy = Toy().train()
    tune_layer_norms(toy)
    assert not any(m.training for m in toy.modules())


def test_tuning_again_other_classes_freezes_the_first() -> None:
    toy = Toy()
    tune_layer_norms(toy)
    tuned = tune_layer_norms(toy, (nn.BatchNorm1d,))
    assert tuned.names == ("batch.weight", "batch.bias")
    assert {n for n, p in toy.named_parameters() if p.requires_grad} == set(tuned.names)


def test_a_backbone_without_layer_norms_is_refused() -> None:
    with pytest.raises(NothingToTune, match="Linear has no LayerNorm with weights"):
        tune_layer_norms(nn.Linear(2, 2))


def test_a_backbone_that_is_itself_a_norm_has_plain_names() -> None:
    assert set(norm_parameters(nn.LayerNorm(3))) == {"weight", "bias"}


@pytest.mark.parametrize("name", ["torch.nn:NoNorm", "no_such_module:Norm", "LayerNorm", ""])
def test_a_norm_class_that_cannot_be_imported_is_refused(name: str) -> None:
    with pytest.raises(InvalidSpec, match="cannot be imported"):
        norm_types([name])


def test_norm_classes_are_imported_by_name() -> None:
    assert norm_types(["torch.nn:LayerNorm", "torch.nn:RMSNorm"]) == (nn.LayerNorm, nn.RMSNorm)


def test_copies_do_not_follow_training() -> None:
    norm = nn.LayerNorm(3).bfloat16()
    copies = copy_of(norm_parameters(norm))
    with torch.no_grad():
        norm.weight.add_(1)
    assert copies["weight"].tolist() == [1, 1, 1]
    assert copies["weight"].dtype == torch.float32
    assert not copies["weight"].requires_grad
