"""Synthetic patches: a trained generator, its card, and how it is saved beside a run's model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.devices import Device, choose_device
from napari_pathogan.engine.models import ModelCard, fitting, load_model, save_model
from napari_pathogan.kinds import picture, picture_text
from napari_pathogan.tasks.idc.data import CLASSES, MPP, PATCH_PX
from napari_pathogan.tasks.idc.network import Generator, to_bytes

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngInfo

    from napari_pathogan.engine.models import TrainingData

TASK = "idc-generator"
ARCHITECTURE = "generator"
FOLDER = "generator"  # in a run's folder, beside the model
PNG = picture("synthetic patch")
_BATCH = 64
_INTENDED = (
    "Research use only: synthetic patches for teaching, reader studies and trying out software. "
    "They show no patient's tissue and must stay marked as synthetic."
)
_NOT_FOR = (
    "diagnosis or any clinical decision",
    "passing generated patches off as real ones",
    "measuring how well a model does: their classes are the ones asked for, not a pathologist's",
)


@dataclass(eq=False)
class IdcGenerator:
    """Draws synthetic H&E patches of 50 px at 4 um/px, healthy or IDC.

    Attributes
    ----------
    card
        What it was trained on, how good its patches are, what they are not for.
    network
        The generator, spectral norms folded into plain weights.
    device
        Where it computes and how precisely.
    """

    card: ModelCard
    network: Generator
    device: Device

    @classmethod
    def load(cls, name: str | Path = TASK, device: str = "auto") -> IdcGenerator:
        """Load an embedded generator by name, or a run's by the run's or its own folder.

        Raises
        ------
        ModelNotFoundError, ModelError
            If there is none, or its files don't fit together or are for another task.
        """
        inside = Path(name) / FOLDER
        card, weights = load_model(inside if inside.is_dir() else name, TASK)
        where = choose_device(device)
        with fitting(card, ARCHITECTURE):
            network = Generator(**card.arguments, spectral=False)
            network.load_state_dict(weights)
        network.eval().requires_grad_(requires_grad=False).to(where.torch)
        return cls(card, network, where)

    @torch.inference_mode()
    def generate(self, n: int, label: str | None = None, seed: int = 0) -> np.ndarray:
        """Draw patches; the first ones of a seed are the same however many are drawn.

        Parameters
        ----------
        label
            ``healthy`` or ``IDC``; None draws them by turns, healthy first. One seed gives both
            classes the same noise.

        Returns
        -------
        uint8 (n, 50, 50, 3), RGB.

        Raises
        ------
        SettingError
            If there is no such class.
        """
        asked = torch.from_numpy(labels(n, label)).float()
        # not torch's own generator: it draws other numbers for another n
        noise = np.random.default_rng(seed).standard_normal((n, self.network.latent), np.float32)
        z, to = torch.from_numpy(noise), self.device.torch
        drawn = np.empty((n, PATCH_PX, PATCH_PX, 3), np.uint8)
        for start in range(0, n, _BATCH):
            part = slice(start, start + _BATCH)
            with self.device.autocast:
                drawn[part] = to_bytes(self.network(z[part].to(to), asked[part].to(to)))
        return drawn


def labels(n: int, label: str | None) -> np.ndarray:
    """Which class each of ``n`` patches is asked to have: int (n,), indices of the classes.

    Raises
    ------
    SettingError
        If there is no such class.
    """
    if label is None:
        return np.arange(n) % len(CLASSES)
    if label not in CLASSES:
        msg = f"{label!r} is not a class that can be drawn; give {' or '.join(CLASSES)}"
        raise SettingError(msg)
    return np.full(n, CLASSES.index(label))


def png_text(card: ModelCard, label: str, seed: int, number: int) -> PngInfo:
    """Text that stays with a generated PNG: that it is synthetic, and how to draw it again."""
    about = {
        "Title": f"Synthetic patch, {label}",
        "Description": "Drawn by a neural network. It shows no tissue of any patient.",
        "Software": f"napari-pathogan {card.versions.get('napari-pathogan', '')}".strip(),
        "synthetic": "true",
        "generator": f"{card.name} {card.sha256[:12]}",
        "label": label,
        "seed": str(seed),
        "number": str(number),
        "mpp": f"{card.mpp:g}",
    }
    return picture_text(PNG.name, about)


def save(
    folder: Path, network: Generator, *, name: str, data: TrainingData, recipe: dict[str, Any]
) -> ModelCard:
    """Write a generator's model folder; its figures come later, by ``benchmarks/generator.py``.

    Parameters
    ----------
    network
        With folded weights (``spectral=False``); stored in float16.
    name, data, recipe
        For the card: of the model, what it learnt from, and how.
    """
    arguments = {key: recipe[key] for key in ("width", "local_noise", "batch_norm")}
    card = ModelCard(
        name=name,
        title=f"IDC generator, width {recipe['width']:g}, {len(data.patients)} patients: synthetic",
        task=TASK,
        architecture=ARCHITECTURE,
        arguments={**arguments, "seeds": network.seeds},
        mpp=MPP,
        patch_px=PATCH_PX,
        classes=CLASSES,
        input_range=(-1.0, 1.0),
        training_data=(data,),
        recipe=recipe,
        intended_use=_INTENDED,
        not_for=_NOT_FOR,
    )
    weights = {
        key: value.half() if value.is_floating_point() else value
        for key, value in network.state_dict().items()
    }
    return save_model(folder, card, weights)
