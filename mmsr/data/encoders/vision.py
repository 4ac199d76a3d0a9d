"""Images by the networks of torchvision, timm and open-clip, where their weights can be reached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmsr.data.encoders.base import (
    EncoderOptions,
    Modality,
    from_extra,
    inference,
    loading,
    require_argument,
    torch_device,
    versions,
    weights_version,
)
from mmsr.errors import UserError, shown

if TYPE_CHECKING:
    from PIL.Image import Image

_EXTRA = "image-models"
_HUB = "the local cache and the Hugging Face hub"
_REMEDY = "set HF_ENDPOINT or HF_HOME, or use efficientnet-lite0"


class _Network:
    """What the encoders here share.

    Parameters
    ----------
    network : gives vectors of a batch of prepared images.
    transform : prepares an image, as a tensor `[3, height, width]`.
    options : `device`.
    version : see `mmsr.data.encoders.base.Encoder`.
    """

    modality: Modality = "image"
    batch_size: int | None = 32

    def __init__(
        self,
        network: Callable[[Any], Any],
        transform: Callable[[Image], Any],
        device: str,
        version: str,
    ) -> None:
        import torch

        self._network, self._transform, self._device = network, transform, device
        self.version = f"{version}, {torch.device(device).type}"

    def encode(self, batch: Sequence[Image]) -> NDArray[np.float32]:
        """Vectors of images, prepared as the weights were trained."""
        import torch

        with inference():
            inputs_BCHW = torch.stack([self._transform(image) for image in batch])
            vectors = self._network(inputs_BCHW.to(self._device)).flatten(start_dim=1)
            return np.asarray(vectors.float().cpu().numpy(), dtype=np.float32)


class Torchvision(_Network):
    """A classifier of torchvision without its last layer, with its default weights.

    Parameters
    ----------
    options : `argument` is the name of a model, e.g. `resnet50`; `device`.

    Raises
    ------
    UserError : torchvision is not installed, has no such classifier, or cannot reach its weights.
    """

    def __init__(self, options: EncoderOptions) -> None:
        name = require_argument(options, "torchvision", "resnet50")
        with from_extra(_EXTRA, "torchvision"):
            from torchvision.models import get_model, get_model_weights
        device = torch_device(options.device)
        try:
            weights = get_model_weights(name).DEFAULT
        except (ValueError, AttributeError):
            raise UserError(
                f"torchvision has no model {shown(name)} with weights: see "
                "torchvision.models.list_models()"
            ) from None
        with loading(
            f"torchvision:{name}",
            "torch's local cache and the server of torchvision's weights",
            "put the file into TORCH_HOME/hub/checkpoints, or use efficientnet-lite0",
        ):
            network = get_model(name, weights=weights)
        _without_last_layer(network, name)
        super().__init__(
            network.eval().to(device),
            weights.transforms(),
            device,
            f"{weights}, {versions('torchvision')}",
        )


def _without_last_layer(network: Any, name: str) -> None:
    """Replace the last linear layer of a classifier by the identity."""
    import torch

    for layer in ("fc", "classifier", "head", "heads"):
        last = getattr(network, layer, None)
        if isinstance(last, torch.nn.Linear):
            setattr(network, layer, torch.nn.Identity())
            return
        if isinstance(last, torch.nn.Sequential) and isinstance(last[-1], torch.nn.Linear):
            last[-1] = torch.nn.Identity()
            return
    raise UserError(f"torchvision's {shown(name)} is no classifier of images: choose another")


class Timm(_Network):
    """A network of timm without its classifier.

    Parameters
    ----------
    options : `argument` is the name of a model, e.g. `resnet50.a1_in1k`, or `local-dir:FOLDER`;
        `device`.

    Raises
    ------
    UserError : timm is not installed, has no such model, or cannot reach its weights.
    """

    def __init__(self, options: EncoderOptions) -> None:
        name = require_argument(options, "timm", "resnet50.a1_in1k")
        with from_extra(_EXTRA, "timm"):
            import timm
        device = torch_device(options.device)
        with loading(f"timm:{name}", _HUB, f"give timm:local-dir:FOLDER, {_REMEDY}"):
            network = timm.create_model(name, pretrained=True, num_classes=0)
            config = timm.data.resolve_model_data_config(network)
            transform = timm.data.create_transform(**config, is_training=False)
        hub = network.pretrained_cfg
        version = _version(name, "timm", hub.get("hf_hub_id"), hub.get("hf_hub_filename"))
        super().__init__(network.eval().to(device), transform, device, version)


class OpenClip(_Network):
    """The images' side of a CLIP model of open-clip.

    Parameters
    ----------
    options : `argument` is a model and its weights, e.g. `ViT-B-32/laion2b_s34b_b79k`, or
        `local-dir:FOLDER`; `device`.

    Raises
    ------
    UserError : open-clip is not installed, has no such model, or cannot reach its weights.
    """

    def __init__(self, options: EncoderOptions) -> None:
        example = "ViT-B-32/laion2b_s34b_b79k"
        name = require_argument(options, "open-clip", example)
        with from_extra(_EXTRA, "open-clip"):
            import open_clip
        device = torch_device(options.device)
        model, slash, weights = name.partition("/")
        if ":" in name:  # a place of weights, such as hf-hub:OWNER/NAME
            model, weights = name, ""
        elif not slash:
            raise UserError(f"open-clip:{name} names no weights: give e.g. open-clip:{example}")
        with loading(f"open-clip:{name}", _HUB, f"give open-clip:local-dir:FOLDER, {_REMEDY}"):
            network, transform = open_clip.create_model_from_pretrained(
                model, weights or None, device=device
            )
        network.eval()
        hub = open_clip.get_pretrained_cfg(model, weights).get("hf_hub", "") if weights else ""
        version = _version(name, "open-clip-torch", *hub.rpartition("/")[::2])
        super().__init__(network.encode_image, transform, device, version)


def _version(name: str, package: str, hub: str | None, file: str | None) -> str:
    """Version of a package, and of the weights where they come from a folder or the hub.

    Parameters
    ----------
    name : the argument of the encoder; may itself be a place of weights.
    package : what runs the network.
    hub, file : where the package finds the weights of this name on the hub.
    """
    place, colon, at = name.partition(":")
    if colon and place in ("local-dir", "hf-hub", "hf_hub"):
        return f"{weights_version(at)}, {versions(package)}"
    return f"{weights_version(hub, file or '')}, {versions(package)}" if hub else versions(package)
