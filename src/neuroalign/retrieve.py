"""Ask a trained run: decode, encode or convert one item or all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from neuroalign.assess import test_pictures
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.items import select_test_items
from neuroalign.images.cache import embed_pictures
from neuroalign.images.pictures import picture_set
from neuroalign.recordings.container import Recordings
from neuroalign.recordings.schema import Modality
from neuroalign.retrieval.embeddings import Embeddings
from neuroalign.retrieval.gallery import Gallery, Ranking
from neuroalign.run import Run


@dataclass(frozen=True)
class Answer:
    """A ranking with the views of recordings that it speaks of (None: pictures)."""

    task: str
    ranking: Ranking
    query_view: Recordings | None
    gallery_view: Recordings | None
    simulated: bool


@dataclass(frozen=True)
class _Side:
    embeddings: Embeddings
    view: Recordings | None


def decode_run(
    path: str | Path,
    modality: Modality,
    *,
    items: str | None = None,
    query: int | None = None,
    gallery: str | None = None,
    k: int = 5,
) -> Answer:
    """Rank pictures for test recordings of a run.

    Parameters
    ----------
    path : Path
        A trained run.
    modality : {"eeg", "meg", "fmri"}
    items : str, optional
        Which test items (see `select_test_items`); the recipe's first unless given.
    query : int, optional
        Only this item, by its position; all unless given.
    gallery : str, optional
        A folder or table of pictures, which need never have been shown to anyone; the run's test
        pictures unless given.
    k : int
        Pictures for each recording.

    Returns
    -------
    Answer

    Raises
    ------
    NeuroalignError
        The run is not trained, has no such modality, items or query, its recordings have changed
        since, or the gallery cannot be read.
    """
    run = Run(Path(path))
    source = _one(_recordings(run, modality, items), query, f"{modality} test items")
    return _search("decoding", run, source, _pictures(run, gallery), k)


def encode_run(
    path: str | Path,
    modality: Modality,
    *,
    items: str | None = None,
    picture: str | None = None,
    k: int = 5,
) -> Answer:
    """Rank test recordings for pictures.

    Parameters
    ----------
    path, modality, items, k
        As in `decode_run`.
    picture : str, optional
        A test picture's stimulus name, or a file, folder or table of pictures; all test pictures
        unless given.
    """
    run = Run(Path(path))
    return _search(
        "encoding", run, _queried_pictures(run, picture), _recordings(run, modality, items), k
    )


def convert_run(
    path: str | Path,
    source: Modality,
    target: Modality,
    *,
    items: str | None = None,
    query: int | None = None,
    k: int = 5,
) -> Answer:
    """Rank test recordings of one modality for those of another.

    Parameters
    ----------
    path, items, query, k
        As in `decode_run`.
    source, target : {"eeg", "meg", "fmri"}
        What is asked with, and what is ranked.

    Raises
    ------
    NeuroalignError
        As in `decode_run`.
    """
    run = Run(Path(path))
    asked = _one(_recordings(run, source, items), query, f"{source} test items")
    return _search("conversion", run, asked, _recordings(run, target, items), k)


def _search(task: str, run: Run, source: _Side, target: _Side, k: int) -> Answer:
    ranking = Gallery(target.embeddings).search(source.embeddings, k)
    return Answer(task, ranking, source.view, target.view, run.simulated)


def _recordings(run: Run, modality: Modality, items: str | None) -> _Side:
    if modality not in run.recordings:
        raise NeuroalignError(
            f"{run.path} has no {modality} recordings; it has {', '.join(run.recordings)}."
        )
    spec = items or run.recipe.modalities[modality].test_items[0]
    view = select_test_items(run.recordings[modality], spec, seed=run.recipe.seed).view
    return _Side(run.bundle.embed(view), view)


def _pictures(run: Run, gallery: str | None) -> _Side:
    if gallery is None:
        pictures = test_pictures(run)
    else:
        recipe = run.recipe
        pictures = embed_pictures(picture_set(gallery), recipe.encoder, layer=recipe.encoder_layer)
    return _Side(run.bundle.embed_pictures(pictures), None)


def _queried_pictures(run: Run, picture: str | None) -> _Side:
    if picture is not None and Path(picture).exists():
        return _pictures(run, picture)
    side = _pictures(run, None)
    if picture is None:
        return side
    found = side.embeddings.select(stimulus=picture)
    if len(found) == 0:
        names = ", ".join(side.embeddings.items["stimulus"].head(5))
        raise NeuroalignError(
            f"{picture!r} is neither a file or folder nor a test picture of this run; test "
            f"pictures are called {names}, ..."
        )
    return _Side(found, None)


def _one(side: _Side, query: int | None, what: str) -> _Side:
    if query is None:
        return side
    if not 0 <= query < len(side.embeddings):
        raise NeuroalignError(
            f"There is no item {query} among the {len(side.embeddings)} {what}; they are counted "
            f"from 0 to {len(side.embeddings) - 1}."
        )
    view = None if side.view is None else side.view.take([query])
    return _Side(side.embeddings.take([query]), view)
