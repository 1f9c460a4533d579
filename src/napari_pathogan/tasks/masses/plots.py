"""The FROC plot of several arms: the paper's Figure 4."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from napari_pathogan.files import written
from napari_pathogan.kinds import MARK, picture
from napari_pathogan.tasks.masses.compare import PUBLISHED, ROUNDS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_pathogan.tasks.masses.compare import Arm

FROC = picture("FROC plot")
MOST = 4.0  # false positives an image, the right end of the plot
_GRID = np.linspace(0, MOST, 81)


def froc_plot(path: Path, arms: Sequence[Arm], *, rounds: int = ROUNDS) -> None:
    """Draw the curves of arms with bands of 95 % over patients, and the published points, as a PNG.

    Parameters
    ----------
    rounds
        Resamples of the patients for the bands; 0 draws none.

    Raises
    ------
    OutputError
        If it can't be written.
    """
    figure = Figure((5.4, 4.2), layout="constrained")
    axes = figure.add_subplot(
        xlabel="false positives an image", ylabel="share of the masses found (IoU > 0.5)"
    )
    for number, arm in enumerate(arms):
        curve = arm.scored.hits.curve()
        colour = f"C{number}"
        x, y = (np.concatenate([[0.0], values]) for values in (curve.fppi, curve.tpr))
        axes.step([*x, max(MOST, x[-1])], [*y, y[-1]], where="post", color=colour, label=arm.name)
        if rounds:
            axes.fill_between(
                _GRID, *_band(arm, rounds), step="post", color=colour, alpha=0.12, linewidth=0
            )
    ours = PUBLISHED[-1]
    for tpr, spread, fppi in ours.points:
        axes.errorbar(fppi, tpr, spread, fmt="k.", capsize=3, linewidth=1)
    axes.plot([], [], "k.", label=f"{ours.method}: published")
    axes.set(xlim=(0, MOST), ylim=(0, 1.02))
    axes.grid(visible=True, linewidth=0.4)
    axes.legend(fontsize="small", loc="lower right")
    FigureCanvasAgg(figure)
    with written(path, FROC) as beside:
        figure.savefig(beside, dpi=120, format="png", metadata={MARK: FROC.name})


def _band(arm: Arm, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ends at each point of the grid."""
    drawn = []
    for weights in arm.resamples(rounds):
        curve = arm.scored.hits.curve(weights)
        at = np.searchsorted(curve.fppi, _GRID, "right")
        drawn.append(np.concatenate([[0.0], curve.tpr])[at])
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    return low, high
