"""What workers of a test's cluster load first: the toy task, and faults that slides' names ask for."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from napari_pathogan import tasks


def first_time(path, what):
    """Whether it is the first time that something happens to a slide; on the disk: workers die."""
    try:
        Path(f"{path}.{what}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def dask_setup(_worker):
    if "toy_task" not in tasks.PACKAGES:
        tasks.PACKAGES.append("toy_task")
    from toy_task import toy

    if hasattr(toy, "plain_predict"):
        return
    toy.plain_predict = toy.predict

    def predict(slide, model, *, threshold):
        path = os.environ["PATHOGAN_SLIDES"] + "/" + slide.name
        with (Path(os.environ["PATHOGAN_SLIDES"]) / "begun.log").open("a") as log:
            log.write(f"{slide.name}\n")
        if "killer" in slide.name or ("dies" in slide.name and first_time(path, "dies")):
            os.kill(os.getpid(), signal.SIGKILL)
        if "greedy" in slide.name and first_time(path, "greedy"):
            hoard = []
            while True:  # until the nanny ends it
                hoard.append(bytearray(os.urandom(1 << 20)) * 32)
                time.sleep(0.01)
        if "slow" in slide.name:
            time.sleep(2)
        yield from toy.plain_predict(slide, model, threshold=threshold)

    toy.predict = predict
