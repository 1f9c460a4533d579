"""How a slide is carried to a style: by which method, fitted to what is measured on the slide once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_pathogan.colour.baselines import Macenko, Reinhard, StainFitError
from napari_pathogan.colour.lab import joined, lightness
from napari_pathogan.colour.lut import Lut
from napari_pathogan.colour.stained import (
    SAMPLE_PX,
    need_colours,
    tissue_or_field,
    tissue_tiles,
)
from napari_pathogan.engine.models import find_models, read_card
from napari_pathogan.errors import PathoganError, UnknownScaleError
from napari_pathogan.slides.computed import SAME
from napari_pathogan.slides.names import METHODS
from napari_pathogan.slides.tissue import tissue_mask
from napari_pathogan.tasks.stain.closeness import Goal, closeness
from napari_pathogan.tasks.stain.finish import Finish, Tint
from napari_pathogan.tasks.stain.glass import Glass
from napari_pathogan.tasks.stain.light import LightCurve, tissue_quantiles
from napari_pathogan.tasks.stain.network import Colouriser
from napari_pathogan.tasks.stain.student import distil

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import torch

    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.stain.closeness import Closeness
    from napari_pathogan.tasks.stain.model import StyleModel
    from napari_pathogan.tasks.stain.scanner import Softening

    Pair = tuple[float, float]


class Method(StrEnum):
    """How a slide is carried to a style."""

    cnn = "cnn"
    lut = "lut"
    macenko = "macenko"
    reinhard = "reinhard"
    scanner = "scanner"

    @property
    def words(self) -> str:
        """What it is called, in docks, layers and reports alike."""
        return METHODS[self.value]


NETWORKS = (Method.cnn, Method.lut)


class StyleScaleError(PathoganError, ValueError):
    """A slide's pixels are too coarse for a style's network."""


class NoScannerMapError(PathoganError, ValueError):
    """A style has no map from another scanner, or another image's colours are wanted."""


@dataclass(frozen=True, eq=False)
class Transfer:
    """How one slide is carried to a style.

    Attributes
    ----------
    method, style
        What was chosen: the method, and the name of the style or reference.
    pixelwise
        The map of single pixels, uint8 (..., 3) -> uint8: the whole of it for macenko, reinhard
        and lut; for cnn its student, for levels far coarser than the style; for scanner what
        follows its blur.
    blur
        For scanner: what comes before the map of single pixels.
    model, vector
        For cnn: the style, and the global vector if not the pool's.
    finish
        For cnn: what is done to lightness and to the network's colours; None leaves both alone.
    student_error
        Mean distance of the student from the network on tiles of this slide, in Lab units.
    glass
        Where the slide has none, and so keeps its own pixels; None recolours everything.
    colours_of
        Whose colours these are: the style, or the image that was the reference.
    measured
        How close each method came, where the method was chosen by that, or is a network, which may
        paint patches of a wrong colour; the closest first.
    from_scanner
        Whether the scanner map was chosen since the slide looks like those that it is from.
    notes
        What the user should know: a stain far from the style's pool.
    """

    method: Method
    style: str
    pixelwise: Callable[[np.ndarray], np.ndarray]
    model: StyleModel | None = None
    vector: torch.Tensor | None = None
    finish: Finish | None = None
    student_error: float | None = None
    glass: Glass | None = None
    blur: Blur | None = None
    colours_of: str = ""
    measured: Mapping[Method, Closeness] = field(default_factory=dict)
    from_scanner: bool = False
    notes: tuple[str, ...] = ()

    @property
    def why(self) -> str:
        """``Reinhard measured closest on this slide (distance 0.33; network 0.38)``, or ""."""
        if self.from_scanner:
            return (
                f"The slide looks like those of the scanner that {self.style} has a map from, so it "
                "gets that map: nothing of it is fitted to this slide's own tissue."
            )
        if not self.measured:
            return ""
        closest, *_ = self.measured
        others = [f"{m.words} {c.distance:.2f}" for m, c in self.measured.items() if m != closest]
        own = f"distance {self.measured[closest].distance:.2f}"
        title = closest.words
        why = f"{title} measured closest on this slide ({'; '.join([own, ', '.join(others)])})."
        return why if closest == self.method else f"{why} You chose the {self.method.words}."


def fit(
    slide: Slide,
    style: StyleModel,
    method: Method | None = None,
    *,
    reference: np.ndarray | None = None,
    named: str = "",
    keep_lightness: bool = False,
) -> Transfer:
    """Measure a slide once and make its way to a style.

    Parameters
    ----------
    method
        How; None takes the style's scanner map where the slide looks like those it is from, and
        else the method that comes closest on this slide (:mod:`.closeness`).
    reference
        uint8 RGB of an image in the wanted colours: the target of macenko and reinhard in place of
        the style's pool; for cnn and lut the global features come from it (the paper's Figure 6),
        and their finish goes towards it.
    named
        What the reference is called.
    keep_lightness
        For cnn and lut: pass lightness through untouched and take the network's colours as they
        are, as the paper does, rather than bring both towards the style's
        (:class:`~napari_pathogan.tasks.stain.finish.Finish`).

    Raises
    ------
    NoTissueError, StainFitError
        If the slide or the reference has no tissue, or (Macenko) not two stains.
    SlideFormatError
        If the slide is grey.
    NoScannerMapError
        For scanner: if the style has none, or there is a reference.
    UnknownScaleError, StyleScaleError
        For cnn and lut: if nobody knows the slide's scale, or it is too coarse for the style.
    """
    pair = _Pair(slide, style, reference, named, keep_lightness=keep_lightness)
    if method is None:
        return pair.closest()
    way = pair.transfer(method)
    return replace(way, measured=pair.measured()[1]) if method in NETWORKS else way


class _Pair:
    """A slide and the colours that it shall have; what all methods need is measured once."""

    def __init__(
        self,
        slide: Slide,
        style: StyleModel | None,
        reference: np.ndarray | None,
        named: str,
        *,
        keep_lightness: bool = False,
    ) -> None:
        self.slide, self.style, self.reference = slide, style, reference
        self.name = style.card.name if style is not None else named
        self.colours_of = named or self.name
        self.keep_lightness = keep_lightness
        need_colours(slide)
        self.mask = tissue_or_field(slide, tissue_mask(slide))
        self.glass = Glass.of(slide, self.mask)

    @cached_property
    def tiles(self) -> list[np.ndarray]:
        """Tiles of tissue at the slide's own scale."""
        return tissue_tiles(self.slide, None, mask=self.mask)

    @cached_property
    def network(self) -> _Painted:
        """Tiles at the style's scale, and what the network makes of them."""
        assert self.style is not None
        _check_scale(self.slide, self.style)
        edge = Colouriser.margin
        side = SAMPLE_PX - 2 * edge
        wide = tissue_tiles(self.slide, self.style.mpp, side, mask=self.mask, margin=edge)
        vector, light, tint = None, self.style.light, self.style.tint
        if self.reference is not None:
            vector = self.style.vector(self.reference)
            light, tint = tissue_quantiles([self.reference]), Tint.of([self.reference])
        inner = np.s_[edge:-edge, edge:-edge]
        seen = [lightness(self.glass.filled(tile)) for tile in wide]
        colours = [self.style.colour(light, vector)[inner] for light in seen]
        tiles = [tile[inner] for tile in wide]
        finish = None if self.keep_lightness else Finish.fit(tiles, colours, light, tint)
        return _Painted(tiles, colours, vector, finish, *student(tiles, colours, finish))

    def transfer(self, method: Method) -> Transfer:
        """The way by one method."""
        if method in {Method.macenko, Method.reinhard}:
            change = _pixelwise(self.tiles, self._target(method))
            way = Transfer(method, self.name, change, notes=self._far(self.tiles))
        elif method == Method.scanner:
            way = self._scanned()
        else:
            made = self.network
            model = self.style if method == Method.cnn else None
            way = Transfer(
                method,
                self.name,
                made.student,
                model,
                made.vector,
                made.finish,
                made.error,
                notes=self._far(made.tiles),
            )
        notes = way.notes
        if self.mask.pen is not None:
            notes = (*notes, f"ink of a pen on {self.slide.name} is left as it is")
        return replace(way, glass=self.glass, colours_of=self.colours_of, notes=notes)

    def _scanned(self) -> Transfer:
        style = self.style
        if style is None or style.scanner is None or self.reference is not None:
            what = "a reference image" if style is None or self.reference is not None else self.name
            msg = f"there is no scanner map to {what}; choose another method or style"
            raise NoScannerMapError(msg)
        map_, notes = style.scanner, []
        own = Reinhard.fit(np.concatenate([tile.reshape(-1, 3) for tile in self.tiles]))
        if not map_.covers(own, style.reinhard):
            notes.append(
                f"{self.slide.name} does not look like the slides of the scanner that {self.name} has "
                f"a map from ({own.distance(map_.source):.0f} Lab units apart; its own patients reach "
                f"{map_.reach:.0f}): look twice at the result"
            )
        if self.slide.mpp is None and style.mpp is not None:
            notes.append(
                f"{self.slide.name} does not say how large its pixels are; {style.mpp:g} um were taken"
            )
        blur = Blur(map_.softening, style_pixels(self.slide, style))
        change = Lut.tabulate(map_)
        return Transfer(Method.scanner, self.name, change, blur=blur, notes=tuple(notes))

    def _target(self, method: Method) -> Macenko | Reinhard:
        if self.reference is not None:
            return (Macenko if method == Method.macenko else Reinhard).fit(self.reference)
        assert self.style is not None
        return self.style.macenko if method == Method.macenko else self.style.reinhard

    @property
    def goal(self) -> Goal:
        """What the slide shall look like."""
        if self.reference is not None:
            return Goal.of([self.reference])
        assert self.style is not None
        return self.style.goal

    def closest(self) -> Transfer:
        """The scanner map if it is meant for the slide, or else the way that comes closest.

        Those that can't be taken are left out.
        """
        map_ = self.style.scanner if self.style is not None and self.reference is None else None
        if map_ is not None and self.style is not None:
            own = Reinhard.fit(np.concatenate([tile.reshape(-1, 3) for tile in self.tiles]))
            if map_.covers(own, self.style.reinhard):
                return replace(self.transfer(Method.scanner), from_scanner=True)
        ways, ranked = self.measured()
        return replace(ways[next(iter(ranked))], measured=ranked)

    def measured(self) -> tuple[dict[Method, Transfer], dict[Method, Closeness]]:
        """The ways that can be taken, and how close each comes, the closest first."""
        ways: dict[Method, Transfer] = {}
        why: PathoganError | None = None
        for method in Method if self.style is not None else (Method.macenko, Method.reinhard):
            try:
                ways[method] = self.transfer(method)
            except (
                StainFitError,
                StyleScaleError,
                UnknownScaleError,
                NoScannerMapError,
            ) as error:
                why = error
        if not ways:
            assert why is not None
            raise why
        goal = self.goal
        tiles, step = self.tiles, (1.0, 1.0)
        if Method.cnn in ways:
            tiles = self.network.tiles
            assert self.style is not None
            apart = style_pixels(self.slide, self.style)
            step = 1 / apart[0], 1 / apart[1]
        glass = replace(self.glass, tissue=None)  # tiles lie on tissue

        def made(way: Transfer) -> list[np.ndarray]:
            soft = tiles if way.blur is None else [way.blur(tile, step) for tile in tiles]
            after = self.network.finished() if way.model else [way.pixelwise(x) for x in soft]
            each = zip(tiles, after, soft, strict=True)
            return [glass.keep(one, other, (0, 0), (1, 1), by) for one, other, by in each]

        each = {
            method: closeness(
                tiles, made(way), goal, smudges=self.network.error if way.model else 0
            )
            for method, way in ways.items()
        }
        return ways, dict(sorted(each.items(), key=lambda item: item[1].distance))

    def _far(self, tiles: Sequence[np.ndarray]) -> tuple[str, ...]:
        """A note on a slide whose colours are unlike all that the style was learned from."""
        style = self.style
        if style is None or self.reference is not None:
            return ()
        own = Reinhard.fit(np.concatenate([tile.reshape(-1, 3) for tile in tiles]))
        distance = own.distance(style.reinhard)
        if distance <= 2 * style.reach:
            return ()
        far = (
            f"the colours of {self.slide.name} are far from those {style.card.name} was learned from "
            f"({distance:.0f} Lab units; its own patients reach {style.reach:.0f}): look twice at the "
            "result"
        )
        return (far,)


@dataclass(frozen=True)
class Blur:
    """The blur of a scanner map on one slide.

    Attributes
    ----------
    softening
        In pixels of the style.
    scale
        Pixels of the style to one of the slide's level 0 (y, x).
    """

    softening: Softening
    scale: Pair

    def __call__(self, image: np.ndarray, step: Pair) -> np.ndarray:
        """Blur uint8 (H, W, 3) of so many level-0 pixels to one."""
        return self.softening(image, self._scale(step))

    def margin(self, step: Pair) -> int:
        """Pixels around a part that its blur looks at."""
        return self.softening.margin(self._scale(step))

    def _scale(self, step: Pair) -> Pair:
        return self.scale[0] * step[0], self.scale[1] * step[1]


class _Painted(NamedTuple):
    """Tiles of a slide, and what a network, its finish and its student make of them."""

    tiles: list[np.ndarray]
    colours: list[np.ndarray]
    vector: torch.Tensor | None
    finish: Finish | None
    student: Lut
    error: float

    def finished(self) -> list[np.ndarray]:
        """The tiles in the network's colours: uint8 (H, W, 3) each."""
        made = []
        for tile, colour in zip(self.tiles, self.colours, strict=True):
            change, own = self.finish(tile, colour) if self.finish else (0, colour)
            made.append(joined(lightness(tile) + change, own, tile))
        return made


def student(
    tiles: Sequence[np.ndarray], colours: Sequence[np.ndarray], finish: Finish | None
) -> tuple[Lut, float]:
    """Distil what a network and a finish made of tiles, as :func:`distil` does.

    A table sees no surroundings, so its curve of lightness is not blurred, and goes less far.
    """
    if finish is None:
        return distil(tiles, colours)
    made = [finish(tile, colour)[1] for tile, colour in zip(tiles, colours, strict=True)]
    return distil(tiles, made, LightCurve.fit(tiles, finish.light.target))


def fit_reference(
    slide: Slide, reference: np.ndarray, method: Method | None, name: str
) -> Transfer:
    """Make a slide's way to the colours of a reference image, uint8 RGB, without a style.

    ``method`` is macenko, reinhard, or None for that of the two which comes closer.

    Raises
    ------
    NoTissueError, StainFitError
        If the slide or the reference has no tissue, or (Macenko) not two stains.
    """
    pair = _Pair(slide, None, reference, name)
    return pair.transfer(method) if method is not None else pair.closest()


def style_pixels(slide: Slide, style: StyleModel) -> Pair:
    """Pixels of a style to one of a slide (y, x); 1 where a scale is not known."""
    if style.mpp is None or slide.mpp is None:
        return 1.0, 1.0
    return slide.mpp[0] / style.mpp, slide.mpp[1] / style.mpp


def _pixelwise(
    tiles: list[np.ndarray], target: Macenko | Reinhard
) -> Callable[[np.ndarray], np.ndarray]:
    pixels = np.concatenate([tile.reshape(-1, 3) for tile in tiles])
    if isinstance(target, Macenko):
        return Macenko.fit(pixels).map_to(target)
    return Lut.tabulate(Reinhard.fit(pixels).map_to(target))


def _check_scale(slide: Slide, style: StyleModel) -> None:
    if style.mpp is None:
        return
    if slide.mpp is None:
        msg = (
            f"{slide.name} does not say how large its pixels are, and the style {style.card.name} "
            f"was learned at {style.mpp:g} um; give the slide's um per pixel, or choose Reinhard"
        )
        raise UnknownScaleError(msg)
    if max(slide.mpp) > style.mpp * SAME:
        msg = (
            f"{slide.name} has {max(slide.mpp):.3g} um per pixel, too coarse for the network of "
            f"{style.card.name}, learned at {style.mpp:g}; choose {', '.join([*_that_fit(slide), 'Macenko'])} or Reinhard"
        )
        raise StyleScaleError(msg)


def _that_fit(slide: Slide) -> list[str]:
    """The styles whose networks can look at a slide, each with its scale: ``the style NAME (0.55 um)``."""
    assert slide.mpp is not None
    cards = [read_card(folder) for folder in find_models("stain").values()]
    return [
        f"the style {card.name} ({card.mpp:g} um)"
        for card in cards
        if card.mpp is not None and max(slide.mpp) <= card.mpp * SAME
    ]
