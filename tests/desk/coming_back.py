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
OTHER = "Mammogram masses"
WIDE = 430


def main(part: str, slide: Path, case: Path) -> None:
    """Open docks, make them wide, save a case and leave; or open one, or the case, and see what comes back."""
    with napari_of_its_own() as desk:
        choose_usual_readers(None)
        if part == "first":
            for title in TITLES:
                dock = desk.dock(title)
            with desk.answering(choose(slide)):
                desk.press(dock.welcome.open)
            desk.wait(lambda: desk.viewer.layers, "the slide")
            slides = desk.docked("Slides")
            with desk.answering(choose(case)):
                desk.press(slides, "Save case…")
            desk.wait(lambda: "Saved" in slides.said.text(), "the case")
            found(desk, "IDC heat map").raise_()  # in front again
            desk.rest(0.3)
            frame = above(dock, QDockWidget)
            desk.window.resizeDocks([frame], [WIDE], Qt.Orientation.Horizontal)
            desk.rest(0.3)
        else:
            if part == "case":
                desk.open(case)
                desk.wait(lambda: desk.viewer.layers, "the case")
            else:
                desk.dock(OTHER if part == "other" else "Nuclei")
            desk.wait(lambda: all(found(desk, one) is not None for one in TITLES), "all docks", 20)
            desk.rest(1.0)
        from napari_pathogan.plugin.viewer.remembered import recall

        there = [one for one in (*TITLES, OTHER) if found(desk, one) is not None]
        front = [one for one in there if not found(desk, one).visibleRegion().isEmpty()]
        said = {
            "wide": [found(desk, one).width() for one in front],
            "front": front,
            "often": [len(frames(desk, one)) for one in TITLES],
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
    return next(iter(frames(desk, title)), None)


def frames(desk, title):
    """All frames of docks of a title: one at most, if all is well."""
    there = desk.window.findChildren(QDockWidget)
    return [one for one in there if one.windowTitle().startswith(title)]


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
