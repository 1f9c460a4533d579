"""``make fuzz``: what it calls a fault is found, and the same seed changes files alike."""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def fuzz():
    spec = importlib.util.spec_from_file_location("fuzz", ROOT / "benchmarks" / "fuzz.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(ROOT / "benchmarks"))  # for its processes
    sys.modules["fuzz"] = module
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(ROOT / "benchmarks"))


def faulty(pipe):
    """Does what a file's name says."""
    while True:
        path, _ = pipe.recv()
        if "crash" in path:
            os.abort()
        pipe.send((("KeyError: 'x'" if "error" in path else ""), 3 << 30 if "large" in path else 1))


def test_crashes_errors_and_memory_are_faults_and_reading_goes_on(fuzz):
    reader = fuzz.Reader(faulty)
    try:
        found = [
            reader.fault(Path(x), mammogram=False)
            for x in ("crash", "fine", "error", "large", "fine")
        ]
    finally:
        reader.end()
    assert found == ["a crash", "", "KeyError: 'x'", "3.0 GB of memory", ""]


def weighs(pipe):
    """Says what it holds."""
    pipe.recv()
    from fuzz import most_memory

    pipe.send(("", most_memory()))


def test_memory_is_that_of_the_process_that_reads(fuzz):
    """Whatever the one that began it holds."""
    held = bytearray(1 << 30)
    held[:: 1 << 12] = bytes(len(held[:: 1 << 12]) * [1])
    assert fuzz.most_memory() > 1 << 30
    reader = fuzz.Reader(weighs)
    try:
        reader.pipe.send("")
        assert reader.pipe.recv()[1] < 1 << 30
    finally:
        reader.end()


def test_changes_are_those_of_the_seed(fuzz):
    raw = bytes(range(256)) * 8
    made = [fuzz.changed(raw, random.Random("0 1")) for _ in range(2)]
    assert made[0] == made[1] != raw
    assert len({fuzz.changed(raw, random.Random(f"0 {i}")) for i in range(50)}) > 45


def test_real_files_are_read_and_refused(fuzz, data, tmp_path):
    for path in (data / "wsi_small").iterdir():
        shutil.copy(path, tmp_path)
    number, refused, faults = fuzz.fuzz(tmp_path, 10.0, tmp_path / "kept", 0)
    assert number > refused > 0
    assert faults == 0
