"""The retrievals of an evaluation: what is asked of what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import numpy.typing as npt

from neuroalign.assess.restrict import candidates
from neuroalign.assess.stored import TEST, Embedded, ItemSet, Stored
from neuroalign.evaluation.protocols import Protocol
from neuroalign.recordings.schema import Modality
from neuroalign.retrieval.embeddings import Embeddings

Part = tuple[Modality, ItemSet]


@dataclass(frozen=True)
class Step:
    """One retrieval; a side that is no recordings is pictures (or classes)."""

    task: str
    source: str
    target: str
    query: Part | None
    gallery: Part | None

    @property
    def items(self) -> str:
        """Describe queries, and candidates where they are recordings."""
        parts = [p[1].description for p in (self.query, self.gallery) if p is not None]
        return parts[0] if len(set(parts)) == 1 else " -> ".join(parts)


def steps_of(stored: Stored, protocol: Protocol) -> Iterator[Step]:
    """Yield the retrievals of a protocol on what it left of the stored embeddings."""
    wanted = set(protocol.retrievals)
    for modality, sets in stored.items.items():
        for items in sets:
            if "decoding" in wanted:
                yield Step("decoding", modality, "pictures", (modality, items), None)
            table = stored.models[0].items[modality][items.slug].items
            if "classification" in wanted and table["stimulus"].isna().all():
                yield Step("classification", modality, "classes", (modality, items), None)
    if "encoding" in wanted:
        for modality, sets in stored.items.items():
            yield Step("encoding", "pictures", modality, None, (modality, sets[0]))
    if "conversion" in wanted:
        for a, b in permutations(stored.items, 2):
            yield Step("conversion", a, b, (a, stored.items[a][0]), (b, stored.items[b][0]))


def both_sides(
    step: Step, model: Embedded, stored: Stored, protocol: Protocol
) -> tuple[Embeddings, Embeddings]:
    """Return the queries and the candidates of a retrieval, in a model's space."""
    sides = []
    for part in (step.query, step.gallery):
        if part is not None:
            sides.append(model.items[part[0]][part[1].slug])
        elif step.task == "classification":
            assert model.classes is not None
            sides.append(model.classes)
        else:
            sides.append(model.pictures.take(pictures_of(step, stored, protocol)))
    queries, gallery = sides
    by_class = queries.items["stimulus"].isna().all() or gallery.items["stimulus"].isna().all()
    if not by_class:
        return queries, gallery
    # Where only classes are known, both sides keep the classes that they share: a question whose
    # answer is not there says nothing, and a candidate that nobody asks for is too easy a foil.
    shared = _classes(queries) & _classes(gallery)
    return _of_classes(queries, shared), _of_classes(gallery, shared)


def pictures_of(step: Step, stored: Stored, protocol: Protocol) -> npt.NDArray[np.bool_]:
    """Return which of the judge's pictures are queries or candidates, or could be the answer."""
    found = np.zeros(len(stored.judge), bool)
    for part in (step.query, step.gallery):
        if part is not None:
            found |= candidates(stored, protocol, part[0])
    if step.task == "encoding":  # a picture that nobody saw has no recording to be found
        found &= (stored.judge.items["shown"] == TEST).to_numpy(bool)
    return found


def judge_for(
    step: Step, judge: Embeddings, queries: Embeddings, gallery: Embeddings
) -> Embeddings | None:
    """Return the judge, unless some item shows a class that has no picture to compare."""
    if step.task == "classification":
        return None
    pictured = set(judge.items["label"].dropna())
    for items in (queries.items, gallery.items):
        bare = items["stimulus"].isna() & ~items["label"].isin(list(pictured))
        if bare.any():
            return None
    return judge


def _classes(embeddings: Embeddings) -> set[str]:
    return set(embeddings.items["label"].dropna().astype(str))


def _of_classes(embeddings: Embeddings, names: set[str]) -> Embeddings:
    keep = embeddings.items["label"].isin(list(names))
    return embeddings.take(keep.to_numpy(bool, na_value=False))
