"""A lesion grown in a healthy mammogram, by the network, by Poisson editing, or by noise.

All methods work at the scale that the network was trained at. What they change there is laid over
the image; what is finer than that scale comes from the lesion as it was found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy import ndimage
from skimage.transform import rescale

from napari_pathogan.errors import ModelError, PathoganError
from napari_pathogan.tasks.blending.data import factor_of, noisy
from napari_pathogan.tasks.blending.lesions import Lesion, Stage, reduce, staged, windowed
from napari_pathogan.tasks.blending.losses import background_map, guidance, seamless_map
from napari_pathogan.tasks.blending.model import BlendModel, embedded
from napari_pathogan.tasks.blending.network import STRIDE
from napari_pathogan.tasks.blending.poisson import poisson

Method = Literal["blending", "poisson", "adversarial"]
_LEAST_PX = 128  # of a crop, at the working scale
_REACH_PX = 8.0  # how far around the region a change may reach, at the working scale


class BlendError(PathoganError, ValueError):
    """A lesion can't be blended there, or not that way."""


@dataclass(frozen=True, eq=False)
class Blended:
    """A healthy mammogram in which a lesion was grown. Synthetic: keep it marked.

    Attributes
    ----------
    image
        float32 (H, W) in 0..1.
    pasted
        The same with the lesion merely pasted, seam and all.
    mask
        bool (H, W): the lesion.
    region
        bool (H, W): what was blended, the lesion and a rim.
    box
        float32 (4,): x0, y0, x1, y1 of the lesion in px.
    window
        (y0, y1, x0, x1): the part of the image that was worked on; it may lie partly outside.
    stage
        That part: X, E and the region, in image pixels.
    """

    image: np.ndarray
    pasted: np.ndarray
    mask: np.ndarray
    region: np.ndarray
    box: np.ndarray
    window: tuple[int, int, int, int]
    stage: Stage


def blend(
    normal: np.ndarray,
    lesion: Lesion,
    centre: tuple[float, float],
    *,
    scale: float = 1.0,
    angle: float = 0.0,
    method: Method = "blending",
    model: BlendModel | None = None,
    seed: int = 0,
) -> Blended:
    """Grow a lesion in a healthy mammogram.

    Parameters
    ----------
    normal
        float32 (H, W) in 0..1.
    lesion
        From :func:`.lesions.lesions` or :func:`.lesions.cut`.
    centre
        (y, x) where its patch's centre shall be, px.
    scale, angle
        Times its own size; degrees, counter-clockwise as seen on the screen.
    method
        ``blending``: the network; ``poisson``: Poisson image editing with mixed gradients;
        ``adversarial``: a network trained without prior knowledge, which sees noise in the
        lesion's place.
    model
        Of the method; the embedded one by default. Poisson editing needs none.
    seed
        Of that noise.

    Raises
    ------
    BlendError
        If the lesion would lie outside the image, or is too small to be seen there.
    ModelError
        If the model was trained for the other method.
    """
    factor = factor_of(normal.shape)
    scale = scale * lesion.scale_in(normal.shape)
    y0, y1, x0, x1 = window = _window(centre, lesion.radius * scale, factor)
    crop = windowed(normal, ((y0, y1), (x0, x1))).astype(np.float32)
    stage = staged(crop, lesion, (centre[0] - y0, centre[1] - x0), scale=scale, angle=angle)
    inside = windowed(np.ones(normal.shape, bool), ((y0, y1), (x0, x1)), outside=False)
    stage = Stage(stage.x, stage.e, stage.w & inside, stage.core & inside)
    small = stage.reduced(factor)
    if not small.core.any():
        msg = (
            f"{lesion.name or 'the lesion'} at {centre[0]:.0f}, {centre[1]:.0f} px would lie outside "
            "the image or be too small to be seen; choose another place or size"
        )
        raise BlendError(msg)
    made = _made(small, method, model, seed)
    soft = _around(stage.w, _REACH_PX * factor)
    grown = crop + soft * _enlarged(made - small.x, factor)
    if factor > 1 and method != "adversarial":  # detail that the working scale does not show
        fine = [part - _enlarged(reduce(part, factor), factor) for part in (stage.e, stage.x)]
        grown += _around(stage.w, 2.0 * factor) * (fine[0] - fine[1])
    return _blended(normal, np.clip(grown, 0, 1), stage, window)


def _window(centre: tuple[float, float], radius: float, factor: int) -> tuple[int, int, int, int]:
    """The square to work on: (y0, y1, x0, x1)."""
    side = max(_LEAST_PX, 2 * (radius / factor + 2 * _REACH_PX))
    side = int(np.ceil(side / STRIDE)) * STRIDE * factor
    y0, x0 = (round(c - side / 2) for c in centre)
    return y0, y0 + side, x0, x0 + side


def _made(small: Stage, method: Method, model: BlendModel | None, seed: int) -> np.ndarray:
    """What a method makes of a stage at the working scale: float32 (H, W)."""
    if method == "poisson":
        return poisson(small.x, small.e, small.w)
    if model is None and method == "blending":
        model = embedded()
    if model is None or model.method != method:
        has = "no model was given" if model is None else f"{model.card.name!r} is of {model.method}"
        msg = f"the method {method} needs a model of its own, and {has}; train one with --method"
        raise ModelError(msg)
    if method == "adversarial":
        small = noisy(small, np.random.default_rng(seed))
    return model(small)


def _around(region: np.ndarray, reach: float) -> np.ndarray:
    """1 in a region, smoothly down to 0 at ``reach`` px from it: float32 (H, W)."""
    share = np.clip(1 - ndimage.distance_transform_edt(~region) / reach, 0, 1)
    smooth: np.ndarray = share * share * (3 - 2 * share)
    return smooth.astype(np.float32)


def _enlarged(small: np.ndarray, factor: int) -> np.ndarray:
    """To pixels ``factor`` times smaller: float32."""
    if factor == 1:
        return small
    large: np.ndarray = rescale(small, factor, order=1, mode="edge")
    return large.astype(np.float32)


def _blended(
    normal: np.ndarray, grown: np.ndarray, stage: Stage, window: tuple[int, int, int, int]
) -> Blended:
    """Put what has grown back into the image."""
    parts = {"image": grown, "pasted": stage.pasted, "mask": stage.core, "region": stage.w}
    whole = {
        name: put_back(part, window, normal if part.dtype != bool else np.zeros(normal.shape, bool))
        for name, part in parts.items()
    }
    rows, columns = (np.flatnonzero(whole["mask"].any(axis)) for axis in (1, 0))
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
    return Blended(**whole, box=box, window=window, stage=stage)


def put_back(part: np.ndarray, window: tuple[int, int, int, int], whole: np.ndarray) -> np.ndarray:
    """A copy of ``whole`` (H, W) with a part in its window, as far as it lies inside."""
    y0, y1, x0, x1 = window
    top, left = max(0, y0), max(0, x0)
    bottom, right = min(y1, whole.shape[0]), min(x1, whole.shape[1])
    out = whole.astype(part.dtype)
    out[top:bottom, left:right] = part[top - y0 : bottom - y0, left - x0 : right - x0]
    return out


def loss_maps(blended: Blended, image: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Where the prior losses are large, per pixel.

    Parameters
    ----------
    image
        float32 (H, W) to judge instead of the blended one, say the pasted one.

    Returns
    -------
    ``seamless`` (equation 3) and ``background`` (equation 5): float32 (H, W), 0 outside the part
    that was worked on, for intensities from 0 to 1.
    """
    stage, (y0, y1, x0, x1) = blended.stage, blended.window
    shown = windowed(blended.image if image is None else image, ((y0, y1), (x0, x1)))
    g, x, e, w = (
        torch.from_numpy(np.ascontiguousarray(part, np.float32))[None, None]
        for part in (shown, stage.x, stage.e, stage.w)
    )
    maps = {
        "seamless": seamless_map(g, guidance(x, e), w),
        "background": background_map(g, x, w),
    }
    nothing = np.zeros(blended.image.shape, np.float32)
    return {name: put_back(m[0, 0].numpy(), blended.window, nothing) for name, m in maps.items()}
