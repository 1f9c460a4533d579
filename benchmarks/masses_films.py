"""How many masses each fold's detector finds on simulated films: ``python benchmarks/masses_films.py DIR RUN``.

RUN is a cross-validated run of ``pathogan masses train``; each of its detectors looks at the patients that
it has not seen, shown as scans of films (:mod:`napari_pathogan.tasks.masses.films`). Writes what was found to
``--output``, prints the shares in Markdown; ``pathogan masses froc digital=RUN films=OUT`` adds intervals.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from napari_pathogan.engine.devices import choose_device
from napari_pathogan.engine.folds import patient_folds
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.engine.trainer import weights_of
from napari_pathogan.mammograms.breast import NoBreastError
from napari_pathogan.tasks.masses.config import TrainConfig
from napari_pathogan.tasks.masses.data import read_mass_folder
from napari_pathogan.tasks.masses.detections import Detections
from napari_pathogan.tasks.masses.evaluate import FPPI
from napari_pathogan.tasks.masses.films import film
from napari_pathogan.tasks.masses.frame import Frame
from napari_pathogan.tasks.masses.model import NOTHING, Findings, Views, looked
from napari_pathogan.tasks.masses.scored import SCORED, Scored
from napari_pathogan.tasks.masses.train import built

_SHAPE = ("detector", "width", "backbone", "long_side", "scales", "grey")


def main() -> None:
    """Measure it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--output", type=Path, default=Path("films"))
    asked = parser.parse_args()
    folder, run = read_mass_folder(asked.folder), RunFolder(asked.run)
    recipe = json.loads(run.config.read_text(encoding="utf-8"))
    config = TrainConfig(
        **{name: recipe[name] for name in _SHAPE if name in recipe}  # older ones have no scales
    )
    fold, device = patient_folds(folder.patients, recipe["folds"]), choose_device("cpu")
    found = dict[int, Detections]()
    for k in range(recipe["folds"]):
        network = built(config, weights="").eval()
        network.load_state_dict(weights_of(asked.run / "folds" / str(k), "masses", "network"))
        for i in np.flatnonzero(fold == k).tolist():
            seen = NOTHING
            try:
                frame = Frame.of(film(folder.image(i), i), config.long_side, config.grey)
            except NoBreastError as error:
                print(f"{folder.files[i].name}: {error}")
            else:
                one = looked(network, frame, device, Views(scales=config.scales))
                seen = Findings(frame.boxes_back(one.boxes), one.scores, [])
            found[i] = Detections("", (0, 0), seen.boxes, seen.scores, ())
    print(f"| TPR at | {' | '.join(f'{one:g}' for one in FPPI)} FPPI |\n{'| --- ' * 7}|")
    films, digital = (
        Scored.of(folder, [found[i] for i in range(len(folder))]),
        Scored.read(asked.run),
    )
    for name, scored in (("digital", digital), ("simulated films", films)):
        curve = scored.hits.curve()
        print(f"| {name} | {' | '.join(f'{curve.tpr_at(fppi):.3f}' for fppi in FPPI)} |")
    asked.output.mkdir(parents=True, exist_ok=True)
    films.write(asked.output / SCORED)


if __name__ == "__main__":
    main()
