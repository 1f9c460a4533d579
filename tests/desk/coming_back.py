"""A napari that is closed, and the next one: run by test_coming_back.py. Prints how its docks lie."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget

from desk import choose, napari_of_its_own
from napari_pathogan.plugin.shell.form import above
from napari_pathogan.plugin.shell.settings import choose_usual_readers

TITLES = "Slides", "Nuclei", "IDC heat map"
WIDE = 430


def main(part: str, slide: Path) -> None:
    """Open docks, make them wide and leave; or open one and see what comes back."""
    with napari_of_its_own() as desk:
        choose_usual_readers(None)
        if part == "first":
            for title in TITLES:
                dock = desk.dock(title)
            desk.docked("IDC heat map")
            with desk.answering(choose(slide)):
                desk.press(dock.welcome.open)
            desk.wait(lambda: desk.viewer.layers, "the slide")
            frame = above(dock, QDockWidget)
            desk.window.resizeDocks([frame], [WIDE], Qt.Orientation.Horizontal)
            desk.rest(0.3)
        else:
            desk.dock("Nuclei")
            desk.wait(lambda: all(found(desk, one) is not None for one in TITLES), "all docks", 20)
            desk.rest(1.0)
        from napari_pathogan.plugin.viewer.remembered import recall

        front = [one for one in TITLES if not found(desk, one).visibleRegion().isEmpty()]
        said = {
            "wide": [found(desk, one).width() for one in front],
            "front": front,
            "folder": recall("last folders").get("slides"),
        }
        desk.picture(f"coming-back-{part}")
        print(json.dumps(said), flush=True)  # noqa: T201  (to the test that runs this)
        if part == "first":
            desk.window.close()
            desk.wait(lambda: not desk.window.isVisible(), "the end")
            os._exit(0)
    os._exit(0)


def found(desk, title):
    """The frame of a dock that is open."""
    there = desk.window.findChildren(QDockWidget)
    return next((one for one in there if one.windowTitle().startswith(title)), None)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
