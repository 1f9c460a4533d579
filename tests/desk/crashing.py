"""A napari with a slide and a map that is killed, or closed as it should: run by test_session.py."""

from __future__ import annotations

import os
import signal
import sys

from desk import napari_of_its_own
from napari_pathogan.plugin.shell import session


def main(how: str) -> None:
    """Open the sample, look for IDC, wait for the note, and end."""
    session.EVERY_MS = 500
    with napari_of_its_own() as desk:
        idc = desk.dock("IDC heat map")
        desk.sample("H&E phantom slide")
        desk.wait(idc.form.run.isEnabled, "the model")
        desk.press(idc.form.run)
        desk.wait(lambda: idc.run is None and idc.heat is not None, "the map")
        (noted,) = desk.window.findChildren(session.Session)
        desk.wait(lambda: noted.file.exists() and b'"idc"' in noted.file.read_bytes(), "the note")
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        desk.viewer.close()
        desk.rest(0.5)


if __name__ == "__main__":
    main(sys.argv[1])
