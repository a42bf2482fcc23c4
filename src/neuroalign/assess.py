"""Score a run: the three tasks, beside chance, a linear baseline and, if simulated, the ideal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.baselines import embed_with_ridge, fit_ridge
from neuroalign.evaluation.items import TestItems, select_test_items
from neuroalign.evaluation.queries import compare, retrieval_values
from neuroalign.evaluation.scores import Score, write_scores
from neuroalign.evaluation.tasks import normalise_conversion, score_matrix, score_retrieval
from neuroalign.models.space import fit_space
from neuroalign.progress import bar
from neuroalign.recordings.schema import Modality
from neuroalign.retrieval.embeddings import Embeddings
from neuroalign.run import Run
from neuroalign.simulation.ideal import ideal_conversion, ideal_encoding, ideal_scores
from neuroalign.training.pipeline import targets_of

RIDGE = "ridge per person"
IDEAL = "ideal observer"


@dataclass(frozen=True)
class _Embedded:
    """One model's test items and candidates in one space."""

    name: str
    pictures: Embeddings
    classes: Embeddings | None
    items: dict[Modality, dict[str, Embeddings]]


def evaluate_run(
    path: str | Path, *, ceiling: Sequence[Score] = (), n_boot: int = 1000
) -> list[Score]:
    """Embed the test items of a run, score them, and write `evaluation/` and `scores.json`.

    Beside the run's model stands a ridge regression per person, fitted to all training trials of
    that person in the centred picture space, and the paired difference between the two. On
    simulated recordings the ideal observer is scored too, and is the ceiling of every score.

    Parameters
    ----------
    path : Path
        A finished run.
    ceiling : sequence of Score, optional
        The ideal observer's scores of another run on the same simulation, for recordings that
        were derived from it (spectrograms).
    n_boot : int
        Draws of the bootstrap intervals.

    Returns
    -------
    list of Score
    """
    run = Run(Path(path))
    run.record  # noqa: B018 (refuses a run whose training has not finished)
    chosen = {m: _test_items(run, m) for m in run.recordings}
    judge = test_pictures(run)
    folder = run.path / "evaluation"
    ours = _embed_with_model(run, chosen, judge)
    for modality, sets in ours.items.items():
        for slug, embeddings in sets.items():
            embeddings.save(folder / f"{modality}-{slug}.parquet")
    ours.pictures.save(folder / "pictures.parquet")
    judge.save(folder / "judge.parquet")
    ridge = _embed_with_ridge(run, chosen, judge)
    steps = list(_tasks(chosen))
    ideal = _score_ideal(run, chosen, judge, steps, n_boot) if _has_truth(run) else []
    scores = list(ideal)
    ceiling = [*ideal, *ceiling]
    with bar(2 * len(steps), "scoring") as advance:
        for model in (ours, ridge):
            for step in steps:
                found = _score_step(step, model, judge, run, ceiling, n_boot)
                scores += found
                advance(1)
    for step in steps:
        scores += _difference(step, ours, ridge, judge, run, n_boot)
    scores += _normalised(scores)
    write_scores(scores, run.path / "scores.json")
    return scores


def test_pictures(run: Run) -> Embeddings:
    """Return the candidate pictures.

    Those of the test trials; where pictures are unknown, all pictures of the trials' classes.
    """
    stimuli: set[str] = set()
    labels: set[str] = set()
    for recordings in run.recordings.values():
        table = recordings.select(split="test").trials
        stimuli |= set(table["stimulus"].dropna().astype(str))
        labels |= set(table.loc[table["stimulus"].isna(), "label"].dropna().astype(str))
    items = run.pictures.items
    keep = items["stimulus"].isin(list(stimuli)) | items["label"].isin(list(labels))
    if not keep.any():
        raise NeuroalignError(
            f"No picture of {run.recipe.pictures} belongs to the test trials: check the names of "
            "stimuli and labels."
        )
    return run.pictures.take(keep.to_numpy(bool, na_value=False))


test_pictures.__test__ = False  # type: ignore[attr-defined]


def _test_items(run: Run, modality: Modality) -> list[TestItems]:
    specs = run.recipe.modalities[modality].test_items
    return [select_test_items(run.recordings[modality], s, seed=run.recipe.seed) for s in specs]


def _has_truth(run: Run) -> bool:
    return all((r.path / "truth.npz").is_file() for r in run.recordings.values())


def _embed_with_model(
    run: Run, chosen: dict[Modality, list[TestItems]], judge: Embeddings
) -> _Embedded:
    space = run.bundle.space
    targets = targets_of(run.recordings, run.pictures, run.recipe.classes_without_pictures)
    classes = targets.embeddings.select(kind="class")
    return _Embedded(
        run.model_name,
        space.transform(judge),
        space.transform(classes) if len(classes) else None,
        {m: {i.slug: run.bundle.embed(i.view) for i in items} for m, items in chosen.items()},
    )


def _embed_with_ridge(
    run: Run, chosen: dict[Modality, list[TestItems]], judge: Embeddings
) -> _Embedded:
    training = {m: r.select(split="train") for m, r in run.recordings.items()}
    targets = targets_of(run.recordings, run.pictures, run.recipe.classes_without_pictures)
    used = [targets.of(t.trials, str(t.path)) for t in training.values()]
    space = fit_space(targets.embeddings.take(np.unique(np.concatenate(used))))
    goals = space.transform(targets.embeddings)
    classes = goals.select(kind="class")
    items: dict[Modality, dict[str, Embeddings]] = {}
    for modality, sets in chosen.items():
        maps = fit_ridge(training[modality], goals)
        items[modality] = {i.slug: embed_with_ridge(maps, i.view, goals.space) for i in sets}
    return _Embedded(RIDGE, space.transform(judge), classes if len(classes) else None, items)


@dataclass(frozen=True)
class _Task:
    """One retrieval: what is asked of what."""

    task: str
    source: str
    target: str
    query: tuple[Modality, TestItems] | None
    gallery: tuple[Modality, TestItems] | None

    @property
    def items(self) -> str:
        """Describe queries, and candidates where they are recordings."""
        parts = [p[1].description for p in (self.query, self.gallery) if p is not None]
        return parts[0] if len(set(parts)) == 1 else " -> ".join(parts)


def _tasks(chosen: dict[Modality, list[TestItems]]) -> Iterator[_Task]:
    for modality, sets in chosen.items():
        for items in sets:
            yield _Task("decoding", modality, "pictures", (modality, items), None)
            if items.view.trials["stimulus"].isna().all():
                yield _Task("classification", modality, "classes", (modality, items), None)
    for modality, sets in chosen.items():
        yield _Task("encoding", "pictures", modality, None, (modality, sets[0]))
    for a, b in permutations(chosen, 2):
        yield _Task("conversion", a, b, (a, chosen[a][0]), (b, chosen[b][0]))


def _both_sides(step: _Task, model: _Embedded) -> tuple[Embeddings, Embeddings]:
    sides = []
    for part in (step.query, step.gallery):
        if part is not None:
            sides.append(model.items[part[0]][part[1].slug])
        elif step.task == "classification":
            assert model.classes is not None
            sides.append(model.classes)
        else:
            sides.append(model.pictures)
    queries, gallery = sides
    by_class = queries.items["stimulus"].isna().all() or gallery.items["stimulus"].isna().all()
    if not by_class:
        return queries, gallery
    # Where only classes are known, both sides keep the classes that they share: a question whose
    # answer is not there says nothing, and a candidate that nobody asks for is too easy a foil.
    shared = _classes(queries) & _classes(gallery)
    return _of_classes(queries, shared), _of_classes(gallery, shared)


def _classes(embeddings: Embeddings) -> set[str]:
    return set(embeddings.items["label"].dropna().astype(str))


def _of_classes(embeddings: Embeddings, names: set[str]) -> Embeddings:
    keep = embeddings.items["label"].isin(list(names))
    return embeddings.take(keep.to_numpy(bool, na_value=False))


def _score_step(
    step: _Task,
    model: _Embedded,
    judge: Embeddings,
    run: Run,
    ceiling: Sequence[Score],
    n_boot: int,
) -> list[Score]:
    queries, gallery = _both_sides(step, model)
    return score_retrieval(
        queries,
        gallery,
        task=step.task,
        source=step.source,
        target=step.target,
        model=model.name,
        items=step.items,
        pictures=_judge_for(step, judge, queries, gallery),
        ceiling=ceiling,
        simulated=run.simulated,
        n_boot=n_boot,
        seed=run.recipe.seed,
    )


def _judge_for(
    step: _Task, judge: Embeddings, queries: Embeddings, gallery: Embeddings
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


def _difference(
    step: _Task,
    ours: _Embedded,
    ridge: _Embedded,
    judge: Embeddings,
    run: Run,
    n_boot: int,
) -> list[Score]:
    """Return the paired difference between the model and ridge, over all people."""
    sides = [_both_sides(step, m) for m in (ours, ridge)]
    values = [retrieval_values(q, g, _judge_for(step, judge, q, g)) for q, g in sides]
    differences = []
    for metric in values[0]:
        a, b = values[0][metric], values[1][metric]
        interval = compare(a, b, n_boot=n_boot, seed=run.recipe.seed)
        differences.append(
            Score(
                task=step.task,
                source=step.source,
                target=step.target,
                model=f"{ours.name} - {ridge.name}",
                metric=metric,
                value=interval.value,
                low=interval.low,
                high=interval.high,
                chance=0.0,
                n_queries=len(a.values),
                n_gallery=a.n_gallery,
                items=step.items,
                simulated=run.simulated,
                note="paired difference on the same queries",
            )
        )
    return differences


def _score_ideal(
    run: Run,
    chosen: dict[Modality, list[TestItems]],
    judge: Embeddings,
    steps: list[_Task],
    n_boot: int,
) -> list[Score]:
    likelihood: dict[tuple[Modality, str], npt.NDArray[np.float64]] = {
        (m, i.slug): ideal_scores(i.view, judge) for m, sets in chosen.items() for i in sets
    }
    scores: list[Score] = []
    for step in steps:
        query = None if step.query is None else likelihood[step.query[0], step.query[1].slug]
        gallery = (
            None if step.gallery is None else likelihood[step.gallery[0], step.gallery[1].slug]
        )
        if step.task == "classification":
            continue
        if query is not None and gallery is not None:
            matrix = ideal_conversion(query, gallery)
        elif gallery is not None:
            matrix = ideal_encoding(gallery)
        else:
            assert query is not None
            matrix = query
        scores += score_matrix(
            matrix,
            judge.items if step.query is None else _items(step.query),
            judge.items if step.gallery is None else _items(step.gallery),
            task=step.task,
            source=step.source,
            target=step.target,
            model=IDEAL,
            items=step.items,
            pictures=judge,
            simulated=True,
            n_boot=n_boot,
            seed=run.recipe.seed,
        )
    return [replace(s, ceiling=s.value) for s in scores]


def _items(part: tuple[Modality, TestItems]) -> pd.DataFrame:
    return part[1].view.trials.assign(kind=part[0])


def _normalised(scores: list[Score]) -> list[Score]:
    """Divide each conversion by the decoding of its target, the paper's way."""
    decoding = {
        (s.model, s.source, s.metric, s.subject, s.items): s
        for s in scores
        if s.task == "decoding" and s.subject == "all"
    }
    found = []
    for score in scores:
        if score.task != "conversion" or score.subject != "all" or score.model.count(" - "):
            continue
        if not score.metric.startswith("two_way"):
            continue
        target_items = score.items.split(" -> ")[-1]
        base = decoding.get((score.model, score.target, score.metric, "all", target_items))
        if base is not None and base.value > 0:
            found.append(normalise_conversion(score, base))
    return found
