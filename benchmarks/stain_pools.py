"""Whether colours tell a stain: each image against pools of stains without it.

    python benchmarks/stain_pools.py FOLDER...

Each folder holds images of one stain. Printed: for how many the nearest pool is the right one, and
how many lie within the reach of that alone, of several, or of none (then the stain is asked).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from napari_pathogan.colour.stain_distance import StainPool, described


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
    right, told, wrong, several, none = 0, 0, 0, 0, 0
    for folder, figures in seen.items():
        for number, own in enumerate(figures):
            pools = {**whole, folder: StainPool.fit(np.delete(figures, number, 0))}
            apart = {name: pool.apart(own) for name, pool in pools.items()}
            within = [name for name, far in apart.items() if far <= pools[name].reach]
            right += min(apart, key=lambda name: apart[name]) == folder
            told += within == [folder]
            wrong += len(within) == 1 and within != [folder]
            several += len(within) > 1
            none += not within
    total = sum(map(len, seen.values()))
    print(f"nearest is right: {right} of {total}")
    print(f"within one reach: {told} right, {wrong} wrong; asked: {several} several, {none} none")


if __name__ == "__main__":
    main()
