"""How fast is the IDC heat map? ``make bench``, or ``python benchmarks/idc.py --runs 5``.

Ratios are of arms of one run on one machine, each the best of some rounds that alternate, so that
other work on the machine disturbs all alike. Prints a Markdown table (docs/benchmarks.md) and
keeps the numbers in benchmarks/results/idc.json.
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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import timm
import torch
from torch.utils.data import DataLoader, Dataset, Subset

from napari_pathogan.engine.devices import choose_device
from napari_pathogan.engine.events import Finished, Tile
from napari_pathogan.engine.features import Features
from napari_pathogan.files import write_text
from napari_pathogan.kinds import OURS
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.idc import frozen
from napari_pathogan.tasks.idc.model import IdcModel
from napari_pathogan.tasks.idc.network import Discriminator
from napari_pathogan.tasks.idc.predict import heat_map_grid, predict
from slides import gigapixel, section

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_pathogan.colour.slide_colours import SlideColours
    from napari_pathogan.engine.cells import CellGrid

RESULTS = Path(__file__).parent / "results" / "idc.json"
DOCS = Path(__file__).parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures of benchmarks/idc.py -->", "<!-- end of figures -->"
CACHE_MB = 256


def paper_model() -> IdcModel:
    """The embedded `idc-cgan` with a network of the paper's width 1: the speed is that of width 1."""
    model = IdcModel.load("idc-cgan")
    torch.manual_seed(0)
    network = Discriminator(1.0, spectral=False)
    model.network = network.eval().requires_grad_(requires_grad=False)
    return model


def ours(path: Path, model: IdcModel) -> tuple[float, np.ndarray]:
    """Seconds from opening the file to the finished heat map; probabilities patch by patch."""
    start = time.perf_counter()
    with Slide.open(path, cache_mb=CACHE_MB) as slide:
        patchwise = heat_map_grid(slide, model).overlay().data
        events = list(predict(slide, model))
        seconds = time.perf_counter() - start
    assert isinstance(events[-1], Finished)
    tiles = [e for e in events if isinstance(e, Tile) and e.layer == "probability"]
    for tile in tiles[:-1]:  # the last one is the whole map, with its context
        height, width = tile.data.shape
        patchwise[tile.row : tile.row + height, tile.col : tile.col + width] = tile.data
    return seconds, patchwise


class Patches(Dataset):
    """What WSInfer-like tools do: every patch is read from the slide by itself."""

    def __init__(self, path: Path, grid: CellGrid) -> None:
        self.path, self.grid = path, grid
        self.slide: Slide | None = None

    def __len__(self) -> int:
        return self.grid.shape[0] * self.grid.shape[1]

    def __getitem__(self, index: int) -> np.ndarray:
        if self.slide is None:  # each worker process opens the file itself
            self.slide = Slide.open(self.path, cache_mb=CACHE_MB)
        row, col = divmod(index, self.grid.shape[1])
        origin = (row * self.grid.step[0], col * self.grid.step[1])
        size = (self.grid.patch_px,) * 2
        return self.slide.resampled(origin, self.grid.downsample, size, parallel=False)


def loader(
    path: Path, model: IdcModel, colours: SlideColours, batch: int, workers: int, *, part: int = 1
) -> tuple[float, np.ndarray]:
    """Seconds and probabilities of the same network fed by a torch DataLoader.

    With ``part`` over 1, only every so many-th patch is done and the time multiplied.
    """
    start = time.perf_counter()
    with Slide.open(path) as slide:
        grid = heat_map_grid(slide, model)
    patches = Patches(path, grid)
    chosen = Subset(patches, range(0, len(patches), part))
    batches = DataLoader(chosen, batch, num_workers=workers)
    logits = np.concatenate([model.logits(images.numpy(), colours) for images in batches])
    found = np.full((len(patches), model.views), np.nan, np.float32)
    found[::part] = logits
    probability, _ = model.probability(found.reshape(*grid.shape, model.views))
    return (time.perf_counter() - start) * part, probability


def network_alone(model: IdcModel, colours: SlideColours, count: int) -> float:
    """Seconds for ``count`` patches that lie in memory, by torch's own threads."""
    patches = np.random.default_rng(0).integers(0, 255, (count, 50, 50, 3), np.uint8)
    start = time.perf_counter()
    model.logits(patches, colours)
    return time.perf_counter() - start


def compare(path: Path, model: IdcModel, runs: int) -> dict[str, Any]:
    """Time the arms in turns; the fastest round of each counts."""
    with Slide.open(path) as slide:
        sample = slide.resampled((0, 0), (2.0, 2.0), (2000, 2000))
    colours = model.colours(sample.reshape(-1, 3))
    model.colours = lambda _pixels: colours  # type: ignore[method-assign]  # the same in all arms
    count = 7_500
    arms: dict[str, Callable[[], tuple[float, np.ndarray | None]]] = {
        "ours": lambda: ours(path, model),
        "network alone": lambda: (network_alone(model, colours, count), None),
        "batch 32": lambda: loader(path, model, colours, 32, 0),
        "batch 32, 2 workers": lambda: loader(path, model, colours, 32, 2),
        "patch by patch": lambda: loader(path, model, colours, 1, 0, part=5),
    }
    best: dict[str, float] = {}
    maps: dict[str, np.ndarray | None] = {}
    for _ in range(runs):
        for name, arm in arms.items():
            seconds, maps[name] = arm()
            best[name] = min(seconds, best.get(name, np.inf))
            print(f"# {name}: {seconds:.2f} s", file=sys.stderr)
    found = maps["ours"]
    assert found is not None
    assert np.isfinite(found).sum() == count
    others = [maps[name] for name in ("batch 32", "patch by patch")]
    difference = max(float(np.nanmax(np.abs(o - found))) for o in others if o is not None)
    return {"seconds": best, "difference": difference, "precision": str(model.device)}


def default(path: Path, room: Path, runs: int) -> dict[str, Any]:
    """Time the default model in turns with a ResNet-34 fed patch by patch, as WSInfer does."""
    model, plain = IdcModel.load(), IdcModel.load()
    plain.device = choose_device(plain.device.name, "float32")
    assert model.fast is not None
    nothing, kept = Features(None), Features(room)
    resnet = timm.create_model("resnet34", num_classes=1).eval()
    arms: dict[str, Callable[[], dict[str, float]]] = {
        "whole": lambda: looked(path, model, nothing),
        "float32": lambda: looked(path, plain, nothing),
        "again": lambda: looked(path, model, kept),
        "fast": lambda: looked(path, model.fast, nothing),
        "resnet": lambda: {"whole": resnet_seconds(path, model, resnet)},
    }
    looked(path, model, kept)  # what "again" looks at a second time
    best: dict[str, dict[str, float]] = {}
    for _ in range(runs):
        for name, arm in arms.items():
            found = arm()
            before = best.get(name, found)
            best[name] = {key: min(value, before[key]) for key, value in found.items()}
            print(f"# {name}: {found}", file=sys.stderr)
    return {"seconds": best, "precision": str(model.device)}


def looked(path: Path, model: IdcModel | None, kept: Features) -> dict[str, float]:
    """Seconds to the first tile, to the small network's whole map (a first look), and to the end."""
    assert model is not None
    frozen.user_features = lambda: kept  # type: ignore[assignment]
    start = time.perf_counter()
    seconds: dict[str, float] = {}
    with Slide.open(path, cache_mb=CACHE_MB) as slide:
        shape = heat_map_grid(slide, model).shape
        for event in predict(slide, model, first_look=True):
            now = time.perf_counter() - start
            if isinstance(event, Tile):
                seconds.setdefault("first tile", now)
                if event.data.shape == shape:
                    seconds.setdefault("first map", now)
    return {**seconds, "whole": time.perf_counter() - start}


@torch.inference_mode()
def resnet_seconds(path: Path, model: IdcModel, network: torch.nn.Module, part: int = 25) -> float:
    """Every ``part``-th patch at 224 px through a DataLoader, one by one; the time multiplied."""
    start = time.perf_counter()
    with Slide.open(path) as slide:
        grid = heat_map_grid(slide, model)
    patches = Patches(path, grid)
    for images in DataLoader(Subset(patches, range(0, len(patches), part)), 1):
        x = images.permute(0, 3, 1, 2).float() / 127.5 - 1
        with model.device.autocast:
            network(torch.nn.functional.interpolate(x, (224, 224), mode="bilinear"))
    return (time.perf_counter() - start) * part


def gigapixel_child(path: Path) -> dict[str, float]:
    """In a process of its own: opening, first tile, cancel, the whole, and the memory it took."""
    model = IdcModel.load("idc-cgan")
    model.logits(np.zeros((8, 50, 50, 3), np.uint8), model.reference)
    firsts, cancels, opens = [], [], []
    for _ in range(5):
        start = time.perf_counter()
        with Slide.open(path, cache_mb=CACHE_MB) as slide:
            opens.append(time.perf_counter() - start)
            start = time.perf_counter()
            events = predict(slide, model, near=(40_000, 50_000))
            next(e for e in events if isinstance(e, Tile))
            firsts.append(time.perf_counter() - start)
            for _ in range(50):
                next(events)
            start = time.perf_counter()
            events.close()
            cancels.append(time.perf_counter() - start)
    start = time.perf_counter()
    gaps, last = [], start
    with Slide.open(path, cache_mb=CACHE_MB) as slide:
        for _ in predict(slide, model):
            now = time.perf_counter()
            gaps.append(now - last)
            last = now
    return {
        "open": min(opens),
        "first tile": min(firsts),
        "longest wait for an event": max(gaps),
        "cancel": max(cancels),
        "whole": time.perf_counter() - start,
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def import_seconds(module: str, runs: int = 5) -> float:
    """Importing a module in a fresh process, without the start of Python; the best of ``runs``."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    command = [sys.executable, "-c", code]
    return min(float(subprocess.check_output(command, text=True)) for _ in range(runs))  # noqa: S603


def table(found: dict[str, Any]) -> str:
    """Everything as Markdown."""
    parts = (*_default(found["default"]), "", *_rivals(found), "", *_large(found["gigapixel"]))
    return "\n".join((*parts, _import(found)))


def _default(found: dict[str, Any]) -> list[str]:
    """The default model, and what WSInfer's way takes."""
    best, way = found["seconds"], found["precision"]
    own, first = best["whole"]["whole"], best["whole"]
    rows = {
        f"`predict` with a first look ({way})": own,
        "of this, to the first tile": first["first tile"],
        "of this, to the small network's whole map": first["first map"],
        "in float32": best["float32"]["whole"],
        "a second look at the same slide": best["again"]["whole"],
        "the small network alone (`--fast`)": best["fast"]["whole"],
        f"WSInfer's way: a ResNet-34 at 224 px, patch by patch, random weights ({way})": best[
            "resnet"
        ]["whole"],
    }
    return [
        "| 7,500 patches with reading, `idc-lite0` | measured | to ours |",
        "|---|---|---|",
        *(
            f"| {name} | {seconds:.2f} s | {seconds / own:.2f} x |"
            for name, seconds in rows.items()
        ),
    ]


def _rivals(found: dict[str, Any]) -> list[str]:
    """``predict`` and its rivals, for both networks."""
    names = {
        "ours": "`predict`",
        "network alone": "the network alone, patches in memory",
        "batch 32": "DataLoader, batch 32",
        "batch 32, 2 workers": "DataLoader, batch 32, 2 workers",
        "patch by patch": "DataLoader, patch by patch",
    }
    both = [found["paper"], found["embedded"]]
    lines = [
        "| 7,500 patches with reading | width 1 | to ours | `idc-cgan` | to ours |",
        "|---|---|---|---|---|",
    ]
    for key, name in names.items():
        seconds = [(one["seconds"][key], one["seconds"]["ours"]) for one in both]
        cells = " | ".join(f"{s:.2f} s | {s / own:.1f} x" for s, own in seconds)
        lines.append(f"| {name} | {cells} |")
    differences = " | ".join(f"{one['difference']:.1e} |" for one in both)
    return [*lines, f"| largest difference of a probability | {differences} |"]


def _large(giga: dict[str, float]) -> list[str]:
    """The large slide."""
    return [
        "| 100,000 x 80,000 px, `idc-cgan` | measured |",
        "|---|---|",
        f"| open | {giga['open'] * 1e3:.0f} ms |",
        f"| first tile | {giga['first tile']:.2f} s |",
        f"| longest wait for an event | {giga['longest wait for an event'] * 1e3:.0f} ms |",
        f"| cancel (longest of 5) | {giga['cancel'] * 1e3:.1f} ms |",
        f"| whole slide | {giga['whole']:.1f} s |",
        f"| peak memory of the process | {giga['peak MB']:.0f} MB |",
    ]


def _import(found: dict[str, Any]) -> str:
    return f"| `import napari_pathogan.plugin` | {found['import']:.3f} s |"


def heading(found: dict[str, Any]) -> str:
    """On what machine, and how busy it was with other work (load: what others keep running)."""
    day = time.strftime("%Y-%m-%d %H:%M")
    return (
        f"{day}: {found['threads']} threads, torch {found['torch']}, "
        f"{found['paper']['precision']}; load of other work before the start: {found['load']:.1f}"
    )


def main() -> None:
    """Measure all, print the table, keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="rounds over all arms")
    parser.add_argument("--docs", action="store_true", help=f"put the table into {DOCS.name}")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(gigapixel_child(options.child)))
        return
    found: dict[str, Any] = {"threads": torch.get_num_threads()}
    found["torch"] = torch.__version__
    found["load"] = os.getloadavg()[0]
    found["import"] = import_seconds("napari_pathogan.plugin")
    with tempfile.TemporaryDirectory(prefix="pathogan-bench-") as room:
        path = section(Path(room) / "section.ome.tif")
        found["default"] = default(path, Path(room), options.runs)
        found["paper"] = compare(path, paper_model(), options.runs)
        found["embedded"] = compare(path, IdcModel.load("idc-cgan"), options.runs)
        large = gigapixel(Path(room) / "gigapixel.tif")
        command = [sys.executable, __file__, "--child", str(large)]
        child = subprocess.check_output(command, text=True)  # noqa: S603
        found["gigapixel"] = json.loads(child)
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
