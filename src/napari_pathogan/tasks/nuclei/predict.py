"""Nuclei of a slide, tile by tile: each exactly once, as if there were no tiles.

A tile has a core and a margin, as wide as the network sees and half a nucleus more, and begins
where pooling of the whole slide would begin; so what is found in its core does not depend on the
tile. A nucleus belongs to the tile in whose core its centroid lies.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_pathogan.colour.stained import BLANK, what_was_lost
from napari_pathogan.engine.events import Event, Finished, Progress, Warn
from napari_pathogan.engine.tiles import waiting_for, work_ahead
from napari_pathogan.errors import SlideReadError
from napari_pathogan.slides.polygons import asked_for, corner
from napari_pathogan.slides.resolution import FAR_COARSER
from napari_pathogan.tasks.nuclei import features
from napari_pathogan.tasks.nuclei.foreign import foreign
from napari_pathogan.tasks.nuclei.grid import ALIGN, CELL, Box
from napari_pathogan.tasks.nuclei.harvest import Harvest, TileNuclei
from napari_pathogan.tasks.nuclei.plan import REACH_UM, SearchPlan, label_grid, make_plan
from napari_pathogan.tasks.nuclei.segmentation import NUCLEUS, NUCLEUS_COLOUR, Segmentation
from napari_pathogan.tasks.nuclei.segmenter import Segmenter, UNetSegmenter
from napari_pathogan.tasks.nuclei_classes.crops import cut_from_slide, stain_around
from napari_pathogan.tasks.nuclei_classes.naming import Naming

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import numpy.typing as npt

    from napari_pathogan.slides.geometry import Region
    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.nuclei_classes.model import ClassModel
    from napari_pathogan.tasks.nuclei_classes.stain import Stain

__all__ = ["Segmenter", "UNetSegmenter", "label_grid", "segment"]

GPU_READERS = 4  # threads that read for a GPU
SLACK_PX = 2  # a nucleus this near to a core's edge is claimed from both sides, and kept once
SAMPLE, SAMPLE_PX = 64, 128  # places whose pixels stand for the slide's colours
_ONE_CLASS = Naming((NUCLEUS,), (NUCLEUS_COLOUR,), "")
COARSER = 1.25  # a slide this much coarser than the model's scale is warned of


def segment(
    slide: Slide,
    segmenter: Segmenter,
    region: Region | None = None,
    *,
    polygons: Sequence[np.ndarray] | None = None,
    classifier: ClassModel | None = None,
    tissue: str = "",
    near: tuple[float, float] | None = None,
) -> Generator[Event, None, None]:
    """Find the nuclei in a slide's tissue; closing the generator cancels within 0.2 s.

    Parameters
    ----------
    slide
        A colour slide of known scale.
    segmenter
        What finds nuclei in an image, such as :class:`UNetSegmenter`.
    region, polygons
        Only nuclei whose centroid lies in this rectangle, and in one of these (N, 2) polygons
        (y, x), all in level-0 pixels. They are the same as those of the whole slide.
    classifier
        Says the class of each nucleus.
    tissue
        The organ, as the user says: classes that were checked on it have their names, others are
        called group A, B, ... (:mod:`~napari_pathogan.tasks.nuclei_classes.naming`).
    near
        Level-0 point that somebody looks at: a small piece around it comes first, then the tiles
        nearest to it. Without it, tiles come from the middle of the region on.

    Yields
    ------
    Event
        ``Progress`` with ETA; ``Tile`` of the layers ``nuclei`` (int32 ids) and ``classes`` (uint8
        as :meth:`Segmentation.lut`), as they come: all that is there so far in that rectangle of
        the labels, whose place :func:`label_grid` tells; ``Warn`` on tiles that can't be read; and
        ``Finished`` with the :class:`Segmentation`.

    Raises
    ------
    UnknownScaleError, SlideFormatError
        If the slide's scale is not known, or it is grey.
    NoTissueError
        If there is no tissue on the slide or in the region, or the region is beyond the slide.
    """
    start = time.perf_counter()
    grid = label_grid(slide, segmenter, region, polygons=polygons)
    plan = yield from waiting_for(
        lambda: make_plan(slide, grid, region, polygons), "looking for tissue"
    )
    notes = _scale_note(slide, segmenter)
    yield from (Warn(note) for note in notes)
    look = yield from waiting_for(
        lambda: _Look.at(slide, segmenter, plan, classifier, tissue), "reading the slide's colours"
    )
    harvest = Harvest(grid, look.mpp, look.naming.names)
    try:
        yield from _fill(look, harvest, near)
        damage = what_was_lost(slide)
        yield from (Warn(note) for note in damage if note not in slide.damaged[:1])
        result = _segmentation(look, harvest, segmenter, (*notes, *damage))
    except BaseException:
        harvest.canvas.close()
        raise
    yield Finished(result, result.summary() | {"seconds": time.perf_counter() - start})


def _segmentation(
    look: _Look, harvest: Harvest, segmenter: Segmenter, notes: tuple[str, ...]
) -> Segmentation:
    slide, plan, classifier = look.slide, look.plan, look.classifier
    if harvest.area_mm2 <= 0:
        msg = f"none of the tiles of {slide.name} that hold tissue can be read; copy the slide anew"
        raise SlideReadError(msg)
    return Segmentation(
        slide=slide.name,
        overlay=plan.grid.overlay(harvest.canvas.labels),
        table=harvest.table(),
        boxes=harvest.boxes(),
        mpp=look.mpp,
        area_mm2=harvest.area_mm2,
        class_names=look.naming.names,
        class_colours=look.naming.colours,
        class_note=look.naming.note,
        tissue=look.tissue,
        mpp_source=slide.mpp_source,
        model=segmenter.name,
        model_line=segmenter.line,
        model_sha256=segmenter.sha256,
        class_model=classifier.card.name if classifier else "",
        region=asked_for(plan.region, plan.polygons),
        polygons=None if plan.polygons is None else tuple(plan.polygons),
        notes=(slide.synthetic, *notes) if slide.synthetic else notes,
        imprint=slide.imprint,
        origin=corner(slide),
        room=harvest.canvas.room,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """What the threads need to look at a tile."""

    slide: Slide
    mpp: tuple[float, float]
    segmenter: Segmenter
    plan: SearchPlan
    classifier: ClassModel | None
    stain: Stain | None
    tissue: str
    naming: Naming

    @classmethod
    def at(
        cls,
        slide: Slide,
        segmenter: Segmenter,
        plan: SearchPlan,
        classifier: ClassModel | None,
        tissue: str,
    ) -> _Look:
        """Learn the slide's colours from places all over its tissue, as far as they are needed."""
        assert slide.mpp is not None
        places = plan.places(SAMPLE)
        tuned = segmenter.tuned(lambda: cut_from_slide(slide, places, segmenter.mpp, SAMPLE_PX))
        stain = stain_around(slide, places, classifier.mpp) if classifier else None
        naming = classifier.naming(tissue, slide.mpp) if classifier else _ONE_CLASS
        return cls(slide, slide.mpp, tuned, plan, classifier, stain, tissue, naming)

    def __call__(self, core: Box) -> TileNuclei:
        """Find the nuclei of a core."""
        grid = self.plan.grid
        margin = self.segmenter.margin_px + round(REACH_UM / self.segmenter.mpp)
        outer = grid.around(core, -(-margin // ALIGN) * ALIGN)
        origin = grid.place(outer.top, outer.left)
        image = self.slide.resampled(origin, grid.downsample, outer.shape, parallel=False)
        area = self._area(core, _inner(image, outer, core))
        labels = self.segmenter.labels(image)
        nuclei = ~foreign(labels, image, grid.pixel_um2(self.mpp))
        labels = self._owned(labels, nuclei, core, outer)
        held = _around_all(labels, outer, grid.window)
        labels, image = _inner(labels, outer, held), _inner(image, outer, held)
        table = features.measure(labels, image, grid.pixel_um2(self.mpp))
        top, left = held.top - grid.corner[0], held.left - grid.corner[1]
        centres = grid.centres(table[["y", "x"]].to_numpy() + held[:2])
        return TileNuclei(top, left, labels, image, table, self._classes(centres), area)

    def _owned(
        self, labels: np.ndarray, nuclei: np.ndarray, core: Box, outer: Box
    ) -> npt.NDArray[np.int32]:
        """The nuclei that belong to the core, numbered 1 to n; ``nuclei`` says which labels are."""
        flat = labels.ravel()
        count = np.bincount(flat)
        index = np.ogrid[: labels.shape[0], : labels.shape[1]]
        sums = [np.bincount(flat, np.broadcast_to(i, labels.shape).ravel()) for i in index]
        centroids = np.stack(sums, 1) / np.maximum(count, 1)[:, None] + outer[:2]
        low, high = np.array(core[:2]) - SLACK_PX, np.array(core[2:]) - 1 + SLACK_PX
        own = (count > 0) & nuclei & ((centroids >= low) & (centroids <= high)).all(1)
        own &= self.plan.counts(self.plan.grid.centres(centroids))
        own[0] = False
        number = np.where(own, np.cumsum(own), 0).astype(np.int32)
        owned: npt.NDArray[np.int32] = number[labels]
        return owned

    def _classes(self, centres: np.ndarray) -> np.ndarray:
        """(N, C): probability of each class."""
        if self.classifier is None:
            return np.full((len(centres), 1), np.nan, np.float32)
        model = self.classifier
        crops = cut_from_slide(self.slide, centres, model.mpp, model.crop_px)
        return model.probability(crops, self.stain)

    def _area(self, core: Box, image: np.ndarray) -> float:
        """Tissue in mm2 that was looked at, without what can't be read (which is left blank)."""
        looked = self.plan.looked_in(core)
        if not self.slide.damaged:
            return float(looked.sum())
        height, width = looked.shape
        blank = np.zeros((height * CELL, width * CELL), bool)
        blank[: image.shape[0], : image.shape[1]] = (image == BLANK).all(2)
        lost = blank.reshape(height, CELL, width, CELL).mean((1, 3)) * self.plan.cell_mm2
        return float(np.maximum(looked - lost, 0).sum())


def _fill(
    look: _Look, harvest: Harvest, near: tuple[float, float] | None
) -> Generator[Event, None, None]:
    """Look at all tiles, those nearest to a level-0 point first, and before them at a piece there."""
    on_cpu = look.segmenter.device.torch.type == "cpu"
    threads = torch.get_num_threads() if on_cpu else GPU_READERS
    cores = look.plan.cores(near or look.plan.middle, threads)
    piece = look.plan.first(near) if near else None
    start, what = time.perf_counter(), "looking for nuclei"
    progress, warned = Progress(0, len(cores), what), False
    with closing(work_ahead(look, [piece, *cores] if piece else cores, threads=threads)) as work:
        for done in work:
            if done is not None and done[0] is piece:  # its tile brings it again, and its area
                yield from harvest.add(done[1]._replace(area_mm2=0.0))
            elif done is not None:
                yield from harvest.add(done[1])
                if look.slide.damaged and not warned:
                    warned = True
                    yield Warn(look.slide.damaged[0])
                count = progress.done + 1
                eta = (time.perf_counter() - start) / count * (len(cores) - count)
                progress = Progress(count, len(cores), what, eta)
            yield progress


def _inner(image: np.ndarray, outer: Box, inner: Box) -> np.ndarray:
    """The part of an image of ``outer`` that lies in ``inner``."""
    rows = slice(inner.top - outer.top, inner.bottom - outer.top)
    return image[rows, inner.left - outer.left : inner.right - outer.left]


def _around_all(labels: np.ndarray, outer: Box, window: Box) -> Box:
    """The rectangle around all nuclei, as far as the window goes; empty where there are none."""
    spans = []
    for axis in (0, 1):
        held = np.flatnonzero(labels.any(1 - axis)) + outer[axis]
        low, high = window[axis], window[axis + 2]
        spans.append((max(held[0], low), min(held[-1] + 1, high)) if len(held) else (low, low))
    (top, bottom), (left, right) = spans
    return Box(int(top), int(left), int(bottom), int(right))


def _scale_note(slide: Slide, segmenter: Segmenter) -> list[str]:
    """A warning if the slide is coarser than what the model was trained on."""
    assert slide.mpp is not None
    coarsest = max(slide.mpp)
    if coarsest <= COARSER * segmenter.mpp:
        return []
    times = coarsest / segmenter.mpp
    far = times > FAR_COARSER
    note = (
        f"{slide.name} has {coarsest:.3g} um per pixel and is enlarged {f'{times:.0f} times ' * far}to "
        f"the model's {segmenter.mpp:.3g}: small nuclei may be missed, and outlines are less exact"
        f"{'. Is that scale right?' * far}"
    )
    return [note]
