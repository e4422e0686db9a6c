"""The three networks of MTCNN, from normalised pixels to probabilities, box shifts and landmarks.

Pixels enter as (uint8 - 127.5) / 128. Parameters have the names of facenet-pytorch's files, into
which the weights fit exactly. Pooling rounds sizes up, and features are flattened column by column,
as in the original Caffe models.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from gendkit.errors import UnreadableMedia

Network = TypeVar("Network", bound=nn.Module)


class ProposalNet(nn.Module):
    """P-Net: a face of 12 pixels at each second place of an image of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), nn.PReLU(10)
        self.pool1 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.conv4_1 = nn.Conv2d(32, 2, 1)
        self.conv4_2 = nn.Conv2d(32, 4, 1)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities (B, h, w) and box shifts (B, 4, h, w) of pixels (B, 3, H, W)."""
        x = self.pool1(self.prelu1(self.conv1(pixels)))
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(x))))
        return self.conv4_1(x).softmax(dim=1)[:, 1], self.conv4_2(x)


class RefinementNet(nn.Module):
    """R-Net: looks again at crops of 24 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), nn.PReLU(28)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), nn.PReLU(48)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), nn.PReLU(64)
        self.dense4, self.prelu4 = nn.Linear(576, 128), nn.PReLU(128)
        self.dense5_1 = nn.Linear(128, 2)
        self.dense5_2 = nn.Linear(128, 4)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities (B,) and box shifts (B, 4) of crops (B, 3, 24, 24)."""
        x = self.pool1(self.prelu1(self.conv1(crops)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.prelu3(self.conv3(x))
        x = self.prelu4(self.dense4(_by_column(x)))
        return self.dense5_1(x).softmax(dim=1)[:, 1], self.dense5_2(x)


class OutputNet(nn.Module):
    """O-Net: decides on crops of 48 pixels and finds the landmarks."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), nn.PReLU(64)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), nn.PReLU(64)
        self.pool3 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), nn.PReLU(128)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), nn.PReLU(256)
        self.dense6_1 = nn.Linear(256, 2)
        self.dense6_2 = nn.Linear(256, 4)
        self.dense6_3 = nn.Linear(256, 10)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return probabilities (B,), box shifts (B, 4) and landmarks (B, 5, 2) of crops.

        Crops are (B, 3, 48, 48); landmarks are x, y in fractions of the crop.
        """
        x = self.pool1(self.prelu1(self.conv1(crops)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.pool3(self.prelu3(self.conv3(x)))
        x = self.prelu4(self.conv4(x))
        x = self.prelu5(self.dense5(_by_column(x)))
        points = self.dense6_3(x).unflatten(1, (2, 5)).transpose(1, 2)
        return self.dense6_1(x).softmax(dim=1)[:, 1], self.dense6_2(x), points


def load(network: Callable[[], Network], path: str | Path) -> Network:
    """Return a network with the weights of a file, on the CPU and in float32.

    Raises
    ------
    UnreadableMedia
        If the file holds no tensors, or not exactly those of the network.
    """
    built = network()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        built.load_state_dict(state, strict=True)
    except Exception as error:  # whatever a broken pickle raises
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnreadableMedia(
            f"{path} holds no weights of MTCNN's {type(built).__name__}: {what}; "
            "delete it, and it is fetched anew."
        ) from None
    return built.float().eval().requires_grad_(False)


def _by_column(maps: Tensor) -> Tensor:
    """Flatten (B, C, H, W) with the channel running fastest and the column slowest."""
    return maps.permute(0, 3, 2, 1).flatten(1)
