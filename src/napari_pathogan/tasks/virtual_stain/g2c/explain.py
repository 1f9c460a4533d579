"""What each stain has to do with a decision, and which one changed it (Figure 3).

The front end is linear, so a decision is a sum over stains. A stain that is left out counts as
it does on average over the training images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from napari_pathogan.tasks.virtual_stain.g2c.model import G2CModel


@dataclass(frozen=True, eq=False)
class Contributions:
    """What each stain has to do with what is said of images.

    Attributes
    ----------
    stains, classes
        Their names; the source stain comes first.
    logits
        float32 (N, C), of all stains.
    parts
        float32 (N, M + 1, C): how much each stain moves the logits from where an average image
        leaves them; ``baseline + parts.sum(1)`` are the logits.
    baseline
        float32 (C,): of an image that is average in all stains.
    """

    stains: tuple[str, ...]
    classes: tuple[str, ...]
    logits: np.ndarray
    parts: np.ndarray
    baseline: np.ndarray

    @property
    def decision(self) -> np.ndarray:
        """(N,): the class, by all stains."""
        classes: np.ndarray = self.logits.argmax(1)
        return classes

    @property
    def source_alone(self) -> np.ndarray:
        """(N,): the class by the source stain, all others being average."""
        classes: np.ndarray = (self.baseline + self.parts[:, 0]).argmax(1)
        return classes

    @property
    def with_one(self) -> np.ndarray:
        """(N, M): the class by the source and one virtual stain."""
        classes: np.ndarray = (self.baseline + self.parts[:, :1] + self.parts[:, 1:]).argmax(2)
        return classes

    @property
    def changed(self) -> np.ndarray:
        """Bool (N, M): whether a virtual stain beside the source changes the decision to another."""
        changed: np.ndarray = self.with_one != self.source_alone[:, None]
        return changed

    @property
    def without(self) -> np.ndarray:
        """(N, M + 1): the class if one stain is average, all others being there."""
        classes: np.ndarray = (self.logits[:, None] - self.parts).argmax(2)
        return classes

    def said(self, number: int, called: Sequence[str] = ()) -> str:
        """One image's decision in a sentence or two; ``called`` is what stains are called in it."""
        stains = called or self.stains
        name = self.classes[self.decision[number]]
        alone = self.classes[self.source_alone[number]]
        which = [s for s, changes in zip(stains[1:], self.changed[number], strict=True) if changes]
        if alone == name:
            return f"{name}, by {stains[0]} alone already"
        by = f", changed by virtual {' and '.join(which)}" if which else ", by all stains together"
        return f"{name}; by {stains[0]} alone {alone}{by}"


def contributions(model: G2CModel, images: Sequence[np.ndarray]) -> Contributions:
    """Take apart what a model says of images, uint8 (H, W, 3) each."""
    return taken_apart(model, model.look(images))


@torch.inference_mode()
def taken_apart(model: G2CModel, seen: torch.Tensor) -> Contributions:
    """The same of what the model's back end saw, float32 (N, M + 1, F)."""
    network = model.network
    means, weight = network.means.cpu(), network.front.weight.cpu()
    own = weight.view(-1, *means.shape)  # (C, M + 1, F)
    parts = torch.einsum("nsf,csf->nsc", seen.float() - means, own).numpy()
    baseline = (network.front.bias.cpu() + torch.einsum("sf,csf->c", means, own)).numpy()
    return Contributions(model.stains, model.classes, baseline + parts.sum(1), parts, baseline)
