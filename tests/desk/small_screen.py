"""All docks on a laptop's screen, before and after a run: says what is cut, and what is out of view."""

from __future__ import annotations

import os
import sys

from desk import napari_of_its_own
from napari_pathogan.plugin.shell.settings import choose_usual_readers

SCREEN = 1366, 768
TITLE_PX = 30  # of the window's frame
SAMPLES = {
    "IDC heat map": "H&E phantom slide",
    "Nuclei": "H&E phantom at 40x",
    "Stain transfer": "H&E phantom slide",
    "Virtual stains": "H&E phantom slide",
    "Mammogram masses": "Mammogram phantom study",
    "Blending": "Mammogram phantom study",
    "Reader study": "",
    "Batch": "",
    "Models": "",
    "Slides": "",
}
IN_VIEW = {
    "Mammogram masses": ("Accept", "Reject", "Draw", "Undo", "Next finding", "Back"),
    "Nuclei": ("Next unchecked nucleus", "Back", "Undo", "Redo"),
    "IDC heat map": ("Next uncertain region", "Back"),
}


def main(theme: str) -> None:
    """Print a line for each fault."""
    from qtpy.QtWidgets import QAbstractButton

    with napari_of_its_own() as desk:
        choose_usual_readers(None)
        desk.viewer.theme = theme
        desk.window.resize(SCREEN[0], SCREEN[1] - TITLE_PX)
        for title, sample in SAMPLES.items():
            dock = desk.dock(title)
            faults = [f"cut before: {one}" for one in desk.cut_texts(dock)]
            if sample:
                desk.sample(sample)
                desk.wait(dock.form.run.isEnabled, "the model")
                faults += [f"cut beside an image: {one}" for one in desk.cut_texts(dock)]
                with desk.dismissing():
                    desk.press(dock.form.run)
                    desk.wait(lambda dock=dock: dock.run is None, "the end of the run")
                faults += [f"cut after a run: {one}" for one in desk.cut_texts(dock)]
            desk.rest(0.5)  # a layout
            desk.picture(f"small-{title}-{theme}-{os.environ.get('QT_SCALE_FACTOR', '1')}")
            there = {one.text(): one for one in dock.findChildren(QAbstractButton)}
            faults += [
                f"out of view: {name}"
                for name in IN_VIEW.get(title, ())
                if there[name].visibleRegion().boundingRect() != there[name].rect()
            ]
            if (
                title == "Mammogram masses"
                and dock.table.visibleRegion().boundingRect().height() < 100
            ):
                faults.append("out of view: the list of findings")
            for fault in faults:
                print(f"{title}: {fault}")  # noqa: T201  (to the test that runs this)
            desk.viewer.layers.clear()
            desk.menu("Plugins", "PathoGAN", title)
        assert desk.window.height() == SCREEN[1] - TITLE_PX, "the window grows out of the screen"
    print("looked at all")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
    sys.stdout.flush()
    os._exit(0)
