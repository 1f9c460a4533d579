"""What rings of optical density alone tell: the baseline that every class model stands beside.

Fitted to the same images as a model: by k-means where the model saw no labels, by a logistic
regression where it was taught them. A model that does not beat it has learnt nothing that stain
and crowding do not say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from sklearn.cluster import KMeans

from napari_pathogan.engine.linear import fit_logistic
from napari_pathogan.engine.pixels import optical_density
from napari_pathogan.tasks.nuclei_classes.figures import Densities
from napari_pathogan.tasks.nuclei_classes.matching import contingency, hungarian

if TYPE_CHECKING:
    from napari_pathogan.tasks.nuclei_classes.data import Labelled, Nuclei

C = 0.1
ABOUT = "30 ring statistics of optical density, normalised image by image"
_CLIP = 4.0  # standard deviations


@dataclass(frozen=True, eq=False)
class RingBaseline:
    """Scores of classes, linear in 30 figures of a nucleus.

    Attributes
    ----------
    kind
        ``k-means`` or ``logistic regression``.
    mean, spread
        (30,): of the figures of the nuclei that it was fitted to.
    weights, offset
        (30, K) and (K,); of k-means the nearest centre has the highest score.
    classes
        (K,): the number of each score's class; -1 where no label named it.
    """

    kind: str
    mean: np.ndarray
    spread: np.ndarray
    weights: np.ndarray
    offset: np.ndarray
    classes: np.ndarray

    @classmethod
    def fit_kmeans(cls, figures: np.ndarray, clusters: int, seed: int = 0) -> Self:
        """Fit to :func:`ring_figures` (N, 30); :meth:`named` gives the clusters classes."""
        mean, spread = figures.mean(0), figures.std(0) + 1e-9
        scaled = ((figures - mean) / spread).clip(-_CLIP, _CLIP)
        centres = KMeans(clusters, n_init=10, random_state=seed).fit(scaled).cluster_centers_
        offset = -(centres**2).sum(1) / 2
        return cls("k-means", mean, spread, centres.T, offset, np.full(clusters, -1))

    @classmethod
    def fit_logistic(cls, figures: np.ndarray, labels: np.ndarray) -> Self:
        """Fit to figures (N, 30) and labels (N,) from 0 on, all classes counting the same."""
        mean, spread = figures.mean(0), figures.std(0) + 1e-9
        scaled = ((figures - mean) / spread).clip(-_CLIP, _CLIP)
        weights, offset = fit_logistic(scaled, labels, C)
        return cls("logistic regression", mean, spread, weights, offset, np.arange(len(offset)))

    def named(self, figures: np.ndarray, labels: np.ndarray, classes: int) -> Self:
        """The same, its clusters named by labels (N,) as a model's are: matched one to one."""
        table = contingency(self.clusters(figures), labels, (len(self.offset), classes))
        own = {**vars(self), "classes": hungarian(table)}
        return type(self)(**own)

    def clusters(self, figures: np.ndarray) -> np.ndarray:
        """The highest score of each nucleus: figures (N, 30) -> int (N,)."""
        scaled = ((figures - self.mean) / self.spread).clip(-_CLIP, _CLIP)
        found: np.ndarray = (scaled @ self.weights + self.offset).argmax(1)
        return found

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, for a model card."""
        arrays = {
            key: np.round(value, 5).tolist() for key, value in vars(self).items() if key != "kind"
        }
        return {"kind": self.kind, **arrays}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        """From :meth:`to_json`."""
        arrays = {key: np.array(value) for key, value in record.items() if key != "kind"}
        return cls(record["kind"], **arrays)


def ring_figures(nuclei: Nuclei) -> np.ndarray:
    """Mean and spread of optical density in five rings, normalised image by image.

    Normalised are the densities: by the mean and spread of all pixels of the image, by channel.

    Returns
    -------
    float64 (N, 30).
    """
    rings, found = Densities(), np.empty((len(nuclei), 30))
    for name, own in nuclei.by_image():
        stain = nuclei.stains[name]
        mean, spread = (np.zeros(3), np.ones(3)) if stain is None else stain.density
        crops = torch.from_numpy(np.ascontiguousarray(nuclei.crops[own])).permute(0, 3, 1, 2)
        way = [torch.tensor(one, dtype=torch.float32)[:, None, None] for one in (mean, spread)]
        found[own] = rings.of((optical_density(crops.float()) - way[0]) / way[1]).numpy()
    return found


def held_out(known: Labelled, figures: np.ndarray, tested: np.ndarray, clusters: int) -> np.ndarray:
    """What k-means, fitted to the nuclei that are not tested, calls all (N,): -1 is no class."""
    fitted = RingBaseline.fit_kmeans(figures[~tested], clusters)
    own = ~tested[known.which]
    named = fitted.named(figures[known.which[own]], known.classes[own], len(known.names))
    called: np.ndarray = named.classes[named.clusters(figures)]
    return called
