"""A trained IDC model: its card, its network with folded weights, and what its logits mean."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_pathogan.colour.slide_colours import SlideColours
from napari_pathogan.engine.devices import Device, choose_device
from napari_pathogan.engine.models import (
    ModelCard,
    fitting,
    load_model,
    load_past,
    locate,
    save_model,
)
from napari_pathogan.engine.refit import Past
from napari_pathogan.tasks.idc.baseline import ColourBaseline
from napari_pathogan.tasks.idc.calibrate import Calibration
from napari_pathogan.tasks.idc.context import Context
from napari_pathogan.tasks.idc.data import CLASSES, MPP, PATCH_PX
from napari_pathogan.tasks.idc.deep import DeepDiscriminator
from napari_pathogan.tasks.idc.frozen import FrozenHead
from napari_pathogan.tasks.idc.heatmap import KEPT
from napari_pathogan.tasks.idc.network import Discriminator
from napari_pathogan.tasks.idc.score import features, looked, score

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch

    from napari_pathogan.tasks.idc.score import Network

__all__ = ["IdcModel", "SlideColours", "save"]

TASK = "idc"
FAR = 1.5  # times the reach of the training: from there on colours are unlike
DISCRIMINATOR, DEEP, FROZEN = "discriminator", "deep discriminator", "frozen head"


@dataclass(eq=False)
class IdcModel:
    """A model that tells IDC from healthy breast tissue in 50 px patches at 4 um/px.

    Attributes
    ----------
    card
        What it was trained on, how well it does, what it is not for.
    network
        The discriminator, spectral norms folded into plain weights; or a head on a frozen trunk.
    device
        Where it computes and how precisely.
    calibration, context
        From logits to probabilities: patch by patch, and with the neighbourhood.
    reference
        The colours that slides are normalised to.
    share
        How far towards them: 0 not at all, 1 all the way.
    views
        Columns of :meth:`logits`: how many of the 8 flips and turns each patch is seen in. 1 is
        the fastest; more make the uncertainty follow what the views disagree about.
    baseline
        What colours and contrast alone tell; None for models that were made before it was.
    by_student
        Calibration and context of the small network alone; None where there is none.
    reach
        How far from the reference the colours of a slide of the training were at most
        (:meth:`.SlideColours.distance`); None where nobody noted it.
    refitted
        What it was refitted to since it was calibrated, as a :class:`.HeatMap` says it; also of models that were
        kept since, whose calibration is that of the model they came of.
    """

    card: ModelCard
    network: Network
    device: Device
    calibration: Calibration
    context: Context
    reference: SlideColours
    share: float = 1.0
    views: int = 1
    baseline: ColourBaseline | None = None
    by_student: tuple[Calibration, Context] | None = None
    reach: float | None = None
    refitted: str = ""

    @classmethod
    def load(cls, name: str | Path = "idc-lite0", device: str = "auto", views: int = 1) -> IdcModel:
        """Load an embedded model by name, or a run's by its folder.

        Raises
        ------
        ModelNotFoundError, ModelError
            If there is none, or its files don't fit together or are for another task.
        """
        card, weights = load_model(name, TASK)
        where = choose_device(device)
        with fitting(card, DISCRIMINATOR, DEEP, FROZEN):
            network = _network(card)
            network.load_state_dict(weights)
            if isinstance(network, FrozenHead) and (past := load_past(locate(name, TASK), card)):
                network.past = Past.from_arrays(past)
            settings, baseline = card.settings, card.settings.get("baseline")
            fast = settings.get("student")
            return cls(
                card,
                network.eval().requires_grad_(requires_grad=False),
                where,
                Calibration.from_json(settings["calibration"]),
                Context.from_json(settings["context"]),
                SlideColours.from_json(settings["reference"]),
                float(settings["share"]),
                views,
                baseline and ColourBaseline.from_json(baseline),
                fast
                and (
                    Calibration.from_json(fast["calibration"]),
                    Context.from_json(fast["context"]),
                ),
                settings.get("reach"),
                KEPT if "parent" in card.recipe else "",
            )

    @property
    def fast(self) -> IdcModel | None:
        """The small network that the head taught, by itself; None where there is none."""
        if not isinstance(self.network, FrozenHead) or self.by_student is None:
            return None
        network, (calibration, context) = self.network.student, self.by_student
        assert network is not None
        own = replace(self, network=network, calibration=calibration, context=context)
        return replace(own, by_student=None)

    @property
    def patch_px(self) -> int:
        """Side of a patch in pixels."""
        return PATCH_PX

    @property
    def mpp(self) -> float:
        """Micrometres per pixel of a patch."""
        return MPP

    @property
    def threshold(self) -> float:
        """Operating point of :meth:`probability`."""
        return self.calibration.threshold

    @property
    def context_threshold(self) -> float:
        """Operating point of :meth:`heat_map`."""
        return self.context.calibration.threshold

    @property
    def context_cells(self) -> int:
        """How many patches to each side of one :meth:`heat_map` looks at."""
        return self.context.reach

    def colours(self, pixels: np.ndarray) -> SlideColours:
        """Measure a slide's colours on uint8 RGB pixels (N, 3) of its tissue.

        Raises
        ------
        NoTissueError
            If hardly any of them is tissue.
        """
        return SlideColours.measure(pixels)

    def far(self, colours: SlideColours) -> str:
        """What to say of a slide whose colours are unlike those of the training; "" of others."""
        if self.reach is None:
            return ""
        distance = colours.distance(self.reference)
        if distance <= FAR * self.reach:
            return ""
        return (
            f"its colours are unlike those {self.card.name} learnt from ({distance:.0f} grey levels from their mean, "
            f"where those slides reach {self.reach:.0f}): look twice at the map, and fit the model to the slide"
        )

    def logits(self, patches: np.ndarray, colours: SlideColours | None = None) -> np.ndarray:
        """IDC logits of patches, uint8 (N, 50, 50, 3) -> float32 (N, V).

        With the slide's ``colours`` the patches are first carried towards the reference colours.
        """
        recolour = None if colours is None else colours.map_to(self.reference, self.share)
        return score(self.network, patches, self.device, recolour=recolour, views=self.views)

    def looked(self, patches: np.ndarray, colours: SlideColours) -> tuple[np.ndarray, np.ndarray]:
        """What :meth:`logits` and :meth:`figures` give, in one look."""
        recolour = colours.map_to(self.reference, self.share)
        return looked(self.network, patches, self.device, recolour=recolour, views=self.views)

    def figures(self, patches: np.ndarray, colours: SlideColours) -> np.ndarray:
        """What the network's features are of patches, as :meth:`logits` looks at them: (N, F)."""
        recolour = colours.map_to(self.reference, self.share)
        return features(self.network, patches, self.device, recolour=recolour)

    def probability(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Calibrated probability and uncertainty, patch by patch: (..., V) -> two of (...)."""
        return self.calibration.probability(logits)

    def heat_map(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Calibrated probability and uncertainty with the neighbourhood.

        Parameters
        ----------
        logits
            (H, W, V) of one slide with its colours given, one cell a patch, NaN off the tissue.

        Returns
        -------
        probability, uncertainty
            float32 (H, W), NaN off the tissue.
        """
        return self.context.calibration.probability(self.context.mix(logits))


def _network(card: ModelCard) -> Network:
    if card.architecture == FROZEN:
        return FrozenHead(**card.arguments)
    if card.architecture == DEEP:
        return DeepDiscriminator(**card.arguments)
    return Discriminator(**card.arguments, spectral=False)


def save(
    folder: Path,
    card: ModelCard,
    network: Network,
    *,
    width: float,
    reference: SlideColours,
    share: float,
    calibration: Calibration,
    context: Context,
    baseline: ColourBaseline | None = None,
    by_student: tuple[Calibration, Context] | None = None,
    reach: float | None = None,
) -> ModelCard:
    """Write a model folder; ``card`` says the rest (name, title, data, recipe, metrics).

    A discriminator's weights are stored in float16: half the size, and the logits move by under
    0.01. Of a frozen trunk the name and hash are stored.
    """
    weights: dict[str, torch.Tensor] = network.state_dict()
    past = None
    arguments: dict[str, Any]
    if isinstance(network, FrozenHead):
        trunk = network.trunk
        architecture = FROZEN
        arguments = {"backbone": trunk.name, "side": network.side, "sha256": trunk.sha256}
        arguments["student"] = network.student is not None
        own = "student."
        past = None if network.past is None else network.past.to_arrays()
        weights = {k: v.half() if k.startswith(own) else v for k, v in weights.items()}
    else:
        weights = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
        architecture, arguments = DISCRIMINATOR, {"width": width}
        if isinstance(network, DeepDiscriminator):
            architecture, arguments = DEEP, network.arguments
    settings: dict[str, Any] = {
        "calibration": calibration.to_json(),
        "context": context.to_json(),
        "reference": reference.to_json(),
        "share": share,
        "baseline": baseline and baseline.to_json(),
        "reach": reach,
    }
    if by_student is not None:
        patch, region = by_student
        settings["student"] = {"calibration": patch.to_json(), "context": region.to_json()}
    full = card.model_copy(
        update={
            "task": TASK,
            "architecture": architecture,
            "arguments": arguments,
            "mpp": MPP,
            "patch_px": PATCH_PX,
            "classes": CLASSES,
            "input_range": (-1.0, 1.0),
            "operating_point": calibration.threshold,
            "settings": settings,
        }
    )
    return save_model(folder, full, weights, past=past)
