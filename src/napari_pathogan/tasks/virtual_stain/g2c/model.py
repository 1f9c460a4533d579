"""A trained generator-to-classifier: its card, its network, and what it says of images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_pathogan.engine.devices import Device, choose_device, in_batches
from napari_pathogan.engine.models import ModelCard, fitting, load_model, save_model
from napari_pathogan.errors import ModelNotFoundError
from napari_pathogan.tasks.virtual_stain.g2c.data import Groups, resized
from napari_pathogan.tasks.virtual_stain.g2c.generators import load_stainer
from napari_pathogan.tasks.virtual_stain.g2c.network import G2C, empty_backend
from napari_pathogan.tasks.virtual_stain.network import Generator

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import nn

    from napari_pathogan.tasks.virtual_stain.g2c.generators import Stainer

TASK = ARCHITECTURE = "g2c"
DEFAULT = "g2c-idc"
_BATCH = 64


@dataclass(eq=False)
class G2CModel:
    """A classifier of images in one stain, which looks at virtual stains beside it.

    Attributes
    ----------
    card
        What it was trained on, how well it does, what it is not for.
    network
        With its generators.
    device
        Where it computes and how precisely.
    """

    card: ModelCard
    network: G2C
    device: Device

    @classmethod
    def load(cls, name: str | Path = DEFAULT, device: str = "auto") -> G2CModel:
        """Load an embedded model by name, or a run's by its folder.

        Raises
        ------
        ModelNotFoundError, ModelError
            If there is none, a generator or trunk that it names is missing or has other weights,
            or its files don't fit together or are for another task.
        """
        card, weights = load_model(name, TASK)
        where = choose_device(device)
        with fitting(card, ARCHITECTURE):
            settings = card.settings
            source = str(settings["source_stain"])
            made = list(settings["generators"])
            backend = dict(card.arguments["backend"])
            classes = int(card.arguments["classes"])
            _ = settings["side"], settings["groups"]
            _ = [
                Path(one[key])
                for one in made
                if one["named"]
                for key in ("model", "sha256", "stain")
            ]
            own = [None if one["named"] else Generator(**one["arguments"]) for one in made]
        generators = [
            _named(card, one, source) if empty is None else empty
            for one, empty in zip(made, own, strict=True)
        ]
        with fitting(card, ARCHITECTURE):
            network = G2C(empty_backend(**backend), generators, classes)
            missing, unknown = network.load_state_dict(weights, strict=False)
            lacking = [key for key in missing if not _is_of(key, _numbers(made))]
            if lacking or unknown:
                raise KeyError((*lacking, *unknown)[0])
            network.eval().requires_grad_(requires_grad=False)
            network.to(where.torch).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            return cls(card, network, where)

    @property
    def classes(self) -> tuple[str, ...]:
        """Their names, in the order of :meth:`probability`."""
        return self.card.classes

    @property
    def groups(self) -> Groups:
        """Class -> the labels in a folder that it stands for."""
        return {str(k): tuple(v) for k, v in self.card.settings["groups"].items()}

    @property
    def stains(self) -> tuple[str, ...]:
        """What it looks at: the images' own stain, then the virtual ones."""
        settings = self.card.settings
        return settings["source_stain"], *(one["stain"] for one in settings["generators"])

    @property
    def side(self) -> int:
        """Pixels that images are resized to."""
        return int(self.card.settings["side"])

    def look(self, images: Sequence[np.ndarray]) -> torch.Tensor:
        """What the back end sees of images, uint8 (H, W, 3) each: float32 (N, M + 1, F)."""

        def run(part: slice) -> torch.Tensor:
            x = resized(list(images[part]), self.side).to(self.device.torch)
            with torch.inference_mode(), self.device.autocast:
                return self.network.look(self.network.stains(x)).cpu()

        parts = [done for _, done in in_batches(len(images), _BATCH, run)]
        return torch.cat(parts) if parts else torch.zeros(0, *self.network.means.shape)

    @torch.inference_mode()
    def decide(self, seen: torch.Tensor) -> np.ndarray:
        """Logits of what :meth:`look` gave: float32 (N, C)."""
        logits: np.ndarray = self.network.decide(seen.to(self.device.torch)).cpu().numpy()
        return logits

    def logits(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """What is said of images, uint8 (H, W, 3) each: float32 (N, C)."""
        return self.decide(self.look(images))

    def probability(self, logits: np.ndarray) -> np.ndarray:
        """Logits (N, C) -> shares that add up to 1, as the focal loss left them: not calibrated."""
        top = np.exp(logits - logits.max(-1, keepdims=True))
        shares: np.ndarray = top / top.sum(-1, keepdims=True)
        return shares


def _named(card: ModelCard, made: dict[str, Any], source: str) -> nn.Module:
    """A generator that the model only names."""
    try:
        return load_stainer(made["model"], source, made["sha256"]).network
    except ModelNotFoundError as error:
        msg = f"{card.name} looks at {made['stain']} by the generator {made['model']}, which is missing: {error}"
        raise ModelNotFoundError(msg) from error


def _numbers(made: Iterable[dict[str, Any]]) -> tuple[int, ...]:
    """Those of the generators that are only named."""
    return tuple(number for number, one in enumerate(made) if one["named"])


def _is_of(key: str, numbers: tuple[int, ...]) -> bool:
    """Whether a weight is one of these generators'."""
    return key.startswith(tuple(f"generators.{number}." for number in numbers))


def save(
    folder: Path,
    card: ModelCard,
    network: G2C,
    stainers: Sequence[Stainer],
    *,
    learnt: bool,
    source_stain: str,
    backend: dict[str, Any],
    side: int,
    groups: Groups,
) -> ModelCard:
    """Write a model's folder.

    Embedded generators that have not learnt anything are named, with their hash; others are held.

    Parameters
    ----------
    card
        Says the rest: name, title, scale, data, recipe, metrics and further settings.
    learnt
        Whether the generators have.
    backend
        What :func:`~.network.empty_backend` takes.
    """
    made = [
        {
            "model": one.model,
            "stain": one.stain,
            "sha256": one.sha256,
            "arguments": one.arguments,
            "named": one.embedded and not learnt,
        }
        for one in stainers
    ]
    named = _numbers(made)
    weights = {k: v for k, v in network.state_dict().items() if not _is_of(k, named)}
    settings = {
        **card.settings,
        "source_stain": source_stain,
        "generators": made,
        "side": side,
        "groups": groups,
    }
    full = card.model_copy(
        update={
            "task": TASK,
            "architecture": ARCHITECTURE,
            "arguments": {"backend": backend, "classes": len(groups)},
            "classes": tuple(groups),
            "settings": settings,
        }
    )
    return save_model(folder, full, weights)
