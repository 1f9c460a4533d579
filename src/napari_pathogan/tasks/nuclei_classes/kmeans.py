"""What the paper compares with: k-means on pixels, and on the features of a ResNet.

The paper's ResNet was trained on ImageNet. Without a file of such weights it is drawn at random
here, and the report says so: random convolutions are the weaker but honest baseline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from sklearn.cluster import KMeans
from torch import nn

from napari_pathogan.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
_BATCH = 256


def cluster(features: np.ndarray, classes: int, seed: int = 0) -> np.ndarray:
    """k-means: features (N, F) -> int (N,) number of each nucleus's cluster."""
    means = KMeans(classes, n_init=1, random_state=seed)
    found: np.ndarray = means.fit_predict(features)
    return found


def pixels(crops: np.ndarray) -> np.ndarray:
    """The pixels as one vector a nucleus: uint8 (N, S, S, 3) -> float32 (N, S * S * 3), 0 to 1."""
    return crops.reshape(len(crops), -1).astype(np.float32) / 255


class ResNetFeatures:
    """The features before the last layer of a torchvision ResNet.

    Attributes
    ----------
    about
        Which network with which weights, for reports.
    """

    def __init__(self, name: str = "resnet18", weights: Path | None = None, seed: int = 0) -> None:
        """Build the network.

        Parameters
        ----------
        name
            One of :data:`RESNETS`; the paper's is resnet152.
        weights
            Safetensors file with torchvision's names of the weights; None draws them at random.
        seed
            Of random weights.

        Raises
        ------
        ModelError
            If there is no such network, or the file is not its weights.
        """
        from torchvision.models import get_model  # noqa: PLC0415  (takes seconds)

        if name not in RESNETS:
            msg = f"{name!r} is none of {', '.join(RESNETS)}"
            raise ModelError(msg)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = get_model(name, weights=None)
        self.about = f"{name}, random weights"
        if weights is not None:
            _load(network, weights, name)
            self.about = f"{name}, weights of {weights.name}"
        network.fc = nn.Identity()
        self.network = network.eval().requires_grad_(requires_grad=False)

    @torch.inference_mode()
    def __call__(self, crops: np.ndarray) -> np.ndarray:
        """uint8 (N, S, S, 3) -> float32 (N, 512 or 2048)."""
        mean, spread = (torch.tensor(v)[:, None, None] for v in (_MEAN, _SPREAD))
        parts = []
        for start in range(0, len(crops), _BATCH):
            part = torch.from_numpy(np.ascontiguousarray(crops[start : start + _BATCH]))
            x = (part.permute(0, 3, 1, 2).float() / 255 - mean) / spread
            parts.append(self.network(x).numpy())
        return np.concatenate(parts)


def _load(network: nn.Module, path: Path, name: str) -> None:
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        msg = (
            f"{path} is no safetensors file ({error}); from a torchvision .pth make one with "
            "safetensors.torch.save_file(torch.load(PTH, weights_only=True), FILE)"
        )
        raise ModelError(msg) from error
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        msg = f"{path} does not hold the weights of a {name}: {str(error).splitlines()[-1].strip()}"
        raise ModelError(msg) from error
