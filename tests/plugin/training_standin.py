"""A process in place of a training's: it says how far it is until told how to end."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from napari_pathogan.engine import jobs

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
import json, shutil, sys, time
from pathlib import Path

orders, asked = Path(sys.argv[1]), sys.argv[2:]
run, name = (Path(asked[asked.index(option) + 1]) for option in ("-o", "--name"))

def say(event, to=sys.stdout, **what):
    print(json.dumps({"event": event, **what}), file=to, flush=True)

def told(what):
    return (orders / f"{name}.{what}").exists() or (orders / what).exists()

with open(orders / "asked.jsonl", "a") as log:
    print(json.dumps(asked), file=log)
run.mkdir(exist_ok=True)
(run / "config.json").write_text("{}")
with open(run / "metrics.jsonl", "a") as log:
    for step in range(1, 4):
        numbers = {"a": 1.5 / step - 0.25, "b": 0.25, "held_out_auc": 0.5 + 0.1 * step, "lr": 9.0}
        for to in (log, sys.stdout):
            say("metrics", to, step=step, values=numbers)
while not told("done"):
    say("progress", done=1, total=2, what="epoch 1 of 2", eta_s=60)
    time.sleep(0.02)
    if told("fails"):
        sys.exit("pathogan: the disk is full")
shutil.copytree((orders / "model").read_text(), run / "model")
card = json.loads((run / "model/model.json").read_text())
(run / "model/model.json").write_text(json.dumps({**card, "name": str(name)}))
gain = orders / "gain.json"
say("finished", summary={"before_and_after": json.loads(gain.read_text()) if gain.exists() else {}})
"""


class TrainingStandin:
    """Tells the processes what to do.

    Parameters
    ----------
    orders
        A folder for that.
    monkeypatch
        Puts them in place of the command line.
    """

    def __init__(self, orders: Path, monkeypatch) -> None:
        self.orders = orders
        orders.mkdir()
        program = (sys.executable, "-c", SCRIPT, str(orders))
        monkeypatch.setattr(jobs, "PROGRAM", program)

    @property
    def asked(self) -> list[list[str]]:
        """What was typed, of each."""
        file = self.orders / "asked.jsonl"
        text = file.read_text() if file.exists() else ""
        return [json.loads(line) for line in text.splitlines() if line.endswith("]")]

    def ends(self, model: Path, gain: dict | None = None, name: str = "") -> None:
        """All, or that of a name, end with the model of a folder, and figures of before and after."""
        (self.orders / "model").write_text(str(model))
        (self.orders / "gain.json").write_text(json.dumps(gain or {}))
        (self.orders / (f"{name}.done" if name else "done")).touch()

    def fails(self) -> None:
        """All fail."""
        (self.orders / "fails").touch()
