"""A trained nucleus model: its card, its U-Net, and its operating point."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)

from napari_pathogan.colour.slide_colours import SlideColours
from napari_pathogan.engine.backbones import folded, noise
from napari_pathogan.engine.devices import Device, choose_device, moved
from napari_pathogan.engine.models import ModelCard, fitting, load_model, save_model
from napari_pathogan.engine.pixels import as_input, view, view_back
from napari_pathogan.errors import NoTissueError
from napari_pathogan.tasks.nuclei.baseline import PixelBaseline
from napari_pathogan.tasks.nuclei.encoder import EncoderUNet
from napari_pathogan.tasks.nuclei.ensemble import (
    ENSEMBLE,
    UNET,
    WITH_ENCODER,
    Ensemble,
    built,
    kind,
)
from napari_pathogan.tasks.nuclei.network import CLASSES, MULTIPLE, UNet

if TYPE_CHECKING:
    from pathlib import Path

TASK = "nuclei"
Network: TypeAlias = UNet | EncoderUNet | Ensemble
MPP = 0.25
CROP_PX = 144
_MOST_PX = {"cuda": 2**25, "cpu": 2**20}  # pixels in one pass


@dataclass(eq=False)
class NucleiModel:
    """A model that labels the pixels of H&E images at 0.25 um/px background, nucleus or boundary.

    Attributes
    ----------
    card
        What it was trained on, how well it does, what it is not for.
    network
        The U-Net, the paper's or one with a pretrained encoder, norms folded into plain weights; or
        several that say together what a pixel is.
    device
        Where it computes and how precisely.
    threshold
        Operating point: a pixel belongs to a nucleus from this foreground probability on.
        Foreground is nucleus and boundary together, ``1 - probability[:, 0]``: the boundary is
        a band inside a nucleus's outline.
    views
        In how many of the 8 flips and quarter turns an image is seen; 1 is the fastest.
    reference, share
        The colours that images are carried towards, and how far: 0 not at all, 1 all the way.
    colours
        The slide's own; see :meth:`in_colours_of`. None takes images as they are.
    baseline
        What stain alone tells, fitted to the same images; None in models of earlier versions.
    """

    card: ModelCard
    network: Network
    device: Device
    threshold: float
    views: int = 1
    reference: SlideColours | None = None
    share: float = 0.0
    colours: SlideColours | None = None
    baseline: PixelBaseline | None = None

    @classmethod
    def load(
        cls, name: str | Path = "nuclei-ensemble", device: str = "auto", views: int | None = None
    ) -> NucleiModel:
        """Load an embedded model by name, or a run's by its folder.

        Parameters
        ----------
        views
            As for the class; by default the model's own, which may be fewer on a CPU without
            bfloat16, where networks take twice as long.

        Raises
        ------
        ModelNotFoundError, ModelError
            If there is none, or its files don't fit together or are for another task.
        """
        card, weights = load_model(name, TASK)
        where = choose_device(device)
        with fitting(card, UNET, WITH_ENCODER, ENSEMBLE):
            network = built(card.architecture, card.arguments)
            network.load_state_dict(weights)
            threshold = float(card.settings["threshold"])
            share = float(card.settings.get("share", 0.0))
            views = _own_views(card, where) if views is None else views
            known = card.settings.get("reference")
            reference = None if known is None else SlideColours.from_json(known)
            simple = card.settings.get("baseline")
            baseline = simple and PixelBaseline.from_json(simple)
        network = quick(network)
        return cls(
            card, network, where, threshold, views, reference, share, baseline=baseline or None
        )

    @property
    def mpp(self) -> float:
        """Micrometres per pixel of the images it reads."""
        return MPP

    def in_colours_of(self, pixels: np.ndarray) -> NucleiModel:
        """Return the same model for images of one slide, whose colours it first carries over.

        Parameters
        ----------
        pixels
            uint8 (..., 3), RGB of the slide's tissue; background among them is left out. Where
            hardly any of them is tissue, images are taken as they are.
        """
        try:
            return replace(self, colours=SlideColours.measure(pixels))
        except NoTissueError:
            return replace(self, colours=None)

    def probability(self, images: np.ndarray) -> np.ndarray:
        """Probability of each label at each pixel.

        Parameters
        ----------
        images
            uint8 (N, H, W, 3), RGB at 0.25 um/px; H and W multiples of 16.

        Returns
        -------
        float32 (N, 3, H, W): background, nucleus (its inside) and boundary; they sum to 1.

        Raises
        ------
        ValueError
            If the shape is another.
        """
        recolour = None
        if self.colours is not None and self.reference is not None:
            recolour = self.colours.map_to(self.reference, self.share)
        return probability(self.network, images, self.device, recolour=recolour, views=self.views)


def _own_views(card: ModelCard, device: Device) -> int:
    slow = device.torch.type == "cpu" and device.dtype == torch.float32
    views = int(card.settings.get("views", 1))
    return int(card.settings.get("views_float32", views)) if slow else views


def looked(model: NucleiModel) -> str:
    """What to say where a model looks at images otherwise than when it was measured; else nothing."""
    views = int(model.card.settings.get("views", model.views))
    if model.views == views:
        return ""
    return f"seen in {model.views} of 8 flips and turns; the card's figures are of {views}"


def quick(network: Network) -> Network:
    """The network as it predicts fastest: norms folded into the convolutions."""
    network.eval()
    if isinstance(network, UNet):
        return network
    faster: Network = folded(network, lambda one: one(noise(1, 3, 64, 64) * 2 - 1))
    return faster


@torch.inference_mode()
def probability(
    network: Network,
    images: np.ndarray,
    device: Device,
    *,
    recolour: tuple[np.ndarray, np.ndarray] | None = None,
    views: int = 1,
) -> np.ndarray:
    """Label probabilities of images; see :meth:`NucleiModel.probability`.

    Parameters
    ----------
    recolour
        Matrix (3, 3) and offset (3,) applied to RGB in [0, 1] first.

    Raises
    ------
    ValueError
        If ``images`` is not (N, H, W, 3) with H and W multiples of 16.
    """
    if images.ndim != 4 or images.shape[3] != 3 or any(s % MULTIPLE for s in images.shape[1:3]):
        msg = f"images are {images.shape}; the U-Net reads (N, H, W, 3), H and W multiples of 16"
        raise ValueError(msg)
    to = device.torch
    moved(network, to)
    height, width = images.shape[1:3]
    found = np.empty((len(images), len(CLASSES), height, width), np.float32)
    most = _MOST_PX.get(to.type, 2**22)
    batch = max(1, most // (height * width))
    for start in range(0, len(images), batch):
        part = torch.tensor(images[start : start + batch]).to(to)
        x = as_input(part, recolour)
        x = F.pad(x, (0, -width % network.multiple, 0, -height % network.multiple), "replicate")
        total = torch.zeros((), device=to)
        for number in range(views):
            with device.autocast:
                logits = network(view(x, number))
            total = total + view_back(logits.float().softmax(1), number)
        found[start : start + batch] = (total / views)[..., :height, :width].cpu().numpy()
    return found


def save(
    folder: Path,
    card: ModelCard,
    network: Network,
    *,
    threshold: float,
    crop: int = CROP_PX,
    reference: SlideColours | None = None,
    share: float = 0.0,
    views: int = 1,
    views_float32: int = 0,
    baseline: PixelBaseline | None = None,
) -> ModelCard:
    """Write a model folder; ``card`` says the rest (name, title, data, recipe, metrics).

    Weights are stored in float16: half the size, and probabilities move by under 0.01.
    ``views_float32`` is for CPUs without bfloat16; 0: as many as elsewhere.
    """
    settings: dict[str, Any] = {"threshold": threshold, "share": share, "views": views}
    if views_float32:
        settings["views_float32"] = views_float32
    if baseline is not None:
        settings["baseline"] = baseline.to_json()
    if reference is not None:
        settings["reference"] = reference.to_json()
    full = card.model_copy(
        update={
            "task": TASK,
            "architecture": kind(network),
            "arguments": network.arguments,
            "mpp": MPP,
            "patch_px": crop,
            "classes": CLASSES,
            "input_range": (-1.0, 1.0),
            "operating_point": threshold,
            "settings": settings,
        }
    )
    weights = {
        name: value.half() if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    return save_model(folder, full, weights)
