"""What the nucleus models are worth beyond their training's own report.

``folds RUN DIR``: a cross-validated run again, each patient by the network that never saw them, in
the run's views or as many as asked for; ``--and RUN`` asks another run of the same folds too, and
``--save FOLDER`` makes an ensemble of both runs' models, with these figures on its card. ``points DIR``: on images with annotated points only (``images/`` and
``points/*.csv`` of x, y, class), how many points lie in a nucleus that was found. ``tiles DIR``:
images of other laboratories with masks, each at the scale where its median nucleus has the usual area.
``foreign DIR``: how many annotated nuclei (of points 4 px around each, or of ``masks/``) are taken for ink or a fold.
"""

from __future__ import annotations

import argparse
import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from napari_pathogan.engine.devices import choose_device
from napari_pathogan.engine.folds import patient_folds
from napari_pathogan.engine.models import Metric, ModelCard, load_model
from napari_pathogan.engine.runs import load_state
from napari_pathogan.engine.trainer import weights_in
from napari_pathogan.tasks.nuclei.crossval import (
    DEFAULT_THRESHOLD,
    THRESHOLDS,
    baseline_out_of_fold,
    best_threshold,
    fit_baseline,
)
from napari_pathogan.tasks.nuclei.data import NucleiImage, read_folder, read_others
from napari_pathogan.tasks.nuclei.encoder import EncoderUNet
from napari_pathogan.tasks.nuclei.ensemble import ENSEMBLE, UNET, Ensemble, built
from napari_pathogan.tasks.nuclei.evaluate import (
    beside,
    evaluate,
    foretell,
    predicted_images,
    report,
    score,
)
from napari_pathogan.tasks.nuclei.foreign import foreign
from napari_pathogan.tasks.nuclei.instances import instances
from napari_pathogan.tasks.nuclei.labels import split
from napari_pathogan.tasks.nuclei.model import CROP_PX, TASK, NucleiModel, quick
from napari_pathogan.tasks.nuclei.model import save as save_model
from napari_pathogan.tasks.nuclei.network import UNet, folded_state

if TYPE_CHECKING:
    from napari_pathogan.engine.report import Report
    from napari_pathogan.tasks.nuclei.baseline import PixelBaseline
    from napari_pathogan.tasks.nuclei.data import NucleiFolder
    from napari_pathogan.tasks.nuclei.evaluate import Scored


def fold_model(
    checkpoint: Path, learnt: NucleiFolder, config: dict[str, Any], views: int
) -> NucleiModel:
    """Load what a fold's training ended with."""
    shape = (config["width"], config["squares"])
    encoder = config.get("backbone")
    average = EncoderUNet.on(encoder, config["width"]) if encoder else UNet(*shape)
    average.load_state_dict(weights_in(load_state(checkpoint), "network"))
    network = average
    if isinstance(average, UNet):
        network = UNet(*shape, normalised=False)
        network.load_state_dict(folded_state(average))
    return NucleiModel(
        ModelCard(name="fold", title="fold", task=TASK, architecture=UNET),
        quick(network),
        choose_device("auto"),
        DEFAULT_THRESHOLD,
        views,
        learnt.reference(),
        config["normalise"],
    )


def folds(
    runs: list[Path], data: Path, views: int | None, normalise: float | None, save: Path | None
) -> None:
    """Report out of fold, thresholds from the other folds; of several runs, the mean of their networks."""
    configs = [json.loads((run / "config.json").read_text()) for run in runs]
    config = dict(configs[0])
    for one in configs:
        one["normalise"] = config["normalise"] if normalise is None else normalise
    views = config.get("views", 1) if views is None else views
    folder = read_folder(data, mpp=config["mpp"] or 0.25)
    number = len(folder.names) if config["folds"] == "patients" else config["folds"]
    fold = patient_folds(folder.patients, number)
    tried: list[list[Scored]] = []
    fold_of: list[int] = []
    for k in range(number):
        models = [
            fold_model(
                run / "folds" / str(k) / "checkpoint.safetensors",
                folder.take(fold != k),
                one,
                views,
            )
            for run, one in zip(runs, configs, strict=True)
        ]
        model = models[0]
        if len(models) > 1:
            model = replace(model, network=Ensemble.of([one.network for one in models]).eval())
        for image, planes in predicted_images(folder.take(fold == k), model):
            known = folder.instances
            tried.append([score(image, planes, t, instances_known=known) for t in THRESHOLDS])
            fold_of.append(k)
    counts = np.array([[one.pixels for one in row] for row in tried])
    chosen = [best_threshold(counts[np.array(fold_of) != k]) for k in fold_of]
    scored = [row[THRESHOLDS.index(t)] for row, t in zip(tried, chosen, strict=True)]
    done = beside(report(scored, title=f"{views} views"), baseline_out_of_fold(folder, fold))
    print(done.to_json())
    if save is not None:
        ensemble(runs, save, done, best_threshold(counts), views, fit_baseline(folder))


def ensemble(  # noqa: PLR0917
    runs: list[Path],
    folder: Path,
    done: Report,
    threshold: float,
    views: int,
    baseline: PixelBaseline | None,
) -> None:
    """Save the models of several runs (or embedded ones) as one, with the figures of their folds."""
    members = [NucleiModel.load(run) for run in runs]
    first, *others = (one.card for one in members)
    data = dict.fromkeys(part for card in (first, *others) for part in card.training_data)
    command = " --and ".join(
        ("python benchmarks/nuclei_quality.py folds RUN DIR", *["RUN"] * len(others))
    )
    card = ModelCard(
        name=folder.name,
        title="Nuclei, ensemble of " + " and ".join(card.title for card in (first, *others)),
        task=TASK,
        architecture=ENSEMBLE,
        training_data=tuple(data),
        recipe={"members": [card.recipe for card in (first, *others)]},
        metrics={key: Metric(**value._asdict()) for key, value in done.metrics.items()},
        measured_by=f"{command} --views {views}: out of fold, thresholds from the other folds",
        not_for=first.not_for,
        licence=first.licence,
    )
    network = Ensemble.of([plain(run) for run in runs])
    own = members[0]
    options = {
        "threshold": threshold,
        "views": views,
        "views_float32": 1,  # half a megapixel a second there
        "reference": own.reference,
        "share": own.share,
        "baseline": baseline,
    }
    save_model(folder, card, network, crop=CROP_PX, **options)


def plain(name: Path) -> UNet | EncoderUNet:
    """A model's network with its weights as they are kept."""
    card, weights = load_model(name, TASK)
    network = built(card.architecture, card.arguments)
    network.load_state_dict(weights)
    assert not isinstance(network, Ensemble)
    return network


def points(data: Path, model: NucleiModel, mpp: float) -> None:
    """Report the share of points in nuclei, by class, and of the found area without a point."""
    hits: dict[str, list[bool]] = {}
    area, alone = [], []
    for file in sorted((data / "images").glob("*.png")):
        with Image.open(file) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        image = NucleiImage(file.stem, file.stem, pixels, np.zeros(pixels.shape[:2], np.int32), mpp)
        planes = foretell(image, model.in_colours_of(pixels).probability)
        labels = instances(planes, mpp=mpp, threshold=model.threshold)
        with (data / "points" / f"{file.stem}.csv").open() as stream:
            rows = list(csv.DictReader(stream))
        y, x = (
            np.clip([int(float(row[axis])) for row in rows], 0, side - 1).astype(int)
            for axis, side in zip("yx", labels.shape, strict=True)
        )
        for row, found in zip(rows, labels[y, x] > 0, strict=True):
            hits.setdefault(row["class"], []).append(bool(found))
        known = np.isin(labels, labels[y, x])
        area.append((labels > 0).mean())
        alone.append(((labels > 0) & ~known).sum() / max(1, (labels > 0).sum()))
    for name, found in sorted(hits.items()):
        print(f"{name}: {np.mean(found):.3f} of {len(found)}")
    every = [found for own in hits.values() for found in own]
    print(f"all: {np.mean(every):.3f} of {len(every)}")
    print(f"found area: {np.mean(area):.3f}, of which without a point: {np.mean(alone):.3f}")


def tiles(data: Path, model: NucleiModel) -> None:
    """Report on images of other laboratories, each at the scale where nuclei have the usual size."""
    print(evaluate(read_others(data), model).to_json())


def annotated(data: Path, file: Path, shape: tuple[int, int]) -> np.ndarray:
    """Labels of the nuclei that were marked in an image: discs around points, or pieces of a mask."""
    if not (data / "points").is_dir():
        with Image.open(data / "masks" / file.name) as picture:
            return split(np.asarray(picture.convert("L")) > 0)
    labels = np.zeros(shape, np.int32)
    with (data / "points" / f"{file.stem}.csv").open() as stream:
        for number, row in enumerate(csv.DictReader(stream), 1):
            y, x = int(float(row["y"])), int(float(row["x"]))
            labels[max(0, y - 4) : y + 4, max(0, x - 4) : x + 4] = number
    return labels


def taken_for_foreign(data: Path, mpp: float) -> None:
    """Report how many annotated nuclei are left out, and the largest of them all."""
    found, left_out, largest = 0, 0, 0.0
    for file in sorted((data / "images").glob("*.png")):
        with Image.open(file) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        labels = annotated(data, file, pixels.shape[:2])
        areas = np.bincount(labels.ravel())[1:] * mpp**2
        found += int((areas > 0).sum())
        left_out += int(foreign(labels, pixels, mpp**2).sum())
        largest = max(largest, float(areas.max(initial=0)))
    print(f"{left_out} of {found} nuclei left out; the largest has {largest:.0f} um2")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_subparsers(dest="what", required=True)
    of_folds = what.add_parser("folds")
    of_folds.add_argument("run", type=Path)
    of_folds.add_argument("data", type=Path)
    of_folds.add_argument("--views", type=int, help="instead of the run's")
    of_folds.add_argument("--normalise", type=float)
    of_folds.add_argument("--and", dest="others", type=Path, action="append", default=[])
    of_folds.add_argument("--save", type=Path, help="an ensemble of the runs' models")
    of_points = what.add_parser("points")
    of_points.add_argument("data", type=Path)
    of_points.add_argument("--model", default="nuclei-ensemble")
    of_points.add_argument("--mpp", type=float, default=0.55)
    of_points.add_argument("--views", type=int, help="instead of the model's")
    of_tiles = what.add_parser("tiles")
    of_tiles.add_argument("data", type=Path)
    of_tiles.add_argument("--model", default="nuclei-ensemble")
    of_tiles.add_argument("--views", type=int, help="instead of the model's")
    of_foreign = what.add_parser("foreign")
    of_foreign.add_argument("data", type=Path)
    of_foreign.add_argument("--mpp", type=float, default=0.25)
    asked = parser.parse_args()
    if asked.what == "folds":
        runs = [asked.run, *asked.others]
        folds(runs, asked.data, asked.views, asked.normalise, asked.save)
    elif asked.what == "foreign":
        taken_for_foreign(asked.data, asked.mpp)
    elif asked.what == "tiles":
        tiles(asked.data, NucleiModel.load(asked.model, views=asked.views))
    else:
        points(asked.data, NucleiModel.load(asked.model, views=asked.views), asked.mpp)


if __name__ == "__main__":
    main()
