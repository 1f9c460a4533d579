"""The levels of a slide: from the file, made where they are missing, rendered at any scale."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_pathogan.errors import SlideFormatError
from napari_pathogan.slides import colours
from napari_pathogan.slides.levels import FileLevel, Level, MadeLevel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_pathogan.slides.levels import Ledger
    from napari_pathogan.slides.source import Source

Pair = tuple[float, float]

_OVERVIEW = 2048  # the coarsest level is shorter than this, so that any view is quick
_WIDEST_GAP = 5.0  # between levels; Aperio's usual 4 is left alone


def file_levels(
    source: Source, ledger: Ledger, *, icc: bool
) -> tuple[list[Level], dict[str, object]]:
    """The file's levels in one colour rule, and its metadata with what was done.

    Raises
    ------
    SlideFormatError
        If no pixel has a value.
    """
    ledger.valueless_share = colours.valueless(source.colours, source.planes)
    if ledger.valueless_share == 1 and len(source.channels) <= 1:
        raise SlideFormatError(
            f"{ledger.name} holds no picture: none of its pixels has a value (all are NaN or infinite); "
            "save it again from where it came"
        )
    rule = colours.settle_range(source.colours, source.planes)
    if colours.nowhere_seen(rule, source.planes):
        rule = replace(rule, alpha=None)
        said = f"{ledger.name} says of every pixel that it is transparent, which is not believed"
        ledger.choices += (f"{said}: its colours are shown",)
    name, convert = ("none", None)
    if source.icc and rule.is_rgb:
        name, convert = colours.icc_to_srgb(source.icc)
    if not icc:
        convert = None
    found: list[FileLevel] = []
    last = (1.0, 1.0)
    for number, plane in enumerate(source.planes):
        whole = source.planes[0].shape
        step = source.downsamples[number] if source.downsamples else _ratio(whole, plane.shape)
        apart = step[0] / last[0], step[1] / last[1]
        finer = found[-1] if found else None
        found.append(FileLevel(ledger, plane, rule, convert, number, finer=finer, step=apart))
        last = step
    for level in found:
        level.count_lost()
    done = {"rule": rule.rule, "icc": name, "icc_applied": convert is not None}
    return [*found], {**source.metadata, **done}


def ratios(levels: Sequence[Level]) -> list[Pair]:
    """Level-0 pixels per pixel (y, x) of each level, by the shapes."""
    return [_ratio(levels[0].shape, level.shape) for level in levels]


def _ratio(whole: tuple[int, int], shape: tuple[int, int]) -> Pair:
    return whole[0] / shape[0], whole[1] / shape[1]


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
