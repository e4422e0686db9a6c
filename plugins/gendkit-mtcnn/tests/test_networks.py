"""The three networks: what shapes they take and give, and which files they accept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from gendkit.errors import UnreadableMedia
from gendkit_mtcnn.networks import OutputNet, ProposalNet, RefinementNet, load

# Counted from the layers of the paper's figure 2, with its biases and one slope a channel.
PARAMETERS = {ProposalNet: 6_632, RefinementNet: 100_178, OutputNet: 389_040}


@pytest.mark.parametrize(("kind", "count"), PARAMETERS.items())
def test_a_network_has_the_paper_s_size(kind: type[nn.Module], count: int) -> None:
    assert sum(p.numel() for p in kind().parameters()) == count


@pytest.mark.parametrize(("size", "places"), [((12, 12), (1, 1)), ((13, 40), (2, 15))])
def test_the_first_network_answers_for_each_second_place(
    size: tuple[int, int], places: tuple[int, int]
) -> None:
    scores, shifts = ProposalNet()(torch.zeros(2, 3, *size))
    assert scores.shape == (2, *places)
    assert shifts.shape == (2, 4, *places)


def test_the_others_answer_for_each_crop() -> None:
    scores, shifts = RefinementNet()(torch.zeros(5, 3, 24, 24))
    assert (scores.shape, shifts.shape) == ((5,), (5, 4))
    scores, shifts, points = OutputNet()(torch.zeros(5, 3, 48, 48))
    assert (scores.shape, shifts.shape, points.shape) == ((5,), (5, 4), (5, 5, 2))


def test_landmarks_are_five_x_and_then_five_y() -> None:
    network = OutputNet()
    nn.init.zeros_(network.dense6_3.weight)
    with torch.no_grad():
        network.dense6_3.bias.copy_(torch.arange(10.0))
    points = network(torch.zeros(1, 3, 48, 48))[2]
    assert points[0].tolist() == [[0, 5], [1, 6], [2, 7], [3, 8], [4, 9]]


def test_the_cached_weights_fit_exactly(weights: list[Path]) -> None:
    for kind, path in zip(PARAMETERS, weights, strict=True):
        network = load(kind, path)
        assert not network.training
        assert {p.dtype for p in network.parameters()} == {torch.float32}
        assert not any(p.requires_grad for p in network.parameters())


def test_weights_of_another_network_or_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.pt"
    torch.save(RefinementNet().state_dict(), path)
    with pytest.raises(UnreadableMedia, match=r"some\.pt holds no weights of MTCNN's OutputNet"):
        load(OutputNet, path)
    path.write_bytes(b"no weights")
    with pytest.raises(UnreadableMedia, match="delete it"):
        load(OutputNet, path)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.pt"
    torch.save({"conv1.weight": Path("x")}, path)
    with pytest.raises(UnreadableMedia, match=r"some\.pt"):
        load(ProposalNet, path)
