"""Targets for trials of which only the class is known."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.retrieval.embeddings import Embeddings

_FEWEST_LEFT = 1e-3  # length of what is left of a unit vector once it is made orthogonal


def class_targets(labels: Sequence[str], pictures: Embeddings) -> Embeddings:
    """Return one target vector for each class.

    A class with pictures gets the mean of their unit embeddings. A class without any gets a *code
    vector*: pseudo-random, fixed by the name of the class, and orthogonal to the mean of all
    pictures and to the targets of the other classes. A code vector carries no visual meaning: it
    serves to tell classes apart, and retrieving pictures with it says nothing.

    Parameters
    ----------
    labels : sequence of str
        Classes; repeats are dropped, the order of first appearance is kept.
    pictures : Embeddings
        Their column `label` holds the classes.

    Returns
    -------
    Embeddings
        One item a class, in the space of `pictures`; columns kind ("class"), stimulus (missing),
        label, subject (missing), target_source ("mean of N pictures" or "code vector (no
        pictures)").

    Raises
    ------
    NeuroalignError
        A class has no name, or the space has too few dimensions for so many classes.
    """
    classes = list(dict.fromkeys(labels))
    if not classes or not all(isinstance(c, str) and c for c in classes):
        raise NeuroalignError(
            f"Class targets need at least one class, and a name for each; got {classes[:5]}."
        )
    own = pictures.items["label"].fillna("").to_numpy(str)
    targets, sources = {}, {}
    for name in classes:
        members = np.asarray(pictures.vectors[own == name], np.float64)
        if len(members):
            targets[name] = _unit(members.mean(0))
            sources[name] = f"mean of {len(members)} picture{'s' if len(members) > 1 else ''}"
    taken = [_unit(np.asarray(pictures.vectors, np.float64).mean(0)), *targets.values()]
    # Sorted, so that a class's code does not depend on the order in which classes are listed.
    for name in sorted(set(classes) - set(targets)):
        targets[name] = _code_vector(name, np.stack(taken))
        sources[name] = "code vector (no pictures)"
        taken.append(targets[name])
    missing = pd.array([pd.NA] * len(classes), dtype="string")
    items = pd.DataFrame(
        {
            "kind": "class",
            "stimulus": missing,
            "label": pd.array(classes, dtype="string"),
            "subject": missing,
            "target_source": [sources[c] for c in classes],
        }
    )
    return Embeddings(np.stack([targets[c] for c in classes]), items, pictures.space)


def _code_vector(name: str, taken: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    vector = _unit(np.random.default_rng(seed).standard_normal(taken.shape[1]))
    # The right singular vectors with weight span `taken`, whether or not its rows are independent.
    _, weights, rows = np.linalg.svd(taken, full_matrices=False)
    span = rows[weights > 1e-9 * weights[0]]
    left = vector - span.T @ (span @ vector)
    if np.linalg.norm(left) < _FEWEST_LEFT:
        raise NeuroalignError(
            f"The class {name!r} has no pictures, and a space of {taken.shape[1]} dimensions has "
            f"no room for a code vector beside {len(taken)} others. Give pictures for the classes, "
            "or use an encoder with more dimensions."
        )
    return _unit(left - span.T @ (span @ left))


def _unit(vector: npt.ArrayLike) -> npt.NDArray[np.float64]:
    vector = np.asarray(vector, np.float64)
    return np.asarray(vector / np.linalg.norm(vector))
