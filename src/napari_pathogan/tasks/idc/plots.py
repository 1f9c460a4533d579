"""The calibration plot that goes with a model card."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from napari_pathogan.files import written
from napari_pathogan.kinds import OURS
from napari_pathogan.tasks.idc.metrics import BINS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def calibration_plot(path: Path, curves: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Draw how often patches of each probability are IDC, as a PNG.

    Parameters
    ----------
    curves
        Title -> labels (N,) and probabilities (N,).

    Raises
    ------
    OutputError
        If it can't be written.
    """
    figure = Figure((4.2, 3.8), layout="constrained")
    axes = figure.add_subplot(xlabel="probability", ylabel="share that is IDC")
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, label="perfect")
    for title, (labels, probability) in curves.items():
        bins = np.minimum((probability * BINS).astype(int), BINS - 1)
        count = np.bincount(bins, minlength=BINS)
        filled = count > 0
        x = np.bincount(bins, probability, BINS)[filled] / count[filled]
        y = np.bincount(bins, labels, BINS)[filled] / count[filled]
        (line,) = axes.plot(x, y, linewidth=1.2, label=title)
        axes.scatter(x, y, 4 + 60 * count[filled] / count.max(), color=line.get_color())
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.legend(fontsize="small", loc="upper left")
    FigureCanvasAgg(figure)
    with written(path, OURS) as beside:
        figure.savefig(beside, dpi=100)
