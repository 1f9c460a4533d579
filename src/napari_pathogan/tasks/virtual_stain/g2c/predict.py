"""A slide's map: every patch of tissue classified, and which stain had a say in it."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_pathogan.colour.stained import no_tissue, stained_mpp, what_was_lost, whole_tissue
from napari_pathogan.engine.cells import Block, CellGrid
from napari_pathogan.engine.events import Event, Finished, Progress, Tile, Warn
from napari_pathogan.engine.pictures import COLOURS, drawn, overview
from napari_pathogan.engine.tiles import waiting_for, work_ahead
from napari_pathogan.errors import ModelError
from napari_pathogan.tasks.virtual_stain.g2c.explain import Contributions, contributions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_pathogan.slides.geometry import Overlay, Region
    from napari_pathogan.slides.imprint import Imprint
    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.virtual_stain.g2c.model import G2CModel

MIN_TISSUE = 0.1  # cells with a smaller share of tissue are not looked at
BLOCK = 4  # cells per side of what is read and looked at at once
_BLOCK_ON_CPU = (
    2  # the same: what is under way when it is cancelled takes a core some tenths of a second
)
PROBABILITY, CHANGED = LAYERS = ("probability", "changed")


@dataclass(frozen=True, eq=False)
class ClassMap:
    """What a model says of a slide.

    Attributes
    ----------
    probability
        float32 (H, W): of the last class, as the model has it; NaN where it did not look.
    changed
        float32 (H, W): 1 where a virtual stain changes what the slide's own says, else 0.
    cells
        int (N, 2): row and column of those it looked at.
    said
        What it says of them, in their order, stain by stain.
    slide, model
        Their names.
    mpp, imprint
        Of the slide: um per pixel (y, x), and what tells it from others of its name.
    """

    probability: Overlay
    changed: Overlay
    cells: np.ndarray
    said: Contributions
    slide: str
    model: str
    mpp: tuple[float, float]
    imprint: Imprint | None = None

    @property
    def text(self) -> str:
        """Its result in a sentence or two."""
        counts = np.bincount(self.said.decision, minlength=len(self.said.classes))
        shares = (f"{n} of {len(self.cells)} patches are {name}"
                  for name, n in zip(self.said.classes, counts, strict=True))  # fmt: skip
        other = int((self.said.decision != self.said.source_alone).sum())
        stains = ", ".join(self.said.stains[1:])
        by = f"; virtual {stains} changed {other} of these decisions" if stains else ""
        return f"{', '.join(shares)}{by}. Research use only."


def predict(slide: Slide, model: G2CModel, *, region: Region | None = None) -> Iterator[Event]:
    """Look at all patches of a slide's tissue, or of a region; closing the generator cancels.

    Patches are cut beside each other at the scale and size that the model learnt from.

    Yields
    ------
    ``Progress``; ``Tile`` of the layers ``probability`` and ``changed`` as they come; ``Warn`` on
    what can't be read; ``Finished`` with a :class:`ClassMap`.

    Raises
    ------
    ModelError
        If the model does not say at what scale it looks.
    UnknownScaleError, SlideFormatError
        If the slide's scale is not known, or it is grey.
    NoTissueError
        If there is no tissue in the region, or no patch fits into it.
    """
    card, start = model.card, time.perf_counter()
    if card.mpp is None or card.patch_px is None:
        msg = (
            f"{card.name} does not know how large its patches are, so it can't look at slides; train it "
            "with --patch-mpp on patches of one size"
        )
        raise ModelError(msg)
    grid = CellGrid.over(slide.shape[:2], stained_mpp(slide), patch_px=card.patch_px, mpp=card.mpp)
    tissue = yield from waiting_for(
        lambda: whole_tissue(slide).coverage(grid.origin, grid.step, grid.shape),
        "looking for tissue",
    )
    wanted = (tissue >= MIN_TISSUE) & grid.inside(region)
    if not wanted.any():
        raise no_tissue(slide, in_region=region is not None)
    probability, changed = (np.full(grid.shape, np.nan, np.float32) for _ in LAYERS)
    middle = grid.origin + (np.argwhere(wanted).mean(0) + 0.5) * grid.step
    on_cpu = model.device.torch.type == "cpu"
    blocks = grid.blocks(
        wanted, _BLOCK_ON_CPU if on_cpu else BLOCK, (float(middle[0]), float(middle[1]))
    )

    def look(block: Block) -> Contributions:
        origin, size = grid.place(block)
        pixels = slide.resampled(origin, grid.downsample, size, parallel=False)
        return contributions(model, list(grid.cut(block, pixels)))

    threads = torch.get_num_threads() if on_cpu else 2
    done: list[tuple[np.ndarray, Contributions]] = []
    total, count, what = int(wanted.sum()), 0, f"looking at {len(model.stains)} stains"
    progress = Progress(0, total, what)
    with closing(work_ahead(look, blocks, threads=threads)) as work:
        for finished in work:
            if finished is not None:
                block, said = finished
                at = tuple(block.cells.T)
                probability[at] = model.probability(said.logits)[:, -1]
                changed[at] = said.decision != said.source_alone
                done.append((block.cells, said))
                yield from _tiles(block, probability, changed)
                count += len(block.cells)
                eta = (time.perf_counter() - start) / count * (total - count)
                progress = Progress(count, total, what, eta)
            yield progress
    yield from (Warn(note) for note in what_was_lost(slide))
    result = ClassMap(
        grid.overlay(probability),
        grid.overlay(changed),
        np.concatenate([cells for cells, _ in done]),
        _together([said for _, said in done]),
        slide.name,
        card.name,
        stained_mpp(slide),
        slide.imprint,
    )
    counts = np.bincount(result.said.decision, minlength=len(model.classes)).tolist()
    summary = {"slide": slide.name, "model": card.name, "stains": list(model.stains),
               "patches": dict(zip(model.classes, counts, strict=True))}  # fmt: skip
    yield Finished(result, {**summary, "text": result.text})


def _tiles(block: Block, probability: np.ndarray, changed: np.ndarray) -> Iterator[Tile]:
    (row, col), (rows, cols) = block.corner, block.shape
    for name, whole in zip(LAYERS, (probability, changed), strict=True):
        yield Tile(name, row, col, whole[row : row + rows, col : col + cols].copy())


def _together(parts: list[Contributions]) -> Contributions:
    first = parts[0]
    logits, own = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("logits", "parts")
    )
    return Contributions(first.stains, first.classes, logits, own, first.baseline)


def picture(slide: Slide, result: ClassMap, px: int) -> np.ndarray:
    """The slide with a dot in the middle of each patch, in the colour of its class."""
    middles = result.probability.origin + (result.cells + 0.5) * result.probability.step
    decision = result.said.decision
    dots = (
        (middles[decision == k], COLOURS[k % len(COLOURS)]) for k in range(len(result.said.classes))
    )
    return drawn(overview(slide, px), slide.shape, dots=dots)
