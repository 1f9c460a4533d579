"""Pretrained trunks: networks of timm, whose weights are read from a file and known by their hash.

Every name does that timm knows (https://huggingface.co/docs/timm): what is trained on one keeps
its name and hash, and loads with no other weights. Only ``hf-hub:`` names fetch anything.
"""

from __future__ import annotations

import copy
import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.nn import BatchNorm2d, Conv2d, Identity
from torch.nn.utils.fusion import fuse_conv_bn_weights

from napari_pathogan.engine.devices import moved
from napari_pathogan.engine.models import (
    TrainingData,
    fitting,
    load_model,
    locate,
    read_card,
)
from napari_pathogan.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

TASK = "backbone"
RGB = 3
DEFAULT = "efficientnet-lite0"
HUB = "hf-hub:"
MAPS = [-3, -2, -1]  # of the trunk's scales, or of its blocks where it has one scale alone


@dataclass(frozen=True, eq=False)
class Backbone:
    """A frozen trunk: what it sees of images at its last three scales, and what it says at its end.

    Attributes
    ----------
    name
        As :func:`load_backbone` takes it.
    network
        timm's, without its classifier.
    channels
        Of the last three maps, the finest first.
    mean, std
        Of the pixels in [0, 1] that it learnt from, by channel.
    sha256
        Of its weights.
    """

    name: str
    network: torch.nn.Module
    channels: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    sha256: str

    @property
    def widths(self) -> tuple[int, int]:
        """How many figures :meth:`features` gives: of the maps, and of the whole."""
        return sum(self.channels) + sum(self.channels[:-1]), width_of(self.network)

    def seen(self, images: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """What the trunk makes of images (N, 3, H, W), RGB in [0, 1]; it goes where they are.

        Returns
        -------
        whole, maps
            All it says at its end, (N, ``num_features``), and the last three maps (N, C, h, w).

        Raises
        ------
        ModelError
            If the trunk takes images of another size alone.
        """
        network: Any = moved(self.network, images.device)
        mean, std = (
            torch.tensor(x, device=images.device, dtype=images.dtype).view(1, -1, 1, 1)
            for x in (self.mean, self.std)
        )
        x = ((images - mean) / std).contiguous(memory_format=torch.channels_last)
        with _of_a_size(self.name, x.shape[-1]):
            end, maps = network.forward_intermediates(x, indices=MAPS)
        return network.forward_head(end, pre_logits=True), maps

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Figures of images (N, 3, H, W), RGB in [0, 1]: float32 (N, sum(widths)).

        First the mean over every channel of the maps and the spread of the two finer ones, whose
        cells are many enough for one; then what the trunk says at its end.
        """
        whole, maps = self.seen(images)
        flat = [one.float().flatten(2) for one in maps]
        spreads = [one.std(2, correction=0) for one in flat[:-1]]
        return torch.cat([*(one.mean(2) for one in flat), *spreads, whole.float()], 1)


class Trunk(torch.nn.Module):
    """A pretrained trunk that learns on; its norms keep the statistics that they came with.

    (N, 3, H, W), RGB in [0, 1] -> (N, ``outputs``), what it says at its end.

    Parameters
    ----------
    trunk
        timm's network, without its classifier.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, trunk: Any) -> None:  # noqa: ANN401 - timm has no types
        super().__init__()
        self.trunk = trunk
        self.architecture = str(trunk.pretrained_cfg["architecture"])
        self.outputs = width_of(trunk)
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(trunk.pretrained_cfg[name]).view(1, -1, 1, 1))

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002 - torch's
        """As torch's, but the trunk stays as it predicts."""
        super().train(mode)
        self.trunk.eval()
        return self

    def forward(self, x: torch.Tensor) -> Any:  # noqa: ANN401 - a subclass may make more of it
        """(N, 3, H, W) in [0, 1] -> (N, ``outputs``).

        Raises
        ------
        ModelError
            If the trunk takes images of another size alone.
        """
        x = ((x - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        with _of_a_size(self.architecture, x.shape[-1]):
            return self.trunk.forward_head(self.trunk.forward_features(x), pre_logits=True)

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *more: Any) -> None:
        """As torch's; G2C models of earlier versions call the trunk ``network``."""
        for key in [key for key in state if key.startswith(f"{prefix}network.")]:
            state[f"{prefix}trunk.{key.removeprefix(f'{prefix}network.')}"] = state.pop(key)
        super()._load_from_state_dict(state, prefix, *more)


def width_of(network: Any) -> int:  # noqa: ANN401
    """How many figures a network of timm without its classifier says at its end."""
    return int(getattr(network, "head_hidden_size", None) or network.num_features)


def load_backbone(name: str = DEFAULT, sha256: str = "") -> Backbone:
    """Load a trunk, frozen and ready for use on the CPU.

    Parameters
    ----------
    name
        ``efficientnet-lite0``, which is embedded, or another model for the task ``backbone`` by
        name or folder; ``hf-hub:ORGANISATION/NAME@REVISION``, fetched at first use by
        huggingface_hub (which also knows who has been granted access);
        ``TIMM_NAME=FILE.safetensors`` for weights of one of timm's networks in a file.
    sha256
        That the weights must have; any by default.

    Raises
    ------
    ModelNotFoundError, ModelError
        If there is no such trunk or file, it can't be fetched, no revision is named, the weights
        are damaged, don't fit the network or are not those of ``sha256``, or its input is no RGB.
    """
    backbone = _load(name)
    if sha256 and backbone.sha256 != sha256:
        msg = (
            f"the weights of {name} are not those that this model was trained on (sha256 "
            f"{backbone.sha256[:12]}, not {sha256[:12]}); get these, or train anew"
        )
        raise ModelError(msg)
    return backbone


def load_network(name: str = DEFAULT) -> Any:  # noqa: ANN401 - timm has no types
    """Give timm's network of a name with its weights, fresh, to be trained further; no classifier.

    Its ``forward_intermediates`` gives the maps at its scales, its ``pretrained_cfg`` the mean and
    spread of the pixels that it learnt from.

    Raises
    ------
    ModelNotFoundError, ModelError
        As :func:`load_backbone`.
    """
    if name.startswith(HUB):
        network = _from_hub(name)
    elif "=" in name:
        timm_name, _, file = name.partition("=")
        network = create_network(timm_name)
        _fill(network, _read(Path(file)), name)
    else:
        card, weights = load_model(name, TASK)
        with fitting(card, card.architecture):
            network = create_network(card.architecture)
            _fill(network, weights, name)
    setup = network.pretrained_cfg
    takes = setup["input_size"][0]
    if len(setup["mean"]) != RGB or takes != RGB:
        msg = f"{name} expects images of {takes} channels; a backbone must take RGB"
        raise ModelError(msg)
    return network


def origin(name: str) -> tuple[TrainingData, ...]:
    """What a trunk's weights learnt from and on what terms, for the card of what goes on from them."""
    if name.startswith(HUB) or "=" in name:
        known = name.partition("=")[0] if "=" in name else name
        return (TrainingData(name=f"pretrained weights of {known}", terms="those of the weights"),)
    return read_card(locate(name, TASK)).training_data


@lru_cache(maxsize=2)
@torch.inference_mode(mode=False)  # its weights outlive whoever asks first, who may predict
def _load(name: str) -> Backbone:
    network = load_network(name)
    setup = network.pretrained_cfg
    mean, std = tuple(setup["mean"]), tuple(setup["std"])
    sha256 = fingerprint(network.state_dict())
    network.eval().requires_grad_(requires_grad=False).to(memory_format=torch.channels_last)
    try:
        with torch.inference_mode():
            blank = torch.zeros(1, *setup["input_size"])
            _, maps = network.forward_intermediates(blank, indices=MAPS)
    except (AttributeError, TypeError, ValueError, AssertionError) as error:
        msg = f"timm can't take maps out of {name}; choose another network"
        raise ModelError(msg) from error
    channels = tuple(int(one.shape[1]) for one in maps)
    fast = folded(network, lambda one: one.forward_features(noise(*blank.shape)))
    return Backbone(name, fast, channels, mean, std, sha256)


@torch.no_grad()  # not inference_mode: gradients go through a frozen trunk to what made its images
def folded(network: Any, forward: Callable[[Any], torch.Tensor]) -> Any:  # noqa: ANN401
    """The network with norms folded into the convolutions before them, a fifth faster.

    Whether a norm follows the convolution that is defined before it, the outputs say, which
    ``forward`` computes of a network: where they differ, the network is left as it is.
    """
    fast = copy.deepcopy(network)
    for module in list(fast.modules()):
        before = None
        for name, child in list(module.named_children()):
            if isinstance(child, BatchNorm2d) and isinstance(before, Conv2d):
                assert child.running_mean is not None
                assert child.running_var is not None
                before.weight, before.bias = fuse_conv_bn_weights(
                    before.weight,
                    before.bias,
                    child.running_mean,
                    child.running_var,
                    child.eps,
                    child.weight,
                    child.bias,
                )
                setattr(module, name, getattr(child, "act", Identity()))
            before = child
    fast.to(memory_format=torch.channels_last)
    return fast if torch.allclose(forward(fast), forward(network), 1e-3, 1e-4) else network


def noise(*shape: int) -> torch.Tensor:
    """Random pixels in [0, 1), always the same."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@contextmanager
def _of_a_size(name: str, side: int) -> Iterator[None]:
    try:
        yield
    except AssertionError as error:
        msg = f"{name} can't look at {side} px: {error}; ask for another side"
        raise ModelError(msg) from error


def architecture_of(name: str) -> str:
    """Timm's name of a backbone's network.

    Raises
    ------
    ModelNotFoundError, ModelError
        As :func:`load_backbone`.
    """
    return str(load_network(name).pretrained_cfg["architecture"])


def stages(network: Any) -> list[list[torch.nn.Parameter]]:  # noqa: ANN401
    """Weights of a network of timm, stage by stage from the input on, as timm groups them."""
    from timm.models import group_parameters  # noqa: PLC0415

    groups = group_parameters(network, network.group_matcher(coarse=True))
    weights = dict(network.named_parameters())
    return [[weights[name] for name in groups[key]] for key in sorted(groups)]


def fingerprint(weights: Mapping[str, torch.Tensor]) -> str:
    """The sha256 of weights, whatever file they came from: names, shapes and values in float32."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].detach().cpu()
        if value.is_floating_point():
            digest.update(f"{name}{tuple(value.shape)}".encode())
            digest.update(value.float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def create_network(name: str) -> Any:  # noqa: ANN401 - timm has no types
    """Create timm's network of a name, without a classifier, its weights random.

    Raises
    ------
    ModelError
        If timm has none.
    """
    import timm  # noqa: PLC0415  (takes seconds)

    try:
        return timm.create_model(name, num_classes=0)
    except (RuntimeError, ValueError, TypeError) as error:
        alike = timm.list_models(f"*{name.split('.', maxsplit=1)[0][:6]}*")[:5]
        msg = f"timm has no network {name!r}" + (f"; it has {', '.join(alike)}" if alike else "")
        raise ModelError(msg) from error


def _fill(network: torch.nn.Module, weights: Mapping[str, torch.Tensor], name: str) -> None:
    """Put weights in; a classifier among them is left out."""
    wanted = network.state_dict()
    lacking = [key for key in wanted if key not in weights and "num_batches_tracked" not in key]
    other = [k for k, v in wanted.items() if k in weights and weights[k].shape != v.shape]
    if lacking or other:
        first = (lacking or other)[0]
        msg = (
            f"the weights of {name} don't fit that network: {first} is missing or of another shape"
        )
        raise ModelError(msg)
    network.load_state_dict({k: v for k, v in weights.items() if k in wanted}, strict=False)


def _read(file: Path) -> dict[str, torch.Tensor]:
    if file.suffix != ".safetensors":
        msg = (
            f"{file} is no safetensors file; weights in other formats can run code and are not read"
        )
        raise ModelError(msg)
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        msg = f"{file} can't be read ({error}); copy the weights anew"
        raise ModelError(msg) from error


def _from_hub(name: str) -> Any:  # noqa: ANN401
    """Fetch a trunk from the hub, or take it from huggingface_hub's cache."""
    if "@" not in name:
        msg = f"{name} may change: name a revision too, {name}@REVISION (a commit on the hub)"
        raise ModelError(msg)
    import timm  # noqa: PLC0415

    try:
        return timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # what hub, network and timm raise has no common class
        first = str(error).strip().splitlines() or [type(error).__name__]
        msg = (
            f"{name} can't be fetched ({first[0]}); check the name, the network and that access "
            f"was granted, or give the weights as TIMM_NAME=FILE.safetensors"
        )
        raise ModelError(msg) from error
