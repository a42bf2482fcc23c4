"""Copies of pictures, proved by thumbnails: saved again, resized, grey, or mirrored."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from neuroalign.images.thumbnails import SIDE
from neuroalign.retrieval.gallery import cosine_blocks

#: A pair may be a copy from this correlation of 16 x 16 thumbnails on (both as they are, and less
#: the mean of all pictures: what all have in common, as a frame or the oval of a face, proves
#: nothing). Of the 425 shipped pictures, copies have at least 0.990 (half the size, then grey, then
#: JPEG of quality 20), two different pictures at most 0.89; two of 96 faces and houses 0.985, so
#: that it takes more to tell.
_ALIKE = 0.97
#: It is one from this correlation of the edges: the differences between neighbours of the 32 x 32
#: thumbnails. Such copies have at least 0.960; two different shipped pictures at most 0.56, two
#: faces of the same person 0.90, or 0.90 too if all that can be seen is in one oval.
_SAME_EDGES = 0.95
#: A picture that varies less than this, as a share of its brightness, has no edges to compare.
_FLAT = 0.005
_PAIRS_AT_ONCE = 4096

_Vectors = npt.NDArray[np.float32]
_Rows = npt.NDArray[np.int64]


def copies(thumbnails: _Vectors, left: _Rows, right: _Rows, mirrored: bool = False) -> _Rows:
    """Find the pairs of pictures that are one picture, as their thumbnails show.

    Brightness, contrast, colours, size and proportions of the sides do not count.

    Parameters
    ----------
    thumbnails : ndarray of shape (n_pictures, 1024), float32
        See `neuroalign.images.thumbnails.Thumbnails`; scaled as they may be.
    left, right : ndarray of int64
        Every picture of `left` is compared with every one of `right`, by the product of vectors of
        256 numbers, block by block.
    mirrored : bool
        Compare with the mirror images of `right`.

    Returns
    -------
    ndarray of shape (n_pairs, 2), int64
        (row of `left`, row of `right`).
    """
    used = np.union1d(left, right)
    fine = thumbnails[used]
    telling = fine.std(axis=1) > _FLAT * fine.mean(axis=1)
    fine = _unit(fine)
    common = fine[telling].mean(axis=0) if telling.sum() > 2 else np.zeros(SIDE**2, np.float32)
    a = np.searchsorted(used, left)
    b = np.searchsorted(used, right)
    a, b = a[telling[a]], b[telling[b]]
    other, other_common = fine, common
    if mirrored:
        other, other_common = _mirror(fine), _mirror(common)
    queries, gallery = (
        _unit(_coarse(x[i] - c)) for x, i, c in ((fine, a, common), (other, b, other_common))
    )
    found = [np.zeros((0, 2), np.int64)]
    for part, block in cosine_blocks(queries, gallery):
        one, two = np.nonzero(block >= _ALIKE)
        one, two = a[part][one], b[two]
        for start in range(0, len(one), _PAIRS_AT_ONCE):
            i, j = (x[start : start + _PAIRS_AT_ONCE] for x in (one, two))
            same = _agree(_coarse(fine[i]), _coarse(other[j])) >= _ALIKE
            for c, d in ((0.0, 0.0), (common, other_common)):
                same &= _agree(_edges(fine[i] - c), _edges(other[j] - d)) >= _SAME_EDGES
            found.append(np.column_stack([used[i[same]], used[j[same]]]))
    return np.concatenate(found)


def _unit(vectors: _Vectors) -> _Vectors:
    """Take each row's mean away, and scale it to length 1."""
    centred: _Vectors = vectors - vectors.mean(axis=1, keepdims=True)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    return centred


def _agree(a: _Vectors, b: _Vectors) -> npt.NDArray[np.float32]:
    found: npt.NDArray[np.float32] = np.einsum("ij,ij->i", _unit(a), _unit(b))
    return found


def _mirror(vectors: _Vectors) -> _Vectors:
    flipped: _Vectors = vectors.reshape(*vectors.shape[:-1], SIDE, SIDE)[..., ::-1]
    return flipped.reshape(vectors.shape)


def _coarse(vectors: _Vectors) -> _Vectors:
    half = SIDE // 2
    squares: _Vectors = vectors.reshape(-1, half, 2, half, 2).mean(axis=(2, 4))
    return squares.reshape(-1, half**2)


def _edges(vectors: _Vectors) -> _Vectors:
    grid = vectors.reshape(-1, SIDE, SIDE)
    across, down = np.diff(grid, axis=2), np.diff(grid, axis=1)
    return np.concatenate([across.reshape(len(grid), -1), down.reshape(len(grid), -1)], axis=1)
