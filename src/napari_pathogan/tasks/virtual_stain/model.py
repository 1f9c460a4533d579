"""A trained pair of stains: its card, both generators and both discriminators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)

from napari_pathogan.colour.lab import with_glass
from napari_pathogan.engine.devices import Device, choose_device, in_batches, moved
from napari_pathogan.engine.models import ModelCard, fitting, load_model, part_of, save_model
from napari_pathogan.errors import PathoganError
from napari_pathogan.tasks.virtual_stain.network import (
    PATCH_PX,
    STRIDE,
    Discriminator,
    Generator,
    Norm,
    instance_norm,
    signed,
    to_uint8,
)
from napari_pathogan.tasks.virtual_stain.stains import SourceStainError, stain_title

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TASK = "virtual-stain"
ARCHITECTURE = "cyclegan"
LEAST_PX = 16  # a side below it leaves the residual blocks nothing to mirror
_BATCH = 8
PARTS = ("forth", "reverse", "source_judge", "target_judge")


class ImageSizeError(PathoganError, ValueError):
    """An image is too small for what is asked of it."""


@dataclass(eq=False)
class VirtualStainModel:
    """A pair of stains and the four networks of their CycleGAN.

    Attributes
    ----------
    card
        What it was trained on, how well it does, what it is not for.
    forth, reverse
        Generators from the source stain to the target stain, and back.
    source_judge, target_judge
        Discriminators of real images of the source stain and of the target stain.
    device
        Where they compute.
    """

    card: ModelCard
    forth: Generator
    reverse: Generator
    source_judge: Discriminator
    target_judge: Discriminator
    device: Device

    @classmethod
    def load(cls, name: str | Path, device: str = "auto") -> VirtualStainModel:
        """Load an embedded pair by name, or a run's by its folder.

        Raises
        ------
        ModelNotFoundError, ModelError
            If there is none, or its files don't fit together or are for another task.
        """
        card, weights = load_model(name, TASK)
        where = choose_device(device)
        with fitting(card, ARCHITECTURE):
            _ = card.settings["source_stain"], card.settings["target_stain"]
            ngf, blocks, ndf = (card.arguments[key] for key in ("ngf", "blocks", "ndf"))
            residual = bool(card.arguments.get("residual", False))
            pair = cls(
                card,
                Generator(ngf, blocks, residual=residual),
                Generator(ngf, blocks, residual=residual),
                Discriminator(ndf),
                Discriminator(ndf),
                where,
            )
            for part in PARTS:
                network: torch.nn.Module = getattr(pair, part)
                network.load_state_dict(part_of(weights, part))
                moved(network.requires_grad_(requires_grad=False), where.torch)
            return pair

    @property
    def source_stain(self) -> str:
        """``he``, ``pas``, ``masson``, ``pasm`` or a stain of the user's own."""
        return str(self.card.settings["source_stain"])

    @property
    def target_stain(self) -> str:
        """Likewise, the stain that it makes."""
        return str(self.card.settings["target_stain"])

    @property
    def mpp(self) -> float | None:
        """Micrometres per pixel of the images that it learnt from; None where nobody said."""
        return self.card.mpp

    def target_of(self, stain: str) -> str:
        """The stain that an image of ``stain`` is carried to: a pair goes both ways.

        Raises
        ------
        SourceStainError
            If the pair has no such stain, or none is given.
        """
        ends = {self.source_stain: self.target_stain, self.target_stain: self.source_stain}
        if stain in ends:
            return ends[stain]
        both = " or ".join(f"{one} ({stain_title(one)})" for one in ends)
        said = f"it is said to be {stain}" if stain else "nobody says which stain it has"
        msg = f"{self.card.name} takes an image in {both}, and {said}; say the stain or choose another model"
        raise SourceStainError(msg)

    def generator(self, stain: str) -> Generator:
        """The generator that takes images of ``stain``; as :meth:`target_of`."""
        self.target_of(stain)
        return self.forth if stain == self.source_stain else self.reverse

    def judge(self, stain: str) -> Discriminator:
        """The discriminator of real images of ``stain``; as :meth:`target_of`."""
        self.target_of(stain)
        return self.source_judge if stain == self.source_stain else self.target_judge

    def stain(self, images: np.ndarray) -> np.ndarray:
        """Carry images from the source stain to the target stain.

        Parameters
        ----------
        images
            uint8 RGB (N, H, W, 3) or (H, W, 3), of any sides from 16 px on, at the model's mpp.

        Returns
        -------
        uint8, of the same shape; synthetic.

        Raises
        ------
        ImageSizeError
            If a side is below 16 px.
        """
        return self.paint(images, self.source_stain)

    def back(self, images: np.ndarray) -> np.ndarray:
        """Carry images from the target stain to the source stain; as :meth:`stain`."""
        return self.paint(images, self.target_stain)

    def paint(self, images: np.ndarray, stain: str, norm: Norm = instance_norm) -> np.ndarray:
        """Carry images of ``stain`` to the other stain of the pair; as :meth:`stain`. Glass stays.

        Parameters
        ----------
        norm
            How features are normalised: :mod:`.seams` has what makes tiles of a slide fit.

        Raises
        ------
        SourceStainError
            As :meth:`target_of`.
        """
        network = self.generator(stain)
        stack = _stack(images, LEAST_PX)
        height, width = stack.shape[1:3]
        below, right = (-n % STRIDE for n in (height, width))
        made = np.empty_like(stack)

        def run(part: slice) -> np.ndarray:
            seen = F.pad(signed(stack[part]), (0, right, 0, below), mode="reflect")
            with torch.inference_mode(), self.device.autocast:
                return to_uint8(network(seen.to(self.device.torch), norm))

        for part, done in in_batches(len(stack), _BATCH, run):
            made[part] = with_glass(done[:, :height, :width], stack[part])
        return made.reshape(images.shape)

    def inspect(self, images: np.ndarray, stain: str = "") -> np.ndarray:
        """How real the discriminator finds each patch of images.

        Parameters
        ----------
        images
            uint8 RGB (N, H, W, 3) or (H, W, 3), sides from 70 px on.
        stain
            Which stain they are to be of, real or virtual; the target's by default.

        Returns
        -------
        float32 (N, H // 8 - 2, W // 8 - 2), or without N: about 1 where real, 0 where generated. Score
        [i, j] is of the 70 x 70 px around the pixel edge (8 i + 12, 8 j + 12), whatever lies beyond
        the image being 0.

        Raises
        ------
        ImageSizeError
            If a side is below 70 px.
        SourceStainError
            As :meth:`target_of`.
        """
        judge = self.judge(stain or self.target_stain)
        stack = _stack(images, PATCH_PX)

        def run(part: slice) -> np.ndarray:
            with torch.inference_mode(), self.device.autocast:
                judged = judge(signed(stack[part]).to(self.device.torch))
            scores: np.ndarray = judged[:, 0].float().cpu().numpy()
            return scores

        scores = np.concatenate([done for _, done in in_batches(len(stack), _BATCH, run)])
        return scores if images.ndim == 4 else scores[0]


def _stack(images: np.ndarray, least: int) -> np.ndarray:
    """uint8 (N, H, W, 3) of one image or several.

    Raises
    ------
    ImageSizeError
        If they are smaller than ``least``.
    """
    if images.dtype != np.uint8 or images.ndim not in {3, 4} or images.shape[-1] != 3:
        msg = f"an image is uint8 (H, W, 3), not {images.dtype} {images.shape}"
        raise ValueError(msg)
    if min(images.shape[-3:-1]) < least:
        height, width = images.shape[-3:-1]
        msg = f"an image of {width} x {height} px is too small: give at least {least} x {least} px"
        raise ImageSizeError(msg)
    return images.reshape(-1, *images.shape[-3:])


def save(
    folder: Path,
    card: ModelCard,
    networks: Mapping[str, Mapping[str, torch.Tensor]],
    *,
    source_stain: str,
    target_stain: str,
    ngf: int,
    blocks: int,
    ndf: int,
    residual: bool = False,
) -> ModelCard:
    """Write a pair's folder; weights are stored in float16, half the size.

    Parameters
    ----------
    card
        Says the rest: name, title, mpp, data, recipe, metrics and further settings.
    networks
        Weights of ``forth``, ``reverse``, ``source_judge`` and ``target_judge``.
    ngf, blocks, ndf, residual
        Their shape.
    """
    settings = {**card.settings, "source_stain": source_stain, "target_stain": target_stain}
    shape = {"ngf": ngf, "blocks": blocks, "ndf": ndf, "residual": residual}
    full = card.model_copy(
        update={
            "task": TASK,
            "architecture": ARCHITECTURE,
            "arguments": shape,
            "input_range": (-1.0, 1.0),
            "settings": settings,
        }
    )
    weights = {
        f"{part}.{name}": value.half() for part in PARTS for name, value in networks[part].items()
    }
    return save_model(folder, full, weights)
