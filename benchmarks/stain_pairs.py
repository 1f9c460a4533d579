"""How close each method comes to the truth, on cases that it did not learn from.

    python benchmarks/stain_pairs.py PAIRS TARGET --work WORK [--pictures OUT.png]

PAIRS holds a folder of images a scanner and ``pairs.csv``. For each case, a style of the scanner
TARGET learns from the images of the others (of both scanners, unpaired), and is measured on the pairs
of that case. Then a style learns from all cases; these figures are its card's. What is there already
in WORK is not learnt again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from napari_pathogan.engine.events import Finished
from napari_pathogan.engine.models import CARD, Metric, TrainingData, read_card
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.tasks.stain.config import RECIPES
from napari_pathogan.tasks.stain.data import StylePool
from napari_pathogan.tasks.stain.learn import learn
from napari_pathogan.tasks.stain.model import StyleModel
from napari_pathogan.tasks.stain.paired import Rows, compared, matched, report

MPP = 0.25
CONFIG = RECIPES["quick"].adjusted(("epochs=3", "batch=8", "crop=160"))  # 120 steps
TERMS = "tissue and scanners of MITOS-ATYPIA-14 (ICPR 2014 contest); research only"


def main() -> None:
    """Learn, measure, print the table, and write the style of all cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pairs", type=Path)
    parser.add_argument("target")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--pictures", type=Path)
    asked = parser.parse_args()
    (start,) = [p for p in asked.pairs.iterdir() if p.is_dir() and p.name != asked.target]
    source, target = StylePool.read(start), StylePool.read(asked.pairs / asked.target)
    source, target, notes = matched(source, target)
    work = asked.work / asked.target
    rows: Rows = {}
    patients: list[str] = []
    for case in sorted(set(source.patients)):
        style = learnt(work / case, source.without([case]), target.without([case]))
        one, other = (
            pool.select([name == case for name in pool.patients]) for pool in (source, target)
        )
        found, whose, left_out = compared(one, other, style)
        patients += whose
        notes = (*notes, *left_out)
        for method, values in found.items():
            rows.setdefault(method, []).extend(values)
    whole = learnt(work / f"stain-{asked.target}", source, target)
    measured = report(rows, patients, whole, notes)
    print("| method | PSNR, dB | SSIM |\n| --- | --- | --- |")
    for method in rows:
        figures = [measured.metrics[f"{method}_{what}"] for what in ("psnr", "ssim")]
        psnr, ssim = (
            f"{v.value:.{n}f} ({v.low:.{n}f} to {v.high:.{n}f})"
            for v, n in zip(figures, (2, 3), strict=True)
        )
        print(f"| {method} | {psnr} | {ssim} |")
    each = {p: np.mean([v[0] for v, q in zip(rows["scanner"], patients, strict=True) if q == p])
            for p in sorted(set(patients))}  # fmt: skip
    print("scanner map, case by case:", ", ".join(f"{p}: {v:.2f}" for p, v in each.items()))
    folder = work / f"stain-{asked.target}" / "model"
    card = read_card(folder).model_copy(
        update={
            "metrics": {k: Metric(**v._asdict()) for k, v in measured.metrics.items()},
            "measured_by": f"python benchmarks/stain_pairs.py PAIRS {asked.target} --work WORK: each "
            "case by a style that learned from the four others",
        }
    )
    (folder / CARD).write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")
    if asked.pictures:
        Image.fromarray(pictures(work, source, target)).save(asked.pictures)


def learnt(folder: Path, source: StylePool, target: StylePool) -> StyleModel:
    """A style of the target's images with a map from the source's; read where it is there."""
    if (folder / "model" / CARD).is_file():
        return StyleModel.load(folder, "cpu")
    run = RunFolder(folder)
    run.start(CONFIG.to_json(), resume=folder.is_dir())
    told = f"MITOS-ATYPIA-14: H&E fields of breast cancer, scanner {folder.parent.name}"
    data = TrainingData(name=told, terms=TERMS)
    events = learn(
        target, CONFIG, run, holdout=0, mpp=MPP, from_pool=source, name=folder.name, data=data,
        device="cpu",
    )  # fmt: skip
    *_, last = events
    assert isinstance(last, Finished)
    style: StyleModel = last.result
    return style


def pictures(work: Path, source: StylePool, target: StylePool) -> np.ndarray:
    """Of two images a case: as it is, by the scanner map, and the truth."""
    strips = []
    for case in sorted(set(source.patients)):
        style = StyleModel.load(work / case, "cpu")
        assert style.scanner is not None
        for place in np.flatnonzero(np.array(source.patients) == case)[[3, 11]]:
            image = source.images[place]
            made = style.scanner(style.scanner.softening(image))
            strips.append(np.hstack([image, made, target.images[place]]))
    half = len(strips) // 2
    return np.hstack([np.vstack(strips[:half]), np.vstack(strips[half:])])


if __name__ == "__main__":
    main()
