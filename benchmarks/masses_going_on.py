"""What learning from a few reviewed patients does: ``python benchmarks/masses_going_on.py DIR RUN``.

Each detector of the folds of RUN goes on with every second patient that it was tested on, as *Train*
in the dock lets a model do, and is tested on the others. Writes what was found before and after to
``--output`` and prints both in Markdown; ``pathogan masses froc before=OUT/before after=OUT/after``
adds intervals.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pathogan.engine.devices import choose_device
from napari_pathogan.engine.events import Finished
from napari_pathogan.engine.folds import patient_folds
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.tasks.masses.config import RECIPES, TrainConfig
from napari_pathogan.tasks.masses.data import read_mass_folder
from napari_pathogan.tasks.masses.detections import Detections
from napari_pathogan.tasks.masses.examples import framed
from napari_pathogan.tasks.masses.model import ALL, NOTHING, looked
from napari_pathogan.tasks.masses.scored import SCORED, Scored
from napari_pathogan.tasks.masses.starts import LR_OF_A_MODEL
from napari_pathogan.tasks.masses.train import train

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torchvision.models.detection import MaskRCNN

    from napari_pathogan.engine.events import Event
    from napari_pathogan.tasks.masses.examples import Framed

FPPI = (0.5, 0.8, 1, 2, 4)


def finished(events: Iterator[Event]) -> Any:  # noqa: ANN401  (whatever was made)
    """Run to the end; returns what came of it."""
    while True:
        try:
            event = next(events)
        except StopIteration as stop:
            return stop.value
        if isinstance(event, Finished):
            return event.result


def learnt(run: Path, fold: int, own: list[Framed], config: TrainConfig) -> MaskRCNN:
    """The detector of a fold, gone on with some images."""
    with tempfile.TemporaryDirectory() as folder:
        part = RunFolder(Path(folder) / "part")
        part.start(config.to_json())
        start = run / "folds" / str(fold)
        return finished(
            train([one.example for one in own], config, part, device="cpu", start=start)
        )


def found(network: MaskRCNN, images: Iterable[Framed | None]) -> list[Detections]:
    """What a detector finds, in pixels of the whole images."""
    made = []
    for one in images:
        seen = NOTHING
        if one is not None:
            seen = looked(network, one.frame, choose_device("cpu"), ALL)
            seen = seen._replace(boxes=one.frame.boxes_back(seen.boxes))
        made.append(Detections("", (0, 0), seen.boxes, seen.scores, ()))
    return made


def main() -> None:
    """Measure it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--share", type=float, default=LR_OF_A_MODEL, help="of the learning rate")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("going_on"))
    asked = parser.parse_args()
    folder, kept = read_mass_folder(asked.folder), Scored.read(asked.run)
    recipe = json.loads(RunFolder(asked.run).config.read_text(encoding="utf-8"))
    config = replace(
        RECIPES["quick"],
        lr=RECIPES["quick"].lr * asked.share,
        epochs=asked.epochs,
        width=recipe["width"],
        long_side=recipe["long_side"],
        crop=tuple(recipe["crop"]),
    )
    seen: dict[int, Framed] = finished(framed(folder, config.long_side))
    fold = patient_folds(folder.patients, recipe["folds"])
    rest: list[int] = []
    after: list[Detections] = []
    for k in range(recipe["folds"]):
        tested = np.flatnonzero(fold == k)
        reviewed = np.isin(folder.patients, np.unique(folder.patients[tested])[::2])
        others = tested[~reviewed[tested]].tolist()
        own = [seen[int(i)] for i in tested[reviewed[tested]] if int(i) in seen]
        after += found(learnt(asked.run, k, own, config), [seen.get(i) for i in others])
        rest += others
    place = {name: i for i, name in enumerate(kept.files.tolist())}
    same = [place[folder.files[i].name] for i in rest]
    before = [Detections("", (0, 0), kept.boxes[i], kept.scores[i], ()) for i in same]
    print(f"| TPR at | {' | '.join(map(str, FPPI))} FPPI |\n| {' | '.join(['---'] * 6)} |")
    for name, these in (("before", before), ("after", after)):
        scored = Scored.of(folder.subset(rest), these)
        (asked.output / name).mkdir(parents=True, exist_ok=True)
        scored.write(asked.output / name / SCORED)
        curve = scored.hits.curve()
        print(f"| {name} | {' | '.join(f'{curve.tpr_at(fppi):.3f}' for fppi in FPPI)} |")


if __name__ == "__main__":
    main()
