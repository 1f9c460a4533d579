"""What the embedded models measured when they were last looked at: rebuilding the code changes no figure.

    PATHOGAN_REFERENCE=write pytest tests/test_reference_numbers.py    # after a model was replaced

In float32 without AVX-512, so that processors differ as little as they can: they add up in other
orders all the same, so that only the one on which the figures were written has to agree to 1e-6.
"""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

NUMBERS = Path(__file__).with_name("reference_numbers.json")
SAME, ANOTHER = 1e-6, 2e-3  # that figures, which are of the order of 1, may differ by
# name: (command, folders of the data by pattern of what is looked at)
COMMANDS = {
    "idc": (
        ["idc", "evaluate", "{0}", "--model", "idc-cgan"],
        ["idc/patches: 12871/*/* 9258/*/*"],
    ),
    "idc in context": (
        ["idc", "evaluate", "{0}", "--context", "--model", "idc-cgan"],
        ["idc/patches: 13404/*/*"],
    ),
    "idc, frozen trunk": (
        ["idc", "evaluate", "{0}", "--context"],
        ["idc/patches: 12871/*/* 9260/*/*"],
    ),
    "nuclei": (
        ["nuclei", "evaluate", "{0}", "--mpp", "0.25", "--model", "nuclei-unet"],
        ["tnbc: images/01_[123].png masks/01_[123].png images/02_[12].png masks/02_[12].png"],
    ),
    "nuclei, ensemble": (
        ["nuclei", "evaluate", "{0}", "--mpp", "0.25"],
        ["tnbc: images/01_[123].png masks/01_[123].png images/02_[12].png masks/02_[12].png"],
    ),
    "nuclei classes": (
        ["nuclei", "classes", "evaluate", "{0}", "--mpp", "0.55", "--resnet", "none"],
        ["crc_nuclei: images/*1.* points/*1.*"],
    ),
    "nuclei classes, by labels": (
        [
            *("nuclei", "classes", "evaluate", "{0}", "--mpp", "0.55", "--resnet", "none"),
            *("--model", "nuclei-classes-crc-labels"),
        ],
        ["crc_nuclei: images/*1.* points/*1.*"],
    ),
    "masses": (
        ["masses", "evaluate", "{0}"],
        ["inbreast: images.csv boxes.csv images/2058*.png images/2061*.png"],
    ),
    "stain": (
        ["stain", "evaluate", "{0}", "{1}", "--style", "stain-crc"],
        ["tnbc/images: 01_[12].png", "crc_nuclei/images: *1.*"],
    ),
    "stain, pairs": (
        ["stain", "evaluate", "{0}", "{1}", "--paired", "--style", "stain-hamamatsu"],
        ["stain_pairs/aperio: *_0.png", "stain_pairs/hamamatsu: *_0.png"],
    ),
}


# One process for all commands: each would take longer to begin than some of them to measure.
COMMAND_LINE = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from napari_pathogan.cli.app import main
for line in sys.stdin:
    sys.argv, code, out, err = ["pathogan", *json.loads(line)], None, io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as left:
            code = left.code
    print(json.dumps([code, out.getvalue(), err.getvalue()]), flush=True)
"""


@pytest.fixture(scope="module")
def evaluate():
    """Run ``pathogan`` where a processor has AVX2 alone; gives the report."""
    env = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    env["PATHOGAN_FEATURES"] = "off"  # other tests keep what trunks saw with other instructions
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND_LINE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=env,
    ) as child:

        def run(argv):
            child.stdin.write(json.dumps([*argv, "--device", "cpu", "--json"]) + "\n")
            child.stdin.flush()
            code, out, err = json.loads(child.stdout.readline())
            assert not code, err
            return json.loads(out)

        yield run


@pytest.mark.parametrize("name", COMMANDS)
def test_the_figures_are_those_of_before(data, tmp_path, name, evaluate):
    command, sources = COMMANDS[name]
    folders = [chosen(data, tmp_path / str(n), source) for n, source in enumerate(sources)]
    argv = [part.format(*folders) for part in command]
    now = dict(numbers(evaluate(argv)))
    assert len(now) > 4
    known = json.loads(NUMBERS.read_text()) if NUMBERS.exists() else {}
    if os.environ.get("PATHOGAN_REFERENCE") == "write":
        known |= {name: now, "processor": processor()}
        NUMBERS.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
    tolerance = SAME if known["processor"] == processor() else ANOTHER
    assert now == pytest.approx(known[name], abs=tolerance, rel=tolerance)


def chosen(data, folder, source):
    """A folder that holds some of the data's files, by patterns."""
    room, _, patterns = source.partition(": ")
    for pattern in patterns.split():
        for path in sorted((data / room).glob(pattern)):
            link = folder / path.relative_to(data / room)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    if (table := folder / "images.csv").exists():  # of the images that are there alone
        for csv in (table, folder / "boxes.csv"):
            head, *rows = csv.read_text().splitlines()
            csv.unlink()
            there = [row for row in rows if (folder / "images" / row.split(",")[0]).exists()]
            csv.write_text("\n".join([head, *there]) + "\n")
    return folder


def processor():
    """What /proc says of this one, its family with it; several share a name in clouds."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor()
    about = dict(line.replace("\t", "").split(":", 1) for line in lines if ":" in line)
    return " ".join(about.get(key, "?").strip() for key in ("model name", "cpu family", "model"))


def numbers(value, name=""):
    """The finite numbers of a report by their paths; but for times."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not key.startswith("seconds"):
                yield from numbers(inner, f"{name}/{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from numbers(inner, f"{name}/{index}")
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        yield name, value
