"""A learned style: its card, its network, and its pool's colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_pathogan.colour.baselines import Macenko, Reinhard
from napari_pathogan.colour.histograms import histogram
from napari_pathogan.colour.lab import STAINED, joined, lightness, optical_density, to_rgb
from napari_pathogan.engine.devices import Device, choose_device
from napari_pathogan.engine.models import ModelCard, fitting, load_model, save_model
from napari_pathogan.errors import ModelError, NoTissueError
from napari_pathogan.tasks.stain.closeness import Goal
from napari_pathogan.tasks.stain.finish import KNOTS, Finish, Tint
from napari_pathogan.tasks.stain.light import QUANTILES, tissue_quantiles
from napari_pathogan.tasks.stain.network import STRIDE, Colouriser, colours, whole
from napari_pathogan.tasks.stain.scanner import ScannerMap

if TYPE_CHECKING:
    from pathlib import Path

    from napari_pathogan.tasks.stain.data import StylePool

TASK = "stain"
ARCHITECTURE = "colouriser"
_DRAWN = 200_000  # colours that stand for a pool whose histogram is not known


@dataclass(eq=False)
class StyleModel:
    """A style: colours for any slide, learned from a pool of one laboratory's images.

    Attributes
    ----------
    card
        What it was learned from, how well it does, what it is not for.
    network, device
        The colouriser, and where it computes.
    style
        (V,) the pool's mean global vector.
    macenko, reinhard
        The pool's stains and Lab statistics: targets of the baselines.
    light
        (51,) quantiles of the lightness of the pool's tissue.
    tint
        The pool's colours at each lightness.
    reach
        The largest Lab distance of one of the pool's patients from the rest.
    scanner
        The map from another scanner's pictures to the pool's; None where it was not fitted.
    """

    card: ModelCard
    network: Colouriser
    device: Device
    style: torch.Tensor
    macenko: Macenko
    reinhard: Reinhard
    light: np.ndarray
    tint: Tint
    reach: float
    scanner: ScannerMap | None = None

    @classmethod
    def load(cls, name: str | Path, device: str = "auto") -> StyleModel:
        """Load an embedded style by name, or a run's by its folder.

        Raises
        ------
        ModelNotFoundError, ModelError
            If there is none, or its files don't fit together or are for another task.
        """
        card, weights = load_model(name, TASK)
        where = choose_device(device)
        with fitting(card, ARCHITECTURE):
            style = weights.pop("pool.style")
            network = Colouriser(**card.arguments)
            network.load_state_dict(weights)
            settings = card.settings
            return cls(
                card,
                network.eval().requires_grad_(requires_grad=False).to(where.torch),
                where,
                style.to(where.torch),
                Macenko.from_json(settings["macenko"]),
                Reinhard.from_json(settings["reinhard"]),
                np.array(settings["lightness"]),
                Tint.from_json(settings["tint"]),
                float(settings["reach"]),
                ScannerMap.from_json(settings["scanner"]) if "scanner" in settings else None,
            )

    @property
    def goal(self) -> Goal:
        """What the pool looks like, to measure how close a slide comes to it."""
        kept = self.card.settings.get("histogram")
        if kept is not None:
            return Goal(np.array(kept), self.tint)
        # a style of an older version: colours drawn from what it knows of its pool
        rng = np.random.default_rng(0)
        light = np.interp(rng.random(_DRAWN), QUANTILES, self.light)
        drawn = [
            rng.normal(
                np.interp(light, KNOTS, self.tint.mean[:, c]),
                np.interp(light, KNOTS, self.tint.spread[:, c]),
            )
            for c in range(2)
        ]
        return Goal(histogram([to_rgb(np.stack([light, *drawn], -1))]), self.tint)

    @property
    def mpp(self) -> float | None:
        """Micrometres per pixel of the pool; None where nobody said."""
        return self.card.mpp

    def colour(self, light: np.ndarray, style: torch.Tensor | None = None) -> np.ndarray:
        """The network's colours: lightness (H, W), 0 to 100 -> a, b of Lab, float32 (H, W, 2).

        H and W are multiples of 8. ``style`` is a global vector of :meth:`vector`; the pool's own
        by default, so that all tiles of a slide share one.
        """
        with self.device.autocast:
            return colours(self.network, light, self.style if style is None else style)

    def painted(self, image: np.ndarray, style: torch.Tensor | None = None) -> np.ndarray:
        """The network's a and b of Lab, float32 (H, W, 2), for uint8 RGB (H, W, 3) of any size.

        The image goes on beyond its edges as its mirror image: the network has seen no tissue
        that ends in nothing.
        """
        seen = lightness(image)
        height, width = seen.shape
        edge = Colouriser.margin
        pads = [(edge, edge + -n % STRIDE) for n in seen.shape]
        colour = self.colour(np.pad(seen, pads, mode="reflect"), style)
        return colour[edge : edge + height, edge : edge + width]

    def __call__(
        self,
        image: np.ndarray,
        style: torch.Tensor | None = None,
        finish: Finish | None = None,
    ) -> np.ndarray:
        """Recolour uint8 RGB (H, W, 3) of any size, at the style's mpp.

        Its lightness is kept and its colours are the network's, unless there is a ``finish``.
        """
        if not image.size:
            return image
        seen, colour = lightness(image), self.painted(image, style)
        if finish is None:
            return joined(seen, colour, image)
        change, colour = finish(image, colour)
        return joined(seen + change, colour, image)

    @torch.no_grad()
    def vector(self, image: np.ndarray) -> torch.Tensor:
        """The global vector (V,) of a reference image, uint8 RGB (the paper's Figure 6).

        Raises
        ------
        NoTissueError
            If there is hardly any tissue on it.
        """
        if (optical_density(image).max(-1) >= STAINED).mean() < 0.05:
            msg = "there is hardly any tissue on the reference; choose a region with tissue"
            raise NoTissueError(msg)
        return self._own_vector(image)

    @torch.no_grad()
    def tissue_class(self, image: np.ndarray) -> int:
        """The class that the class head sees on uint8 RGB (H, W, 3); an index into the card's.

        Raises
        ------
        ModelError
            If the style was learned without classes.
        """
        if self.network.classify is None:
            msg = f"the style {self.card.name} has no class head: its pool had no classes"
            raise ModelError(msg)
        return int(self.network.classify(self._own_vector(image)).argmax())

    def _own_vector(self, image: np.ndarray) -> torch.Tensor:
        light = torch.from_numpy(lightness(whole(image)))[None, None] / 100
        vector: torch.Tensor = self.network.encode(light.to(self.device.torch))[1][0]
        return vector


def save(
    folder: Path,
    card: ModelCard,
    network: Colouriser,
    pool: StylePool,
    *,
    width: float,
    student_error: float,
    scanner: ScannerMap | None = None,
) -> ModelCard:
    """Write a style's folder; ``card`` says the rest (name, title, mpp, data, recipe, metrics)."""
    pixels = pool.tissue()
    target = Reinhard.fit(pixels)
    vectors = [
        network.encode(torch.from_numpy(lightness(whole(image)))[None, None] / 100)[1][0]
        for image in pool.images
    ]
    parts = [
        pool.select([p == name for p in pool.patients]).tissue()
        for name in sorted(set(pool.patients))
    ]
    each = [Reinhard.fit(part) for part in parts]
    settings: dict[str, Any] = {
        "macenko": Macenko.middle(parts).to_json(),
        "reinhard": target.to_json(),
        "histogram": histogram(pool.images).round(5).tolist(),
        "lightness": tissue_quantiles(pool.images).round(3).tolist(),
        "tint": Tint.of(pool.images).to_json(),
        "reach": max(own.distance(target) for own in each),
        "student_error_lab": student_error,
        **({} if scanner is None else {"scanner": scanner.to_json()}),
    }
    full = card.model_copy(
        update={
            "task": TASK,
            "architecture": ARCHITECTURE,
            "arguments": {"width": width, "classes": len(pool.classes) if network.classify else 0},
            "input_range": (0.0, 100.0),
            "settings": settings,
            "classes": pool.classes if network.classify else (),
        }
    )
    weights = {
        name: value.half() if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    weights["pool.style"] = torch.stack(vectors).mean(0)
    return save_model(folder, full, weights)
