"""A run's folder survives being killed, and is resumed only with the settings it began with."""

from __future__ import annotations

import json
from dataclasses import field
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from napari_pathogan.engine.config import TrainConfig, checked
from napari_pathogan.engine.events import Metrics
from napari_pathogan.engine.runs import RunFolder, load_state, save_state
from napari_pathogan.errors import DataFolderError, OutputError
from napari_pathogan.tasks import registered
from run_logs import logged


@pytest.fixture
def run(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.start({"width": 1, "seed": 0})
    return folder


def test_a_second_start_needs_resume_and_the_same_settings(run):
    with pytest.raises(OutputError, match="--resume"):
        run.start({"width": 1, "seed": 0})
    run.start({"width": 1, "seed": 0}, resume=True)
    with pytest.raises(DataFolderError, match="other settings: seed"):
        run.start({"width": 1, "seed": 1}, resume=True)


@checked
class Inner:
    turns: bool = True
    mix: float = 0.0


@checked
class Config(TrainConfig):
    width: int = 32
    views: int = 1
    inner: Inner = field(default_factory=Inner)


@pytest.mark.parametrize(
    ("written", "config", "options", "differs"),
    [
        ({"share": 0.2}, {}, {"share": None}, ""),  # an option's default, once written down
        ({"share": 0.3}, {}, {"share": None}, "share"),
        ({"share": 0.3}, {}, {"share": 0.3}, ""),
        ({"views": None, "inner": {"turns": True}}, {}, {}, ""),  # settings that came later
        ({"views": None, "inner": None}, {}, {}, ""),
        ({"views": None}, {"views": 4}, {}, "views"),
        ({"inner": {"turns": False}}, {}, {}, "inner"),
        ({"inner": None}, {"inner": Inner(mix=0.5)}, {}, "inner"),
        ({"band": 2}, {}, {}, "band"),  # nobody knows what it did
    ],
)
def test_runs_of_versions_before_this_one_go_on(tmp_path, written, config, options, differs):
    plain = {**Config().to_json(), **written}
    (tmp_path / "run").mkdir()
    run, kept = RunFolder(tmp_path / "run"), {k: v for k, v in plain.items() if v is not None}
    run.config.write_text(json.dumps(kept))

    def start():
        run.start(Config(**config), options, before={"share": 0.2, "other": None}, resume=True)

    if not differs:
        start()
        return
    with pytest.raises(DataFolderError, match=f"other settings: {differs}$"):
        start()


def test_what_versions_before_this_one_wrote_down_is_known():
    options = {
        (task.name, one.name): one.before
        for task in registered().values()
        for one in (task.training.options if task.training else ())
    }
    assert options["idc", "holdout"] == 0.2
    assert options["nuclei", "mpp"] == 0.25


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="part of the path is a file"):
        RunFolder(tmp_path / "file" / "run").start({})


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("theirs", ["patients.csv", "config.json", "images/slide.svs"])
def test_a_run_begins_in_no_folder_of_the_users(tmp_path, theirs, resume):
    file = tmp_path / "data" / theirs
    file.parent.mkdir(parents=True)
    file.write_text("theirs")
    with pytest.raises(OutputError, match=r"data is there already|no run's"):
        RunFolder(tmp_path / "data").start({}, resume=resume)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [file]
    assert file.read_text() == "theirs"


def test_a_run_may_begin_in_an_empty_folder_and_in_that_of_the_session(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    RunFolder(Path()).start({})
    assert RunFolder(tmp_path).config.is_file()


def test_a_run_that_was_killed_at_once_leaves_its_folder_free(tmp_path):
    room = tmp_path / "run" / ".pathogan-a1b2c3d4"
    room.mkdir(parents=True)
    for name in (".pathogan-lock", "config.json"):
        (room / name).touch()
    RunFolder(tmp_path / "run").start({})
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["config.json", "previews"]


def test_a_rewind_leaves_out_what_the_kill_cut_short(run):
    for step in range(4):
        run.log(Metrics(step, {"loss": 1 / (step + 1)}))
    with run.metrics.open("a") as stream:
        stream.write('{"event": "metrics", "step": 4, "val')
    run.rewind(1)
    assert logged(run) == [{"step": 0, "loss": 1.0}, {"step": 1, "loss": 0.5}]


def test_a_run_that_logged_nothing(run):
    run.rewind(3)
    assert not run.metrics.exists()


def test_state_comes_back_as_it_was(tmp_path):
    network = torch.nn.Linear(3, 2)
    adam = {
        "state": {0: {"step": torch.tensor(3.0)}},
        "param_groups": [{"lr": 2e-4, "params": [0]}],
    }
    state = {
        "network": network.state_dict(),
        "optimiser": adam,  # its keys are whole numbers
        "step": 7,
        "best": None,
        "names": ["a", "b"],
        "rng": torch.get_rng_state(),
    }
    save_state(tmp_path / "checkpoint", state)
    back = load_state(tmp_path / "checkpoint")
    other = torch.nn.Linear(3, 2)
    other.load_state_dict(back["network"])
    assert torch.equal(other.weight, network.weight)
    assert back["optimiser"] == adam
    assert (back["step"], back["best"], back["names"]) == (7, None, ["a", "b"])
    assert torch.equal(back["rng"], state["rng"])


def test_shared_tensors_and_no_tensors_can_be_saved(tmp_path):
    tensor = torch.ones(3)
    save_state(tmp_path / "a", {"x": tensor, "y": tensor})
    assert torch.equal(load_state(tmp_path / "a")["y"], tensor)
    save_state(tmp_path / "b", {"step": 1})
    assert load_state(tmp_path / "b") == {"step": 1}


@pytest.mark.parametrize("content", [None, b"", b"not a checkpoint at all"])
def test_a_damaged_checkpoint_is_named(tmp_path, content):
    path = tmp_path / "checkpoint.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataFolderError, match=r"checkpoint\.safetensors can't be read"):
        load_state(path)


def test_a_run_is_trained_by_one_process_at_a_time(run):
    with run.locked():
        with pytest.raises(OutputError, match="being trained"), RunFolder(run.path).locked():
            pass
        assert run.path.is_dir()
    with run.locked():
        pass
    assert sorted(path.name for path in run.path.iterdir()) == ["config.json", "previews"]


def test_rooms_of_a_killed_process_go_wherever_they_are_in_a_run(run):
    room = run.path / "folds" / "0" / ".pathogan-a1b2c3d4"
    room.mkdir(parents=True)
    (room / ".pathogan-lock").touch()
    run.check(resume=True)
    assert not room.exists()


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe\n",
        b"[1]\n",
        b"7\n",
        b'{"step": 1}\n',
        b"[" * 9999,
        b'{"step": null, "values": {}}',
    ],
)
def test_lines_that_are_no_metrics_are_left_out(run, line):
    run.log(Metrics(1, {"loss": 0.5}))
    run.metrics.write_bytes(run.metrics.read_bytes() + line)
    run.rewind(1)
    assert logged(run) == [{"step": 1, "loss": 0.5}]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"not json", b"[" * 100_000])
def test_a_damaged_configuration_is_said(run, content):
    run.config.write_bytes(content)
    with pytest.raises(OutputError, match=r"config.json is damaged, or no run's"):
        run.start({"width": 1, "seed": 0}, resume=True)
    with pytest.raises(OutputError, match="is there already"):
        run.start({"width": 1, "seed": 0})


def test_metrics_that_are_a_folder_are_said(run):
    run.metrics.mkdir()
    with pytest.raises(OutputError, match=r"metrics.jsonl: a folder of that name"):
        run.rewind(1)


@pytest.mark.parametrize(
    "structure", ["[]", '"x"', '{"list": 3}', '{"dict": [[[1], {"value": 1}]]}', "null"]
)
def test_a_checkpoint_that_is_built_otherwise_is_said_without_words_of_python(tmp_path, structure):
    path = tmp_path / "a.safetensors"
    save_file({"t0": torch.zeros(2)}, path, metadata={"structure": structure})
    with pytest.raises(DataFolderError, match="not built as checkpoints are"):
        load_state(path)
