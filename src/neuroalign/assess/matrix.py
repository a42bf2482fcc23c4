"""Everything asked of everything: pictures and modalities, as queries and as candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.assess.audited import known_audit, rules_under
from neuroalign.assess.diagonal import diagonal_ceiling, within_people
from neuroalign.assess.diagonal_chance import (
    confirm_recordings,
    geometry_p_value,
    recordings_p_value,
)
from neuroalign.assess.kept import scores_at_hand
from neuroalign.assess.restrict import candidates, restrict
from neuroalign.assess.score import score_stored
from neuroalign.assess.stored import Embedded, Stored, load_stored
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.attainable import Ceiling
from neuroalign.evaluation.correction import corrected
from neuroalign.evaluation.mutual import among_others
from neuroalign.evaluation.pairs import Cosines
from neuroalign.evaluation.per_query import GalleryValues, QueryValues, joined
from neuroalign.evaluation.protocols import Protocol, load_protocol
from neuroalign.evaluation.queries import Asked, query_values, unit_keys
from neuroalign.evaluation.scores import Score
from neuroalign.evaluation.tasks import score_values
from neuroalign.files import write_json
from neuroalign.retrieval.embeddings import Embeddings

PICTURES = "pictures"
ENCODER = "image encoder"
SAME_PICTURE, SAME_CLASS, GEOMETRY = "same picture", "same class", "picture geometry"
#: Scores that a cell can show, the most telling first; all of them have the chance level 0.5 or
#: one near it, so cells can be compared.
_METRICS = ("two_way_embedding", "two_way_retrieved")


@dataclass(frozen=True)
class Cell:
    """One retrieval of the matrix.

    Attributes
    ----------
    source, target : str
        "pictures" or a modality: what is asked, and of what.
    basis : str
        What makes a candidate right: "same picture", or "same class" where pictures are not
        shared ("within the person" where one was recorded). "picture geometry" where neither is:
        how much closer the retrieved item's picture is to the query's, in the encoder's own space,
        than another candidate's.
    scores : tuple of Score
        Over all people; the run's own model first.
    missing : str
        Why there are none.
    """

    source: str
    target: str
    basis: str = ""
    scores: tuple[Score, ...] = ()
    missing: str = ""


@dataclass(frozen=True)
class TaskMatrix:
    """All cells, row by row (a row is what is asked)."""

    kinds: tuple[str, ...]
    cells: tuple[Cell, ...]
    protocol: str
    simulated: bool

    def cell(self, source: str, target: str) -> Cell:
        """Return one cell."""
        return self.cells[self.kinds.index(source) * len(self.kinds) + self.kinds.index(target)]

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        return asdict(self)


def run_matrix(path: str | Path, protocol: Protocol | None = None) -> TaskMatrix:
    """Score the whole matrix from the stored embeddings of a run, and write `matrix.json`.

    Scores of the three tasks that the run was given before, by this very protocol, are taken over;
    where its file has changed since, all are computed. What the audit of the run was told to accept
    holds here too.

    Parameters
    ----------
    path : Path
        A run that was evaluated.
    protocol : Protocol, optional
        The default one unless given.
    """
    protocol = protocol or load_protocol()
    scores = scores_at_hand(Path(path), protocol)
    rules = rules_under(protocol, known_audit(path, protocol))
    found = task_matrix(load_stored(Path(path) / "evaluation"), rules, scores)
    write_json(Path(path) / "matrix.json", found.as_json())
    return found


def task_matrix(
    stored: Stored, protocol: Protocol | None = None, scores: Sequence[Score] | None = None
) -> TaskMatrix:
    """Arrange a run's retrievals as a matrix, and add its diagonal.

    Off the diagonal stand decoding, encoding and conversion, with the first item set of each
    modality. On it, recordings of each person are asked of those of all other people (of the
    person's own other ones, where there is one person); and pictures of all other pictures, in the
    run's space. Its ceilings are the same retrieval within people, and the image encoder's space.
    P-values are corrected over the cells of the matrix, for each model.

    Parameters
    ----------
    stored : Stored
    protocol : Protocol, optional
        The default one unless given.
    scores : sequence of Score, optional
        Of `score_stored` with the same protocol, if they are at hand.

    Raises
    ------
    NeuroalignError
        The stored embeddings do not fit the protocol.
    """
    protocol = protocol or load_protocol()
    every = list(scores if scores is not None else score_stored(stored, protocol))
    kept = restrict(stored, protocol)
    kinds = (PICTURES, *kept.items)
    names = [m.name for m in kept.models]
    cells = [
        _diagonal(source, kept, protocol)
        if source == target
        else _picked(source, target, every, kept, names)
        for source, target in product(kinds, kinds)
    ]
    again = iter(corrected([s for cell in cells for s in cell.scores]))
    cells = [replace(c, scores=tuple(next(again) for _ in c.scores)) for c in cells]
    return TaskMatrix(kinds, tuple(cells), protocol.label, stored.simulated)


def _picked(
    source: str, target: str, scores: Sequence[Score], stored: Stored, names: Sequence[str]
) -> Cell:
    """Take a cell from the scores of the three tasks."""
    descriptions = [stored.items[m][0].description for m in stored.items if m in (source, target)]
    here = [
        s
        for s in scores
        if (s.source, s.target, s.subject) == (source, target, "all")
        and s.task in ("decoding", "encoding", "conversion")
        and set(s.items.split(" -> ")) <= set(descriptions)
    ]
    for metric in _METRICS:
        found = [s for name in names for s in here if (s.metric, s.model) == (metric, name)]
        if found:
            by_class = "over classes" in found[0].note
            basis = SAME_CLASS if by_class else SAME_PICTURE
            return Cell(source, target, basis if metric == _METRICS[0] else GEOMETRY, tuple(found))
    return Cell(source, target, missing="neither picture nor class is shared")


def _diagonal(kind: str, stored: Stored, protocol: Protocol) -> Cell:
    scores, basis = [], ""
    ceiling: Ceiling | Sequence[Score] = ()
    for modality in stored.items:
        if modality == kind:
            ceiling = diagonal_ceiling(modality, stored, protocol)
    for model in stored.models:
        described = Score(
            "matrix", kind, kind, model.name, "", 0, 0, 0, 0, 0, 0, items=_items(kind, stored),
            simulated=stored.simulated, protocol=protocol.label,
        )  # fmt: skip
        try:
            values, basis = (
                _pictures(model.pictures, stored, protocol)
                if kind == PICTURES
                else _between_people(kind, model, stored, protocol)
            )
        except NeuroalignError as error:
            return Cell(kind, kind, missing=str(error))
        if kind == PICTURES and not ceiling:  # the same for every model
            best, _ = _pictures(stored.judge, stored, protocol)
            ceiling = Ceiling(ENCODER, {"all": {best.metric: best}})
        found = score_values(
            {"all": {values.metric: values}},
            described,
            ceiling=ceiling,
            n_boot=protocol.intervals.draws,
            seed=stored.seed,
        )
        p = _p_value(kind, model, values, stored, protocol)
        scores += [replace(s, p=p) for s in found]
    return Cell(kind, kind, basis, tuple(scores))


def _p_value(
    kind: str, model: Embedded, values: QueryValues, stored: Stored, protocol: Protocol
) -> float:
    """Return the p-value of a cell of the diagonal; chance is confirmed with the first model."""
    if kind == PICTURES:
        pictures = model.pictures.take(_shown(stored, protocol))
        return geometry_p_value(pictures, stored.judge, values.mean_chance(), seed=stored.seed)
    modality, sets = next((m, s) for m, s in stored.items.items() if m == kind)
    items = model.items[modality][sets[0].slug]
    judge = _pictured(stored.judge, items.items)
    if model is stored.models[0]:
        where = f"{kind} among {kind}, {sets[0].description}"
        confirm_recordings(items, values, judge, where, seed=stored.seed)
    return recordings_p_value(items, values, judge, seed=stored.seed)


def _shown(stored: Stored, protocol: Protocol) -> npt.NDArray[np.bool_]:
    """Return which pictures are candidates for some modality."""
    shown = np.zeros(len(stored.judge), bool)
    for modality in stored.items:
        shown |= candidates(stored, protocol, modality)
    return shown


def _items(kind: str, stored: Stored) -> str:
    if kind == PICTURES:
        return "each picture among the others"
    for modality, sets in stored.items.items():
        if modality == kind:
            table = stored.models[0].items[modality][sets[0].slug].items
            among = "each person" if len(set(table["subject"])) > 1 else "those of the person"
            return f"{sets[0].description}, {among} among the others"
    raise NeuroalignError(f"{kind!r} is neither pictures nor a modality of this run.")


def _pictures(pictures: Embeddings, stored: Stored, protocol: Protocol) -> tuple[QueryValues, str]:
    """Score how far the nearest other picture in some space is near in the encoder's too."""
    pictures = pictures.take(_shown(stored, protocol))
    if len(pictures) < 4:
        raise NeuroalignError(f"only {len(pictures)} pictures")
    found = query_values(
        among_others(pictures.vectors),
        pictures.items,
        pictures.items,
        stored.judge,
        asked=Asked(metrics=("two_way_retrieved",)),
    )
    # Any other picture retrieved at random is nearer than half of the rest, and never the own one.
    level = np.full(len(pictures), 0.5)
    return replace(found["two_way_retrieved"], chance=level), GEOMETRY


def _between_people(
    kind: str, model: Embedded, stored: Stored, protocol: Protocol
) -> tuple[QueryValues, str]:
    modality, sets = next((m, s) for m, s in stored.items.items() if m == kind)
    items: Embeddings = model.items[modality][sets[0].slug]
    owner = items.items["subject"].astype(str).to_numpy()
    people = list(dict.fromkeys(owner))
    if len(people) < 2:
        within = within_people(items)
        if within is None:
            raise NeuroalignError("one person only, who saw nothing twice: nothing to compare with")
        basis = SAME_CLASS if "over classes" in within.note else SAME_PICTURE
        return within, f"{basis}, within the person"
    keys = unit_keys(items.items, None)  # of all people together: no two share a trial
    parts: dict[str, dict[str, QueryValues]] = {}
    for person in people:
        own, others = items.take(owner == person), items.take(owner != person)
        found = query_values(
            Cosines(own.vectors, others.vectors),
            own.items,
            others.items,
            _pictured(stored.judge, items.items),
            asked=Asked(metrics=("two_way_embedding", "two_way_retrieved")),
        )
        parts[person] = {
            m: replace(
                v,
                clusters=keys[owner == person][v.positions],
                gallery=v.gallery and _among_all(v.gallery, keys[owner != person]),
            )
            for m, v in found.items()
        }
    for metric in _METRICS:
        if all(metric in p for p in parts.values()):
            values = joined(
                {s: p[metric] for s, p in parts.items()},
                len(items),
                by_person=False,
                apart=protocol.people == "separate",
            )
            by_class = "over classes" in values.note
            basis = SAME_CLASS if by_class else SAME_PICTURE
            return values, basis if metric == _METRICS[0] else GEOMETRY
    raise NeuroalignError("people share neither a picture nor a class")


def _among_all(gallery: GalleryValues, keys: npt.NDArray[Any]) -> GalleryValues:
    """Name the units of candidates as they are named among all people's."""
    _, first, unit = np.unique(gallery.clusters, return_index=True, return_inverse=True)
    return replace(gallery, clusters=keys[first][unit])


def _pictured(judge: Embeddings, items: pd.DataFrame) -> Embeddings | None:
    """Return the judge if it knows every item's picture, or else class."""
    column = "stimulus" if items["stimulus"].notna().all() else "label"
    known = set(judge.items[column].dropna())
    return judge if items[column].isin(list(known)).all() else None
