"""The report page: one A4 picture of what was found, to print or to put into a document."""

from __future__ import annotations

import textwrap
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path as Drawing

from napari_pathogan.files import written
from napari_pathogan.kinds import MARK, picture
from napari_pathogan.slides.geometry import Region
from napari_pathogan.tasks.idc.heatmap import SCOPE
from napari_pathogan.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

    from napari_pathogan.engine.report import Value
    from napari_pathogan.slides.geometry import Overlay
    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.idc.heatmap import HeatMap

REPORT = picture("IDC report")
_DPI = 150
_WIDTH = 0.36  # of a picture, as a share of the page
_THUMBNAIL = 1000  # px on the long side
_INK, _GREY, _RULE = "#1b1b22", "#6a6a75", "#d9d9e0"
_IDC = "#c8003c"
_HEAT, _DOUBT = "viridis", "magma"  # as in napari
_MM2 = "mm\N{SUPERSCRIPT TWO}"
_BARS_UM = (20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000)


def write_report(path: Path, heat_map: HeatMap, source: Slide) -> None:
    """Draw thumbnail, heat map with outline, uncertainty, figures and model line; save as PNG.

    Raises
    ------
    OutputError
        If it can't be written.
    """
    figure = draw(heat_map, source)
    with written(path, REPORT) as beside:
        figure.savefig(beside, dpi=_DPI, format="png", metadata={MARK: REPORT.name})


def draw(heat_map: HeatMap, slide: Slide) -> Figure:
    """Draw the page; 8.27 x 11.69 inches (A4)."""
    view = _view(heat_map, slide.shape)
    scale = max(view.height, view.width) / _THUMBNAIL
    size = (max(1, round(view.height / scale)), max(1, round(view.width / scale)))
    picture = slide.read(view, size=size)
    figure = Figure(figsize=(8.27, 11.69), facecolor="white")
    FigureCanvasAgg(figure)
    _head(figure, heat_map, slide.synthetic)
    _figures(figure, heat_map)
    boxes = _boxes(figure, view.height / view.width * heat_map.mpp[0] / heat_map.mpp[1])
    _thumbnail(boxes[0], picture, view, heat_map, synthetic=bool(slide.synthetic))
    _heat(boxes[1], picture, view, heat_map)
    _doubt(boxes[2], picture, view, heat_map)
    _histogram(boxes[3], heat_map)
    _foot(figure, heat_map)
    return figure


def _boxes(figure: Figure, aspect: float) -> list[Axes]:
    """Four boxes, two by two, as high as the slide's picture makes them."""
    across, down = figure.get_size_inches()
    height = min(max(_WIDTH * across * aspect / down, 0.16), 0.26)
    boxes = []
    for i in range(4):
        top = 0.752 - (i // 2) * (height + 0.062)
        # the last box has numbers to its left where the others have a colour bar to their right
        left = (0.07, 0.53)[i % 2] + (0.04 if i == 3 else 0)
        width = _WIDTH - (0.04 if i == 3 else 0)
        boxes.append(figure.add_axes((left, top - height, width, height)))
    return boxes


def _view(heat_map: HeatMap, shape: tuple[int, ...]) -> Region:
    """The scored tissue with a margin: most of a slide is bare glass."""
    rows, cols = np.nonzero(heat_map.scored)
    (oy, ox), (sy, sx) = heat_map.probability.origin, heat_map.probability.step
    margin = 2
    y, x = int(oy + (rows.min() - margin) * sy), int(ox + (cols.min() - margin) * sx)
    bottom, right = oy + (rows.max() + 1 + margin) * sy, ox + (cols.max() + 1 + margin) * sx
    return Region(y, x, int(bottom) - y, int(right) - x).clip((shape[0], shape[1]))


def _head(figure: Figure, heat_map: HeatMap, synthetic: str) -> None:
    title = "IDC heat map of a synthetic picture" if synthetic else "IDC heat map"
    figure.text(0.07, 0.952, title, size=20, weight="bold", color=_INK)
    figure.text(0.93, 0.957, date.today().isoformat(), size=9, color=_GREY, ha="right")  # noqa: DTZ011
    name = "\n".join(_lines(heat_map.slide, 80, 2))
    figure.text(0.07, 0.941, name, size=10, color=_INK, va="top")
    (my, mx), source = heat_map.mpp, heat_map.mpp_source
    cell = heat_map.probability.step[0] * my
    scale = f"{my:.4g}" if abs(my - mx) < 1e-6 else f"{my:.4g} x {mx:.4g}"
    what = "picture" if synthetic else "slide"
    where = f"part of the {what}" if heat_map.region else f"whole {what}"
    detail = f"{scale} µm per pixel ({source or 'given'}), cells of {cell:.0f} µm, {where}"
    figure.text(0.07, 0.912, detail, size=9, color=_GREY, va="top")
    _line(figure, 0.888)


def _figures(figure: Figure, heat_map: HeatMap) -> None:
    """Four figures in a row: area, share, tissue, threshold."""
    found = heat_map.area()
    entries = [
        (f"{_number(found.idc_mm2.value)} {_MM2}", "IDC", _interval(found.idc_mm2), _IDC),
        (
            f"{100 * (found.share.value or 0):.0f} %",
            "of the tissue",
            _interval(found.share, 100),
            _IDC,
        ),
        (f"{_number(found.tissue_mm2)} {_MM2}", "tissue", f"{found.n_cells:,} cells", _INK),
        (f"{found.threshold:.2f}", "threshold", "IDC probability at or above", _INK),
    ]
    for i, (value, label, note, colour) in enumerate(entries):
        x = 0.07 + i * 0.225
        figure.text(x, 0.842, value, size=19, weight="bold", color=colour)
        figure.text(x, 0.822, label, size=10, color=_INK)
        figure.text(x, 0.805, note, size=8, color=_GREY)
    _line(figure, 0.786)


def _thumbnail(
    axes: Axes, picture: np.ndarray, view: Region, heat_map: HeatMap, *, synthetic: bool
) -> None:
    title = "Synthetic picture: computed pixels" if synthetic else "Slide"
    _picture(axes, picture, view, title)
    _scale_bar(axes, view, heat_map.mpp[1])


def _heat(axes: Axes, picture: np.ndarray, view: Region, heat_map: HeatMap) -> None:
    _picture(axes, _faded(picture), view, "IDC probability, outlined at the threshold")
    image = _lay(axes, heat_map.probability, _HEAT, (0.0, 1.0))
    for outline in heat_map.outlines():
        corners = [np.vstack([r, r[:1]])[:, ::-1] for r in (outline.exterior, *outline.holes)]
        drawing = Drawing.make_compound_path(*(Drawing(c, closed=True) for c in corners))
        axes.add_patch(PathPatch(drawing, fill=False, edgecolor=_IDC, linewidth=1.1))
    _colour_bar(axes, image)


def _doubt(axes: Axes, picture: np.ndarray, view: Region, heat_map: HeatMap) -> None:
    _picture(axes, _faded(picture), view, "Uncertainty (standard deviation)")
    top = max(0.05, float(np.nanmax(heat_map.uncertainty.data)))
    _colour_bar(axes, _lay(axes, heat_map.uncertainty, _DOUBT, (0.0, top)))


def _histogram(axes: Axes, heat_map: HeatMap) -> None:
    """Tissue area by probability, the part at or above the threshold in the colour of IDC."""
    chosen = heat_map.scored
    values, tissue = heat_map.probability.data[chosen], heat_map.tissue.data[chosen]
    limit, mm2 = heat_map.threshold, heat_map.cell_mm2
    edges = np.linspace(0, 1, 21).tolist()
    for part, colour in ((values < limit, "#9aa0b5"), (values >= limit, _IDC)):
        axes.hist(
            values[part], edges, weights=tissue[part] * mm2, color=colour, rwidth=0.9, alpha=0.95
        )
    axes.axvline(limit, color=_INK, linewidth=1, linestyle=(0, (3, 2)))
    axes.set_xlim(0, 1)
    axes.set_title("Tissue by IDC probability", size=9, loc="left", color=_INK)
    axes.set_xlabel("IDC probability", size=8, color=_GREY)
    axes.set_ylabel(f"tissue, {_MM2}", size=8, color=_GREY)
    axes.tick_params(labelsize=7, colors=_GREY)
    axes.spines[["top", "right"]].set_visible(False)


def _foot(figure: Figure, heat_map: HeatMap) -> None:
    interval = heat_map.without_interval or (
        "In brackets: 95 % interval of the true area, from calibrated probabilities that may all "
        "be off together; not for tissue or stains unlike those of the model's training."
    )
    lines = [
        SCOPE,
        *_lines(f"Model: {heat_map.model_line}", 125, 2),
        *_lines(interval, 125, 2),
        *(line for note in heat_map.notes[:3] for line in _lines(f"Note: {note}", 125, 1)),
        f"napari-pathogan {__version__}. Not for diagnosis.",
    ]
    figure.text(0.07, 0.025, "\n".join(lines), size=7.5, color=_GREY, linespacing=1.45)
    _line(figure, 0.038 + 0.0131 * len(lines))


def _lines(text: str, width: int, most: int) -> list[str]:
    """Wrap a text; what is beyond ``most`` lines becomes an ellipsis."""
    return textwrap.wrap(text, width, max_lines=most, placeholder=" \N{HORIZONTAL ELLIPSIS}")


def _picture(axes: Axes, picture: np.ndarray, view: Region, title: str) -> None:
    axes.imshow(picture, extent=_extent(view), interpolation="antialiased")
    axes.set_title(title, size=9, loc="left", color=_INK)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_anchor("NW")
    for spine in axes.spines.values():
        spine.set_color(_RULE)


def _lay(axes: Axes, overlay: Overlay, colours: str, limits: tuple[float, float]) -> AxesImage:
    (oy, ox), (sy, sx) = overlay.origin, overlay.step
    height, width = overlay.data.shape
    extent = (ox - 0.5, ox + width * sx - 0.5, oy + height * sy - 0.5, oy - 0.5)
    limit_x, limit_y = axes.get_xlim(), axes.get_ylim()
    image = axes.imshow(
        overlay.data,
        extent=extent,
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        alpha=0.72,
        interpolation="nearest",
    )
    axes.set_xlim(limit_x)
    axes.set_ylim(limit_y)
    return image


def _colour_bar(axes: Axes, image: AxesImage) -> None:
    inset = axes.inset_axes((1.025, 0, 0.035, 1))
    assert axes.figure is not None
    bar = axes.figure.colorbar(image, cax=inset)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=6.5, colors=_GREY, length=2)


def _scale_bar(axes: Axes, view: Region, mpp: float) -> None:
    """A bar of a round length, about a fifth of the width, below the picture."""
    length = max((b for b in _BARS_UM if b <= view.width * mpp / 4), default=_BARS_UM[0])
    share = length / mpp / view.width
    label = f"{length / 1000:g} mm" if length >= 1000 else f"{length} µm"
    below = -0.045
    axes.add_patch(
        Rectangle(
            (0, below), share, 0.008, transform=axes.transAxes, color=_INK, clip_on=False, lw=0
        )
    )
    axes.text(share + 0.015, below + 0.004, label, transform=axes.transAxes, size=8, va="center")


def _faded(picture: np.ndarray) -> np.ndarray:
    """Grey and light, so that the colours on top are those of the map."""
    grey = picture @ np.array([0.299, 0.587, 0.114])
    return np.repeat((140 + 0.45 * grey).clip(0, 255).astype(np.uint8)[..., None], 3, -1)


def _extent(view: Region) -> tuple[float, float, float, float]:
    return view.x - 0.5, view.right - 0.5, view.bottom - 0.5, view.y - 0.5


def _line(figure: Figure, y: float) -> None:
    figure.add_artist(
        Rectangle((0.07, y), 0.86, 0.0008, transform=figure.transFigure, color=_RULE, lw=0)
    )


def _number(value: float | None) -> str:
    value = value or 0.0
    return f"{value:.1f}" if value >= 10 or value == 0 else f"{value:.2f}"


def _interval(value: Value, factor: float = 1.0) -> str:
    if value.low is None or value.high is None:
        return "without an interval"
    low, high = factor * value.low, factor * value.high
    digits = 0 if factor > 1 else (1 if high >= 10 else 2)
    return f"({low:.{digits}f} to {high:.{digits}f})"
