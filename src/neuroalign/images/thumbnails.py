"""Thumbnails of pictures, kept in the embedding cache: what copies of a picture have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE = 32


class Thumbnails:
    """Grey thumbnails of 32 x 32, as an `ImageEncoder`: no weights, no download.

    A number is the brightness of a place from 1 (black) to 256 (white): none is zero, so that the
    vectors can be normalised. Every pixel counts, so that resizing a picture changes little; the
    proportions of its sides do not.
    """

    id = f"grey thumbnail {SIDE}x{SIDE}, bilinear"
    dim = SIDE * SIDE

    def encode(self, images: Sequence[Image.Image]) -> npt.NDArray[np.float32]:
        """Return the thumbnails of RGB pictures, shape (n_images, 1024), row by row."""
        small = [i.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR) for i in images]
        return np.stack([np.asarray(s, np.float32).ravel() + 1 for s in small])
