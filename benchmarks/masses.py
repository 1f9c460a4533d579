"""How long does a mammogram take? ``make bench``, or ``python benchmarks/masses.py --runs 5``.

The aim is at most 0.5 s an image on 2 cores for the embedded detector, and 50 ms on a GPU. Arms take
turns and each is the best of its rounds, so that other work on the machine disturbs all alike;
processor seconds (of all threads) are given beside the clock's: other work hardly changes them.
Prints a Markdown table (docs/benchmarks.md) and keeps the numbers in benchmarks/results/masses.json.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_pathogan.files import write_text
from napari_pathogan.kinds import OURS
from napari_pathogan.tasks.masses.data import read_mass_folder
from napari_pathogan.tasks.masses.model import MassModel, Views

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RESULTS = Path(__file__).parent / "results" / "masses.json"
DOCS = Path(__file__).parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures of benchmarks/masses.py -->", "<!-- end of figures of masses.py -->"
PHANTOM = resources.files("napari_pathogan.plugin") / "sample_data" / "mammogram_phantom"
AIMS = {"cpu": 0.5, "cuda": 0.05}  # seconds an image


def timed(work: Callable[[], object], device: torch.device) -> tuple[float, float]:
    """Seconds of the clock and of the processor."""
    start, cpu = time.perf_counter(), time.process_time()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start, time.process_time() - cpu


def measure(
    folder: Path, model: MassModel, *, images: int, runs: int, threads: Sequence[int]
) -> dict[str, tuple[float, float]]:
    """Seconds an image (clock, processor) of every arm, the mean over the images of a round."""
    read = read_mass_folder(folder)
    chosen = np.linspace(0, len(read) - 1, min(images, len(read))).round().astype(int).tolist()
    shown = [read.image(i) for i in chosen]
    device = model.device.torch
    single = replace(model, views=Views(1, (1.0,)))

    def looking(with_model: MassModel, cores: int) -> Callable[[], object]:
        def look() -> None:
            torch.set_num_threads(cores)
            for image in shown:
                with_model.detect(image)

        return look

    arms: dict[str, Callable[[], object]] = {
        "reading and window": lambda: [read.image(i) for i in chosen]
    }
    for cores in threads:
        on = f"{cores} core{'s' * (cores != 1)}"
        arms[f"detect, {on}"] = looking(model, cores)
        arms[f"detect, {on}, one view"] = looking(single, cores)
    looking(model, max(threads))()  # warm
    best: dict[str, tuple[float, float]] = {}
    for _ in range(runs):
        for name, arm in arms.items():
            clock, cpu = timed(arm, device)
            old = best.get(name, (np.inf, np.inf))
            best[name] = min(clock, old[0]), min(cpu, old[1])
    return {name: (clock / len(shown), cpu / len(shown)) for name, (clock, cpu) in best.items()}


def table(found: dict[str, Any]) -> str:
    """Everything as Markdown."""
    lines = [f"| an image of {found['shape']} px | clock | processor |", "|---|---|---|"]
    for name, (clock, cpu) in found["seconds"].items():
        lines.append(f"| {name} | {clock:.3f} s | {cpu:.3f} s |")
    return "\n".join([*lines, f"| aim | {found['aim']:g} s | |"])


def heading(found: dict[str, Any]) -> str:
    """On what machine, and how busy it was with other work."""
    return (
        f"{time.strftime('%Y-%m-%d %H:%M')}: torch {found['torch']}, {found['device']}, model "
        f"{found['model']}, {found['views']} views; load of other work before the start: "
        f"{found['load']:.1f}"
    )


def main() -> None:
    """Measure, print the table, keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(str(PHANTOM)), help="mammograms")
    parser.add_argument("--images", type=int, default=4, help="how many of them")
    parser.add_argument("--runs", type=int, default=3, help="rounds over all arms")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="cores to try")
    parser.add_argument("--model", default="masses-inbreast", help="name of a model, or its folder")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps")
    parser.add_argument("--docs", action="store_true", help=f"put the table into {DOCS.name}")
    options = parser.parse_args()
    model = MassModel.load(options.model, options.device)
    load = os.getloadavg()[0]
    seconds = measure(
        options.folder, model, images=options.images, runs=options.runs, threads=options.threads
    )
    height, width = read_mass_folder(options.folder).image(0).shape
    found: dict[str, Any] = {
        "torch": torch.__version__,
        "device": str(model.device),
        "model": model.card.name,
        "views": model.views.flips * len(model.views.scales),
        "load": load,
        "shape": f"{width} x {height}",
        "aim": AIMS.get(model.device.torch.type, AIMS["cpu"]),
        "seconds": seconds,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    write_text(RESULTS, json.dumps(found, indent=1), OURS)
    text = f"{heading(found)}\n\n{table(found)}"
    print(text)
    if options.docs:
        before, _, rest = DOCS.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        write_text(DOCS, f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", OURS)


if __name__ == "__main__":
    main()
