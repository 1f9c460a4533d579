"""A trained class model: its networks, what its classes are called, and how sure it is."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.special import softmax

from napari_pathogan.engine.devices import Device, choose_device, moved
from napari_pathogan.engine.models import ModelCard, fitting, load_model, part_of, save_model
from napari_pathogan.engine.pixels import as_input
from napari_pathogan.errors import PathoganError
from napari_pathogan.tasks.nuclei_classes.crops import CROP_PX
from napari_pathogan.tasks.nuclei_classes.gallery import grid_picture
from napari_pathogan.tasks.nuclei_classes.naming import GROUPS, Naming, naming
from napari_pathogan.tasks.nuclei_classes.network import Critic, Generator
from napari_pathogan.tasks.nuclei_classes.stain import Stain, in_density
from napari_pathogan.tasks.nuclei_classes.supervised import SupervisedHead

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

TASK = "nuclei-classes"
ARCHITECTURE = "infogan"
SUPERVISED = "supervised"
_BATCH = {"cuda": 4096, "cpu": 256}
_HEX = re.compile("#[0-9a-fA-F]{6}")
_TURNS = 4


class ClassNameError(PathoganError, ValueError):
    """Names or colours of classes that can't be given to a model."""


class CantDrawError(PathoganError, ValueError):
    """A model without a generator was asked to draw."""


@dataclass(eq=False)
class ClassModel:
    """A model that tells classes of nuclei apart, which it found by itself or was taught.

    Attributes
    ----------
    card
        What it was trained on, how well it does, what it is not for.
    critic, generator
        The InfoGAN's networks; or the head that was taught by labels, and None: it draws nothing.
    device
        Where it computes and how precisely.
    reference
        The colours that nuclei are carried to where their slide's colours are known.
    temperature
        What class logits are divided by, so that doubt shows.
    crop_px
        Side of the crops that it reads.
    """

    card: ModelCard
    critic: Critic | SupervisedHead
    generator: Generator | None
    device: Device
    reference: Stain
    temperature: float = 1.0
    crop_px: int = CROP_PX

    @classmethod
    def load(cls, name: str | Path = "nuclei-classes-crc", device: str = "auto") -> ClassModel:
        """Load an embedded model by name, or a run's by its folder.

        Raises
        ------
        ModelNotFoundError, ModelError
            If there is none, or its files don't fit together or are for another task.
        """
        card, weights = load_model(name, TASK)
        where = choose_device(device)
        with fitting(card, ARCHITECTURE, SUPERVISED):
            generator = None
            critic: Critic | SupervisedHead
            if card.architecture == SUPERVISED:
                critic = SupervisedHead(**card.arguments["head"])
                classes = critic.classify.out_features
            else:
                critic = Critic(**card.arguments["critic"])
                generator = Generator(**card.arguments["generator"])
                generator.load_state_dict(part_of(weights, "generator"))
                generator.eval().requires_grad_(requires_grad=False)
                classes = generator.classes
            critic.load_state_dict(part_of(weights, "critic"))
            groups = naming(card)
            for names, colours in (
                (card.classes, card.settings["colours"]),
                (groups.names, groups.colours),
            ):
                _check_names(names, colours, classes)
            return cls(
                card,
                critic.eval().requires_grad_(requires_grad=False),
                generator,
                where,
                Stain.from_json(card.settings["reference"]),
                float(card.settings["temperature"]),
                card.patch_px or CROP_PX,
            )

    @property
    def mpp(self) -> float:
        """Micrometres per pixel of a crop."""
        assert self.card.mpp is not None
        return self.card.mpp

    @property
    def names(self) -> tuple[str, ...]:
        """What the classes are called where they were checked, in the order of their numbers."""
        return self.card.classes

    @property
    def colours(self) -> tuple[str, ...]:
        """The classes' colours, ``#rrggbb``."""
        return tuple(self.card.settings["colours"])

    def naming(self, tissue: str = "", mpp: tuple[float, float] | None = None) -> Naming:
        """What the classes are called on a slide of a tissue and scale: see :mod:`.naming`."""
        return naming(self.card, tissue, mpp)

    @property
    def normalises(self) -> bool:
        """Whether nuclei are carried to the reference colours where their slide's are known."""
        return bool(self.card.settings.get("normalise", True))

    def probability(self, crops: np.ndarray, stain: Stain | None = None) -> np.ndarray:
        """Probability of each class.

        Parameters
        ----------
        crops
            uint8 (N, ``crop_px``, ``crop_px``, 3), RGB at the model's um per pixel (:mod:`.crops`).
        stain
            The colours of the slide they are from (:func:`.crops.stain_around`), to carry them to
            the model's; None takes them as they are.

        Returns
        -------
        float32 (N, C); rows sum to 1.

        Raises
        ------
        ValueError
            If the crops have another shape.
        """
        logits = self.logits(crops, stain) / self.temperature
        return np.asarray(softmax(logits, 1), np.float32)

    def logits(self, crops: np.ndarray, stain: Stain | None = None) -> np.ndarray:
        """Class logits before any temperature: float32 (N, C).

        Of an InfoGAN the mean over 4 quarter turns; a head on a trunk, which has seen nuclei
        turned, is content with one.
        """
        turns = 1 if self.generator is None else _TURNS
        found = [np.empty((0, len(self.names)), np.float32)]
        for x in self.inputs(crops, stain):
            turned = [self.critic.classes(x.rot90(turn, (2, 3))) for turn in range(turns)]
            found.append(torch.stack(turned).mean(0).float().cpu().numpy())
        return np.concatenate(found)

    def features(self, crops: np.ndarray, stain: Stain | None = None) -> np.ndarray:
        """What the class head looks at: float32 (N, F)."""
        found = [np.empty((0, self.critic.n_features), np.float32)]
        for x in self.inputs(crops, stain):
            found.append(self.critic.features(x).float().cpu().numpy())  # noqa: PERF401
        return np.concatenate(found)

    def inputs(self, crops: np.ndarray, stain: Stain | None = None) -> Iterator[torch.Tensor]:
        """Crops as the networks see them, some at a time: (n, 3, S, S) in [-1, 1]."""
        crops = np.asarray(crops)
        side = self.crop_px
        if crops.shape[1:] != (side, side, 3):
            msg = f"crops are {crops.shape}; the class model reads (N, {side}, {side}, 3)"
            raise ValueError(msg)
        to = self.device.torch
        moved(self.critic, to)
        batch = _BATCH.get(to.type, 512)
        stain = stain if self.normalises else None
        dense = bool(self.card.settings.get("density", False))
        recolour = stain.map_to(self.reference) if stain and not dense else None
        for start in range(0, len(crops), batch):
            part = torch.from_numpy(np.ascontiguousarray(crops[start : start + batch])).to(to)
            x = as_input(part, recolour)
            if stain and dense:
                way = (torch.tensor(one[None]).to(x) for one in stain.density_to(self.reference))
                x = in_density((x + 1) / 2, *way) * 2 - 1
            yield x

    def generate(self, n: int, label: int | None = None, seed: int = 0) -> np.ndarray:
        """Draw nuclei.

        Parameters
        ----------
        n
            How many.
        label
            Of which class; None draws each class as often as any other.
        seed
            The same seed draws the same nuclei.

        Returns
        -------
        uint8 (n, 40, 40, 3), in the model's reference colours.

        Raises
        ------
        ClassNameError
            If there is no such class.
        CantDrawError
            If the model was taught by labels.
        """
        classes = len(self.names)
        if label is not None and not 0 <= label < classes:
            msg = f"there is no class {label}; this model has {classes}, from 0"
            raise ClassNameError(msg)
        rng = torch.Generator().manual_seed(seed)
        z = torch.randn(n, self._drawing.latent, generator=rng)
        if label is None:
            c = torch.randint(classes, (n,), generator=rng)
        else:
            c = torch.full((n,), label)
        return self._draw(z, c)

    def grid(
        self, rows: int = 8, seed: int = 0, *, colours: Sequence[str] | None = None
    ) -> np.ndarray:
        """Draw the paper's Figure 7: classes across, the same z along a row.

        Parameters
        ----------
        colours
            Of the classes, ``#rrggbb``; :attr:`colours` by default.

        Returns
        -------
        uint8 (Y, X, 3), each class under a strip of its colour.

        Raises
        ------
        CantDrawError
            If the model was taught by labels.
        """
        classes = len(self.names)
        z = torch.randn(rows, self._drawing.latent, generator=torch.Generator().manual_seed(seed))
        drawn = self._draw(z.repeat_interleave(classes, 0), torch.arange(classes).repeat(rows))
        return grid_picture(drawn.reshape(rows, classes, *drawn.shape[1:]), colours or self.colours)

    @property
    def _drawing(self) -> Generator:
        if self.generator is None:
            msg = f"{self.card.name} was taught by labels and draws no nuclei; choose an InfoGAN"
            raise CantDrawError(msg)
        return self.generator

    @torch.inference_mode()
    def _draw(self, z: torch.Tensor, c: torch.Tensor) -> np.ndarray:
        to = self.device.torch
        generator = moved(self._drawing, to)
        batch = _BATCH.get(to.type, 512)
        parts = [np.empty((0, CROP_PX, CROP_PX, 3), np.uint8)]
        for start in range(0, len(z), batch):
            some = slice(start, start + batch)
            parts.append(as_bytes(generator(z[some].to(to), c[some].to(to))))
        return np.concatenate(parts)

    def renamed(self, names: Sequence[str], colours: Sequence[str] | None = None) -> ClassModel:
        """The same model with other names, and colours, of its classes where they are checked.

        Raises
        ------
        ClassNameError
            If there are not as many as classes, a name is empty or given twice, or a colour is
            not ``#rrggbb``.
        """
        names, colours = tuple(names), tuple(colours or self.colours)
        _check_names(names, colours, len(self.names))
        settings = {**self.card.settings, "colours": list(colours)}
        card = self.card.model_copy(update={"classes": names, "settings": settings})
        return replace(self, card=card)

    def regrouped(self, names: Sequence[str], colours: Sequence[str] | None = None) -> ClassModel:
        """The same model with the user's names, and colours, of its groups where nobody checked.

        Raises
        ------
        ClassNameError
            As :meth:`renamed`.
        """
        names, colours = tuple(names), tuple(colours or self.naming().colours)
        _check_names(names, colours, len(self.names))
        own = {"names": list(names), "colours": list(colours)}
        settings = {**self.card.settings, GROUPS: own}
        return replace(self, card=self.card.model_copy(update={"settings": settings}))

    def save(self, folder: Path) -> ModelCard:
        """Write the model, with the names it has, to a folder of its own.

        Raises
        ------
        OutputError
            If it can't be written, or something else than this model is there.
        """
        return save(folder, self, copied=True)


def as_bytes(x: torch.Tensor) -> np.ndarray:
    """Pictures (N, 3, S, S) in [-1, 1] -> uint8 (N, S, S, 3)."""
    pixels = (x.float().cpu().permute(0, 2, 3, 1) + 1) * 127.5
    return pixels.round().clamp(0, 255).to(torch.uint8).contiguous().numpy()


def save(folder: Path, model: ClassModel, *, copied: bool = False) -> ModelCard:
    """Write a model folder; weights are stored in float16, half the size."""
    parts: dict[str, torch.Tensor] = {}
    for prefix, network in (("critic", model.critic), ("generator", model.generator)):
        if network is None:
            continue
        for name, value in network.state_dict().items():
            whole = not value.is_floating_point()
            parts[f"{prefix}.{name}"] = value if whole else value.half()
    return save_model(folder, model.card, parts, copied=copied)


def _check_names(names: Sequence[str], colours: Sequence[str], classes: int) -> None:
    if len(names) != classes or len(colours) != classes:
        msg = f"{len(names)} names and {len(colours)} colours for {classes} classes; give one each"
        raise ClassNameError(msg)
    if not all(name.strip() for name in names) or len(set(names)) < classes:
        msg = f"classes need different names that are not empty, not {', '.join(map(repr, names))}"
        raise ClassNameError(msg)
    wrong = [colour for colour in colours if not _HEX.fullmatch(colour)]
    if wrong:
        msg = f"{wrong[0]!r} is no colour; give it as #rrggbb, such as #d62728"
        raise ClassNameError(msg)
