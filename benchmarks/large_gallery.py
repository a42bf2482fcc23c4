"""Time and memory of scoring 22,448 queries in a gallery of 22,448 pictures.

    python benchmarks/large_gallery.py

As many items as THINGS-MEG has pictures, 768 numbers each, drawn at random (simulated). Two
decoders: one that nearly always finds the picture, and one that hardly ever does, for which many
candidates score nearly the same as the right one. All metrics of items are computed, with the
2-way from the retrieved item. What this is set against is the bare float32 matrix product of the
same blocks: queries with gallery, and, for the retrieved item, pictures with pictures. Each pair of
runs follows one another; the ratio is within the pair.

Fails above 1.5 times the bare products, or at 2 GB of memory (peak, libraries included).
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.evaluation.pairs import Cosines
from neuroalign.evaluation.queries import Asked, query_values
from neuroalign.retrieval.embeddings import Embeddings

N, DIMS = 22_448, 768
PAIRS = 3
ALLOWED_RATIO = 1.5
ALLOWED_GB = 2.0
NOISE = {"good": 1.0, "bad": 20.0}  # in units of the pictures' own length
ASKED = Asked(
    metrics=(
        *("top1", "top5", "two_way_embedding", "two_way_retrieved"),
        *("median_rank", "mean_reciprocal_rank", "k_way", "k_way_resampled"),
    ),
    k=300,
)


def drawn(seed: int) -> npt.NDArray[np.float32]:
    """Return unit vectors in random directions."""
    vectors = np.random.default_rng(seed).standard_normal((N, DIMS), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def bare(queries: npt.NDArray[np.float32], gallery: npt.NDArray[np.float32]) -> float:
    """Return the seconds of the products alone."""
    start = time.perf_counter()
    for vectors in (queries, gallery):
        for block in Cosines(vectors, gallery).blocks():
            vectors[block.part] @ gallery.T
    return time.perf_counter() - start


def scored(
    queries: npt.NDArray[np.float32], pictures: Embeddings
) -> tuple[float, dict[str, float]]:
    """Return the seconds of scoring, and the scores."""
    start = time.perf_counter()
    cosines = Cosines(queries, pictures.vectors)
    found = query_values(cosines, pictures.items, pictures.items, pictures, asked=ASKED)
    seconds = time.perf_counter() - start
    return seconds, {m: float(np.mean(v.values)) for m, v in found.items()}


def main() -> int:
    """Measure, print, and say whether the bounds hold."""
    items = pd.DataFrame(
        {"kind": "picture", "stimulus": [f"p{i:05d}" for i in range(N)], "label": None}
    ).assign(subject=None)
    pictures = Embeddings(drawn(0), items, "random")
    held = True
    for name, noise in NOISE.items():
        queries = pictures.vectors + np.float32(noise) * drawn(1)
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
        pairs = []
        for _ in range(PAIRS):
            product = bare(queries, pictures.vectors)
            seconds, scores = scored(queries, pictures)
            pairs.append((seconds / product, product, seconds))
        ratio, product, seconds = sorted(pairs)[PAIRS // 2]
        print(f"{name} decoder: {', '.join(f'{m} {v:.3f}' for m, v in scores.items())}")
        print(f"  products {product:.1f} s, scoring {seconds:.1f} s, ratio {ratio:.2f}")
        held &= ratio <= ALLOWED_RATIO
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(f"peak memory {peak:.2f} GB")
    return 0 if held and peak < ALLOWED_GB else 1


if __name__ == "__main__":
    sys.exit(main())
