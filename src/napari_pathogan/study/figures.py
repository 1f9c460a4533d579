"""The figures of the report: SVG for its page, PNG for a window."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from napari_pathogan.study.detection import roc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from napari_pathogan.engine.report import Value
    from napari_pathogan.study.judgements import Reader
    from napari_pathogan.study.report import StudyReport

COLOURS = ("#0f6cbd", "#c8003c", "#1a7f4b", "#a15c00", "#7a3fb0", "#00798c", "#8a8a00", "#5a5a66")
_DPI = 150  # of a PNG: sharp at twice the width of a dock
_INK, _GREY, _BAND, _ALL = "#1b1b22", "#6a6a75", "#e7eef6", "#1b1b22"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # letters stay letters: small, sharp, searchable
    "svg.hashsalt": "pathogan",
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"],
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _GREY,
    "xtick.color": _GREY,
    "ytick.color": _GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
}


def colour(index: int) -> str:
    """The colour of a reader, the same in all figures."""
    return COLOURS[index % len(COLOURS)]


def draw_all(report: StudyReport, kind: Literal["svg", "png"] = "svg") -> dict[str, bytes]:
    """Accuracy, roc, sources, confidence and times -> the file's content."""
    figures = {
        "accuracy": _accuracy,
        "roc": _roc,
        "sources": _sources,
        "confidence": _confidence,
        "times": _times,
    }
    with mpl.rc_context(_STYLE):
        return {name: _content(draw(report), kind) for name, draw in figures.items()}


def _content(figure: Figure, kind: Literal["svg", "png"]) -> bytes:
    out = io.BytesIO()
    if kind == "svg":
        FigureCanvasSVG(figure)
        figure.savefig(out, format=kind, metadata={"Date": None})
    else:
        FigureCanvasAgg(figure)
        figure.savefig(out, format=kind, dpi=_DPI)
    return out.getvalue()


def _intervals(
    axes: Axes, rows: Mapping[str, Value], colours: Sequence[str], margin: float
) -> None:
    """One line a row, accuracy with its interval; chance, and the margin around it, behind."""
    axes.axvspan(0.5 - margin, 0.5 + margin, color=_BAND, linewidth=0)
    axes.axvline(0.5, color=_GREY, linewidth=0.8, linestyle=(0, (4, 3)))
    for place, (value, tint) in enumerate(zip(rows.values(), colours, strict=True)):
        middle, low, high = value.value or 0.0, value.low, value.high
        if low is not None and high is not None:
            axes.plot([low, high], [place, place], color=tint, linewidth=2, solid_capstyle="butt")
        axes.plot(middle, place, "o", color=tint, markersize=6)
        axes.annotate(
            f"{100 * middle:.0f} %",
            (middle, place),
            (0, 7),
            textcoords="offset points",
            ha="center",
            size=8,
        )
    axes.set_yticks(range(len(rows)), [_short(name) for name in rows], color=_INK)
    axes.set(xlim=(0, 1), ylim=(len(rows) - 0.4, -0.7))
    axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axes.tick_params(axis="y", length=0)


def _short(name: str, most: int = 26) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}\N{HORIZONTAL ELLIPSIS}"


def _accuracy(report: StudyReport) -> Figure:
    rows = {name: own.metrics["accuracy"] for name, own in report.readers.items()}
    rows["All readers"] = report.pooled.metrics["accuracy"]
    colours = [*(colour(i) for i in range(len(report.readers))), _ALL]
    figure = Figure((4.9, 0.9 + 0.5 * len(rows)), layout="constrained")
    axes = figure.add_subplot(xlabel="right answers (95 % interval)")
    _intervals(axes, rows, colours, report.study.manifest.margin)
    return figure


def _sources(report: StudyReport) -> Figure:
    rows = {f"{'real' if x.real else 'generated'}: {x.source}": x.accuracy for x in report.sources}
    colours = [_GREY if x.real else COLOURS[0] for x in report.sources]
    figure = Figure((4.9, 0.9 + 0.5 * len(rows)), layout="constrained")
    axes = figure.add_subplot(xlabel="right answers of all readers (95 %)")
    _intervals(axes, rows, colours, report.study.manifest.margin)
    return figure


def _roc(report: StudyReport) -> Figure:
    figure = Figure((4.2, 4.0), layout="constrained")
    pairs = report.study.manifest.mode == "pairs"
    axes = figure.add_subplot(
        xlabel="said left, real one right" if pairs else "real ones called generated",
        ylabel="said left, real one left" if pairs else "generated ones called generated",
    )
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8, linestyle=(0, (4, 3)))
    for index, reader in enumerate(report.judged):
        if reader.signal.all() or not reader.signal.any():
            continue
        area = report.readers[reader.name].metrics["auc"].value
        label = f"{_short(reader.name, 18)}, AUC {area:.2f}"
        axes.plot(*roc(reader.ratings, reader.signal).T, color=colour(index), label=label)
        (hits, misses), (false, passed) = reader.confusion
        place = (false / (false + passed), hits / (hits + misses))
        axes.plot(*place, "o", color=colour(index), markersize=6)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def _confidence(report: StudyReport) -> Figure:
    """Share of right answers by how sure the readers were; bars as wide as answers are many."""
    sure = np.array([x.confidence for reader in report.judged for x in reader.judgements])
    right = np.concatenate([reader.right for reader in report.judged])
    figure = Figure((4.2, 2.6), layout="constrained")
    axes = figure.add_subplot(xlabel="confidence", ylabel="right answers")
    axes.axhline(0.5, color=_GREY, linewidth=0.8, linestyle=(0, (4, 3)))
    for level in range(1, 6):
        own = right[sure == level]
        if len(own):
            axes.bar(level, own.mean(), 0.7, color=COLOURS[0], alpha=0.8)
            axes.annotate(
                f"{len(own)}",
                (level, own.mean()),
                (0, 2),
                textcoords="offset points",
                ha="center",
                size=8,
            )
    labels = ("1\nguessing", "2", "3", "4", "5\ncertain")
    axes.set_xticks(range(1, 6), labels)
    axes.set(ylim=(0, 1.1), xlim=(0.4, 5.6))
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    return figure


def _times(report: StudyReport) -> Figure:
    figure = Figure((4.2, 0.9 + 0.45 * len(report.judged)), layout="constrained")
    axes = figure.add_subplot(xlabel="seconds an image", xscale="log")
    rng = np.random.default_rng(0)
    for place, reader in enumerate(report.judged):
        times = np.maximum(reader.times, 0.01)
        y = place + rng.uniform(-0.18, 0.18, len(times))
        axes.plot(times, y, ".", color=colour(place), alpha=0.35, markersize=4)
        middle = float(np.median(times))
        axes.plot([middle] * 2, [place - 0.3, place + 0.3], color=_INK, linewidth=1.6)
    axes.set_yticks(
        range(len(report.judged)), [_short(x.name, 18) for x in report.judged], color=_INK
    )
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.set(ylim=(len(report.judged) - 0.4, -0.6))
    axes.tick_params(axis="y", length=0)
    return figure


def confusion_tint(share: float) -> str:
    """Background of a confusion cell: the more answers, the bluer."""
    return f"rgb(15 108 189 / {0.06 + 0.5 * share:.2f})"


def reader_confusion(reader: Reader) -> list[list[tuple[int, str]]]:
    """(count, background) of each cell, rows of one truth."""
    return [
        [(count, confusion_tint(count / max(sum(row), 1))) for count in row]
        for row in reader.confusion
    ]
