"""Nothing is ever half written, and nothing but an earlier output of the same kind is replaced."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from PIL import Image

from napari_pathogan import files
from napari_pathogan.errors import OutputError, SlideReadError
from napari_pathogan.files import TemporaryRoom, check, output_error, sha256, write_text, written
from napari_pathogan.kinds import NEW, OURS, FileKind, FolderKind

TEXT = FileKind("a text", ".txt", lambda path: path.read_text().startswith("ours"))
FOLDER = FolderKind(
    "a folder",
    "",
    lambda folder: {"mark", "new", "old"}.__contains__ if (folder / "mark").exists() else None,
)


def make(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole(tmp_path):
    target = tmp_path / "deep" / "inside" / "file.txt"
    with written(target, NEW) as beside:
        beside.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    target = tmp_path / "file.txt"
    target.write_text("ours, old")
    for place in (target, tmp_path / "deep" / "inside" / "file.txt"):
        with pytest.raises(error), written(place, TEXT) as beside:  # noqa: PT012
            beside.write_text("half")
            raise error
    assert target.read_text() == "ours, old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_of_the_kind_is_replaced_whole(tmp_path, exchange, monkeypatch):
    if not exchange:
        monkeypatch.setattr(files, "_exchanged", lambda *_: False)
    target = make(tmp_path / "folder", "mark", "old", ".DS_Store")
    with written(target, FOLDER) as beside:
        make(beside, "mark", "new")
    assert names(target) == ["mark", "new"]
    with pytest.raises(ValueError), written(target, FOLDER) as beside:  # noqa: PT012
        make(beside, "mark")
        raise ValueError
    assert names(target) == ["mark", "new"]
    with pytest.raises(OutputError), written(target, FOLDER):
        pass  # nothing was written
    assert names(target) == ["mark", "new"]
    assert list(tmp_path.iterdir()) == [target]


REFUSED = {
    "another folder": (
        FOLDER,
        lambda at: make(at, "slide.svs"),
        r"no earlier output of this kind \(a folder\)",
    ),
    "its own folder with a note": (FOLDER, lambda at: make(at, "mark", "note.txt"), "note.txt"),
    "a note further down": (FOLDER, lambda at: make(at, "mark", "deep/note.txt"), "deep/note.txt"),
    "a link in its folder": (
        FOLDER,
        lambda at: (make(at, "mark") / "new thing").symlink_to(at.parent),
        "new thing",
    ),
    "a file for a folder": (FOLDER, lambda at: at.write_text("ours"), "is a file"),
    "a folder for a file": (TEXT, lambda at: at.mkdir(), "is a folder; name a file in it"),
    "a zarr for a file": (TEXT, lambda at: make(at, "zarr.json"), "name a file beside it"),
    "a zarr for a folder": (
        FOLDER,
        lambda at: make(at, "zarr.json"),
        r"name something beside it, such as .*(?<!target)/result$",
    ),
    "another file": (TEXT, lambda at: at.write_text("theirs"), "is there already"),
    "a binary file": (TEXT, lambda at: at.write_bytes(b"\xff\xfe\0II*"), "is there already"),
    "anything for new": (NEW, lambda at: at.write_text("ours"), "is there already"),
    "a folder for new": (NEW, lambda at: make(at, "mark"), "is there already"),
    "a folder for ours": (OURS, lambda at: make(at, "mark"), "is a folder"),
    "a pipe": (OURS, lambda at: os.mkfifo(at), "neither a file nor a folder"),
    "a link to itself": (OURS, lambda at: at.symlink_to(at), "neither a file nor a folder"),
    "a link to another file": (
        TEXT,
        lambda at: at.symlink_to(Path(__file__)),
        "is there already",
    ),
    "a place in a zarr": (
        OURS,
        lambda at: make(at.parent / "deep", "zarr.json") and at.symlink_to("deep/inside"),
        "an OME-Zarr",
    ),
}


def contents(folder: Path) -> dict[str, object]:
    return {
        str(path.relative_to(folder)): (
            path.read_bytes() if path.is_file() else (path.lstat().st_ino, path.lstat().st_mode)
        )
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("case", REFUSED)
def test_nothing_else_is_replaced(tmp_path, case):
    kind, put, message = REFUSED[case]
    target = tmp_path / "target"
    put(target)
    before = contents(tmp_path)
    with pytest.raises(OutputError, match=message) as early:
        check(target, kind)
    with pytest.raises(OutputError) as late, written(target, kind):
        pytest.fail("it began to write")
    assert str(early.value) == str(late.value)
    assert "\n" not in str(late.value)
    assert contents(tmp_path) == before


def test_what_comes_while_we_write_is_not_lost(tmp_path):
    with pytest.raises(OutputError), written(tmp_path / "a", TEXT) as beside:  # noqa: PT012
        (tmp_path / "a").write_text("theirs")
        beside.write_text("ours")
    folder = make(tmp_path / "b", "mark")
    with pytest.raises(OutputError, match="note"), written(folder, FOLDER) as beside:  # noqa: PT012
        make(beside, "mark")
        (folder / "note").touch()
    assert (tmp_path / "a").read_text() == "theirs"
    assert names(folder) == ["mark", "note"]
    assert names(tmp_path) == ["a", "b"]


def test_empty_files_and_folders_are_replaced(tmp_path):
    make(tmp_path / "folder")
    (tmp_path / "file").touch()
    with written(tmp_path / "folder", FOLDER) as beside:
        make(beside, "mark")
    write_text(tmp_path / "file", "ours", TEXT)
    assert names(tmp_path / "folder") == ["mark"]
    assert (tmp_path / "file").read_text() == "ours"


def test_links_stay_and_lead_to_the_new_output(tmp_path):
    folder = make(tmp_path / "1", "mark", "old")
    for link, to in {"a": "1", "b": "file", "c": "not/yet"}.items():
        (tmp_path / link).symlink_to(to)
    with written(tmp_path / "a", FOLDER) as beside:
        make(beside, "mark", "new")
    write_text(tmp_path / "b", "ours", TEXT)
    write_text(tmp_path / "c", "ours", TEXT)
    assert names(folder) == ["mark", "new"]
    assert (tmp_path / "file").read_text() == (tmp_path / "not" / "yet").read_text() == "ours"
    assert all((tmp_path / link).is_symlink() for link in "abc")


@pytest.mark.parametrize("target", [".", "..", "/", "../", "./."])
def test_a_session_keeps_its_own_folder(tmp_path, monkeypatch, target):
    monkeypatch.chdir(make(tmp_path / "here"))
    for kind in (FOLDER, NEW, TEXT):
        with pytest.raises(OutputError, match=r"is (the folder that you are in|a whole disk)"):
            check(Path(target), kind)
    assert names(tmp_path) == ["here"]


def test_a_check_leaves_nothing(tmp_path):
    check(tmp_path / "deep" / "inside" / "file", TEXT)
    assert names(tmp_path) == []


def test_reasons_are_said_in_words(tmp_path, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "file").touch()
    for write in (lambda path: check(path, OURS), lambda path: write_text(path, "", OURS)):
        with pytest.raises(OutputError, match="part of the path is a file, not a folder"):
            write(tmp_path / "file" / "x")
        with pytest.raises(OutputError, match="the name is too long"):
            write(tmp_path / ("x" * 300))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="the disk is full"):
        write_text(tmp_path / "x", "text", OURS)
    assert names(tmp_path) == ["file"]
    assert "no permission" in str(output_error(tmp_path, PermissionError(errno.EACCES, "")))
    assert "odd" in str(output_error(tmp_path, OSError("odd")))


KILLED = r'''
import os, signal, sys
from pathlib import Path
from napari_pathogan import files
from napari_pathogan.kinds import FileKind, FolderKind

what, exchange, folder = sys.argv[1], sys.argv[2] == "True", Path(sys.argv[3])
STEPS = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "open", "os.scandir", "os.truncate"}
both = {"mark", "old", "new"}.__contains__
FOLDER = FolderKind("a folder", "", lambda at: both if (at / "mark").exists() else None)
TEXT = FileKind("a text", "", lambda at: at.read_text() in {"old", "new"})
exchanged = files._exchanged
if not exchange:
    files._exchanged = lambda *_: False


def write(target, word):
    with files.written(target, FOLDER if what == "folder" else TEXT) as beside:
        if what == "folder":
            beside.mkdir()
            (beside / "mark").touch()
            (beside / word).touch()
        else:
            beside.write_text(word)


def read(target):
    if what == "file":
        return target.read_text()
    names = sorted(os.listdir(target))
    assert len(names) == 2 and names[0] == "mark", names
    return names[1]


def killed_at(number, target):
    """Write in a process that is killed before its step of this number; whether it was."""
    child = os.fork()
    if not child:
        left = number

        def step(event, _):
            nonlocal left
            if event in STEPS:
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(step)
        if exchange:  # not a step that is audited
            def swap(first, second):
                step("os.rename", ())
                done = exchanged(first, second)
                step("os.rename", ())
                return done
            files._exchanged = swap
        write(target, "new")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, status
    return os.WIFSIGNALED(status)


number, seen, gone = 0, [], 0
while True:
    room = folder / str(number)
    room.mkdir()
    target = room / "target"
    write(target, "old")
    killed = killed_at(number, target)
    if what == "folder" and not exchange and not target.exists():
        gone += 1
        files.write_text(room / "another", "", FileKind())  # any next output brings it back
        (room / "another").unlink()
    seen.append(read(target))
    write(target, "new")
    assert read(target) == "new"
    assert os.listdir(room) == ["target"], (number, os.listdir(room))
    if not killed:
        break
    number += 1
print(number, sorted(set(seen)), gone, seen == sorted(seen, reverse=True))
'''


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    ("what", "exchange"), [("file", True), ("folder", True), ("folder", False)]
)
def test_a_kill_at_any_step_leaves_the_old_or_the_new_one(tmp_path, what, exchange):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, what, str(exchange), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    steps, *_ = done.stdout.split()
    assert int(steps) > 10
    # where folders can't change places there is one step at which neither is there
    assert done.stdout.strip().endswith(f"['new', 'old'] {int(not exchange)} True")


def test_nobody_takes_away_what_another_process_writes(tmp_path):
    writing = f"""
import sys
from pathlib import Path
from napari_pathogan.files import written
from napari_pathogan.kinds import NEW
with written(Path({str(tmp_path)!r}) / "slow", NEW) as beside:
    beside.write_text("slowly")
    print("begun", flush=True)
    sys.stdin.read()
"""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", writing], stdin=pipe, stdout=pipe) as other:
        assert other.stdout.readline() == b"begun\n"
        write_text(tmp_path / "quick", "", NEW)
        assert len(names(tmp_path)) == 2
        other.stdin.close()
        assert other.wait(60) == 0
    assert names(tmp_path) == ["quick", "slow"]
    with subprocess.Popen(
        [sys.executable, "-c", writing.replace("slow", "slow2", 1)], stdin=pipe, stdout=pipe
    ) as other:
        assert other.stdout.readline() == b"begun\n"
        os.kill(other.pid, signal.SIGKILL)
    assert len(names(tmp_path)) == 3
    write_text(tmp_path / "quicker", "", NEW)
    assert names(tmp_path) == ["quick", "quicker", "slow"]


@pytest.mark.parametrize(
    "left", [(), (".pathogan-lock",), (".pathogan-lock", "out/c/0"), ("out/c/0",)]
)
def test_what_a_killed_process_left_is_in_nobodys_way(tmp_path, left):
    """Neither in the folder that is named, nor beside it; without a lock where threads wrote on."""
    for kind, inside in ((NEW, ()), (FOLDER, ("mark",))):
        target = make(tmp_path / f"target{len(inside)}", *inside)
        rooms = [make(folder / ".pathogan-a1_b2c3d", *left) for folder in (target, tmp_path)]
        check(target, kind)
        assert not any(room.exists() for room in rooms)
        assert names(target) == list(inside)
    theirs = make(tmp_path / ".pathogan-my own notes", *left)
    check(tmp_path / "x", NEW)
    assert theirs.is_dir()


def test_what_threads_write_on_goes_with_the_next_output(tmp_path):
    """As zarr's do for a moment after a signal."""
    ended, written_on = threading.Event(), threading.Event()

    def write_on(folder):
        for number in itertools.count():
            with contextlib.suppress(FileNotFoundError, FileExistsError):  # it is being taken away
                (folder / "c").mkdir(parents=True, exist_ok=True)
                (folder / "c" / str(number)).touch()
            if number == 20:
                written_on.set()
            if ended.is_set():
                break

    with pytest.raises(KeyboardInterrupt), written(tmp_path / "x", NEW) as beside:  # noqa: PT012
        writer = threading.Thread(target=write_on, args=(beside,))
        writer.start()
        written_on.wait()
        threading.Timer(0.2, ended.set).start()
        raise KeyboardInterrupt
    writer.join()
    check(tmp_path / "y", NEW)
    assert names(tmp_path) == []


def test_sha256(tmp_path):
    path = tmp_path / "empty"
    path.touch()
    assert sha256(path).startswith("e3b0c44298fc1c14")


@pytest.fixture
def no_large_files():
    """No file of this process may be larger than 4 kB, as on a disk that is all but full."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def large(how, path):
    """Write something large in one of the ways that results are written in."""
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    match how:
        case "text":
            path.write_text("x" * 10_000)
        case "safetensors":
            import torch
            from safetensors.torch import save_file

            save_file({"a": torch.zeros(10_000)}, path)
        case "png":
            Image.fromarray(noise).save(path, "PNG")
        case "tiff":
            tifffile.imwrite(path, noise)
        case "npy":
            np.save(path, noise)
        case "zarr":
            zarr.create_array(path, data=noise, compressors=None)
        case "parquet":
            pd.DataFrame({"a": noise.ravel().astype(float)}).to_parquet(path)


@pytest.mark.parametrize("how", ["text", "safetensors", "png", "tiff", "npy", "zarr", "parquet"])
def test_a_full_disk_is_one_sentence_whoever_writes(how, tmp_path, no_large_files):
    with (
        pytest.raises(OutputError, match=r"can't write .*file"),
        written(tmp_path / "file", NEW) as beside,
    ):
        large(how, beside)
    assert list(tmp_path.iterdir()) == []


def test_what_can_not_be_read_is_no_matter_of_writing(tmp_path):
    with pytest.raises(SlideReadError, match="tile"), written(tmp_path / "file", NEW):
        raise SlideReadError("a tile")


def test_a_private_file_is_its_owners(tmp_path):
    write_text(tmp_path / "key.json", "{}", NEW, private=True)
    assert (tmp_path / "key.json").stat().st_mode & 0o777 == 0o600


def test_temporary_rooms_of_killed_processes_go_and_others_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    room = TemporaryRoom("pathogan-test-")
    room.place.mkdir()
    killed = make(tmp_path / "pathogan-test-killed", ".pathogan-lock", "room/c/0")
    foreign = make(tmp_path / "pathogan-test-foreign", "data")
    other = TemporaryRoom("pathogan-test-")
    assert room.place.is_dir()
    assert not killed.exists()
    assert foreign.is_dir()
    room.cleanup()
    other.cleanup()
    assert list(tmp_path.iterdir()) == [foreign]


def test_a_copy_of_many_files_that_failed_is_one_sentence(tmp_path):
    failed = shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'"), ("c", "d", "x")])
    with (
        pytest.raises(OutputError, match=r"can't write .*out: the disk is full; choose"),
        written(tmp_path / "out", OURS),
    ):
        raise failed
