"""A real scheduler and two workers: they die, run short of memory, wait for a slow disk."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import dask
import pandas as pd
import pytest
from distributed import Client, LocalCluster

from napari_pathogan.batch import executors
from napari_pathogan.batch.run import run
from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.events import Finished, Item, Warn

pytestmark = pytest.mark.usefixtures("toy")

MEMORY = 2**30  # of a worker: torch and the toy need half of it


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Folder of the slides, where workers write which they begin."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def scheduler(log):
    """Address of a scheduler with two workers, started as a hospital's would be."""
    settings = {
        "distributed.scheduler.allowed-failures": 1,
        "distributed.nanny.environ": {"PATHOGAN_SLIDES": str(log), "OMP_NUM_THREADS": "1"},
        "distributed.worker.preload": [str(Path(__file__).with_name("worker_preload.py"))],
        "distributed.deploy.lost-worker-timeout": "1 day",
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.pause": False,
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            memory_limit=MEMORY,
            dashboard_address=None,
            silence_logs=50,
        ) as cluster,
    ):
        yield cluster.scheduler_address


@pytest.fixture
def work(toy, model, scheduler, log, tmp_path):
    """A batch on the cluster, or in this process: its events."""

    def work(*patterns, here=False, **options):
        out = tmp_path / ("here" if here else "cluster")
        address = "" if here else scheduler
        asked = [str(log / pattern) for pattern in patterns]
        return run(toy, asked, out, model=str(model), device="cpu", cluster=address, **options)

    return work


def results(folder):
    """What is saved of each slide, and the rows of the table."""
    texts = {p.name: p.read_text() for p in sorted(folder.glob("slides/*/*.toy.txt"))}
    return texts, pd.read_csv(folder / "summary.csv").drop(columns="seconds")


def test_all_slides_are_done_once_whatever_becomes_of_workers(work, log, picture, tmp_path):
    names = ["a", "b", "c", "dies_1", "greedy_1", "slow_1", "slow_2"]
    for name in names:
        picture(log / f"{name}.png")
    *_, last = work("*.png")
    assert isinstance(last, Finished)
    assert last.summary["failed"] == {}
    assert last.summary["done"] == len(names)
    begun = Counter((log / "begun.log").read_text().split())
    assert {"dies_1.png", "greedy_1.png"} <= {name for name, n in begun.items() if n > 1}
    list(work("*.png", here=True))
    texts, table = results(tmp_path / "cluster")
    assert list(texts) == [f"{name}.toy.txt" for name in names]
    here, own = results(tmp_path / "here")
    assert texts == here
    pd.testing.assert_frame_equal(table, own)
    assert not list(tmp_path.glob("cluster/slides/.pathogan-*/part"))


def test_a_slide_that_kills_its_workers_is_given_up(work, log, picture):
    for name in ("killer", "fine_1", "fine_2"):
        picture(log / f"{name}.png")
    *_, last = work("killer.png", "fine_*.png")
    assert last.summary["done"] == 2
    assert "every worker that looks at it dies" in last.summary["failed"]["killer"]


def test_a_broken_slide_is_said_as_here(work, log, tmp_path):
    (log / "broken.svs").write_text("no slide")
    *_, there = work("broken.svs")
    *_, here = work("broken.svs", here=True)
    assert there.summary["failed"] == here.summary["failed"]


def test_a_batch_on_a_cluster_is_stopped_and_gone_on_with(work, log, picture, scheduler):
    for number in range(4):
        picture(log / f"slow_again_{number}.png")
    events = work("slow_again_*.png")
    done = []
    for event in events:
        if isinstance(event, Item) and event.state == "done":
            done.append(event.name)
            break
    events.close()
    with Client(scheduler, set_as_default=False) as client:
        assert client.scheduler_info()["workers"]
    *_, last = work("slow_again_*.png", resume=True)
    assert last.summary["before"] >= 1
    assert last.summary["before"] + last.summary["done"] == 4


def test_a_cluster_without_workers_is_waited_for(toy, model, slides, tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "_ALONE_S", 0.3)
    with LocalCluster(n_workers=0, dashboard_address=None, silence_logs=50) as cluster:
        address = cluster.scheduler_address
        events = run(toy, [str(slides)], tmp_path / "out", model=str(model), cluster=address)
        said = next(one.message for one in events if isinstance(one, Warn))
        events.close()
    assert "no worker" in said


def test_nobody_at_the_address(toy, model, slides, tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "_CONNECT_S", 1)
    with pytest.raises(SettingError, match="no dask scheduler answers at tcp://127"):
        list(
            run(
                toy,
                [str(slides)],
                tmp_path / "out",
                model=str(model),
                cluster="tcp://127.0.0.1:9",
            )
        )
