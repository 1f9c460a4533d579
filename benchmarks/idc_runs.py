"""A cross-validated run on disk, whose networks score their own fold's test patients again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load_file

from napari_pathogan.colour.slide_colours import SlideColours
from napari_pathogan.engine.devices import Device, choose_device
from napari_pathogan.engine.runs import RunFolder, load_state
from napari_pathogan.engine.trainer import weights_in
from napari_pathogan.tasks.idc import calibrate
from napari_pathogan.tasks.idc.context import Context, on_grids
from napari_pathogan.tasks.idc.crossval import SHARES, SIGMAS
from napari_pathogan.tasks.idc.metrics import auc, mean_patient_auc, table
from napari_pathogan.tasks.idc.network import Discriminator, folded_state
from napari_pathogan.tasks.idc.score import score_slides

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import torch

    from napari_pathogan.tasks.idc.calibrate import Calibration
    from napari_pathogan.tasks.idc.data import PatchFolder

    Fit = Callable[[np.ndarray, np.ndarray, np.ndarray], Calibration]

Figures = dict[str, float]


@dataclass(eq=False)
class Fold:
    """The network of one fold, its test patients, and the colours it learned from."""

    network: Discriminator
    patches: PatchFolder
    reference: SlideColours
    index: np.ndarray


@dataclass(eq=False)
class Run:
    """A cross-validated run whose networks score their own fold's test patients again."""

    patches: PatchFolder
    fold: np.ndarray
    folds: list[Fold]
    recipe: dict[str, Any]
    device: Device = field(default_factory=lambda: choose_device("cpu"))

    @classmethod
    def read(cls, folder: Path, patches: PatchFolder) -> Run:
        """Read the folds' last checkpoints."""
        fold = load_file(folder / "out_of_fold.safetensors")["fold"]
        if len(fold) != len(patches):
            msg = f"{folder} was trained on {len(fold)} patches, not on these {len(patches)}"
            raise SystemExit(msg)
        parts = []
        for k in range(fold.max() + 1):
            part = RunFolder(folder / "folds" / str(k))
            recipe = json.loads(part.config.read_text(encoding="utf-8"))
            network = _network(recipe["width"], weights_in(load_state(part.checkpoint), "d"))
            index = np.flatnonzero(fold == k)
            seen = patches.take(fold != k)
            own = [SlideColours.measure(seen.of([name]).images) for name in seen.names]
            parts.append(Fold(network, patches.take(index), SlideColours.average(own), index))
        return cls(patches, fold, parts, recipe)

    def logits(self, share: float = 0.0, views: int = 1) -> np.ndarray:
        """Out of fold, with slides carried ``share`` of the way to reference colours: (N, V)."""
        found = np.empty((len(self.patches), views), np.float32)
        for part in self.folds:
            args = (part.network, part.patches, self.device, part.reference, share)
            found[part.index] = score_slides(*args, views=views)
        return found

    def near(self, logits: np.ndarray, sigmas: tuple[float, ...] = SIGMAS) -> np.ndarray:
        """Logits (N,) averaged over the neighbours on each slide, alike for each width."""
        weights = SHARES if sigmas == SIGMAS else (1 / len(sigmas),) * len(sigmas)
        context = Context(sigmas, weights, calibrate.UNFITTED)
        return on_grids(self.patches, logits[:, None], context)[:, 0]

    def calibrated(
        self, logits: np.ndarray, fit: Fit = calibrate.fit, learnt: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Calibrate each fold by the others.

        Parameters
        ----------
        logits
            (N,) or (N, V).
        learnt
            The logits that calibrations are fitted to, where they are not ``logits``.

        Returns
        -------
        probability, uncertainty, threshold
            (N,) each: the operating point of the others is the fold's threshold.
        """
        learnt = logits if learnt is None else learnt
        probability, uncertainty, threshold = (np.empty(len(logits)) for _ in range(3))
        known = self.patches.labels >= 0
        for k in range(len(self.folds)):
            test, rest = self.fold == k, (self.fold != k) & known
            fitted = fit(learnt[rest], self.patches.labels[rest], self.patches.patients[rest])
            views = logits[test].reshape(test.sum(), -1)
            probability[test], uncertainty[test] = fitted.probability(views)
            threshold[test] = fitted.threshold
        return probability, uncertainty, threshold

    def figures(self, probability: np.ndarray, called: np.ndarray) -> Figures:
        """The columns of most tables."""
        known = self.patches.labels >= 0
        y, p, patients = (
            a[known] for a in (self.patches.labels, probability, self.patches.patients)
        )
        values = table(y, p, called[known], np.ones(len(y)))
        pooled = {"AUC": auc(y, p), "within": mean_patient_auc(y, p, patients)}
        names = {"balanced_accuracy": "BAC", "f1": "F1", "brier": "Brier", "ece": "ECE"}
        rest = {short: values[name] for name, short in names.items()}
        return {k: np.nan if v is None else v for k, v in {**pooled, **rest}.items()}

    def measured(self, logits: np.ndarray, fit: Fit = calibrate.fit) -> Figures:
        """:meth:`figures` of logits (N,)."""
        probability, _, threshold = self.calibrated(logits, fit)
        return self.figures(probability, probability >= threshold)


def _network(width: float, state: dict[str, torch.Tensor]) -> Discriminator:
    average, folded = Discriminator(width), Discriminator(width, spectral=False)
    average.load_state_dict(state)
    folded.load_state_dict(folded_state(average))
    return folded.eval()
