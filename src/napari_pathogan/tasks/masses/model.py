"""A trained mass detector: its card, its network, and how often it is right."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)
from scipy.special import expit, logit
from shapely import LineString
from skimage.measure import find_contours
from torchvision.ops import box_iou

from napari_pathogan.engine.devices import Device, choose_device, moved
from napari_pathogan.engine.models import ModelCard, fitting, load_model, save_model
from napari_pathogan.tasks.masses.frame import Frame
from napari_pathogan.tasks.masses.froc import Froc
from napari_pathogan.tasks.masses.network import BUILDERS, CLASSES, folded, inputs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torchvision.models.detection import MaskRCNN

    from napari_pathogan.tasks.masses.frame import Grey

TASK = "masses"
_STRIDE = 32  # of the coarsest level; images are padded to its multiples
_SAME = 0.4  # IoU from which findings of two views are one
_SURE = 1e-6  # scores are kept off 0 and 1, where a logit ends
_AROUND = 3  # px around a box in which its outline is looked for
_SMOOTH_PX = 0.25  # how far an outline's corners may lie off the mask's


class Findings(NamedTuple):
    """Masses of one mammogram, by falling score.

    ``boxes`` float32 (N, 4): x0, y0, x1, y1 in pixels; ``scores`` float32 (N,), the chance of being
    a mass; ``contours`` N times float32 (K, 2): y, x in pixels. All count from the upper left
    corner of the image.
    """

    boxes: np.ndarray
    scores: np.ndarray
    contours: list[np.ndarray]


class Views(NamedTuple):
    """How often a breast is looked at: upright and (with 2 flips) upside down, at each scale."""

    flips: int = 2
    scales: tuple[float, ...] = (0.75, 1.0, 1.33)


ALL = Views()
NOTHING = Findings(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), [])


@dataclass(eq=False)
class MassModel:
    """A model that finds masses in one mammogram.

    Attributes
    ----------
    card
        What it was trained on, how well it does, what it is not for.
    network, device
        The Mask R-CNN, and where it computes.
    threshold
        Operating point: what scores at least so much is called a mass.
    froc
        Of patients the network had not seen: sensitivity and false positives at each score.
    long_side
        Of a whole mammogram, in the pixels in which masses are looked for.
    calibration
        Slope and offset that turn the logit of the network's score into that of a chance.
    views
        How often every breast is looked at; one view is the fastest.
    grey
        What greys the network sees (:meth:`Frame.of`).
    """

    card: ModelCard
    network: MaskRCNN
    device: Device
    threshold: float
    froc: Froc
    long_side: int
    calibration: tuple[float, float] = (1.0, 0.0)
    views: Views = ALL
    grey: Grey = "shown"

    @classmethod
    def load(cls, name: str | Path = "masses-inbreast", device: str = "auto") -> MassModel:
        """Load an embedded model by name, or a run's by its folder.

        Raises
        ------
        ModelNotFoundError, ModelError
            If there is none, or its files don't fit together or are for another task.
        """
        card, weights = load_model(name, TASK)
        where = choose_device(device)
        with fitting(card, *BUILDERS):
            network = BUILDERS[card.architecture](**card.arguments)
            network.load_state_dict(weights)
            settings = card.settings
            slope, offset = settings["calibration"]
            return cls(
                card,
                folded(network.eval().requires_grad_(requires_grad=False)),
                where,
                float(settings["threshold"]),
                Froc.from_json(settings["froc"]),
                int(settings["long_side"]),
                (float(slope), float(offset)),
                Views(int(settings["flips"]), tuple(settings["scales"])),
                settings.get("grey", "shown"),
            )

    def detect(self, image: np.ndarray) -> Findings:
        """Look for masses in a whole mammogram.

        Parameters
        ----------
        image
            float32 (H, W) in [0, 1], dense tissue bright: ``Mammogram.shown()``.

        Raises
        ------
        NoBreastError
            If there is no breast in it.
        """
        frame = Frame.of(image, self.long_side, self.grey)
        boxes, scores, contours = looked(self.network, frame, self.device, self.views)
        back = [frame.points_back(contour).astype(np.float32) for contour in contours]
        chance = calibrated(scores, self.calibration)
        return Findings(frame.boxes_back(boxes), chance.astype(np.float32), back)


def calibrated(scores: np.ndarray, calibration: tuple[float, float]) -> np.ndarray:
    """Turn a network's scores into chances, with the slope and offset of their logits."""
    slope, offset = calibration
    chances: np.ndarray = expit(slope * logits(scores) + offset)
    return chances


def logits(scores: np.ndarray) -> np.ndarray:
    """Logits of scores, finite for 0 and 1 too."""
    finite: np.ndarray = logit(np.clip(np.asarray(scores, float), _SURE, 1 - _SURE))
    return finite


@torch.inference_mode()
def looked(network: MaskRCNN, frame: Frame, device: Device, views: Views) -> Findings:
    """Look at a breast in several views and join what was found.

    Boxes and contours are in pixels of the frame, scores are the network's.
    """
    moved(network, device.torch)
    image = torch.from_numpy(frame.pixels)[None, None]
    height, width = frame.pixels.shape
    parts = []
    for scale, flip in itertools.product(views.scales, range(views.flips)):
        size = max(1, round(height * scale)), max(1, round(width * scale))
        shown = F.interpolate(image, size, mode="bilinear", antialias=True)
        shown = shown.flip(2) if flip else shown
        # with air; left to torchvision it would be grey, which no training image has at its edge
        padded = F.pad(shown, (0, -size[1] % _STRIDE, 0, -size[0] % _STRIDE))
        with device.autocast:
            (found,) = network(inputs(network, padded.to(device.torch)))
        boxes, scores, masks = (found[part].float().cpu() for part in ("boxes", "scores", "masks"))
        if flip:
            boxes[:, [1, 3]] = size[0] - boxes[:, [3, 1]]
            masks = masks.flip(2)
        boxes *= torch.tensor([width / size[1], height / size[0]]).repeat(2)
        parts.append((boxes, scores, masks))
    boxes, scores, masks = (torch.cat(each) for each in zip(*parts, strict=True))
    inside = boxes.clone()
    inside[:, 0::2].clamp_(0, width)
    inside[:, 1::2].clamp_(0, height)
    there = (inside[:, 2:] > inside[:, :2]).all(1)  # not in the padding alone
    looks = views.flips * len(views.scales)
    return _joined(inside[there], scores[there], boxes[there], masks[there], looks)


def _joined(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    whole: torch.Tensor,
    masks: torch.Tensor,
    views: int,
) -> Findings:
    """Join findings of several views that overlap: boxes and masks are weighted by their scores.

    ``masks`` (N, 1, m, m) fill the ``whole`` boxes, of which ``boxes`` are what is in the frame.

    A mass that only one view shows keeps its share of the score alone: the mean over the views.
    """
    order = scores.argsort(descending=True)
    left = torch.ones(len(scores), dtype=torch.bool)
    overlap = box_iou(boxes, boxes) > _SAME
    joined = []
    for i in order.tolist():
        if left[i]:
            same = overlap[i] & left
            left &= ~same
            weight = scores[same] / scores[same].sum()
            box = (boxes[same] * weight[:, None]).sum(0).numpy()
            contour = _contour(masks[same], whole[same], weight, box)
            joined.append((float(scores[same].sum()) / views, box, contour))
    joined.sort(key=lambda one: -one[0])
    return Findings(
        np.array([box for _, box, _ in joined], np.float32).reshape(-1, 4),
        np.array([score for score, _, _ in joined], np.float32).clip(0, 1),
        [contour for *_, contour in joined],
    )


def _contour(
    masks: torch.Tensor, boxes: torch.Tensor, weights: torch.Tensor, box: np.ndarray
) -> np.ndarray:
    """The longest outline of weighted masks, float (K, 2); the box where there is none."""
    x0, y0, x1, y1 = box
    left, top = max(0, int(x0) - _AROUND), max(0, int(y0) - _AROUND)
    x = torch.arange(left, int(x1) + _AROUND + 1) + 0.5
    y = torch.arange(top, int(y1) + _AROUND + 1) + 0.5
    # where the pixels of the window lie in each mask, -1 to 1 from edge to edge
    across, down = (
        (2 * at - boxes[:, [i]] - boxes[:, [i + 2]]) / (boxes[:, [i + 2]] - boxes[:, [i]])
        for i, at in enumerate((x, y))
    )
    shape = len(boxes), len(y), len(x)
    grid = torch.stack([across[:, None].expand(shape), down[:, :, None].expand(shape)], 3)
    pasted = F.grid_sample(masks, grid, align_corners=False)[:, 0]
    part = np.pad((pasted * weights[:, None, None]).sum(0).numpy(), 1)
    lines = find_contours(part, 0.5)
    if not lines:
        return np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]])
    line = LineString(max(lines, key=len)).simplify(_SMOOTH_PX, preserve_topology=False)
    longest = np.array(line.coords)
    # not closed; without the padding, and from the corner of the first pixel instead of its middle
    longest[:, 0] += top - 0.5
    longest[:, 1] += left - 0.5
    return longest[:-1]


def save(
    folder: Path,
    card: ModelCard,
    network: MaskRCNN,
    *,
    froc: Froc,
    threshold: float,
    long_side: int,
    calibration: tuple[float, float],
    views: Views,
    grey: Grey = "shown",
    measured: Mapping[str, Any] | None = None,
) -> ModelCard:
    """Write a model's folder; its weights are stored as float16, which moves scores by less than 0.001.

    ``measured`` are further settings: what :mod:`~.together` and :mod:`~.sizes` read.
    """
    settings = {
        "threshold": threshold,
        "long_side": long_side,
        "calibration": list(calibration),
        "flips": views.flips,
        "scales": list(views.scales),
        "grey": grey,
        "froc": froc.thinned().to_json(),
        **(measured or {}),
    }
    done = card.model_copy(
        update={"classes": CLASSES, "operating_point": threshold, "settings": settings}
    )
    weights = {
        name: value.half() if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    return save_model(folder, done, weights)
