"""How far do learning tests' figures spread? ``python benchmarks/learning_spread.py --seeds 6``.

Runs the tests marked ``learning`` for several seeds, numbers of threads and instruction sets of
oneDNN (which computes a CPU's convolutions: what it may not use, an older processor does not
have), and prints the spread of every figure that a test asks a bound of, as a Markdown table.
A bound lies outside the spread, on the far side of what a network that learns nothing has.

Arguments after ``--`` go to pytest: ``-- tests/nuclei -k heart``.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

ROOT = Path(__file__).parent.parent
Values = dict[tuple[str, str], list[float]]
XML = ("-o", "junit_family=xunit1")  # the one that takes properties


def figures(seeds: int, threads: int, isa: str, asked: list[str]) -> Values:
    """Run the learning tests once: (test, figure) -> a value a seed; ``failed`` is 0 or 1."""
    cap = {} if isa == "all" else {"ONEDNN_MAX_CPU_ISA": isa}
    # waiting threads sleep: on a busy machine they would take each other's processor
    env = {**os.environ, **cap, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
    with tempfile.TemporaryDirectory() as folder:
        xml = Path(folder) / "tests.xml"
        pytest = [sys.executable, "-m", "pytest", "-q", "-m", "learning", f"--junitxml={xml}", *XML]
        subprocess.run(  # noqa: S603  (nothing of it is a stranger's)
            [*pytest, f"--seeds={seeds}", *asked], cwd=ROOT, env=env, stdout=sys.stderr, check=False
        )
        cases = list(ET.parse(xml).iter("testcase"))  # noqa: S314  (pytest wrote it, here)
    got: Values = defaultdict(list)
    for case in cases:
        name = re.sub(r"\[seed\d+\]|-?seed\d+-?", "", str(case.get("name")))
        test = f"{case.get('classname')}::{name}".removeprefix("tests.")
        got[test, "failed"].append(float(case.find("failure") is not None))
        for figure in case.iter("property"):
            got[test, str(figure.get("name"))].append(float(str(figure.get("value"))))
    return got


def table(runs: list[Values]) -> str:
    """Markdown: a row a figure, with the lowest, middle and highest of all runs."""
    values: Values = defaultdict(list)
    for run in runs:
        for name, some in run.items():
            values[name] += some
    rows = [
        "| test | figure | runs | lowest | median | highest | failed |",
        "|---|---|---|---|---|---|---|",
    ]
    for (test, figure), some in values.items():
        if figure != "failed":
            low, middle, high = (f"{one:.3g}" for one in np.quantile(some, (0, 0.5, 1)))
            failed = int(sum(values[test, "failed"]))
            rows.append(
                f"| {test} | {figure} | {len(some)} | {low} | {middle} | {high} | {failed} |"
            )
    return "\n".join(rows)


def main() -> None:
    """Run all combinations and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--isa", nargs="+", default=["AVX2", "all"], help="'all': no limit")
    parser.add_argument("pytest", nargs="*", help="what else pytest is asked")
    a = parser.parse_args()
    arms = itertools.product(a.threads, a.isa)
    print(table([figures(a.seeds, *arm, a.pytest) for arm in arms]))


if __name__ == "__main__":
    main()
