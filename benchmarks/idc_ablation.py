"""What each step from a network's logits to a call brings: tables of docs/idc.md.

    python benchmarks/idc_ablation.py DIR RUN [RUN ...] [--only steps threshold]

DIR is a folder of patches, each RUN what ``pathogan idc train DIR -o RUN --folds K`` left there.
Every patient is scored by the network of the fold that never saw them, and called by a
calibration fitted to the other folds. Rows of the same name are means over the runs: give the
runs of several seeds.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from idc_runs import Figures, Run
from idc_tables import averaged, markdown
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from napari_pathogan.colour.slide_colours import SlideColours
from napari_pathogan.tasks.idc import calibrate
from napari_pathogan.tasks.idc.annotated import read_training_folder
from napari_pathogan.tasks.idc.calibrate import Calibration
from napari_pathogan.tasks.idc.crossval import SHARE
from napari_pathogan.tasks.idc.score import score

if TYPE_CHECKING:
    from idc_runs import Fit

BEYOND = 1.2  # how far patches are carried to the colours of another patient, and past them
DRAWS = 2  # of that other patient
VIEWS = 8


def steps(run: Run) -> dict[str, Figures]:
    """Colours of the slide, and neighbours."""
    by_share = {share: run.logits(share)[:, 0] for share in (0.0, 0.5, SHARE, 1.0)}
    own, far = by_share[0.0], by_share[SHARE]
    rows = {
        "one patch, its own colours": own,
        f"one patch, mean of {VIEWS} flips and turns": run.logits(views=VIEWS).mean(1),
        "slide carried half way to reference colours": by_share[0.5],
        f"slide carried {SHARE:.0%} of the way": far,
        "slide carried all the way": by_share[1.0],
        "mean of own and reference colours (twice the time)": (own + by_share[1.0]) / 2,
        **{
            f"{SHARE:.0%} + neighbours, Gaussian of {s:g} patches": run.near(far, (s,))
            for s in (1.0, 2.0, 4.0)
        },
        f"**{SHARE:.0%} + neighbours, mean of 2 and 4** (the heat map)": run.near(far),
        "half way + neighbours, mean of 2 and 4": run.near(by_share[0.5]),
        "own colours + neighbours, mean of 2 and 4": run.near(own),
    }
    return {name: run.measured(z) for name, z in rows.items()}


def together(runs: list[Run]) -> dict[str, Figures]:
    """The networks of several runs, whose logits are averaged."""
    own, far = (np.mean([run.logits(share)[:, 0] for run in runs], 0) for share in (0.0, SHARE))
    first = runs[0]
    return {
        f"one patch, mean of {len(runs)} networks": first.measured(own),
        f"heat map, mean of {len(runs)} networks": first.measured(first.near(far)),
    }


def weighed(power: float, rule: str) -> Fit:
    """A fit in which a patient weighs as their patches to the power of 1 - ``power``."""

    def fit(logits: np.ndarray, labels: np.ndarray, patients: np.ndarray) -> Calibration:
        _, index, counts = np.unique(patients, return_inverse=True, return_counts=True)
        weights = counts[index].astype(float) ** -power
        weights /= weights.mean()
        model = LogisticRegression(C=1e6).fit(logits[:, None], labels, weights)
        slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
        half = calibrate.best_threshold(expit(slope * logits + intercept), labels, weights)
        threshold = {"0.5": 0.5, "half way": half, "best": float(expit(2 * logit(half)))}[rule]
        return Calibration(slope, intercept, 0.0, threshold)

    return fit


def threshold(run: Run) -> dict[str, Figures]:
    """How patients weigh in the calibration, and where the operating point lies."""
    columns = {"": run.logits()[:, 0], "heat map ": run.near(run.logits(SHARE)[:, 0])}
    rows: dict[str, Figures] = {}
    for who, power in (("as their patches", 0.0), ("as the root", 0.5), ("all alike", 1.0)):
        for rule in ("0.5", "best", "half way"):
            row: Figures = {}
            for prefix, z in columns.items():
                found = run.measured(z, weighed(power, rule))
                row |= {f"{prefix}{key}": found[key] for key in ("BAC", "F1", "ECE")}
            rows[f"{who}, {rule}"] = row
    return rows


def prevalence(run: Run) -> dict[str, Figures]:
    """Attempts to make up for how patients shift, all on the heat map's logits."""
    z = run.near(run.logits(SHARE)[:, 0])
    p, _, at = run.calibrated(z)
    rows = {"none of these": run.figures(p, p >= at)}
    slides = [run.patches.patients == name for name in run.patches.names]
    for share, how in ((0.25, "a quarter of the way"), (1.0, "all the way")):
        moved = p.copy()
        for own in slides:
            prior = run.patches.labels[~own & (run.patches.labels >= 0)].mean()
            shift = logit(estimated(p[own], prior)) - logit(prior)
            moved[own] = expit(logit(p[own].clip(1e-6, 1 - 1e-6)) + share * shift)
        rows[f"prevalence of each slide by EM, {how}"] = run.figures(moved, moved >= at)
    for share, how in ((0.5, "half way"), (1.0, "all the way")):
        centred = z.copy()
        for own in slides:
            centred[own] -= share * (z[own].mean() - z.mean())
        rows[f"logits centred on the slide's mean, {how}"] = run.measured(centred)
    return rows


def estimated(probability: np.ndarray, prior: float, rounds: int = 200) -> float:
    """The prevalence of a slide by expectation maximisation (Saerens et al. 2002)."""
    share = prior
    for _ in range(rounds):
        idc = probability * share / prior
        healthy = (1 - probability) * (1 - share) / (1 - prior)
        share = float(np.clip((idc / (idc + healthy)).mean(), 0.01, 0.99))
    return share


def uncertainty(run: Run) -> dict[str, Figures]:
    """How well an uncertainty ranks errors, patch by patch."""
    views = run.logits(views=VIEWS)
    p, one, at = run.calibrated(views[:, 0])
    by_all, both, at_all = run.calibrated(views, _fit_mean)
    disagreement = expit(views.astype(float)).std(1)
    rows = {
        "p (1 - p)": (p * (1 - p), p >= at),
        "shift of patients, one view (default)": (one, p >= at),
        f"shift of patients + {VIEWS} views": (both, by_all >= at_all),
        f"disagreement of {VIEWS} views alone": (disagreement, by_all >= at_all),
        "random": (np.random.default_rng(0).random(len(p)), p >= at),
    }
    return {name: _ranked(run, u, calls) for name, (u, calls) in rows.items()}


def _fit_mean(logits: np.ndarray, labels: np.ndarray, patients: np.ndarray) -> Calibration:
    return calibrate.fit(logits.mean(1), labels, patients)


def _ranked(run: Run, value: np.ndarray, called: np.ndarray) -> Figures:
    known = run.patches.labels >= 0
    wrong = (called != (run.patches.labels == 1))[known]
    order = np.argsort(-value[known], kind="stable")
    tenth = len(order) // 10
    return {
        "error rate overall": wrong.mean(),
        "of the most uncertain 10 %": wrong[order[:tenth]].mean(),
        "of the most certain 80 %": wrong[order[2 * tenth :]].mean(),
    }


def shifted(run: Run) -> dict[str, Figures]:
    """Test patients in colours beyond any that training saw, patch by patch, by recipe."""
    own, far = (run.logits(share)[:, 0] for share in (0.0, SHARE))
    rows = {"as they are": run.measured(own), "as they are, heat map": run.measured(run.near(far))}
    for share in (0.0, 0.5, SHARE, 1.0):
        learnt = run.logits(share)[:, 0]
        drawn = []
        for seed in range(DRAWS):
            p, _, at = run.calibrated(_recoloured(run, share, seed), learnt=learnt)
            drawn.append({"row": run.figures(p, p >= at)})
        rows[f"shifted, carried back {share:.0%}"] = averaged(drawn)["row"]
    how = run.recipe["augment"]
    recipe = f"{run.recipe['method']}, mix {how['mix']:g}, jitter {how['jitter']:g}"
    return {f"{recipe}: {name}": row for name, row in rows.items()}


def _recoloured(run: Run, share: float, seed: int) -> np.ndarray:
    """Logits (N,) of patches in foreign colours, each slide carried back by ``share``."""
    names = run.patches.names
    colours = {n: SlideColours.measure(run.patches.of([n]).images) for n in names}
    rng = np.random.default_rng(seed)
    others = {name: rng.choice([n for n in names if n != name]) for name in names}
    found = np.empty(len(run.patches), np.float32)
    for part in run.folds:
        for name in part.patches.names:
            own = part.patches.patients == name
            matrix, offset = colours[name].map_to(colours[others[name]], BEYOND)
            moved = part.patches.images[own] / 255 @ matrix.T + offset
            images = (moved.clip(0, 1) * 255).round().astype(np.uint8)
            back = SlideColours.measure(images).map_to(part.reference, share)
            logits = score(part.network, images, run.device, recolour=back if share else None)
            found[part.index[own]] = logits[:, 0]
    return found


SECTIONS = {
    "steps": steps,
    "threshold": threshold,
    "prevalence": prevalence,
    "uncertainty": uncertainty,
    "shifted": shifted,
}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    options = parser.parse_args()
    patches = read_training_folder(options.folder)
    runs = [Run.read(folder, patches) for folder in options.runs]
    for name in options.only:
        rows = averaged([SECTIONS[name](run) for run in runs])
        if name == "steps" and len(runs) > 1:
            rows |= together(runs)
        print(f"\n{name}, {len(runs)} runs\n\n{markdown(rows)}", flush=True)


if __name__ == "__main__":
    main()
