"""The losses of the blending network (section 2.2, equations 1 to 5), per area.

``L = Ladv + lambda_p (LS + LB)``. Gradients are forward differences: that of pixel p is the pair
of edges from p to its right and to its lower neighbour.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)

_FLAT = 1e-12  # under the root of a gradient's length, whose slope at 0 would be infinite


def gradient(image: torch.Tensor) -> torch.Tensor:
    """Forward differences: (N, 1, H, W) -> (N, 2, H, W), along y and along x; 0 at the end."""
    down = F.pad(image[:, :, 1:] - image[:, :, :-1], (0, 0, 0, 1))
    right = F.pad(image[..., 1:] - image[..., :-1], (0, 1))
    return torch.cat([down, right], 1)


def length(gradient: torch.Tensor) -> torch.Tensor:
    """Of each pixel's gradient: (N, 2, H, W) -> (N, 1, H, W)."""
    return (gradient.square().sum(1, keepdim=True) + _FLAT).sqrt()


def edges(w: torch.Tensor) -> torch.Tensor:
    """Which edges have an end in the region: float (N, 1, H, W) of 0 and 1 -> (N, 2, H, W).

    Those that cross the border count: without them an offset of the whole region costs nothing.
    """
    down = F.pad(torch.maximum(w[:, :, 1:], w[:, :, :-1]), (0, 0, 0, 1))
    right = F.pad(torch.maximum(w[..., 1:], w[..., :-1]), (0, 1))
    return torch.cat([down, right], 1)


def guidance(x: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
    """Mixed gradients, equation 4: at each pixel the whole vector of X or of E, the longer.

    Parameters
    ----------
    x, e
        (N, 1, H, W): the healthy image, and the lesion's patch as it was before pasting; with
        the pasted image in its place, the seam itself would be asked for.

    Returns
    -------
    v, (N, 2, H, W).
    """
    of_x, of_e = gradient(x), gradient(e)
    return torch.where(length(of_x) > length(of_e), of_x, of_e)


def seamless_map(g: torch.Tensor, v: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """``|grad G - v|^2`` over the edges of the region, at the pixel they start from: (N, 1, H, W)."""
    return ((gradient(g) - v).square() * edges(w)).sum(1, keepdim=True)


def seamless_loss(g: torch.Tensor, v: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """LS, equation 3: squared norm over the region and across its border, by the region's area.

    Parameters
    ----------
    g
        (N, 1, H, W): what was generated.
    v
        (N, 2, H, W): :func:`guidance`.
    w
        (N, 1, H, W), 1 in the region and 0 elsewhere.
    """
    return seamless_map(g, v, w).sum() / w.sum().clamp(min=1)


def seamless_pyramid(
    g: torch.Tensor, x: torch.Tensor, e: torch.Tensor, w: torch.Tensor, levels: int
) -> torch.Tensor:
    """LS summed over sizes, each half the one before; one level is equation 3 itself.

    Fine texture has the longer gradient at most pixels, so at full size a mass in dense tissue is
    blended away; in a smaller copy the texture is gone and the slope of the mass is the longer.
    Levels are met sooner, too: an offset is few pixels wide there.

    Parameters
    ----------
    g, x, e, w
        (N, 1, H, W); sides are multiples of ``2 ** (levels - 1)``.
    """
    total = seamless_loss(g, guidance(x, e), w)
    for _ in range(levels - 1):
        g, x, e, w = (F.avg_pool2d(part, 2) for part in (g, x, e, w))
        total = total + seamless_loss(g, guidance(x, e), (w >= 0.5).to(w))
    return total


def background_map(g: torch.Tensor, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """``|G - X| + (|grad G| - |grad X|)^2`` outside the region: (N, 1, H, W).

    A gradient with an edge into the region is left to the seamless loss.
    """
    apart = (g - x).abs() * (1 - w)
    outside = 1 - edges(w).amax(1, keepdim=True)
    rougher = (length(gradient(g)) - length(gradient(x))).square() * outside
    return apart + rougher


def background_loss(g: torch.Tensor, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """LB, equation 5, by the background's area; shapes as in :func:`seamless_loss`."""
    return background_map(g, x, w).sum() / (1 - w).sum().clamp(min=1)


def adversarial_loss(logits: torch.Tensor, *, real: bool) -> torch.Tensor:
    """Equation 2: cross entropy of 'this is real', mean over all patches; non-saturating for G."""
    target = torch.full_like(logits, float(real))
    return F.binary_cross_entropy_with_logits(logits, target)
