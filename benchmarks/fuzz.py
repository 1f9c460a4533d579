"""Damaged files: real ones, changed at random, opened and read; what is no clear refusal is kept.

``make fuzz`` (``MINUTES=10``): every reader by turns. A fault is a crash, more than 60 s for one file, more
than 2 GB of memory, or an error that is none of the package's own. The file of each fault is kept in
``fuzz/``, named by the seed that made it. Whether pixels are right is not looked at.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import resource
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.annotations import geojson
from napari_pathogan.errors import PathoganError
from napari_pathogan.mammograms.study import open_mammogram
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

MOST_S, MOST_BYTES, MOST_FILE = 60.0, 2 << 30, 1 << 24
REFUSED = "refused"
SUFFIXES = {".svs", ".tif", ".tiff", ".dcm", ".png", ".jpg", ".geojson"}


def look(path: Path, *, mammogram: bool) -> None:
    """Open a file as its reader does, and read a part of it."""
    if path.suffix == ".geojson":
        geojson.read(path)
    elif mammogram:
        np.asarray(open_mammogram(path).pixels).max()
    else:
        with Slide.open(path) as slide:
            height, width = slide.shape
            slide.read(Region(0, 0, min(512, height), min(512, width)))
            slide.read(Region(0, 0, height, width), size=(64, 64))


def work(pipe: Connection) -> None:
    """Look at one file after another, and say what came of it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries complain of what they are given
    while True:
        path, mammogram = pipe.recv()
        said = ""
        try:
            look(Path(path), mammogram=mammogram)
        except PathoganError:
            said = REFUSED
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            said = f"{type(error).__name__}: {error}"
        pipe.send((said, most_memory()))


def most_memory() -> int:
    """Bytes that this process has held at most: its own, where ``getrusage`` counts its parent's, too."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def changed(raw: bytes, draw: random.Random) -> bytes:
    """The same with bits turned, bytes set, pieces cut, doubled or exchanged, or the end lost."""
    data = bytearray(raw)
    for _ in range(draw.choice((1, 1, 2, 8, 64))):
        at = draw.randrange(min(len(data), 4096) if draw.random() < 0.6 else len(data))
        how = draw.randrange(5)
        if how == 0:
            data[at] ^= 1 << draw.randrange(8)
        elif how == 1:
            value = draw.choice((0, 1, 0x7F, 0xFF))
            data[at : at + 4] = bytes([value]) * min(4, len(data) - at)
        elif how == 2 and len(data) > 64:
            del data[at : at + draw.randrange(1, 64)]
        elif how == 3:
            data[at:at] = data[at : at + draw.randrange(1, 64)]
        else:
            other = draw.randrange(len(data))
            data[at], data[other] = data[other], data[at]
        if not data:
            return b""
    return bytes(data[: draw.randrange(len(data))] if draw.random() < 0.1 else data)


class Reader:
    """A process that reads, and is begun anew where it died."""

    def __init__(self, target: Callable[[Connection], None] = work) -> None:
        self._target = target
        self._begin()

    def _begin(self) -> None:
        here, there = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=self._target, args=(there,), daemon=True)
        self.process.start()
        there.close()
        self.pipe = here

    def fault(self, path: Path, *, mammogram: bool) -> str:
        """What was wrong with reading a file; empty if nothing, ``REFUSED`` if it was refused."""
        self.pipe.send((str(path), mammogram))
        said = "a crash"
        try:
            if self.pipe.poll(MOST_S):
                wrong, most = self.pipe.recv()
                if most <= MOST_BYTES:
                    return str(wrong)
                said = f"{most / 2**30:.1f} GB of memory"
            else:
                said = f"more than {MOST_S:.0f} s"
        except EOFError:
            pass
        self.end()
        self._begin()
        return said

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.join()


def real_files(folder: Path) -> list[Path]:
    """Files of every kind under a folder that are small enough to be changed quickly."""
    found = [x for x in folder.rglob("*") if x.suffix.lower() in SUFFIXES and x.is_file()]
    small = [x for x in found if 0 < x.stat().st_size <= MOST_FILE]
    by_kind: dict[tuple[str, Path], list[Path]] = {}
    for path in sorted(small):
        by_kind.setdefault((path.suffix.lower(), path.parent), []).append(path)
    return [path for own in by_kind.values() for path in own[:6]]


def fuzz(
    folder: Path, seconds: float, kept: Path, seed: int, say: Callable[[str], object] = print
) -> tuple[int, int, int]:
    """Read changed files for a while: how many, how many were refused, how many faults there were."""
    files = real_files(folder)
    if not files:
        msg = f"{folder} holds no file to change"
        raise SystemExit(msg)
    reader, end, number = Reader(), time.monotonic() + seconds, 0
    faults = refused = 0
    try:
        with tempfile.TemporaryDirectory() as room:
            while time.monotonic() < end:
                draw = random.Random(f"{seed} {number}")  # noqa: S311 - no secret
                source = files[number % len(files)]
                path = Path(room) / f"{seed}-{number}-{source.name}"
                path.write_bytes(changed(source.read_bytes(), draw))
                mammogram = source.suffix == ".dcm" and source.parent.name in {"dicom", "inbreast"}
                wrong = reader.fault(path, mammogram=mammogram)
                refused += wrong == REFUSED
                if wrong not in {"", REFUSED}:
                    faults += 1
                    kept.mkdir(parents=True, exist_ok=True)
                    path.replace(kept / path.name)
                    say(f"{kept / path.name}: {' '.join(wrong.split())[:300]}")
                path.unlink(missing_ok=True)
                number += 1
    finally:
        reader.end()
    return number, refused, faults


def main() -> int:
    """Read changed files for the minutes that are asked for; 1 where there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--folder", type=Path, default=Path(os.environ.get("PATHOGAN_DATA", "../shared/data"))
    )
    parser.add_argument("--kept", type=Path, default=Path("fuzz"))
    asked = parser.parse_args()
    number, refused, faults = fuzz(asked.folder, 60 * asked.minutes, asked.kept, asked.seed)
    print(f"{number} changed files, {refused} of them refused in words, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
