"""How long napari's window does not answer, job by job: the longest gap of its thread's events.

    python benchmarks/window.py            # every job, each in a napari of its own

A timer of 20 ms in a window of 1600 x 1000 px; what the machine has at rest, and what a gap waited
for a core, are subtracted (``tests/desk/desk.py``). Prints a line a job: seconds for the first time in
a process, when Python, Qt and the graphics driver see much for the first time, and for the second.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

JOBS = {
    "IDC heat map": "H&E phantom slide",
    "Nuclei": "H&E phantom at 40x",
    "Stain transfer": "H&E phantom at 40x",
    "Mammogram masses": "Mammogram phantom study",
    "Blending": "Mammogram phantom study",
}


def main() -> None:
    """Measure all jobs, or the one that is named."""
    if len(sys.argv) > 1:
        measure(sys.argv[1])
        return
    print(f"{'job':20}{'dock':>8}{'sample':>8}{'1st run':>9}{'2nd run':>9}")
    for job in JOBS:
        with tempfile.TemporaryDirectory() as home:
            env = {**os.environ, "XDG_DATA_HOME": home, "XDG_CONFIG_HOME": home}
            subprocess.run([sys.executable, __file__, job], check=True, env=env)  # noqa: S603


def measure(job: str) -> None:
    """Open a dock and a sample, run twice, and print the longest gap of each."""
    tests = Path(__file__).parents[1] / "tests"
    sys.path[:0] = [str(tests / "desk"), str(tests)]
    import napari  # noqa: PLC0415  (not in the process that starts the others)

    from desk import SIZE, Desk  # noqa: PLC0415

    viewer = napari.Viewer()
    viewer.window.resize(*SIZE)
    desk = Desk(viewer)
    longest = []
    with desk.watched():
        desk.rest(1)
        with desk.gaps() as gaps:
            dock = desk.dock(job)
            desk.rest(1)
        longest.append(gaps.beyond_rest_s)
        desk.rest(10)  # what the dock imports is there then
        with desk.gaps() as gaps:
            desk.sample(JOBS[job])
            desk.rest(1)
        longest.append(gaps.beyond_rest_s)
        desk.wait(dock.form.run.isEnabled, "the model")
        for number in range(2):
            with desk.gaps() as gaps:
                if job == "Blending" and number == 0:  # a click is its first run
                    rows, columns = dock.layer.data.shape
                    desk.click(desk.at(dock.layer, rows / 2, columns / 2))
                else:
                    desk.press(dock.form.run)
                desk.wait(lambda: dock.run is None, "the run")
                desk.rest(1)
            longest.append(gaps.beyond_rest_s)
    print(
        f"{job:20}{longest[0]:8.2f}{longest[1]:8.2f}{longest[2]:9.2f}{longest[3]:9.2f}", flush=True
    )
    os._exit(0)


if __name__ == "__main__":
    main()
