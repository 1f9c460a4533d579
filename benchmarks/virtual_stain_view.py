"""How long a view in virtual stains takes: the first look of each stain, and the generators' pixels.

    python benchmarks/virtual_stain_view.py SLIDE --stain he [--models A,B,C] [--side 512] [--threads 1]

As the dock does it: one pair after the other measures the slide and shows its student's colours; then each
generator paints a view of the model's pixels where most tissue is. Seconds are of the processor and of the
wall; the best of the rounds is printed. On a machine that has other work the former tell, of one thread:
threads that wait for each other count as busy.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_pathogan.engine.models import find_models, read_card
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide
from napari_pathogan.slides.tissue import tissue_mask
from napari_pathogan.tasks.virtual_stain.look import live, paintings
from napari_pathogan.tasks.virtual_stain.model import TASK, VirtualStainModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_pathogan.tasks.virtual_stain.look import Painting

Times = dict[str, list[tuple[float, float]]]


@contextmanager
def timed(times: Times, what: str) -> Iterator[None]:
    """Add what a block takes: seconds of the processor, and of the wall."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    times[what].append((time.process_time() - cpu, time.perf_counter() - wall))


def pairs_from(stain: str) -> list[str]:
    """The embedded pairs that paint from a stain, one for each stain that they paint."""
    found: dict[str, str] = {}
    for name, folder in sorted(find_models(TASK).items()):
        settings = read_card(folder).settings
        ends = [settings["source_stain"], settings["target_stain"]]
        if stain in ends:
            found.setdefault(next(end for end in ends if end != stain), name)
    return list(found.values())


def window(slide: Slide, mpp: float | None, side: int) -> Region:
    """``side`` of a model's pixels where most tissue is, on level 0."""
    mask = tissue_mask(slide)
    y, x = slide.mpp if mpp is not None and slide.mpp is not None else (1.0, 1.0)
    size = side * (mpp or 1.0) / y, side * (mpp or 1.0) / x
    shape = max(1, int(slide.shape[0] / size[0])), max(1, int(slide.shape[1] / size[1]))
    row, col = np.unravel_index(mask.coverage((0, 0), size, shape).argmax(), shape)
    place = Region(int(row * size[0]), int(col * size[1]), round(size[0]), round(size[1]))
    return place.clip(slide.shape)


def look(slide: Slide, place: Region, painting: Painting, *, fine: bool) -> None:
    """Paint what is in view, by the generator or its student, of the model's pixels."""
    step = painting.step
    shape = round(place.height / step[0]), round(place.width / step[1])
    seen = slide.resampled((place.y, place.x), step, shape)
    painting.paint(seen) if fine else painting.student(seen)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slide", type=Path)
    parser.add_argument("--stain", required=True)
    parser.add_argument("--models", help="By commas; the embedded pairs that paint from the stain.")
    parser.add_argument("--mpp", type=float)
    parser.add_argument("--side", type=int, default=512, help="Of the view, in the model's pixels.")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    names = asked.models.split(",") if asked.models else pairs_from(asked.stain)
    models = [VirtualStainModel.load(name, "cpu") for name in names]
    times: Times = defaultdict(list)
    for _ in range(asked.rounds):
        with Slide.open(asked.slide, mpp=asked.mpp) as slide:
            place = window(slide, models[0].mpp, asked.side)
            made: list[Painting] = []
            painting = paintings(slide, models, asked.stain)
            with timed(times, "all stains, first look"):
                for number in range(len(models)):
                    with timed(times, "first stain, first look" if not number else "each other"):
                        made.append(next(painting))
                        live(made[-1])
                        look(slide, place, made[-1], fine=False)
            with timed(times, "all stains, generators"):
                for model, one in zip(models, made, strict=True):
                    with timed(times, f"generator of {model.card.name}"):
                        look(slide, place, one, fine=True)
    device = models[0].device
    print(
        f"{asked.slide.name}, {asked.side} px, {len(models)} stains, threads: {asked.threads}, {device}"
    )
    for what, found in times.items():
        cpu, wall = (min(one[i] for one in found) for i in (0, 1))
        print(f"{what:36} {cpu:6.2f} s of the processor {wall:6.2f} s of the wall")


if __name__ == "__main__":
    main()
