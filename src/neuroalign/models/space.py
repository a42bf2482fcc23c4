"""The common space: a fixed transform of the frozen picture embeddings, one for all modalities."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuroalign.errors import NeuroalignError
from neuroalign.retrieval.embeddings import Embeddings

_CENTRED = ">centred-"


@dataclass(frozen=True)
class CommonSpace:
    """Centre picture embeddings and weigh their principal directions.

    A unit picture embedding y maps to the unit vector along (y - mean) @ projection. Nothing in
    it depends on brain data. The paper's space is the identity: mean 0, no projection.

    Parameters
    ----------
    encoder : str
        The `space` of the picture embeddings that come in.
    mean : ndarray of shape (d,), float32
    projection : ndarray of shape (d, r), float32, or None for the identity
    """

    encoder: str
    mean: npt.NDArray[np.float32]
    projection: npt.NDArray[np.float32] | None = None

    @property
    def dim(self) -> int:
        """The number of dimensions of the common space."""
        return self.mean.size if self.projection is None else self.projection.shape[1]

    @property
    def name(self) -> str:
        """A name that two different spaces never share: encoder and a hash of the transform."""
        if self.projection is None and not self.mean.any():
            return self.encoder
        digest = hashlib.sha256(self.mean.tobytes())
        if self.projection is not None:
            digest.update(np.ascontiguousarray(self.projection).tobytes())
        return f"{self.encoder}{_CENTRED}{self.dim}-{digest.hexdigest()[:10]}"

    def transform(self, pictures: Embeddings) -> Embeddings:
        """Map picture embeddings (or class targets) into the common space.

        Raises
        ------
        NeuroalignError
            The embeddings come from another encoder than the one this space was made for.
        """
        if pictures.space != self.encoder:
            raise NeuroalignError(
                f"These pictures were embedded by {pictures.space!r}, but the model was trained "
                f"on embeddings of {self.encoder!r}. Embed the pictures with that encoder."
            )
        vectors = pictures.vectors - self.mean
        if self.projection is not None:
            vectors = vectors @ self.projection
        return Embeddings(vectors, pictures.items, self.name)


def encoder_of(name: str) -> str:
    """Return the encoder behind the name of a common space (see `CommonSpace.name`)."""
    return name.partition(_CENTRED)[0]


def identity_space(pictures: Embeddings) -> CommonSpace:
    """Return the paper's space: the picture embeddings as they are."""
    return CommonSpace(pictures.space, np.zeros(pictures.vectors.shape[1], np.float32))


def fit_space(
    pictures: Embeddings,
    *,
    centre: bool = True,
    components: int | None = None,
    power: float = 0.0,
) -> CommonSpace:
    """Fit a common space to a set of picture embeddings.

    Parameters
    ----------
    pictures : Embeddings
        Training pictures (never the test pictures), or any larger set without brain data.
    centre : bool
        Subtract their mean: a few directions that all pictures share dominate raw cosines.
    components : int, optional
        Keep that many leading principal components (None: all that the pictures span).
    power : float
        Divide component k by its variance to this power: 0 leaves distances as they are, 0.5
        whitens, so that each direction counts alike.

    Returns
    -------
    CommonSpace

    Raises
    ------
    NeuroalignError
        The pictures' embeddings are all alike.
    """
    vectors = pictures.vectors.astype(np.float64)
    d = vectors.shape[1]
    mean = vectors.mean(0) if centre else np.zeros(d)
    if components is None and power == 0.0:
        projection = None
    else:
        _, singular, rows = np.linalg.svd(vectors - mean, full_matrices=False)
        rank = int((singular > 1e-5 * max(1e-3, singular[0])).sum())
        if rank == 0:
            raise NeuroalignError(
                f"The embeddings of the {len(vectors)} pictures are all alike, so they span no "
                "space. Check the picture set and its encoder."
            )
        kept = rank if components is None else min(components, rank)
        variance = singular[:kept] ** 2 / len(vectors)
        projection = (rows[:kept].T * variance**-power).astype(np.float32)
    return CommonSpace(pictures.space, mean.astype(np.float32), projection)
