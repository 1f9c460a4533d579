"""What a slide's colours do to what comes after: IDC and nuclei on patients never seen.

    python benchmarks/stain_downstream.py IDC NUCLEI OTHER --run A --run B --work WORK [--docs]

The default models of both tasks, as they are used: IDC's head on a frozen trunk and its student, fitted
anew to each fold's patients, as a heat map; the nuclei's ensemble of the networks of two
cross-validated runs (``pathogan nuclei train --folds patients``; docs/nuclei.md has the commands).
IDC is a folder of patches, NUCLEI one of images with masks, OTHER a folder of images of another
laboratory, whose colours the test images are also shown in. A stain style is trained on patients of the
other half, in WORK, where what is there is gone on from. Keeps the figures in
benchmarks/results/stain_downstream.json; ``--docs`` puts the tables into docs/stain.md.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from nuclei_quality import fold_model
from PIL import Image
from stain_tables import START, Figure, Key, Resampled, table, with_intervals

from napari_pathogan.colour.lab import STAINED, optical_density
from napari_pathogan.colour.slide_colours import SlideColours
from napari_pathogan.engine.devices import choose_device
from napari_pathogan.engine.events import Finished
from napari_pathogan.engine.folds import patient_folds
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.files import write_text, written
from napari_pathogan.kinds import OURS
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.idc import calibrate
from napari_pathogan.tasks.idc import config as idc_recipe
from napari_pathogan.tasks.idc import metrics as idc_metrics
from napari_pathogan.tasks.idc import train as idc_train
from napari_pathogan.tasks.idc.context import Context, on_grids
from napari_pathogan.tasks.idc.crossval import PRETRAINED_SHARE, SHARES, SIGMAS
from napari_pathogan.tasks.idc.data import MPP as IDC_MPP
from napari_pathogan.tasks.idc.data import PATCH_PX, PatchFolder, read_patches
from napari_pathogan.tasks.idc.score import score_slides
from napari_pathogan.tasks.nuclei import evaluate
from napari_pathogan.tasks.nuclei.data import NucleiFolder, NucleiImage, read_folder
from napari_pathogan.tasks.nuclei.ensemble import Ensemble
from napari_pathogan.tasks.nuclei.metrics import pixel_table
from napari_pathogan.tasks.nuclei.model import MPP, NucleiModel
from napari_pathogan.tasks.stain.config import RECIPES as STYLES
from napari_pathogan.tasks.stain.data import StylePool
from napari_pathogan.tasks.stain.learn import learn as learn_style
from napari_pathogan.tasks.stain.levels import transferred
from napari_pathogan.tasks.stain.predict import Method, fit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_pathogan.engine.events import Event
    from napari_pathogan.tasks.stain.model import StyleModel

RESULTS = Path(__file__).parent / "results" / "stain_downstream.json"
DOCS = Path(__file__).parent.parent / "docs" / "stain.md"
BEGIN, END = "<!-- figures of benchmarks/stain_downstream.py -->", "<!-- end of figures -->"

FITTED = {"Macenko": Method.macenko, "Reinhard": Method.reinhard, "network": Method.cnn}
TILE = 512
MIDDLE = 256  # pixels of each image's middle, where its nuclei are counted

STYLE = replace(STYLES["quick"], batch=8, crop=128, epochs=6, steps=40)
IDC_FOLDS = 5
IDC = replace(idc_recipe.RECIPES["quick"], method="frozen")
NUCLEI_VIEWS, NUCLEI_THRESHOLD = 2, 0.45  # as the embedded model has them


@dataclass(frozen=True)
class Case:
    """A test patient in some colours: images of one height, at one scale."""

    images: tuple[np.ndarray, ...]
    mpp: float

    def carried(self, style: StyleModel) -> dict[str, Case]:
        """The same patient by each method: measured once, on all images together."""
        with Slide.from_arrays([np.concatenate(self.images, 1)], name="case", mpp=self.mpp) as all_:
            transfers = {name: fit(all_, style, how) for name, how in FITTED.items()}
        # the student was taught with the network: no need to teach it again
        student = replace(transfers["network"], method=Method.lut, model=None)
        transfers["fast network (student)"] = student
        made = {START: self}
        for name, transfer in transfers.items():
            images = []
            for image in self.images:
                with Slide.from_arrays([image], name="image", mpp=self.mpp) as slide:
                    images.append(stained(image, transferred(slide, transfer).levels[0]))
            made[name] = replace(self, images=tuple(images))
        return made

    def recoloured(self, other: SlideColours) -> Case:
        """The same patient in the colours of another slide; glass stays as it is."""
        own = SlideColours.measure(np.concatenate([i.reshape(-1, 3) for i in self.images]))
        matrix, offset = own.map_to(other)
        made = []
        for image in self.images:
            rgb = image / 255
            tissue = np.clip(optical_density(image).max(-1, keepdims=True) / STAINED, 0, 1)
            moved = rgb + tissue * (rgb @ matrix.T + offset - rgb)
            made.append((moved.clip(0, 1) * 255).round().astype(np.uint8))
        return replace(self, images=tuple(made))


def stained(image: np.ndarray, view: Any) -> np.ndarray:  # noqa: ANN401
    """Read a view of an image, where it shows more than glass."""
    made = image.copy()
    for y in range(0, image.shape[0], TILE):
        for x in range(0, image.shape[1], TILE):
            tile = slice(y, y + TILE), slice(x, x + TILE)
            if (optical_density(image[tile]).max(-1) >= STAINED).any():
                made[tile] = view[tile]
    return made


def result(events: Iterator[Event]) -> Any:  # noqa: ANN401
    """What a training ends with."""
    return [event for event in events if isinstance(event, Finished)][-1].result


def prepared(work: Path, config: Any) -> RunFolder:  # noqa: ANN401
    """A run's folder, new or to be gone on from."""
    run = RunFolder(work)
    run.start(config.to_json(), resume=True)
    return run


def style_of(images: Sequence[np.ndarray], mpp: float, work: Path) -> StyleModel:
    """A style learned from images."""
    names = tuple(f"{number:03d}" for number in range(len(images)))
    pool = StylePool(tuple(images), names, names, (0,) * len(images))
    return result(learn_style(pool, STYLE, prepared(work, STYLE), holdout=0, mpp=mpp))


def foreign(folder: Path, mpp: float, at: float) -> list[SlideColours]:
    """The colours of each image of another laboratory, at the scale of the test images."""
    found = []
    for file in sorted(folder.glob("*.png")):
        with Image.open(file) as picture:
            image = picture.convert("RGB")
            size = [max(8, round(side * mpp / at)) for side in image.size]
            found.append(SlideColours.measure(np.asarray(image.resize(size, Image.Resampling.BOX))))
    return found


def once(file: Path, measure: Callable[[], dict[Key, np.ndarray]]) -> dict[Key, np.ndarray]:
    """Measure a patient, or read what was measured before."""
    if not file.exists():
        found = {"|".join(key): values for key, values in measure().items()}
        with written(file, OURS) as beside, beside.open("wb") as stream:
            np.savez(stream, **found)
        print(f"measured {file.stem}", flush=True)
    with np.load(file) as kept:
        return {tuple(key.split("|")): kept[key] for key in kept.files}


def shown(case: Case, colours: list[SlideColours], number: int) -> dict[str, Case]:
    """A test patient in own colours, and in those of one of the foreign images, drawn."""
    drawn = np.random.default_rng(number).integers(len(colours))
    return {"own": case, "foreign": case.recoloured(colours[drawn])}


# IDC


def slide_of(patches: PatchFolder, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A patient's slide, put together from patches on glass; the patches and their corners."""
    index, (row, col) = patches.grid(name)
    corner = np.stack([row, col], 1) * PATCH_PX
    slide = np.full((*(corner.max(0) + PATCH_PX), 3), 245, np.uint8)
    for i, (y, x) in zip(index, corner, strict=True):
        slide[y : y + PATCH_PX, x : x + PATCH_PX] = patches.images[i]
    return slide, index, corner


def windows(slide: np.ndarray, side: int = 5 * PATCH_PX) -> Iterator[np.ndarray]:
    """Parts of a slide that are mostly tissue."""
    for y in range(0, slide.shape[0] - side + 1, side):
        for x in range(0, slide.shape[1] - side + 1, side):
            part = slide[y : y + side, x : x + side]
            if (optical_density(part).max(-1) >= STAINED).mean() > 0.5:
                yield part


def idc_style(patches: PatchFolder, fold: np.ndarray, k: int, work: Path) -> StyleModel:
    """A style of patients of the other half of the folds: two styles in all."""
    upper = k >= IDC_FOLDS // 2
    names = np.unique(patches.patients[(fold < IDC_FOLDS // 2) == upper])
    pool = [part for name in names for part in windows(slide_of(patches, name)[0])]
    return style_of(pool, IDC_MPP, work / f"style_{int(upper)}")


def idc(patches: PatchFolder, colours: list[SlideColours], work: Path) -> dict[Key, Resampled]:
    """AUC and balanced accuracy of the heat map, by heads that never saw the patient."""
    fold = patient_folds(patches.patients, IDC_FOLDS)
    logits: dict[Key, np.ndarray] = {}
    near = Context(SIGMAS, SHARES, calibrate.UNFITTED)

    @cache
    def trained(k: int) -> idc_train.Trained:
        learnt = patches.take(fold != k)
        return result(idc_train.train(learnt, IDC, prepared(work / f"head_{k}", IDC)))

    for name in patches.names:
        slide, index, corner = slide_of(patches, name)
        k = int(fold[index[0]])

        def measure(
            slide: np.ndarray = slide,
            index: np.ndarray = index,
            at: np.ndarray = corner,
            k: int = k,
        ) -> dict[Key, np.ndarray]:
            style, by = idc_style(patches, fold, k, work), trained(k)
            found = {}
            for where, case in shown(Case((slide,), IDC_MPP), colours, int(index[0])).items():
                for method, seen in case.carried(style).items():
                    (image,) = seen.images
                    cut = np.stack([image[y : y + PATCH_PX, x : x + PATCH_PX] for y, x in at])
                    own = replace(patches.take(index), images=cut)
                    on = choose_device("cpu"), by.reference, PRETRAINED_SHARE
                    found[method, where] = on_grids(own, score_slides(by.network, own, *on), near)
            return found

        for key, values in once(work / f"seen_{name}.npz", measure).items():
            logits.setdefault(key, np.zeros(len(patches)))[index] = values[:, 0]
    return {key: idc_figures(patches, fold, logits, key) for key in logits}


def idc_figures(
    patches: PatchFolder, fold: np.ndarray, logits: dict[Key, np.ndarray], key: Key
) -> Resampled:
    """Calibrate each fold by the others in their own colours; figures of any resample."""
    learnt, seen = logits[key[0], "own"], logits[key]
    probability, called = np.empty(len(patches)), np.empty(len(patches), bool)
    for k in range(IDC_FOLDS):
        test, rest = fold == k, fold != k
        fitted = calibrate.fit(learnt[rest], patches.labels[rest], patches.patients[rest])
        probability[test] = fitted.probability(seen[test][:, None])[0]
        called[test] = probability[test] >= fitted.threshold

    def figures(weights: np.ndarray) -> Figure:
        table = idc_metrics.table(patches.labels, probability, called, weights)
        auc = idc_metrics.auc(patches.labels, seen, weights)
        return {"AUC": auc, "balanced accuracy": table["balanced_accuracy"]}

    return patches.patients, figures


# nuclei


def nuclei_model(folder: NucleiFolder, fold: np.ndarray, k: int, runs: list[Path]) -> NucleiModel:
    """The networks of several runs' fold together, as the embedded ensemble."""
    learnt = folder.take(fold != k)
    members = []
    for run in runs:
        config = json.loads((run / "config.json").read_text())
        checkpoint = run / "folds" / str(k) / "checkpoint.safetensors"
        members.append(fold_model(checkpoint, learnt, config, NUCLEI_VIEWS))
    network = Ensemble.of([one.network for one in members]).eval()
    return replace(members[0], network=network, threshold=NUCLEI_THRESHOLD)


def nuclei(
    folder: NucleiFolder, colours: list[SlideColours], work: Path, runs: list[Path]
) -> dict[Key, Resampled]:
    """Dice of pixels, by networks that never saw their patient."""
    fold = patient_folds(folder.patients, len(folder.names))
    half = patient_folds(folder.patients, 2)
    counts: dict[Key, np.ndarray] = {}
    for number, name in enumerate(folder.names):
        index = np.flatnonzero(folder.patients == name)

        def measure(number: int = number, index: np.ndarray = index) -> dict[Key, np.ndarray]:
            own = half[index[0]]
            pool = [image.pixels for image in folder.take(half != own).images]
            style = style_of(pool, MPP, work / f"style_{own}")
            model = nuclei_model(folder, fold, int(fold[index[0]]), runs)
            images = [folder.images[i] for i in index]
            case = Case(tuple(image.pixels for image in images), images[0].mpp)
            found = {}
            for where, other in shown(case, colours, number).items():
                for method, seen in other.carried(style).items():
                    pixels = np.concatenate([i.reshape(-1, 3) for i in seen.images])
                    coloured = model.in_colours_of(pixels)
                    pairs = zip(images, seen.images, strict=True)
                    rows = [counted(replace(a, pixels=b), coloured) for a, b in pairs]
                    found[method, where] = np.stack(rows)
            return found

        for key, values in once(work / f"seen_{name}.npz", measure).items():
            counts.setdefault(key, np.zeros((len(folder), 4)))[index] = values
    return {key: (folder.patients, partial(nuclei_figures, c)) for key, c in counts.items()}


def counted(image: NucleiImage, model: NucleiModel) -> np.ndarray:
    """Count pixels of the nuclei found in the middle of an image: (4,)."""
    y, x = ((side - MIDDLE) // 2 for side in image.mask.shape)
    middle = slice(y, y + MIDDLE), slice(x, x + MIDDLE)
    image = replace(image, pixels=image.pixels[middle], mask=image.mask[middle])
    planes = evaluate.foretell(image, model.probability)
    return evaluate.score(image, planes, model.threshold, instances_known=False).pixels


def nuclei_figures(pixels: np.ndarray, weights: np.ndarray) -> Figure:
    """Dice over all pixels, and the mean of the images'."""
    table = pixel_table(pixels, weights)
    return {"Dice": table["dice"], "Dice, mean of images": table["dice_mean"]}


def main() -> None:
    """Train what is missing, measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("idc", type=Path, help="patches, as pathogan idc train wants them")
    parser.add_argument("nuclei", type=Path, help="images/ and masks/ at 0.25 um/px")
    parser.add_argument("other", type=Path, help="images of another laboratory")
    parser.add_argument("--other-mpp", type=float, default=0.55)
    parser.add_argument("--run", type=Path, action="append", default=[], help="of nuclei, folds")
    parser.add_argument("--work", type=Path, required=True, help="folder for what is trained")
    parser.add_argument("--docs", action="store_true", help=f"put the tables into {DOCS.name}")
    parser.add_argument("--only", nargs="+", choices=("idc", "nuclei"), default=("idc", "nuclei"))
    asked = parser.parse_args()
    other = (asked.other, asked.other_mpp)
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if "idc" in asked.only:
        images = read_patches(asked.idc)
        logits = idc(images, foreign(*other, IDC_MPP), asked.work / "idc")
        found["idc"] = with_intervals(logits)
    if "nuclei" in asked.only:
        folder = read_folder(asked.nuclei)
        counts = nuclei(folder, foreign(*other, MPP), asked.work / "nuclei", asked.run)
        found["nuclei"] = with_intervals(counts)
    write_text(RESULTS, json.dumps(found, indent=1), OURS)
    figures = {"idc": ("AUC", "balanced accuracy"), "nuclei": ("Dice",)}
    text = "\n\n".join(table(found[task], figures[task]) for task in figures if task in found)
    print(text)
    if asked.docs:
        before, _, rest = DOCS.read_text(encoding="utf-8").partition(BEGIN)
        write_text(DOCS, f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}", OURS)


if __name__ == "__main__":
    main()
