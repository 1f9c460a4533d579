"""Another napari with the IDC dock on a slide, which draws an outline for each line that it reads.

    python other_window.py SLIDE

A line is the class, and where on the slide, as shares of its height and width: ``IDC 0.4 0.3``. It
prints how many outlines it has kept and shows each time.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from queue import Empty, SimpleQueue

from desk import Desk, choose, napari_of_its_own


def draw(desk: Desk, dock: object, name: str, y: float, x: float) -> None:
    """Draw around a square, freehand."""
    rows, columns = dock.layer.data[0].shape[:2]
    desk.press(dock.live.draw[name])
    corners = [(0, 0), (0, 0.1), (0.1, 0.1), (0.1, 0), (0, 0)]
    desk.drag(*(desk.at(dock.layer, (y + v) * rows, (x + u) * columns) for v, u in corners))


def opened(desk: Desk, path: Path) -> object:
    """The IDC dock on a slide."""
    with desk.answering(choose(path)):
        desk.menu("File", "IO Utilities", "Open a slide…")
    dock = desk.dock("IDC heat map")
    desk.wait(dock.form.run.isEnabled, "the model")
    return dock


def main(path: Path) -> None:
    lines: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=lambda: [lines.put(line) for line in sys.stdin], daemon=True).start()
    with napari_of_its_own() as desk:
        dock = opened(desk, path)
        print("ready", flush=True)  # noqa: T201  (to the test that runs this)
        while True:
            try:
                line = lines.get_nowait().split()
            except Empty:
                desk.rest(0.05)
                continue
            if not line:
                break
            live = dock.live
            before = live.outlines(dock.layer)
            draw(desk, dock, line[0], float(line[1]), float(line[2]))
            known = live.slides[dock.layer]
            desk.wait(
                lambda b=before, k=known, own=live: k.outlines != b and own.run is None,
                "it to be kept",
            )
            desk.rest(0.5)
            print(len(known.outlines), live.status.text(), flush=True)  # noqa: T201
        desk.viewer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
