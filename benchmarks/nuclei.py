"""How fast are nuclei found? ``make bench``, or ``python benchmarks/nuclei.py --runs 5``.

Ratios are of arms of one run on one machine, each the best of some rounds that alternate, so that
other work on the machine disturbs all alike. Processor seconds (of all threads) are given beside the
clock's: other work hardly changes them. Prints Markdown tables (docs/benchmarks.md) and keeps the
numbers in benchmarks/results/nuclei.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from skimage.measure import regionprops_table

from napari_pathogan.engine.devices import choose_device
from napari_pathogan.engine.events import Finished
from napari_pathogan.files import write_text
from napari_pathogan.kinds import OURS
from napari_pathogan.slides.slide import Slide
from napari_pathogan.slides.writers.ome import write_ome_tiff
from napari_pathogan.tasks.nuclei import export, features, outlines
from napari_pathogan.tasks.nuclei.instances import instances
from napari_pathogan.tasks.nuclei.instanseg import InstanSegSegmenter
from napari_pathogan.tasks.nuclei.model import NucleiModel
from napari_pathogan.tasks.nuclei.predict import UNetSegmenter, segment
from slides import tissue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from napari_pathogan.engine.events import Event
    from napari_pathogan.tasks.nuclei.segmentation import Segmentation

SCREEN = Path(__file__).with_name("nuclei_screen.py")
RESULTS = Path(__file__).parent / "results" / "nuclei.json"
DOCS = Path(__file__).parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures of benchmarks/nuclei.py -->", "<!-- end of figures of nuclei.py -->"
PHANTOM = resources.files("napari_pathogan.plugin") / "sample_data" / "he_phantom_40x.ome.tif"
MPP = 0.25
NAIVE_PX, NAIVE_MARGIN = 256, 64
MANY = 100_000


class Threshold:
    """A segmenter that takes no time, so that what is around it shows."""

    name, line, sha256, mpp, margin_px = "threshold", "Threshold", "", MPP, 16
    device = choose_device("cpu", "float32")

    def tuned(self, _sample: object) -> Threshold:
        """Itself."""
        return self

    def labels(self, image: np.ndarray) -> np.ndarray:
        """Dark pieces."""
        dark = (image[..., 0] < 160).astype(np.float32)
        return instances(np.stack([1 - dark, dark, 0 * dark]), mpp=MPP)


def field(path: Path) -> Path:
    """The 40x phantom four times: 2,402 x 3,206 px of tissue full of nuclei, JPEG tiles."""
    with Slide.open(str(PHANTOM)) as slide:
        image = np.asarray(slide.levels[0][:])
    write_ome_tiff(path, np.tile(image, (2, 2, 1)), MPP)
    return path


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds of the clock, of the processor, and the result."""
    start, cpu = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - start, time.process_time() - cpu, result


def parts(model: NucleiModel, runs: int) -> dict[str, Any]:
    """What network (in one view), instances and features take of one megapixel, all on one core."""
    with Slide.open(str(PHANTOM)) as slide:
        image = np.asarray(slide.levels[0][:1024, :1024])
    probability = model.probability(image[None])[0]
    labels = instances(probability, mpp=MPP, threshold=model.threshold)
    arms: dict[str, Callable[[], Any]] = {
        "network": lambda: model.probability(image[None]),
        "instances": lambda: instances(probability, mpp=MPP, threshold=model.threshold),
        "features": lambda: features.measure(labels, image, MPP**2),
        "features by regionprops_table": lambda: regionprops_table(
            labels, image, ("label", "area", "centroid", "bbox", "eccentricity", "solidity")
        ),
        "outlines": lambda: list(outlines.trace(labels)),
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    best: dict[str, tuple[float, float]] = {}
    for _ in range(runs):
        for name, arm in arms.items():
            clock, cpu, _ = timed(arm)
            old = best.get(name, (np.inf, np.inf))
            best[name] = min(clock, old[0]), min(cpu, old[1])
    torch.set_num_threads(threads)
    megapixels = image.shape[0] * image.shape[1] / 1e6
    seconds = {name: (clock / megapixels, cpu / megapixels) for name, (clock, cpu) in best.items()}
    return {"seconds": seconds, "nuclei": int(labels.max())}


def finished(events: Iterable[Event]) -> Segmentation:
    """What a search ends with."""
    *_, last = events
    assert isinstance(last, Finished)
    found: Segmentation = last.result
    return found


def ours(path: Path, segmenter: Any) -> Segmentation:  # noqa: ANN401 - a Segmenter
    """From opening the file to the finished table."""
    with Slide.open(path) as slide:
        return finished(segment(slide, segmenter))


def naive(path: Path, model: NucleiModel) -> pd.DataFrame:
    """What one writes first: one small tile after the other, read, computed, measured.

    Nuclei whose middle lies in a tile's core are kept, as ours are.
    """
    tables = []
    with Slide.open(path) as slide:
        height, width = slide.shape
        side, margin = NAIVE_PX, NAIVE_MARGIN
        for top in range(0, height, side):
            for left in range(0, width, side):
                size = (side + 2 * margin,) * 2
                image = slide.resampled((top - margin, left - margin), (1.0, 1.0), size)
                probability = model.probability(image[None])[0]
                labels = instances(probability, mpp=MPP, threshold=model.threshold)
                names = ("label", "area", "centroid", "eccentricity", "solidity", "mean_intensity")
                table = pd.DataFrame(regionprops_table(labels, image, names))
                centre = table[["centroid-0", "centroid-1"]] - margin
                tables.append(table[((centre >= 0) & (centre < side)).all(axis=1)])
    return pd.concat(tables)


def rivals(path: Path, model: NucleiModel, instanseg: Path | None, runs: int) -> dict[str, Any]:
    """A whole field, by ours and by others in turns."""
    arms: dict[str, Callable[[], Any]] = {
        "ours": lambda: ours(path, UNetSegmenter(model)),
        "fast": lambda: ours(path, UNetSegmenter(replace(model, views=1))),
        "naive": lambda: naive(path, model),
    }
    if instanseg is not None:
        other = InstanSegSegmenter.load(instanseg, "cpu")
        arms["instanseg"] = lambda: ours(path, other)
    best: dict[str, tuple[float, float]] = {}
    count: dict[str, int] = {}
    for _ in range(runs):
        for name, arm in arms.items():
            clock, cpu, found = timed(arm)
            old = best.get(name, (np.inf, np.inf))
            best[name] = min(clock, old[0]), min(cpu, old[1])
            count[name] = len(found)
            print(f"# {name}: {clock:.2f} s, {cpu:.2f} of the processor", file=sys.stderr)
    with Slide.open(path) as slide:
        megapixels = slide.shape[0] * slide.shape[1] / 1e6
    return {"seconds": best, "nuclei": count, "megapixels": megapixels}


def many(room: Path) -> dict[str, float]:
    """What 100,000 nuclei take that are found already: to colour, to count, to save."""
    path = write_large(room / "part.ome.tif", 2048)
    with Slide.open(path) as slide:
        found = finished(segment(slide, Threshold()))
    copies = -(-MANY // len(found))
    table = pd.concat([found.table] * copies, ignore_index=True)
    table["id"] = np.arange(1, len(table) + 1)
    labels = np.concatenate(
        [np.where(found.labels > 0, found.labels + i * len(found), 0) for i in range(copies)]
    ).astype(np.int32)
    shift = np.arange(copies).repeat(len(found))[:, None] * found.labels.shape[0]
    boxes = np.tile(found.boxes, (copies, 1)) + shift * np.array([1, 0, 1, 0])
    large = replace(found, table=table, boxes=boxes, overlay=replace(found.overlay, data=labels))
    saved = room / "many"
    return {
        "nuclei": len(large),
        "lut": timed(large.lut)[0],
        "view": timed(lambda: large.lut()[labels[:1200, :1900]])[0],
        "counts": timed(large.counts)[0],
        "geojson": timed(lambda: export.write_geojson(saved.with_suffix(".geojson"), large))[0],
        "csv": timed(lambda: export.write_csv(saved.with_suffix(".csv"), large))[0],
        "parquet": timed(lambda: export.write_parquet(saved.with_suffix(".parquet"), large))[0],
    }


def write_large(path: Path, side: int) -> Path:
    """A square slide with tissue everywhere, at 0.25 um/px."""
    part = tissue(1024, 1024)
    write_ome_tiff(path, np.tile(part, (side // 1024, side // 1024, 1)), MPP)
    return path


def peak_mb() -> float:
    """Most memory that this process has held; ``ru_maxrss`` would begin with the parent's."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def memory_child(path: Path) -> dict[str, float]:
    """In a process of its own: a slide whose labels lie on disk, with a network that takes no time."""
    start, last, waits = time.perf_counter(), time.perf_counter(), []
    with Slide.open(path, cache_mb=256) as slide:
        before = peak_mb()

        def timed_events() -> Iterator[Event]:
            nonlocal last
            for event in segment(slide, Threshold()):
                waits.append(time.perf_counter() - last)
                last = time.perf_counter()
                yield event

        found = finished(timed_events())
        assert not isinstance(found.labels, np.ndarray), "these labels should lie on disk"
        return {
            "megapixels": slide.shape[0] * slide.shape[1] / 1e6,
            "nuclei": len(found),
            "seconds": time.perf_counter() - start,
            "processor": time.process_time(),
            "longest wait for an event": max(waits),
            "MB before": before,
            "peak MB": peak_mb(),
        }


def on_screen() -> dict[str, tuple[float, float]]:
    """What showing many nuclei takes, in a process of its own, and a display where there is none."""
    there = sys.platform != "linux" or {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ)
    command = [*([] if there else ["xvfb-run", "-a"]), sys.executable, str(SCREEN), str(MANY)]
    found: dict[str, tuple[float, float]] = json.loads(
        subprocess.check_output(command, text=True).splitlines()[-1]  # noqa: S603
    )
    return found


def table(found: dict[str, Any]) -> str:
    """Everything as Markdown."""
    one, field_, large, memory = (found[k] for k in ("parts", "field", "many", "memory"))
    network = one["seconds"]["network"][1]
    lines = [
        "| 1 MP in one view on one core | clock | processor | to the network |",
        "|---|---|---|---|",
    ]
    for name, (clock, cpu) in one["seconds"].items():
        lines.append(f"| {name} | {clock:.2f} s | {cpu:.2f} s | {cpu / network:.2f} x |")
    pixels = field_["megapixels"]
    base = field_["seconds"]["ours"]
    lines += [
        "",
        f"| {pixels:.1f} MP with reading | clock | MP/s | processor | MP/s | to ours | nuclei |",
        "|---|---|---|---|---|---|---|",
    ]
    names = {
        "ours": "`segment`",
        "fast": "`segment --views 1`",
        "naive": "tile by tile",
        "instanseg": "InstanSeg, random weights",
    }
    for name, (clock, cpu) in field_["seconds"].items():
        lines.append(
            f"| {names[name]} | {clock:.1f} s | {pixels / clock:.2f} | {cpu:.1f} s "
            f"| {pixels / cpu:.2f} | {cpu / base[1]:.2f} x | {field_['nuclei'][name]:,} |"
        )
    lines += ["", f"| {large['nuclei']:,} nuclei | measured |", "|---|---|"]
    lines += [
        f"| their classes looked up anew | {large['lut'] * 1e3:.0f} ms |",
        f"| a view of 1,900 x 1,200 px recoloured | {large['view'] * 1e3:.0f} ms |",
        f"| counts | {large['counts'] * 1e3:.0f} ms |",
        *(f"| saved as {k} | {large[k]:.1f} s |" for k in ("geojson", "csv", "parquet")),
        "",
        f"| {MANY:,} nuclei in napari, until the canvas has been drawn | clock | processor |",
        "|---|---|---|",
        *(f"| {k} | {a:.2f} s | {b:.2f} s |" for k, (a, b) in found["screen"].items()),
    ]
    lines += [
        "",
        f"| {memory['megapixels']:.0f} MP, labels on disk, without a network | measured |",
    ]
    lines += [
        "|---|---|",
        f"| nuclei | {memory['nuclei']:,.0f} |",
        f"| whole: clock, processor | {memory['seconds']:.0f}, {memory['processor']:.0f} s |",
        f"| longest wait for an event | {memory['longest wait for an event'] * 1e3:.0f} ms |",
        f"| memory of the process: before, peak | {memory['MB before']:.0f}, {memory['peak MB']:.0f} MB |",
    ]
    return "\n".join(lines)


def heading(found: dict[str, Any]) -> str:
    """On what machine, and how busy it was with other work (load: what others keep running)."""
    return (
        f"{time.strftime('%Y-%m-%d %H:%M')}: {found['threads']} threads, torch {found['torch']}, "
        f"{found['precision']}, model {found['model']}; load of other work before the start: "
        f"{found['load']:.1f}"
    )


def main() -> None:
    """Measure all, print the tables, keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="rounds over all arms")
    parser.add_argument("--model", default="nuclei-ensemble", help="name of a model, or its folder")
    parser.add_argument("--instanseg", type=Path, help="an InstanSeg file to compare with")
    parser.add_argument("--docs", action="store_true", help=f"put the tables into {DOCS.name}")
    parser.add_argument("--large", type=int, default=10_240, help="side of the large slide, px")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(memory_child(options.child)))
        return
    model = NucleiModel.load(options.model)
    found: dict[str, Any] = {
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "precision": str(model.device),
        "model": model.card.name,
        "load": os.getloadavg()[0],
        "parts": parts(replace(model, views=1), options.runs),
    }
    with tempfile.TemporaryDirectory(prefix="pathogan-bench-") as name:
        room = Path(name)
        path = field(room / "field.ome.tif")
        found["field"] = rivals(path, model, options.instanseg, options.runs)
        found["many"] = many(room)
        large = write_large(room / "large.ome.tif", options.large)
        command = [sys.executable, __file__, "--child", str(large)]
        child = subprocess.check_output(command, text=True)  # noqa: S603
        found["memory"] = json.loads(child)
    found["screen"] = on_screen()
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1))
    text = f"{heading(found)}\n\n{table(found)}"
    print(text)
    if options.docs:
        before, _, rest = DOCS.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        write_text(DOCS, f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", OURS)


if __name__ == "__main__":
    main()
