"""The levels of a slide: from the file, made where they are missing, rendered at any scale."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pathogan.slides import colours, resample
from napari_pathogan.slides.levels import FileLevel, Level, MadeLevel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_pathogan.slides.levels import Ledger
    from napari_pathogan.slides.source import Source

Pair = tuple[float, float]

_OVERVIEW = 2048  # the coarsest level is shorter than this, so that any view is quick
_WIDEST_GAP = 5.0  # between levels; Aperio's usual 4 is left alone
_BLOCK = 1024  # source pixels that one thread resamples at a time


def render(level: Level, rows: resample.Axis, cols: resample.Axis, *, parallel: bool) -> np.ndarray:
    """Resample block by block, so that memory stays small and all cores work."""
    # a made tile stands for many tiles of the file: let each thread make one of its own
    block_side = max(level.tile) if isinstance(level, MadeLevel) else _BLOCK
    high = max(1, block_side * len(rows.first) // (rows.stop - rows.start))
    wide = max(1, block_side * len(cols.first) // (cols.stop - cols.start))
    out = np.empty((len(rows.first), len(cols.first), *level.fill.shape), level.fill.dtype)

    def block(corner: tuple[int, int]) -> None:
        y, x = corner
        part, across = rows.part(y, y + high), cols.part(x, x + wide)
        size = part.stop - part.start, across.stop - across.start
        source = level.window(part.start, across.start, *size)
        out[y : y + high, x : x + wide] = resample.apply(source, part, across)

    corners = [(y, x) for y in range(0, out.shape[0], high) for x in range(0, out.shape[1], wide)]
    if parallel and len(corners) > 1:
        for _ in _pool().map(block, corners):
            pass
    else:
        for corner in corners:
            block(corner)
    return out


def file_levels(
    source: Source, ledger: Ledger, *, icc: bool
) -> tuple[list[Level], dict[str, object]]:
    """The file's levels in one colour rule, and its metadata with what was done."""
    rule = source.colours
    if rule.dtype.kind == "f":
        rule = colours.settle_float_range(rule, source.planes[-1])
    name, convert = ("none", None)
    if source.icc and rule.is_rgb:
        name, convert = colours.icc_to_srgb(source.icc)
    if not icc:
        convert = None
    found: list[Level] = [
        FileLevel(ledger, plane, rule, convert, number)
        for number, plane in enumerate(source.planes)
    ]
    done = {"rule": rule.rule, "icc": name, "icc_applied": convert is not None}
    return found, {**source.metadata, **done}


def ratios(levels: Sequence[Level]) -> list[Pair]:
    """Level-0 pixels per pixel (y, x) of each level, by the shapes."""
    height, width = levels[0].shape
    return [(height / level.shape[0], width / level.shape[1]) for level in levels]


def filled_up(
    levels: Sequence[Level], downsamples: Sequence[Pair]
) -> tuple[tuple[Level, ...], tuple[Pair, ...]]:
    """Add the levels that are missing: in wide gaps, and until the coarsest is small."""
    found: list[Level] = []
    steps: list[Pair] = []
    wanted = [*downsamples[1:], None]
    for level, step, coarser in zip(levels, downsamples, wanted, strict=True):
        found.append(level)
        steps.append((float(step[0]), float(step[1])))
        while (
            max(found[-1].shape) >= _OVERVIEW
            if coarser is None
            else min(coarser) > _WIDEST_GAP * max(steps[-1])
        ):
            found.append(MadeLevel(found[-1]))
            steps.append((steps[-1][0] * 2, steps[-1][1] * 2))
    return tuple(found), tuple(steps)


def level_behind(array: Any) -> Level | None:  # noqa: ANN401 - any array library
    """Our own level behind a zarr array that a Slide gave out; None for other arrays."""
    from napari_pathogan.slides.store import LevelStore  # noqa: PLC0415  (zarr is slow to import)

    store = getattr(array, "store", None)
    return store.levels[int(array.path)] if isinstance(store, LevelStore) else None


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers(), "pathogan-read")


def workers() -> int:
    """Threads that decode at once: one a core, at most 8 (a disc serves no more)."""
    return max(2, min(8, os.cpu_count() or 2))
