"""ResidualHead: what stands on features, the last stage of a ResNet-50."""

from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck

from diffclf_lightning.errors import InputError


class ResidualHead(nn.Module):
    """Bottleneck blocks, the mean over the grid, and a linear layer.

    With the defaults it is the last stage of a ResNet-50 (He et al. 2016), on as many
    channels as the features have: three blocks of 512, 512 and 2048 channels, the first of stride
    2.

    Args:
        channels: Channels of the features.
        num_classes: Number of classes.
        planes: Inner channels of a block; it gives four times as many.
        blocks: Number of blocks.
        stride: Step of the first block: 1 where the grid is small.

    Raises:
        InputError: If a number is below 1.

    Example:
        >>> import torch
        >>> ResidualHead(8, 3, planes=4, blocks=1)(torch.zeros(2, 8, 4, 4)).shape
        torch.Size([2, 3])
    """

    def __init__(
        self, channels: int, num_classes: int, planes: int = 512, blocks: int = 3, stride: int = 2
    ) -> None:
        super().__init__()
        for name, value in (("planes", planes), ("blocks", blocks), ("stride", stride)):
            if value < 1:
                raise InputError(f"Expected argument `{name}` to be at least 1, but got {value}.")
        width = planes * Bottleneck.expansion
        shortcut = nn.Sequential(
            nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width)
        )
        first = Bottleneck(channels, planes, stride, shortcut)
        self.blocks = nn.Sequential(first, *(Bottleneck(width, planes) for _ in range(blocks - 1)))
        self.classes = nn.Linear(width, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Logits, shape ``(images, num_classes)``.

        Args:
            features: Shape ``(images, channels, height, width)``.
        """
        logits: Tensor = self.classes(self.blocks(features).mean(dim=(2, 3)))
        return logits
