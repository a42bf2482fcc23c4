"""What a protocol leaves of the stored embeddings, checked against what it expects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.assess.enough import require_enough
from neuroalign.assess.left_out import without_concepts
from neuroalign.assess.stored import TEST, ItemSet, Stored
from neuroalign.audit.sides import one_spelling
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.protocols import Protocol, of_modality, unmet_note
from neuroalign.recordings.schema import Modality
from neuroalign.retrieval.embeddings import Embeddings

Mask = npt.NDArray[np.bool_]


def restrict(stored: Stored, protocol: Protocol) -> Stored:
    """Keep the modalities, item sets, concepts and candidates of a protocol.

    Raises
    ------
    NeuroalignError
        Something that the protocol asks for was not stored; a concept that it leaves out is none
        of the run; what it leaves are the items of one picture at most; or a test concept occurs
        in training under a zero-shot protocol.
    """
    items = chosen_items(stored, protocol)
    named = without_concepts(stored, protocol)
    kept = replace(
        named,
        items=items,
        models=tuple(
            replace(m, items={k: {i.slug: m.items[k][i.slug] for i in s} for k, s in items.items()})
            for m in named.models
        ),
        likelihood={
            (m, i.slug): named.likelihood[m, i.slug]
            for m, sets in items.items()
            for i in sets
            if (m, i.slug) in named.likelihood
        },
    )
    if protocol.gallery.duplicates == "merged":
        kept = _merged(kept)
    require_enough(stored, named, kept, protocol, lambda m: candidates(kept, protocol, m).sum())
    _check_concepts(kept, protocol)
    return kept


def chosen_items(stored: Stored, protocol: Protocol) -> dict[Modality, tuple[ItemSet, ...]]:
    """Return the item sets that a protocol scores, of the modalities that it scores."""
    modalities = [m for m in stored.items if not protocol.modalities or m in protocol.modalities]
    if not modalities:
        raise NeuroalignError(
            f"The protocol {protocol.label} is for {', '.join(protocol.modalities)} recordings; "
            f"this run has {', '.join(stored.items)}. `neuroalign protocols` lists others."
        )
    found = {}
    for modality in modalities:
        specs = of_modality(protocol.items, modality, ())
        known = {i.spec: i for i in stored.items[modality]}
        missing = [s for s in specs if s not in known]
        if missing:
            raise NeuroalignError(
                f"The protocol {protocol.label} scores {modality} items made by {missing[0]!r}, "
                f"which were not embedded (there are {', '.join(known)}). Evaluate the run with "
                "this protocol, recordings at hand, to embed them."
            )
        sets = tuple(known[s] for s in specs)
        found[modality] = sets or tuple(i for i in stored.items[modality] if i.of_recipe)
    return found


def candidates(stored: Stored, protocol: Protocol, modality: Modality) -> Mask:
    """Return which of the judge's pictures are candidates in decoding a modality.

    Raises
    ------
    NeuroalignError
        Pictures beyond the test pictures are asked for, but were not embedded.
    """
    rule = of_modality(protocol.gallery.pictures, modality, "test")
    shown = stored.judge.items["shown"].astype(str)
    test = (shown == TEST).to_numpy(bool)
    if rule == "all tests":
        return test
    if rule == "every picture" or rule == "test and never shown":
        if not stored.every_picture:
            raise NeuroalignError(
                f"The gallery of {protocol.label} holds more than the test pictures, but no others "
                "were embedded. Evaluate the run with this protocol, picture set at hand."
            )
        more = np.ones(len(shown), bool) if rule == "every picture" else shown == "never"
        return np.asarray(_of_modality(stored, modality) | more, bool)
    return _of_modality(stored, modality) & test


def unmet(stored: Stored, protocol: Protocol) -> str:
    """Compare counts with what a protocol expects.

    Returns
    -------
    str
        What differs, for the scores' notes; empty if nothing does.

    Raises
    ------
    NeuroalignError
        Something differs, and the protocol is strict.
    """
    faults = []
    for modality, sets in stored.items.items():
        table = stored.models[0].items[modality][sets[0].slug].items
        repeats = table["n_averaged"] if "n_averaged" in table else pd.Series([1])
        counts = {
            "gallery": ("candidate pictures", {int(candidates(stored, protocol, modality).sum())}),
            "classes": ("classes", {table["label"].nunique()}),
            "people": ("people", {table["subject"].nunique()}),
            "repeats": ("trials behind an item", set(map(int, repeats))),
        }
        for field, (what, got) in counts.items():
            wanted = of_modality(getattr(protocol.expect, field), modality, 0)
            if wanted and got != {wanted}:
                shown = " to ".join(map(str, sorted({min(got), max(got)})))
                faults.append(f"{shown} {what} of {modality} instead of {wanted}")
    if faults and protocol.strict:
        raise NeuroalignError(
            f"These are not the data of {protocol.label} ({protocol.data}): {'; '.join(faults)}. "
            "A score under its name could not be compared with others. Complete the data, or copy "
            "the protocol (`neuroalign protocols NAME`) into a file under another name and state "
            "your own numbers."
        )
    return unmet_note(protocol.label) + "; ".join(faults) if faults else ""


def _of_modality(stored: Stored, modality: Modality) -> Mask:
    """Return the pictures of a modality's test items; of their classes, where none is known."""
    judge = stored.judge.items
    found = np.zeros(len(judge), bool)
    for item_set in stored.items[modality]:
        table = stored.models[0].items[modality][item_set.slug].items
        bare = table.loc[table["stimulus"].isna(), "label"].dropna()
        found |= judge["stimulus"].isin(list(table["stimulus"].dropna())).to_numpy(bool)
        found |= judge["label"].isin(list(bare)).to_numpy(bool)
    return found


def _check_concepts(stored: Stored, protocol: Protocol) -> None:
    if not protocol.concepts.zero_shot:
        return
    for modality, sets in stored.items.items():
        table = stored.models[0].items[modality][sets[0].slug].items
        if table["label"].isna().any():
            raise NeuroalignError(
                f"{protocol.label} is a zero-shot protocol, but {int(table['label'].isna().sum())} "
                f"{modality} test items have no label: nothing tells whether their concepts occur "
                "in training. Give the recordings a `label`."
            )
    unknown = int(stored.training.loc[stored.training["label"].isna(), "trials"].sum())
    if unknown:
        raise NeuroalignError(
            f"{protocol.label} is a zero-shot protocol, but {unknown} training (or validation) "
            "trials have no label: nothing tells whether they show a test concept. Give the "
            "recordings a `label`, or choose another protocol."
        )
    for modality, (shared, n) in concepts_trained_on(stored).items():
        names = ", ".join(shared[:3]) + (", ..." if len(shared) > 3 else "")
        raise NeuroalignError(
            f"{protocol.label} is a zero-shot protocol, but {len(shared)} test concepts of "
            f"{modality} ({names}) occur in {n} training or validation trials, so the score would "
            "not be one of new concepts. Leave these trials out and train again (`neuroalign split "
            "--by concept`), or choose another protocol."
        )


def concepts_trained_on(stored: Stored) -> dict[Modality, tuple[list[str], int]]:
    """Return the test concepts of each modality that any modality was trained on.

    Returns
    -------
    dict from modality to their names and the number of training or validation trials of them
        Without the modalities that have none.
    """
    trained = one_spelling(stored.training["label"])
    found = {}
    for modality, sets in stored.items.items():
        table = stored.models[0].items[modality][sets[0].slug].items
        tested = table["label"].dropna()
        both = one_spelling(tested).isin(set(trained.dropna()))
        if both.any():
            again = trained.isin(set(one_spelling(tested)))
            names = sorted(set(tested[both].astype(str)))
            found[modality] = (names, int(stored.training.loc[again, "trials"].sum()))
    return found


def _merged(stored: Stored) -> Stored:
    """Make one candidate of pictures with the same embedding.

    What a copy was shown as, its picture was shown as, whatever the file is called: the candidate
    is a test picture if one of them is; else one of training; the first of their names among these.
    """
    names = stored.judge.items["stimulus"].astype(str).to_numpy(str)
    use = stored.judge.items["shown"].map({TEST: 0, "training": 1}).fillna(2).to_numpy(np.int64)
    order = np.lexsort((names, use))
    first: dict[bytes, str] = {}
    for i in order:
        first.setdefault(stored.judge.vectors[i].tobytes(), names[i])
    if len(first) == len(names):
        return stored
    renamed = {n: first[v.tobytes()] for n, v in zip(names, stored.judge.vectors, strict=True)}
    keep = np.array([renamed[n] == n for n in names])

    def rename(items: Embeddings) -> Embeddings:
        known = items.items["stimulus"]
        return Embeddings(
            items.vectors,
            items.items.assign(stimulus=known.map(renamed).where(known.isin(list(renamed)), known)),
            items.space,
        )

    return replace(
        stored,
        judge=stored.judge.take(keep),
        models=tuple(
            replace(
                model,
                pictures=model.pictures.take(keep),
                items={
                    m: {slug: rename(e) for slug, e in sets.items()}
                    for m, sets in model.items.items()
                },
            )
            for model in stored.models
        ),
        likelihood={k: v[:, keep] for k, v in stored.likelihood.items()},
    )
