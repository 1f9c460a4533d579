"""Its network, training and the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from napari_pathogan.engine import config as base
from napari_pathogan.engine.config import Count, checked
from napari_pathogan.engine.devices import choose_device
from napari_pathogan.engine.events import Finished, Progress
from napari_pathogan.engine.models import Metric, ModelCard, load_model, save_model
from napari_pathogan.engine.report import Report, Value
from napari_pathogan.engine.trainer import Trainer
from napari_pathogan.errors import DataFolderError
from napari_pathogan.files import write_text
from napari_pathogan.kinds import FileKind
from napari_pathogan.slides.geometry import Region

if TYPE_CHECKING:
    from pathlib import Path

TEXT = FileKind(
    "how dark a picture is", ".toy.txt", lambda path: path.read_text().startswith("toy")
)


@checked
class Config(base.TrainConfig):
    """Epochs of four steps."""

    epochs: Count = 3
    ema: base.Decay = 0.5


RECIPES = {"paper": Config()}


def read(folder: Path, *, skip: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean grey (N,) of pictures, and whether their names say ``dark``."""
    files = sorted(folder.glob("*.png"))[skip:]
    if not files:
        raise DataFolderError(f"{folder} holds no PNG")
    means = [np.asarray(Image.open(file).convert("L")).mean() / 255 for file in files]
    return np.array(means, np.float32), np.array(["dark" in file.name for file in files])


class ToyTrainer(Trainer):
    steps = 4

    def __init__(self, images, config, device):
        super().__init__(config, device)
        self.grey, self.dark = (torch.from_numpy(one).float()[:, None] for one in images)
        self.network = self.add("network", torch.nn.Linear(1, 1))
        self.optimisers["network"] = torch.optim.Adam(self.network.parameters(), 0.3)

    def batches(self):
        for _ in range(self.steps):
            yield torch.randperm(len(self.grey))[:4]

    def step(self, batch, number):
        given = self.network(self.grey[batch])
        loss = torch.nn.functional.binary_cross_entropy_with_logits(given, self.dark[batch])
        self.update("network", loss)
        return {"loss": loss.detach()}


def learn(images, config, run, *, device, name, data):
    trainer = ToyTrainer(images, config, choose_device(device))
    yield from trainer.go_on(run)
    card = ModelCard(
        name=name,
        title="Dark pictures",
        task="toy",
        architecture="linear",
        mpp=1.0,
        patch_px=8,
        classes=("light", "dark"),
        training_data=(data.of(["a"], len(images[0])),),
        metrics={"accuracy": Metric(value=1.0)},
    )
    save_model(run.model, card, trainer.weights("network"))
    yield Finished(None, {"model": str(run.model)})


@dataclass
class Toy:
    card: ModelCard
    network: torch.nn.Module
    device: object

    @classmethod
    def load(cls, name, device="auto"):
        card, weights = load_model(name, "toy")
        network = torch.nn.Linear(1, 1)
        network.load_state_dict(weights)
        return cls(card, network, choose_device(device))

    def probability(self, grey):
        with torch.no_grad():
            return float(self.network(torch.tensor([[grey]])).sigmoid())

    def generate(self, n, label, seed):
        level = {"dark": 0, "light": 255, None: 128}[label]
        return np.full((n, 8, 8, 3), level, np.uint8)


def evaluate(folder, model):
    grey, dark = read(folder, skip=0)
    right = [
        (model.probability(float(g)) >= 0.5) == bool(d) for g, d in zip(grey, dark, strict=True)
    ]
    return Report("dark pictures", {"accuracy": Value(float(np.mean(right)))}, {"n": len(right)})


def predict(slide, model, *, threshold):
    yield Progress(0, 1, "looking")
    height, width = slide.shape
    grey = float(slide.read(Region(0, 0, height, width)).mean() / 255)
    probability = model.probability(grey)
    dark = probability >= threshold
    text = "dark" if dark else "light"
    yield Finished(probability, {"probability": probability, "dark": dark, "text": text})


def write(path, probability, *, source):
    write_text(path, f"toy {source.name} {probability:.3f}\n", TEXT)
