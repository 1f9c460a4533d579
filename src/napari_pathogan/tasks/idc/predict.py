"""An IDC heat map of a slide, tile by tile: the tissue, its colours, the patches, their context.

Patches are scored exactly as the model was trained and evaluated: 50 px at 4 um/px, each by
itself. Speed comes from reading many at once and from reading while the network computes.
"""

from __future__ import annotations

import math
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy import ndimage

from napari_pathogan.colour.stained import (
    BLANK,
    no_tissue,
    stained_mpp,
    what_was_lost,
    whole_tissue,
)
from napari_pathogan.engine.cells import Block, CellGrid
from napari_pathogan.engine.contents import learnt_from
from napari_pathogan.engine.events import Event, Finished, Progress, Tile, Warn
from napari_pathogan.engine.tiles import waiting_for, work_ahead
from napari_pathogan.errors import NoTissueError, SlideReadError
from napari_pathogan.slides.polygons import asked_for, corner
from napari_pathogan.slides.resolution import FAR_COARSER
from napari_pathogan.tasks.idc.heatmap import HeatMap
from napari_pathogan.tasks.idc.telling import MOST, most_telling

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    import numpy.typing as npt

    from napari_pathogan.colour.slide_colours import SlideColours
    from napari_pathogan.slides.geometry import Region
    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.idc.model import IdcModel

    Cells = npt.NDArray[np.bool_]

MIN_TISSUE = 0.1  # cells with a smaller share of tissue are not scored
BLOCK = 8  # cells per side of what is read and scored at once (fewer with several views)
GPU_READERS = 6  # threads that read for a GPU
COLOUR_SAMPLE = 64  # patches whose pixels stand for the slide's colours
COARSER = 1.25  # a slide this much coarser than the model's scale is warned of
LAYERS = ("probability", "uncertainty")


class Point(NamedTuple):
    """A place on the slide, in level-0 pixels."""

    y: float
    x: float


@dataclass(frozen=True, slots=True, eq=False)
class ScoringPlan:
    """Which cells to score.

    Attributes
    ----------
    grid
        Where they are.
    tissue
        (H, W) float32: share of tissue of each cell.
    wanted
        (H, W) bool: cells of the region that hold tissue.
    context
        (H, W) bool: cells outside of it that are scored for the sake of its context only.
    """

    grid: CellGrid
    tissue: np.ndarray
    wanted: Cells
    context: Cells

    @property
    def all_tissue(self) -> Cells:
        """Cells of the whole slide that hold enough tissue to be scored."""
        enough: Cells = self.tissue >= MIN_TISSUE
        return enough

    @property
    def middle(self) -> Point:
        """Level-0 point in the middle of what is wanted."""
        row, col = np.argwhere(self.wanted).mean(0) + 0.5
        (oy, ox), (sy, sx) = self.grid.origin, self.grid.step
        return Point(oy + row * sy, ox + col * sx)


def heat_map_grid(slide: Slide, model: IdcModel, step_um: float | None = None) -> CellGrid:
    """Lay the grid that :func:`predict` fills, to make a layer before the first tile arrives.

    Raises
    ------
    UnknownScaleError
        If the slide does not say how many um a pixel measures.
    SlideFormatError
        If the slide is grey.
    """
    mpp = stained_mpp(slide)
    return CellGrid.over(
        slide.shape[:2], mpp, patch_px=model.patch_px, mpp=model.mpp, step_um=step_um
    )


def predict(
    slide: Slide,
    model: IdcModel,
    region: Region | None = None,
    *,
    near: Point | tuple[float, float] | None = None,
    polygons: Sequence[np.ndarray] | None = None,
    step_um: float | None = None,
    first_look: bool = False,
    places: int = 0,
) -> Generator[Event, None, None]:
    """Score a slide's tissue; closing the generator cancels within 0.2 s.

    Parameters
    ----------
    slide
        A colour slide of known scale.
    model
        The model to score with.
    region, polygons
        Score only cells whose centre lies in this rectangle, and in one of these (N, 2) polygons
        (y, x), all in level-0 pixels. Colours are the whole slide's all the same, and neighbours
        of the region are scored too, but not shown: its map is that of the whole slide.
    near
        Level-0 point that is scored first; the middle of the region by default.
    step_um
        Distance between cells, 200 um by default (patch beside patch). 100 scores four times as
        many overlapping patches, each with the same neighbours as before, and interleaves them.
    first_look
        Show what the model's small network makes of all of it first, where there is one; the model
        then refines that, tile by tile.
    places
        Name so many cells of the map where an annotation would say most about the rest.

    Yields
    ------
    Event
        ``Progress`` with ETA; ``Tile`` of the layers ``probability`` and ``uncertainty`` (float32,
        NaN where not scored), calibrated patch by patch, as they come (after a first look with
        their neighbours); ``Warn`` on tiles that
        can't be read; at the end both layers once more as one tile each, with the context, and
        ``Finished`` with the :class:`HeatMap`.

    Raises
    ------
    UnknownScaleError, SlideFormatError
        If the slide's scale is not known, or it is grey.
    NoTissueError
        If there is no tissue on the slide or in the region.
    ModelError
        If ``step_um`` does not divide the patch into whole pixels.
    """
    start = time.perf_counter()
    grid = heat_map_grid(slide, model, step_um)
    plan = yield from waiting_for(
        lambda: plan_cells(slide, model, grid, region, polygons), "looking for tissue"
    )
    colours = yield from read_colours(slide, model, plan)
    notes = [*scale_note(slide, model), *colour_note(slide, model, colours)]
    yield from (Warn(note) for note in notes)
    near, looked = near or plan.middle, None
    if first_look and model.fast is not None:
        fast = model.fast
        what = "having a first look at the tissue"
        looked = yield from _score(slide, fast, colours, plan, near=near, what=what)
        yield from _whole(with_context(fast, plan, looked))
    noted = _Noted(_spread(plan.wanted, MOST if places else 0))
    scores = yield from _score(slide, model, colours, plan, near=near, looked=looked, noted=noted)
    damage = what_was_lost(slide)
    yield from (Warn(note) for note in damage if note not in slide.damaged[:1])
    layers = with_context(model, plan, scores)
    yield from _whole(layers)
    asked = asked_for(region, polygons)
    result = as_heat_map(
        slide,
        model,
        plan,
        layers,
        region=asked,
        notes=(*notes, *damage),
        telling=noted.best(model, places),
    )
    yield Finished(result, result.summary() | {"seconds": time.perf_counter() - start})


def as_heat_map(
    slide: Slide,
    model: IdcModel,
    plan: ScoringPlan,
    layers: np.ndarray,
    *,
    region: Region | None,
    notes: tuple[str, ...],
    telling: np.ndarray,
) -> HeatMap:
    """Give what a model says of a slide's cells (2, H, W) its place and where it came from.

    ``telling`` (N, 2) are the cells where an annotation would say most.
    """
    assert slide.mpp is not None
    card, (probability, uncertainty) = model.card, layers
    known = learnt_from(card, slide.name, slide.imprint.digest if card.tells_images else "")
    made = f"{card.title} ({model.refitted})" if model.refitted else card.title
    return HeatMap(
        probability=plan.grid.overlay(probability),
        uncertainty=plan.grid.overlay(uncertainty),
        tissue=plan.grid.overlay(plan.tissue),
        mpp=slide.mpp,
        mpp_source=slide.mpp_source,
        threshold=model.context_threshold,
        model=card.name,
        model_line=f"{made}, weights {card.sha256[:12]}. {card.intended_use}",
        model_sha256=card.sha256,
        slide=slide.name,
        region=region,
        notes=tuple(filter(None, (slide.synthetic, known, *notes))),
        imprint=slide.imprint,
        origin=corner(slide),
        refitted=model.refitted,
        telling=tuple((row, col) for row, col in telling.tolist()),
    )


class _Noted:
    """What a network sees of some cells (bool (H, W)), which says where an annotation would say most."""

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        self._where: list[np.ndarray] = []
        self._figures: list[np.ndarray] = []
        self._logits: list[np.ndarray] = []

    def add(self, block: Block, logits: np.ndarray, figures: np.ndarray | None) -> None:
        """Note those of a block; logits (N, V), figures (N, F) or None where none of it is asked for."""
        if figures is not None:
            own = self.cells[tuple(block.cells.T)] & np.isfinite(logits).all(-1)
            self._where.append(block.cells[own])
            self._figures.append(figures[own].astype(np.float16))
            self._logits.append(logits[own].mean(-1))

    def best(self, model: IdcModel, n: int) -> np.ndarray:
        """So many cells, the best first: (N, 2)."""
        if not self._where:
            return np.zeros((0, 2), int)
        where, figures, logits = map(np.concatenate, (self._where, self._figures, self._logits))
        cells: np.ndarray = where[most_telling(model, figures, logits, np.zeros(0, int), n)]
        return cells


def plan_cells(
    slide: Slide,
    model: IdcModel,
    grid: CellGrid,
    region: Region | None,
    polygons: Sequence[np.ndarray] | None,
) -> ScoringPlan:
    """Find the tissue and choose what to score."""
    tissue = whole_tissue(slide).coverage(grid.origin, grid.step, grid.shape)
    enough = tissue >= MIN_TISSUE
    if not enough.any():
        assert slide.mpp is not None
        sides = [n * mpp for n, mpp in zip(slide.shape, slide.mpp, strict=True)]
        patch = model.patch_px * model.mpp
        if min(sides) < patch:
            msg = (
                f"{slide.name} measures {sides[1]:.0f} x {sides[0]:.0f} um, but {model.card.name} looks at "
                f"patches of {patch:.0f} um, which don't fit in; choose a larger image"
            )
            raise NoTissueError(msg)
        raise no_tissue(slide, in_region=False)
    wanted = enough & grid.inside(region, polygons)
    if not wanted.any():
        raise no_tissue(slide, in_region=True)
    reach = 2 * model.context_cells * grid.phases + 1
    near = ndimage.binary_dilation(wanted, np.ones((reach, 1), bool))
    near = ndimage.binary_dilation(near, np.ones((1, reach), bool))
    context = near & enough & ~wanted
    return ScoringPlan(grid, tissue, wanted, context)


def _spread(cells: Cells, count: int) -> Cells:
    """Pick ``count`` cells evenly; all where there are fewer."""
    index = np.flatnonzero(cells)
    chosen = np.zeros(cells.size, bool)
    if len(index):
        chosen[index[np.linspace(0, len(index) - 1, min(count, len(index))).astype(int)]] = True
    return chosen.reshape(cells.shape)


def read_block(slide: Slide, grid: CellGrid, block: Block) -> np.ndarray:
    """Read a block; (N, P, P, 3) uint8, one patch a cell."""
    origin, size = grid.place(block)
    return grid.cut(block, slide.resampled(origin, grid.downsample, size, parallel=False))


def read_colours(
    slide: Slide, model: IdcModel, plan: ScoringPlan
) -> Generator[Event, None, SlideColours]:
    """Learn the slide's colours from patches all over its tissue."""
    cells = np.argwhere(_spread(plan.all_tissue, COLOUR_SAMPLE))
    pixels = []
    progress = Progress(0, int(plan.wanted.sum()), "reading the slide's colours")
    yield progress

    def read(cell: np.ndarray) -> np.ndarray:
        return read_block(slide, plan.grid, Block(cell[None])).reshape(-1, 3)

    with closing(work_ahead(read, cells, threads=threads_of(model))) as reads:
        for done in reads:
            yield progress
            if done is not None:
                pixels.append(done[1])
    return model.colours(np.concatenate(pixels))


def _score(
    slide: Slide,
    model: IdcModel,
    colours: SlideColours,
    plan: ScoringPlan,
    *,
    near: tuple[float, float],
    looked: np.ndarray | None = None,
    what: str = "scoring the tissue",
    noted: _Noted | None = None,
) -> Generator[Event, None, np.ndarray]:
    """Score what the plan asks for, a block after another: float32 (H, W, V), NaN elsewhere.

    What was ``looked`` at before (H, W, V) are the neighbours of what is shown meanwhile. What the network sees is
    ``noted`` where that is asked for.
    """
    scores = np.full((*plan.grid.shape, model.views), np.nan, np.float32)
    if looked is not None:
        scores[:] = looked
    grid, side = plan.grid, max(2, round(BLOCK / math.sqrt(model.views)))
    blocks = grid.blocks(plan.wanted, side, near) + grid.blocks(plan.context, side, near)

    def score(block: Block) -> tuple[np.ndarray, np.ndarray | None]:
        patches, at = read_block(slide, grid, block), tuple(block.cells.T)
        if noted is not None and noted.cells[at].any():
            logits, figures = model.looked(patches, colours)
        else:
            logits, figures = model.logits(patches, colours), None
        if slide.damaged:
            logits[lost(patches, plan.tissue[at])] = np.nan
        return logits, figures

    start, done, total = time.perf_counter(), 0, sum(len(block.cells) for block in blocks)
    progress, warned = Progress(0, total, what), looked is not None
    with closing(work_ahead(score, blocks, threads=threads_of(model))) as work:
        for finished in work:
            if finished is not None:
                block, (logits, figures) = finished
                if noted is not None:
                    noted.add(block, logits, figures)
                scores[tuple(block.cells.T)] = logits
                if slide.damaged and not warned:
                    warned = True
                    yield Warn(slide.damaged[0])
                if looked is None:
                    yield from _tiles(model, plan, logits, block)
                else:
                    yield from _refined(model, plan, scores, block)
                done += len(logits)
                eta = (time.perf_counter() - start) / done * (total - done)
                progress = Progress(done, total, what, eta)
            yield progress
    return scores


def threads_of(model: IdcModel) -> int:
    """Blocks worked on at once: one a core; for a GPU, enough to keep reading ahead of it."""
    return torch.get_num_threads() if model.device.torch.type == "cpu" else GPU_READERS


def lost(patches: np.ndarray, tissue: np.ndarray) -> Cells:
    """(N,) bool: patches whiter than their share of tissue allows, as lost tiles are left."""
    white = (patches == BLANK).all(-1).mean((1, 2))
    lost: Cells = white > 1 - tissue + 0.1
    return lost


def _tiles(model: IdcModel, plan: ScoringPlan, logits: np.ndarray, block: Block) -> Iterator[Tile]:
    """What is to be shown of a block, calibrated patch by patch; nothing of the context."""
    if plan.wanted[tuple(block.cells[0])]:
        row, col = block.corner
        shown = np.full((*block.shape, model.views), np.nan, np.float32)
        shown[tuple((block.cells - block.corner).T)] = logits
        for name, values in zip(LAYERS, model.probability(shown), strict=True):
            yield Tile(name, row, col, values)


def _refined(
    model: IdcModel, plan: ScoringPlan, scores: np.ndarray, block: Block
) -> Iterator[Tile]:
    """What is to be shown of a block with its neighbours, which may wait for their turn yet."""
    wanted = plan.wanted[tuple(block.cells.T)]
    if not wanted.any():
        return
    (row, col), (rows, cols), phases = block.corner, block.shape, plan.grid.phases
    reach = model.context_cells * phases
    top, left = (max(0, first - reach) // phases * phases for first in (row, col))
    layers = _mixed(model, plan, scores[top : row + rows + reach, left : col + cols + reach])
    shown = np.full((2, rows, cols), np.nan, np.float32)
    own, there = (block.cells - first for first in (block.corner, (top, left)))
    shown[:, *own[wanted].T] = layers[:, *there[wanted].T]
    for name, values in zip(LAYERS, shown, strict=True):
        yield Tile(name, row, col, values)


def _whole(layers: np.ndarray) -> Iterator[Tile]:
    """Both layers, as one tile each."""
    yield from (Tile(name, 0, 0, cells) for name, cells in zip(LAYERS, layers, strict=True))


def with_context(model: IdcModel, plan: ScoringPlan, scores: np.ndarray) -> np.ndarray:
    """Probability and uncertainty (2, H, W) of the wanted cells, each with its neighbours."""
    keep = np.isfinite(scores).all(-1) & plan.wanted
    if not keep.any():
        msg = "none of the tiles that hold tissue can be read; copy the slide anew"
        raise SlideReadError(msg)
    layers = _mixed(model, plan, scores)
    layers[:, ~keep] = np.nan
    return layers


def _mixed(model: IdcModel, plan: ScoringPlan, scores: np.ndarray) -> np.ndarray:
    """Scores (H, W, V), whose corner is of the first phase, with their neighbours: (2, H, W)."""
    layers = np.full((2, *scores.shape[:2]), np.nan, np.float32)
    for phase in plan.grid.phase_slices():
        if scores[phase].size:
            layers[:, *phase] = model.heat_map(scores[phase])
    return layers


def colour_note(slide: Slide, model: IdcModel, colours: SlideColours) -> list[str]:
    """A warning, with figures, if the slide's colours are unlike those of the training."""
    said = model.far(colours)
    return [f"{slide.name}: {said}"] if said else []


def scale_note(slide: Slide, model: IdcModel) -> list[str]:
    """Warnings if the slide is coarser than what the model was trained on, or smaller than one patch of it."""
    assert slide.mpp is not None
    notes, patch_um = [], model.patch_px * model.mpp
    height, width = (px * mpp for px, mpp in zip(slide.shape, slide.mpp, strict=True))
    if min(height, width) < patch_um:
        notes.append(
            f"{slide.name} is {height:.0f} x {width:.0f} um, and a cell of the map {patch_um:.0f}: too small a "
            "field to say what share of it is IDC"
        )
    coarsest = max(slide.mpp)
    if coarsest <= COARSER * model.mpp:
        return notes
    note = (
        f"{slide.name} has {coarsest:.3g} um per pixel, but the model was trained at "
        f"{model.mpp:.3g}: details it looks for are lost, so don't rely on this map"
    )
    if (times := coarsest / model.mpp) > FAR_COARSER:
        note += f". That is {times:.0f} times as coarse: is that scale right?"
    return [*notes, note]
