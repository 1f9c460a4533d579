"""Whether colours tell a stain: each image against pools of stains without it.

    python benchmarks/stain_pools.py FOLDER...

Each folder holds images of one stain. Printed: for how many the nearest pool is the right one, and
how many are told by their colours: within the reach of one pool, and far from all others. The
stain of all others is asked.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from napari_pathogan.colour.stain_distance import StainPool, described
from napari_pathogan.tasks.virtual_stain.trust import told


def main() -> None:
    """Leave one image out at a time."""
    seen = {
        folder: np.stack(
            [
                described(np.asarray(Image.open(p).convert("RGB")))
                for p in Path(folder).glob("*.png")
            ]
        )
        for folder in sys.argv[1:]
    }
    whole = {folder: StainPool.fit(figures) for folder, figures in seen.items()}
    right, said, wrong, asked = 0, 0, 0, 0
    for folder, figures in seen.items():
        for number, own in enumerate(figures):
            pools = {**whole, folder: StainPool.fit(np.delete(figures, number, 0))}
            apart = {name: pool.apart(own) for name, pool in pools.items()}
            stain = told(apart, {name: pool.reach for name, pool in pools.items()})
            right += min(apart, key=lambda name: apart[name]) == folder
            said += stain == folder
            wrong += stain not in {"", folder}
            asked += not stain
    total = sum(map(len, seen.values()))
    print(f"nearest is right: {right} of {total}")
    print(f"told: {said} right, {wrong} wrong; asked: {asked}")


if __name__ == "__main__":
    main()
