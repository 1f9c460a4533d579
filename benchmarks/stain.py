"""How fast is stain transfer? ``python benchmarks/stain.py``.

Ratios are of arms of one run on one machine, each the best of some rounds that alternate, so that
other work on the machine disturbs all alike; the milliseconds of a tile are also given as time of the
processor, which other work hardly changes. Prints a Markdown table and keeps the numbers in
benchmarks/results/stain.json. Needs torchstain (in the ``dev`` group) to compare with.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torchstain.numpy.normalizers import NumpyMacenkoNormalizer

from napari_pathogan.colour.baselines import Macenko
from napari_pathogan.files import write_text
from napari_pathogan.kinds import OURS
from napari_pathogan.slides.cache import set_cache_mb
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.stain.levels import transferred
from napari_pathogan.tasks.stain.live import live as live_view
from napari_pathogan.tasks.stain.model import StyleModel
from napari_pathogan.tasks.stain.predict import Method, fit

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_pathogan.engine.live import LiveView

RESULTS = Path(__file__).parent / "results" / "stain.json"
THREADS, SIDE, TILE = 2, 2048, 512


def section(side: int = SIDE) -> np.ndarray:
    """A drawn H&E section: uint8 (side, side, 3)."""
    rng = np.random.default_rng(0)
    coarse = rng.random((side // 16, side // 16))
    nuclei = np.kron(coarse > 0.75, np.ones((16, 16)))
    eosin = 0.5 + 0.2 * rng.random((side, side))
    density = nuclei[..., None] * (1.0, 1.2, 0.7) + eosin[..., None] * (0.25, 0.9, 0.6)
    return np.clip(240 * np.exp(-density), 0, 255).astype(np.uint8)


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--style", default="stain-tnbc")
    asked = parser.parse_args()
    image, style = section(), StyleModel.load(asked.style, "cpu")
    mpp = style.mpp or 0.25
    plain = Slide.from_arrays([image], name="section", mpp=mpp)
    ways = {m: fit(plain, style, m) for m in (Method.cnn, Method.lut, Method.macenko)}
    views = {m: transferred(plain, way) for m, way in ways.items()}
    live = live_view(plain, views[Method.cnn], ways[Method.cnn])
    reference = NumpyMacenkoNormalizer()
    reference.fit(image[:TILE, :TILE])
    own = Macenko.fit(image)
    recolour = own.map_to(style.macenko)
    arms: dict[str, Callable[[], object]] = {
        "LUT view": lambda: read(views[Method.lut]),
        "CNN view": lambda: read(views[Method.cnn]),
        "Macenko view": lambda: read(views[Method.macenko]),
        "CNN in napari, first look": lambda: read(live.slide),
        "CNN in napari, first look while the network is busy": lambda: read_beside(live),
        "the slide itself": lambda: read(plain),
        "Macenko, map alone, one core": lambda: recolour(image),
        "torchstain Macenko (numpy), one core": lambda: reference.normalize(image, stains=False),
    }
    best, worked = dict.fromkeys(arms, np.inf), dict.fromkeys(arms, np.inf)
    for _ in range(asked.runs):
        for name, arm in arms.items():
            set_cache_mb(64)  # empties what would not fit; views must compute again
            live = live_view(plain, views[Method.cnn], ways[Method.cnn])
            for view in (*views.values(), plain):
                view.base.ledger.cache.forget(view.base.ledger.key)
            start, before = time.perf_counter(), time.process_time()
            beside = arm()
            best[name] = min(best[name], time.perf_counter() - start)
            worked[name] = min(worked[name], time.process_time() - before)
            if isinstance(beside, threading.Thread):
                beside.join()
    megapixels = image.shape[0] * image.shape[1] / 1e6
    tiles = (SIDE // TILE) ** 2
    rates = {name: megapixels / seconds for name, seconds in best.items()}
    plain_s, plain_work = best["the slide itself"], worked["the slide itself"]
    extra = {}
    for name in arms:
        if " view" in name or "napari" in name:
            extra[f"{name}: ms more a tile of 512 px"] = (
                THREADS * 1e3 * (best[name] - plain_s) / tiles
            )
            extra[f"{name}: ms of the processor more a tile"] = (
                1e3 * (worked[name] - plain_work) / tiles
            )
    ratio = best["torchstain Macenko (numpy), one core"] / best["Macenko, map alone, one core"]
    for name, rate in rates.items():
        print(f"| {name} | {rate:.1f} MP/s |")
    for name, value in extra.items():
        print(f"| {name} | {value:.0f} |")
    print(f"| Macenko fitted once, against torchstain's fitted each time | {ratio:.1f} x |")
    write_text(RESULTS, json.dumps({"mp_per_s": rates, **extra, "ratio": ratio}, indent=1), OURS)


def read(view: Slide) -> None:
    """Read a slide tile by tile in two threads, as napari does."""
    level = view.levels[0]
    corners = [(y, x) for y in range(0, SIDE, TILE) for x in range(0, SIDE, TILE)]

    def tile(corner: tuple[int, int]) -> None:
        y, x = corner
        np.asarray(level[y : y + TILE, x : x + TILE])

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(tile, corners):
            pass


def read_beside(live: LiveView) -> threading.Thread:
    """Read a view while the network computes a tile of what was in view before."""
    live.look(0, Region(SIDE - TILE, 0, TILE, SIDE), (SIDE, SIDE))
    busy = threading.Thread(target=next, args=(live.refine(),))
    busy.start()
    read(live.slide)
    return busy


if __name__ == "__main__":
    main()
