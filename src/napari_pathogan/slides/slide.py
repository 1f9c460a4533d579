"""A slide: a lazy pyramid of pixels, its scale, and reading from it at any um per pixel."""

from __future__ import annotations

import copy
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_pathogan import addresses
from napari_pathogan.errors import (
    SlideClosedError,
    SlideFormatError,
    UnknownScaleError,
    one_line,
    printable,
)
from napari_pathogan.slides import colours, names, resample, resolution, scales
from napari_pathogan.slides.arrays import ArrayPlane, axes_of
from napari_pathogan.slides.backends import open_source
from napari_pathogan.slides.cache import TileCache, shared
from napari_pathogan.slides.channels import refuse
from napari_pathogan.slides.imprint import Imprint
from napari_pathogan.slides.levels import Ledger, Level, MadeLevel, render
from napari_pathogan.slides.pyramid import (
    Pair,
    file_levels,
    filled_up,
    level_behind,
    ratios,
)
from napari_pathogan.slides.source import Source, nothing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import zarr

    from napari_pathogan.slides.channels import ChannelInfo
    from napari_pathogan.slides.geometry import Region

_TOLERANCE = 1.02  # a level 2 % too coarse is still read instead of one several times finer


class Slide:
    """An open slide or mammogram; a context manager. Safe to read from many threads.

    Make one with `open` or `from_arrays`.

    Attributes
    ----------
    name
        File name, or the name of the layer.
    path
        Where it was opened from; None for arrays.
    downsamples
        Level-0 pixels per pixel (y, x) of each level; floats, never rounded.
    mpp
        um per level-0 pixel (y, x); None where nobody knows.
    mpp_source
        Who says so: 'Aperio MPP', 'OME PhysicalSize', 'Philips pixel spacing', 'Ventana ScanRes',
        'Olympus pixel size', 'NDPI resolution', 'ImageJ resolution', 'TIFF resolution', 'image
        resolution', 'OME-NGFF', 'OpenSlide', 'user', 'user (remembered)' or 'unknown'.
    metadata
        format, vendor, compression, rule (of colour conversion), icc (name of the profile),
        icc_applied, scale_not_believed (what the file says of its scale, where that can't be true),
        and what else the reader found.
    bounds
        Around all that was scanned (level-0 pixels), where the file's format says: QuPath opens this
        part alone, and counts from its corner.
    made_of
        The slide that this one's pixels are computed of: its notes count for this one too.
    """

    def __init__(
        self,
        name: str,
        levels: Sequence[Level],
        downsamples: Sequence[Pair],
        *,
        path: Path | None = None,
        mpp: Pair | None = None,
        mpp_source: str = "unknown",
        metadata: dict[str, object] | None = None,
        bounds: Region | None = None,
        close: Callable[[], None] = nothing,
    ) -> None:
        self.name = one_line(name)
        self.path = path
        self.mpp = mpp
        self.mpp_source = mpp_source
        self.metadata = metadata or {}
        self.bounds = bounds
        self.made_of: Slide | None = None
        self._levels, self.downsamples = filled_up(levels, downsamples)
        self._ledger = levels[0].ledger
        self._close = close
        self._closed = False

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        mpp: float | Pair | None = None,
        icc: bool = True,
        cache_mb: int | None = None,
    ) -> Slide:
        """Open a file, or the folder of an OME-Zarr image; or what lies at an address (https, s3).

        Parameters
        ----------
        mpp
            um per pixel, or (y, x), to use instead of what the file says.
        icc
            Whether an embedded colour profile is applied (to sRGB).
        cache_mb
            Memory for this slide's own decoded tiles; None shares the process's cache.

        Raises
        ------
        SlideFormatError
            If it is not a slide that can be opened; says why and what to do.
        SlideReadError
            If it lies at an address that can't be reached.
        FluorescenceError
            If it has channels instead of colours; `open_channels` opens them.
        UnknownScaleError
            If ``mpp`` is not a positive number.
        """
        path = addresses.place_of(path)
        source = open_source(path)
        try:
            refuse(path.name, source.channels)
            return cls._over(source, path, mpp, icc=icc, cache_mb=cache_mb)
        except BaseException:
            source.close()
            raise

    @classmethod
    def open_channels(cls, path: str | Path) -> list[tuple[ChannelInfo, Slide]]:
        """Open each channel of a fluorescence image as a grey slide; all are closed one by one.

        Raises
        ------
        SlideFormatError
            If it can't be opened, or has no channels.
        """
        path = addresses.place_of(path)
        source = open_source(path)
        with ExitStack() as opened:
            opened.callback(source.close)
            if not source.channels:
                raise SlideFormatError(f"{path.name} has no channels; open it as a slide")
            left = list(source.channels)

            def close() -> None:
                left.pop()
                if not left:
                    source.close()

            slides = [
                (
                    channel.said,
                    cls._over(
                        replace(
                            source, planes=channel.planes, colours=channel.colours, close=close
                        ),
                        path,
                        None,
                        icc=False,
                        cache_mb=None,
                    ),
                )
                for channel in source.channels
            ]
            opened.pop_all()
        return slides

    @classmethod
    def _over(
        cls,
        source: Source,
        path: Path,
        mpp: float | Pair | None,
        *,
        icc: bool,
        cache_mb: int | None,
    ) -> Self:
        scale, mpp_source = source.mpp, source.mpp_source
        disbelieved = "" if scale else mpp_source
        choices = source.choices
        if mpp is not None:
            choices += _instead(path.name, _given(mpp), source)
            scale, mpp_source = _given(mpp), "user"
        elif scale is None:
            scale = scales.recall(path)
            mpp_source = "user (remembered)" if scale else "unknown"
        tiles = shared if cache_mb is None else TileCache(cache_mb * 1024 * 1024)
        ledger = Ledger(path.name, tiles)
        ledger.choices = choices
        levels, metadata = file_levels(source, ledger, icc=icc)
        if disbelieved:
            metadata["scale_not_believed"] = disbelieved
        for note in source.notes:
            ledger.note(note)

        def close() -> None:
            ledger.close()
            source.close()

        return cls(
            path.name,
            levels,
            source.downsamples or ratios(levels),
            path=path,
            mpp=scale,
            mpp_source=mpp_source,
            metadata=metadata,
            bounds=source.bounds,
            close=close,
        )

    @classmethod
    def from_arrays(
        cls,
        levels: Sequence[Any],
        *,
        name: str,
        mpp: float | Pair | None = None,
        mpp_source: str = "user",
        downsamples: Sequence[Pair] | None = None,
    ) -> Slide:
        """A slide over arrays, such as a napari layer's that any reader made. Copies nothing whole.

        Parameters
        ----------
        levels
            numpy, zarr or dask arrays, finest first: (Y, X), (Y, X, 3) or (Y, X, 4).
        downsamples
            Level-0 pixels per pixel (y, x) of each level; the ratio of the shapes if left out.

        Raises
        ------
        SlideFormatError
            If an array is no image.
        """
        scale = None if mpp is None else _given(mpp)
        own = [level_behind(array) for array in levels]
        found = [level for level in own if level is not None]
        if not found or len(found) < len(own):
            axes = [axes_of(array.shape) for array in levels]
            if not axes or None in axes:
                shapes = ", ".join(str(tuple(array.shape)) for array in levels) or "nothing"
                raise SlideFormatError(
                    f"{name} is not an image of one slide (it has the shape {shapes}); choose a layer "
                    "of shape (Y, X), (Y, X, 3) or (Y, X, 4)"
                )
            planes = tuple(ArrayPlane(a, str(x)) for a, x in zip(levels, axes, strict=True))
            samples = planes[0].samples
            rule = colours.choose(
                name, planes[0].dtype, samples, alpha="straight" if samples == 4 else None
            )
            about: dict[str, object] = {"format": "array", "vendor": None, "compression": None}
            source = Source(planes, rule, metadata=about)
            found, metadata = file_levels(source, Ledger(name, shared), icc=False)
        else:
            metadata = {"format": "array", "vendor": None, "compression": None}
        return cls(
            name,
            found,
            downsamples or ratios(found),
            mpp=scale,
            mpp_source=mpp_source if scale else "unknown",
            metadata=metadata,
        )

    @cached_property
    def levels(self) -> tuple[zarr.Array[Any], ...]:
        """Lazy zarr arrays, finest first: (Y, X, 3) uint8, or (Y, X) uint8 or uint16."""
        from napari_pathogan.slides.store import LevelStore  # noqa: PLC0415  (zarr is slow to import)

        store = LevelStore(self._levels)
        return tuple(store.array(number) for number in range(len(self._levels)))

    @property
    def made(self) -> tuple[bool, ...]:
        """Which levels are not in the file but made on the fly."""
        return tuple(isinstance(level, MadeLevel) for level in self._levels)

    @property
    def base(self) -> Level:
        """The finest level, for reading whole tiles without zarr."""
        return self._levels[0]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of level-0 pixels."""
        return self._levels[0].shape

    def scanned(self, y: float, x: float, height: float, width: float) -> bool:
        """Whether the file may hold something of a rectangle of level-0 pixels: much of some glass it lacks."""
        slide = self
        while slide.made_of is not None:
            slide = slide.made_of
        return slide.base.holds(y, x, height, width)

    @property
    def is_rgb(self) -> bool:
        """Whether pixels are RGB; else they are grey."""
        return bool(self._levels[0].fill.shape)

    @property
    def dtype(self) -> np.dtype:
        """uint8, or uint16 for deep grey."""
        return self._levels[0].fill.dtype

    @cached_property
    def imprint(self) -> Imprint:
        """What tells it from others of its name; its size alone where there is no file.

        What is no file may be computed where it is read, by a network.
        """
        return Imprint(self.shape) if self.path is None else Imprint.of(self.shape, self.read)

    @property
    def synthetic(self) -> str:
        """What is to know of pixels that were computed, a sentence with each result; empty of a scanner's."""
        if not self.metadata.get("synthetic"):
            return ""
        shown = printable(names.made(self.metadata, self.name))
        return f"Synthetic picture ({shown}): what is found and measured here is of computed pixels"

    @property
    def damaged(self) -> list[str]:
        """One sentence for each tile that could not be read so far (left blank)."""
        return self._ledger.damaged

    @property
    def notes(self) -> list[str]:
        """What is to know of the slide so far, a sentence each: what was chosen, filled in, lost."""
        damaged = self.damaged
        more = [f"{len(damaged) - 1} more tiles can't be read and are left blank"]
        notes = [
            *(self.made_of.notes if self.made_of is not None else ()),
            *self._ledger.choices,
            *self._ledger.valueless,
            *self._ledger.fillings,
            *damaged[:1],
            *more * (len(damaged) > 1),
        ]
        return list(map(printable, notes))

    def read(
        self, region: Region, mpp: float | None = None, *, size: tuple[int, int] | None = None
    ) -> np.ndarray:
        """Read a rectangle at any scale.

        Each output pixel is the mean of exactly the area it covers; pixel [0, 0] starts at the
        region's corner and each step is exactly ``mpp`` (nothing is rounded, so there is no drift).
        What lies beyond the slide is white (black for grey).

        Parameters
        ----------
        region
            In level-0 pixels; it may reach beyond the slide.
        mpp
            um per output pixel; the output has round(size in um / mpp) pixels, at least 1.
        size
            Output size (Y, X) instead, onto which the region is fitted exactly.

        Returns
        -------
        np.ndarray
            (Y, X, 3) uint8 or (Y, X); level 0 if neither ``mpp`` nor ``size`` is given.

        Raises
        ------
        UnknownScaleError
            If ``mpp`` is asked for and the slide's scale is unknown, or ``mpp`` is not above 0.
        SlideClosedError
            After `close`.
        """
        return self._read(region, mpp, size, parallel=True)

    def resampled(
        self, origin: Pair, step: Pair, shape: tuple[int, int], *, parallel: bool = True
    ) -> np.ndarray:
        """Read any grid of pixels: what `read` does, with a corner between pixels too.

        Parameters
        ----------
        origin
            Upper left corner in level-0 edge coordinates (y, x).
        step
            Level-0 pixels per output pixel (y, x).
        shape
            Output pixels (Y, X).

        Returns
        -------
        np.ndarray
            (Y, X, 3) uint8 or (Y, X).

        Raises
        ------
        SlideClosedError
            After `close`.
        """
        if self._closed:
            raise SlideClosedError(f"{self.name} was closed; open it again to read from it")
        level, (dy, dx) = self._finest_needed(step)
        rows = resample.axis(origin[0] / dy, step[0] / dy, shape[0])
        cols = resample.axis(origin[1] / dx, step[1] / dx, shape[1])
        return render(level, rows, cols, parallel=parallel)

    def look_through(self, most: int | None = None) -> tuple[int, int]:
        """Read the finest level in pieces of some 512 px, so that `damaged` and `notes` know what they hold.

        Parameters
        ----------
        most
            Read no more than so many, evenly spread; None reads all.

        Returns
        -------
        read, total
            How many pieces were read, and of how many.
        """
        (height, width), base = self.base.chunk, self.base
        rows, cols = -(-base.shape[0] // height), -(-base.shape[1] // width)
        total = rows * cols
        count = total if most is None else min(most, total)
        for number in np.linspace(0, total - 1, count).round().astype(int):
            row, col = divmod(int(number), cols)
            base.window(row * height, col * width, height, width)
        return count, total

    def with_mpp(self, mpp: float | Pair, source: str = "user") -> Slide:
        """The same open slide with another scale; both are closed together."""
        other = copy.copy(self)
        other.mpp, other.mpp_source = _given(mpp), source
        return other

    def close(self) -> None:
        """Let go of the file and of its cached tiles; reading afterwards is an error."""
        self._closed = True
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Slide {self.name}: {self.shape[1]} x {self.shape[0]} px, {self.mpp_source}>"

    def _read(
        self, region: Region, mpp: float | None, size: tuple[int, int] | None, *, parallel: bool
    ) -> np.ndarray:
        if region.empty:
            return np.empty((0, 0, *self.base.fill.shape), self.dtype)
        step, count = self._plan(region, mpp, size)
        return self.resampled((region.y, region.x), step, count, parallel=parallel)

    def _plan(
        self, region: Region, mpp: float | None, size: tuple[int, int] | None
    ) -> tuple[Pair, tuple[int, int]]:
        """Level-0 pixels per output pixel, and output pixels (y, x)."""
        if size is not None:
            return (region.height / size[0], region.width / size[1]), size
        if mpp is None:
            step = (1.0, 1.0)
        elif self.mpp is None:
            raise UnknownScaleError(
                f"{self.name} does not say how large its pixels are; give their size in um per pixel"
            )
        else:
            y, x = _given(mpp)
            step = (y / self.mpp[0], x / self.mpp[1])
        return step, (max(1, round(region.height / step[0])), max(1, round(region.width / step[1])))

    def _finest_needed(self, step: Pair) -> tuple[Level, Pair]:
        """The coarsest level that is still as fine as ``step``; level 0 if none is."""
        best = 0
        for number, (dy, dx) in enumerate(self.downsamples):
            if dy <= step[0] * _TOLERANCE and dx <= step[1] * _TOLERANCE:
                best = number
        return self._levels[best], self.downsamples[best]


def _instead(name: str, given: Pair, source: Source) -> tuple[str, ...]:
    """A sentence where a user's scale goes before another that the file states."""
    if source.mpp is None or np.allclose(given, source.mpp, rtol=0.01):
        return ()
    mine, theirs = (
        " x ".join(dict.fromkeys(f"{side:.4g}" for side in pair[::-1]))
        for pair in (given, source.mpp)
    )
    said = f"{theirs}, as it states ({source.mpp_source})"
    return (f"{name} is taken to have {mine} um per pixel, as was asked, not {said}",)


def _given(mpp: float | Pair) -> Pair:
    y, x = mpp if isinstance(mpp, tuple | list) else (mpp, mpp)
    pair = resolution.positive(y, x)
    if pair is None:
        raise UnknownScaleError(
            f"{mpp} is no size of a pixel; give um per pixel above 0, such as 0.25"
        )
    return pair
