"""An IDC model refitted to what was annotated on slides: from outlines to a new head and its map.

The trunk looks at each patch once; what it saw is kept while the reader draws, so that a new head and
the map of the whole section cost well under a second. Patches are those of the heat map's grid, in
the slide's colours as the map carries them. What was annotated is said of the cells that were drawn
around and of no others: a part that nobody drew around counts as nothing.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.special import expit, logit

from napari_pathogan.annotations import outlines
from napari_pathogan.annotations.classes import class_notes
from napari_pathogan.annotations.outlines import beyond
from napari_pathogan.annotations.store import AnnotationStore
from napari_pathogan.engine.cells import CellGrid
from napari_pathogan.engine.events import Event, Progress
from napari_pathogan.engine.refit import AROUND, WEIGHT, balanced, refit
from napari_pathogan.engine.tiles import waiting_for, work_ahead
from napari_pathogan.errors import DataFolderError, ModelError
from napari_pathogan.slides.polygons import asked_for
from napari_pathogan.slides.tissue import tissue_mask
from napari_pathogan.tasks.idc import TASK, telling
from napari_pathogan.tasks.idc.annotated import disagreements, labelled_cells
from napari_pathogan.tasks.idc.data import CLASSES, MPP, PATCH_PX, UNLABELLED
from napari_pathogan.tasks.idc.frozen import FrozenHead
from napari_pathogan.tasks.idc.heatmap import AFTER_ANNOTATIONS, AFTER_FIT
from napari_pathogan.tasks.idc.predict import (
    BLOCK,
    MIN_TISSUE,
    as_heat_map,
    colour_note,
    heat_map_grid,
    lost,
    plan_cells,
    read_block,
    read_colours,
    scale_note,
    threads_of,
    with_context,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_pathogan.annotations.geojson import Annotation
    from napari_pathogan.annotations.merging import Known
    from napari_pathogan.engine.refit import Past
    from napari_pathogan.slides.geometry import Region
    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.idc.calibrate import Calibration
    from napari_pathogan.tasks.idc.heatmap import HeatMap
    from napari_pathogan.tasks.idc.model import IdcModel
    from napari_pathogan.tasks.idc.predict import ScoringPlan

KIND = "IDC annotations"
_SURE = (1e-3, 1 - 1e-3)  # probabilities, as far as they are told apart
_FLAT = 1e-9
MOST = 500  # patches of a slide that are not annotated and learnt from all the same


@dataclass(frozen=True, eq=False)
class AnnotatedCells:
    """What was annotated on a slide.

    Attributes
    ----------
    labels, owners
        As :func:`.annotated.labelled_cells` gives them.
    outlines
        The outlines.
    counted
        Class -> what it counts as.
    notes
        What the user should know, a sentence each.
    """

    labels: np.ndarray
    owners: np.ndarray
    outlines: tuple[Annotation, ...]
    counted: Mapping[str, str]
    notes: tuple[str, ...] = ()

    def count(self, label: int) -> int:
        """Patches of a class."""
        return int((self.labels == label).sum())


@dataclass(frozen=True, eq=False)
class SlideFeatures:
    """What a model's trunk sees of a slide's cells.

    Attributes
    ----------
    plan
        The cells; those in ``where`` were looked at.
    where
        int64 (N, 2): row and column of each.
    figures
        float16 (N, F), as the network gives them; NaN where the slide can't be read.
    region, polygons, notes
        As a heat map has them.
    """

    plan: ScoringPlan
    where: np.ndarray
    figures: np.ndarray
    region: Region | None = None
    notes: tuple[str, ...] = ()

    def at(self, cells: np.ndarray) -> np.ndarray:
        """Which rows are of cells (M, 2); -1 for those that were not looked at."""
        index = np.full(self.plan.grid.shape, -1)
        index[tuple(self.where.T)] = np.arange(len(self.where))
        index[tuple(self.where[~np.isfinite(self.figures[:, 0])].T)] = -1
        found: np.ndarray = index[tuple(cells.T)]
        return found

    def layers(self, model: IdcModel) -> np.ndarray:
        """Probability and uncertainty (2, H, W) by a model of the same trunk, with the neighbours."""
        scores = np.full((*self.plan.grid.shape, 1), np.nan, np.float32)
        scores[tuple(self.where.T)] = logits(model, self.figures)[:, None]
        layers: np.ndarray = with_context(model, self.plan, scores)
        return layers

    def map(
        self, slide: Slide, model: IdcModel, known: np.ndarray | None = None, places: int = 0
    ) -> HeatMap:
        """The heat map by a model of the same trunk.

        Parameters
        ----------
        known
            (M,): rows that are annotated; none by default.
        places
            So many cells, of those where an annotation would say most, are named in it.
        """
        nothing = np.zeros(0, int)
        rows = nothing
        if places:
            rows = most_telling(model, self, nothing if known is None else known, places)
        return as_heat_map(
            slide, model, self.plan, self.layers(model), region=self.region, notes=self.notes,
            telling=self.where[rows],
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class AnnotatedFeatures:
    """A slide that was looked at, and which of its patches are annotated.

    Attributes
    ----------
    seen
        All that was looked at.
    rows, labels
        (N,): which of it, 0 healthy or 1 IDC.
    groups
        (N,): which patches belong together, as numbers.
    """

    seen: SlideFeatures
    rows: np.ndarray
    labels: np.ndarray
    groups: np.ndarray

    def take(self, which: np.ndarray) -> AnnotatedFeatures:
        """With some of the annotated patches alone."""
        return AnnotatedFeatures(
            self.seen, self.rows[which], self.labels[which], self.groups[which]
        )

    @property
    def figures(self) -> np.ndarray:
        """Of the annotated patches: (N, F)."""
        figures: np.ndarray = self.seen.figures[self.rows]
        return figures


def store(slide: Path) -> AnnotationStore:
    """Where what is annotated for IDC on a slide lies."""
    assert TASK.retraining is not None
    return AnnotationStore(slide, TASK.retraining.suffix)


def write(slide: Slide, annotations: Sequence[Annotation], known: Known | None = None) -> Path:
    """Keep annotations with their slide, and what tells it from others; as :func:`.outlines.write`.

    Raises
    ------
    OutputError
        If no place can be written, or the slide is no file; what was there stays as it was.
    """
    assert TASK.retraining is not None
    return outlines.write(slide, TASK.retraining.suffix, KIND, annotations, known)


def read(slide: Slide, path: Path | None = None) -> tuple[list[Annotation], list[str]]:
    """Outlines that were drawn on a slide, and what else the user should know; as :func:`.outlines.read`."""
    assert TASK.retraining is not None
    return outlines.read(slide, TASK.retraining.suffix, path)


def patches_of(
    slide: Slide, outlines: Sequence[Annotation], classes: Mapping[str, str] | None = None
) -> tuple[dict[str, int], list[str]]:
    """How many patches of each class there are to learn from, and what the user should know.

    Raises
    ------
    UnknownScaleError, SlideFormatError
        If the slide's scale is not known, or it is grey.
    """
    drawn = annotated(slide, outlines, classes)
    return {name: drawn.count(label) for label, name in enumerate(CLASSES)}, [*drawn.notes]


def annotated(
    slide: Slide, outlines: Sequence[Annotation], classes: Mapping[str, str] | None = None
) -> AnnotatedCells:
    """Label a slide's cells by outlines.

    Raises
    ------
    UnknownScaleError, SlideFormatError
        If the slide's scale is not known, or it is grey.
    """
    from napari_pathogan.colour.stained import stained_mpp  # noqa: PLC0415

    grid = CellGrid.over(slide.shape, stained_mpp(slide), patch_px=PATCH_PX, mpp=MPP)
    labels, owners, counted = labelled_cells(grid, outlines, classes or {})
    bare = tissue_mask(slide).coverage(grid.origin, grid.step, grid.shape) < MIN_TISSUE
    bare &= labels != UNLABELLED
    labels[bare] = UNLABELLED
    notes = [*beyond(slide, "the annotations", list(outlines)), *class_notes(counted, ())]
    if bare.any():
        notes.append(f"{slide.name}: {bare.sum()} of the patches drawn around hold no tissue")
    notes += [f"{slide.name}: {line}" for line in disagreements(outlines, counted)]
    small = len(set(range(len(outlines))) - set(owners.ravel().tolist()))
    if small:
        notes.append(
            f"{slide.name}: {small} of {len(outlines)} outlines cover half of no patch "
            f"({PATCH_PX * MPP:g} um wide), or count as nothing; draw larger ones"
        )
    return AnnotatedCells(labels, owners, tuple(outlines), counted, tuple(notes))


def look(
    slide: Slide,
    model: IdcModel,
    cells: np.ndarray | None = None,
    *,
    region: Region | None = None,
    polygons: Sequence[np.ndarray] | None = None,
    near: tuple[float, float] | None = None,
) -> Generator[Event, None, SlideFeatures]:
    """Look at a slide's tissue, so that any head can say what it makes of it.

    Parameters
    ----------
    cells
        bool (H, W): look at these alone; at all that a heat map needs by default.
    region, polygons, near
        As :func:`.predict.predict` takes them.

    Raises
    ------
    NoTissueError, UnknownScaleError, SlideFormatError
        As there.
    """
    grid = heat_map_grid(slide, model)
    plan = yield from waiting_for(
        lambda: plan_cells(slide, model, grid, region, polygons), "looking for tissue"
    )
    colours = yield from read_colours(slide, model, plan)
    wanted = plan.wanted | plan.context if cells is None else cells & (plan.tissue >= MIN_TISSUE)
    blocks = grid.blocks(wanted, BLOCK, near or plan.middle)
    where, figures, total = [], [], int(wanted.sum())

    def see(block: object) -> np.ndarray:
        patches = read_block(slide, grid, block)  # type: ignore[arg-type]
        seen = model.figures(patches, colours)
        if slide.damaged:
            seen[lost(patches, plan.tissue[tuple(block.cells.T)])] = np.nan  # type: ignore[attr-defined]
        return seen

    done = 0
    progress = Progress(0, total, "looking at the tissue")
    with closing(work_ahead(see, blocks, threads=threads_of(model))) as work:
        for finished in work:
            if finished is not None:
                block, seen = finished
                where.append(block.cells)
                figures.append(seen.astype(np.float16))
                done += len(seen)
                progress = Progress(done, total, "looking at the tissue")
            yield progress
    empty = np.zeros((0, 2), int), np.zeros((0, 0), np.float16)
    at, seen = (np.concatenate(x) if x else e for x, e in zip((where, figures), empty, strict=True))
    asked = asked_for(region, polygons)
    notes = (*scale_note(slide, model), *colour_note(slide, model, colours))
    return SlideFeatures(plan, at, seen, asked, (*notes, *slide.damaged))


@dataclass(eq=False)
class Looking:
    """The events of a look, and what came of it at the end."""

    events: Generator[Event, None, SlideFeatures]
    seen: SlideFeatures | None = None

    def __iter__(self) -> Iterator[Event]:
        self.seen = yield from self.events


def part_of(seen: SlideFeatures, drawn: AnnotatedCells) -> AnnotatedFeatures:
    """The annotated patches that were looked at, those of an outline belonging together."""
    cells = np.argwhere(drawn.labels != UNLABELLED)
    rows = seen.at(cells)
    cells, rows = cells[rows >= 0], rows[rows >= 0]
    at = tuple(cells.T)
    return AnnotatedFeatures(seen, rows, drawn.labels[at].astype(int), drawn.owners[at])


@torch.inference_mode()
def logits(model: IdcModel, figures: np.ndarray) -> np.ndarray:
    """What a model says of figures (N, F): float32 (N,)."""
    to = next(model.network.parameters()).device
    found = model.network.idc(torch.from_numpy(figures.astype(np.float32)).to(to))[:, 0]
    told: np.ndarray = found.float().cpu().numpy()
    return told


def past_of(model: IdcModel) -> Past:
    """What a model keeps of its training.

    Raises
    ------
    ModelError
        If it keeps nothing.
    """
    network = model.network
    if not isinstance(network, FrozenHead) or network.past is None:
        msg = (
            f"{model.card.name} can't be refitted: it has no head on a frozen trunk that keeps what it "
            "was trained on; choose idc-lite0, or train one with --method frozen"
        )
        raise ModelError(msg)
    return network.past


def digest_of(outlines: Sequence[Annotation]) -> str:
    """The sha256 of outlines and their classes, whatever file they lie in."""
    digest = hashlib.sha256()
    for one in outlines:
        digest.update(one.class_name.encode() + b"\0" + one.geometry.wkb)
    return digest.hexdigest()


def need_both(labels: np.ndarray) -> None:
    """Make sure that both classes were annotated.

    Raises
    ------
    DataFolderError
        If one is missing; says which.
    """
    missing = [name for label, name in enumerate(CLASSES) if not (labels == label).any()]
    if missing:
        msg = f"no patch is annotated as {' or '.join(missing)}: draw around some, at least 200 um wide"
        raise DataFolderError(msg)


def refitted(model: IdcModel, parts: Sequence[AnnotatedFeatures], name: str = "") -> IdcModel:
    """A model whose head also knows some annotated patches; the other one stays as it is.

    It is fitted twice: to the annotated patches, and then also to the rest of their slides as the heat map
    of the first fit has it. What the neighbours of a patch say teaches what such patches look like here.
    Its probabilities stay on the scale of the first fit. Its small network is not asked alone any more, since it knows nothing of that.

    Raises
    ------
    DataFolderError
        If one class is missing.
    ModelError
        If the model can't be refitted.
    """
    past, network = past_of(model), model.network
    assert isinstance(network, FrozenHead)
    labels = np.concatenate([part.labels for part in parts])
    need_both(labels)
    # what was annotated never counts for more than all that the model was trained on
    weights = balanced(labels, min(WEIGHT, past.n_images / len(labels)))
    figures = np.concatenate([part.figures for part in parts])
    first = _fitted(model, figures, labels, weights)
    others = [_rest(first, part) for part in parts]
    rest = np.concatenate([one for one, _ in others])
    each = np.full(len(rest), min(AROUND, past.n_images / max(len(rest), 1)))
    changed = _fitted(
        model,
        np.concatenate([figures, rest]),
        np.concatenate([labels, *(said for _, said in others)]),
        np.concatenate([weights, each]),
    )
    return _named(_on_scale(changed, first, parts), name, AFTER_ANNOTATIONS)


def most_telling(model: IdcModel, seen: SlideFeatures, known: np.ndarray, n: int) -> np.ndarray:
    """Rows of ``seen`` to annotate next, as :func:`.telling.most_telling`; ``known`` (M,) are annotated."""
    return telling.most_telling(model, seen.figures, logits(model, seen.figures), known, n)


def fitted(model: IdcModel, seen: SlideFeatures, name: str = "") -> IdcModel:
    """A model whose head is fitted to a slide that nobody has annotated: to what its own map says of it.

    The map looks at neighbours, and so teaches what single patches look like on this slide. Probabilities stay
    on their scale; the small network is not asked alone any more.

    Raises
    ------
    ModelError
        If the model can't be refitted.
    """
    past, nothing = past_of(model), np.zeros(0, int)
    part = AnnotatedFeatures(seen, nothing, nothing, nothing)
    rest, said = _rest(model, part)
    each = np.full(len(rest), min(AROUND, past.n_images / max(len(rest), 1)))
    return _named(_on_scale(_fitted(model, rest, said, each), model, [part]), name, AFTER_FIT)


def _named(changed: IdcModel, name: str, refitted: str) -> IdcModel:
    """A model with a refitted head, and a card that has its name and tells its weights from others."""
    assert isinstance(changed.network, FrozenHead)
    own = changed.network.idc_head.cpu()
    digest = hashlib.sha256(own.weight.numpy().tobytes() + own.bias.numpy().tobytes())
    card = changed.card.model_copy(
        update={"name": name or changed.card.name, "sha256": digest.hexdigest()}
    )
    return replace(changed, card=card, refitted=refitted)


def _fitted(
    model: IdcModel, figures: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> IdcModel:
    past, network, scale = past_of(model), model.network, model.calibration
    assert isinstance(network, FrozenHead)
    change = refit(
        past.prior,
        figures[:, : sum(network.parts)],
        logits(model, figures),
        labels,
        weights,
        spread=scale.patient_sd / scale.slope,
    )
    return replace(model, network=network.changed(change), by_student=None)


def _on_scale(model: IdcModel, first: IdcModel, parts: Sequence[AnnotatedFeatures]) -> IdcModel:
    """A model whose probabilities mean what those of the first fit do: that has seen truth alone.

    By what it learnt from its own map it ranks better and is surer. Its two calibrations are carried
    over by the line that fits log odds of the first to its own.
    """

    def line(one: Sequence[np.ndarray], two: Sequence[np.ndarray]) -> tuple[float, float]:
        before, after = (np.concatenate(x) for x in (one, two))
        there = np.isfinite(before) & np.isfinite(after)
        before, after = before[there], after[there]
        spread = float(after.var())
        a = float(np.cov(before, after, bias=True)[0, 1]) / spread if spread > _FLAT else 1.0
        a = a if a > 0 else 1.0
        return a, float(before.mean() - a * after.mean())

    def odds(own: IdcModel) -> tuple[list[np.ndarray], list[np.ndarray]]:
        single = [own.calibration.logit(logits(own, part.seen.figures)) for part in parts]
        around = [
            logit(np.clip(part.seen.layers(own)[0], *_SURE))[tuple(part.seen.where.T)]
            for part in parts
        ]
        return single, around

    def carried(scale: Calibration, a: float, b: float) -> Calibration:
        return replace(scale, slope=a * scale.slope, intercept=a * scale.intercept + b)

    lines = [line(one, two) for one, two in zip(odds(first), odds(model), strict=True)]
    context = replace(model.context, calibration=carried(model.context.calibration, *lines[1]))
    return replace(model, calibration=carried(model.calibration, *lines[0]), context=context)


def _rest(model: IdcModel, part: AnnotatedFeatures) -> tuple[np.ndarray, np.ndarray]:
    """Some patches of a slide that are not annotated, evenly spread: figures, and what its map says.

    The map says it as a probability calibrated with the neighbours; here it is given as the head would have
    to say it to come to the same, which is fitted to both classes alike.
    """
    probability = part.seen.layers(model)[0][tuple(part.seen.where.T)]
    known = np.isfinite(probability)
    known[part.rows] = False
    rows = np.flatnonzero(known)
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST)).astype(int)]
    scale = model.calibration
    told = (logit(np.clip(probability[rows], *_SURE)) - scale.intercept) / scale.slope
    return part.seen.figures[rows], expit(told)
