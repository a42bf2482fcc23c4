"""Whether a protocol leaves enough of a run to be scored, and what took the rest out."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from neuroalign.assess.stored import ItemSet, Stored
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.protocols import Protocol
from neuroalign.recordings.schema import Modality


def require_enough(
    whole: Stored,
    named: Stored,
    kept: Stored,
    protocol: Protocol,
    n_candidates: Callable[[Modality], int],
) -> None:
    """Refuse what leaves nothing to be told apart: no test item, or those of one picture alone.

    Decoding of a single test picture among others is a question all the same.

    Parameters
    ----------
    whole, named, kept : Stored
        The run; without the concepts that the protocol leaves out; and with copies of a picture
        merged, as it is to be scored.
    protocol : Protocol
    n_candidates : callable
        Tells how many candidate pictures there are in decoding a modality.

    Raises
    ------
    NeuroalignError
        Naming the modality, what was there, and what took the rest out.
    """
    for modality, sets in kept.items.items():
        for items in sets:
            n_whole, n_named, n_kept = (
                _shown(s, modality, items).nunique() for s in (whole, named, kept)
            )
            if n_kept > 1:
                continue
            pictured = bool(_table(kept, modality, items)["stimulus"].notna().any())
            only_decoding = set(protocol.retrievals) == {"decoding"}
            if n_kept == 1 and pictured and only_decoding and n_candidates(modality) > 1:
                continue
            what = (
                "picture" if _table(whole, modality, items)["stimulus"].notna().any() else "class"
            )
            why, remedy = _reason(n_whole, n_named, n_kept, what, protocol)
            raise NeuroalignError(
                f"{protocol.label} leaves {n_kept or 'no'} test {what} of {modality} to be scored "
                f"({items.description}): {why}. A score tells how well things are told apart, "
                f"which needs two at least. {remedy}, or leave {modality} out of the protocol's "
                "`modalities`."
            )


def _reason(
    n_whole: int, n_named: int, n_kept: int, what: str, protocol: Protocol
) -> tuple[str, str]:
    """Return what took test pictures out, and what to do about it."""
    plural = "pictures" if what == "picture" else "classes"
    why, remedies = [f"the run has {n_whole} test {plural if n_whole != 1 else what}"], []
    if n_named < n_whole:
        why.append(
            f"`concepts.leave_out` ({len(protocol.concepts.leave_out)} names) takes "
            f"{n_whole - n_named} of them out"
        )
        remedies.append("leave fewer concepts out")
    if n_kept < n_named:
        why.append(f"{n_named} are copies of one, which `gallery.duplicates: merged` makes one")
        remedies.append("set `gallery.duplicates: kept`")
    if not remedies:
        remedies.append("hold more out with `neuroalign split` and train again")
    remedy = " or ".join(remedies)
    return "; ".join(why), remedy[0].upper() + remedy[1:]


def _shown(stored: Stored, modality: Modality, items: ItemSet) -> pd.Series[str]:
    """Return what each item shows: its picture, or its class where the picture is not known."""
    table = _table(stored, modality, items)
    return table["stimulus"].astype("string").fillna(table["label"].astype("string"))


def _table(stored: Stored, modality: Modality, items: ItemSet) -> pd.DataFrame:
    return stored.models[0].items[modality][items.slug].items
