"""The paper's published numbers: data to stand beside ours, in a column named as theirs.

Ferrante, Boccato, Toschi (2024), "Towards neural foundation models for vision: aligning EEG, MEG
and fMRI representations to perform decoding, encoding and modality conversion", tables 1 and 2.
A number of theirs stands beside one of ours only where the data set and the protocol are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from neuroalign.evaluation.protocols import unmet_note
from neuroalign.evaluation.scores import Score
from neuroalign.evaluation.tables import modality_name

#: The heading under which the paper's numbers are shown, and nowhere else.
PAPER_AUTHORS = "Ferrante et al. 2024"
PAPER_COLUMN = f"{PAPER_AUTHORS} (their data)"

#: The data set of each modality in the paper.
_THEIR_DATA = {
    "eeg": ("imagenet-eeg",),
    "meg": ("things-meg", "things-meg-raw"),
    "fmri": ("nsd",),
}
#: Protocols that ask what the paper asked.
_THEIR_PROTOCOLS = {
    "decoding": ("paper/decoding", "imagenet-eeg/block-split"),
    "encoding": ("paper/encoding",),
    "conversion": ("paper/conversion",),
}
#: (source, target) of each task.
_DECODING = {
    "eeg": (0.400, 0.543, 0.794),
    "meg": (0.012, 0.061, 0.601),
    "fmri": (None, None, 0.903),
}
_CHANCE = {"eeg": (0.025, 0.125), "meg": (0.0013, 0.0065)}
_GALLERY = {"eeg": 332, "meg": 2400, "fmri": 982}
_ENCODING = {"eeg": 0.855, "meg": 0.588, "fmri": 0.878}
_CONVERSION = {
    ("fmri", "eeg"): (0.6710, 0.8370),
    ("meg", "eeg"): (0.6790, 0.8470),
    ("fmri", "meg"): (0.5679, 0.9540),
    ("eeg", "meg"): (0.5594, 0.9396),
    ("eeg", "fmri"): (0.7648, 0.8598),
    ("meg", "fmri"): (0.7928, 0.8912),
}


@dataclass(frozen=True)
class PaperNumber:
    """A number as the paper prints it (shares, not per cent); chance is theirs, not computed."""

    value: float
    chance: float | None = None
    n_gallery: int | None = None


def _tables() -> dict[tuple[str, str, str], PaperNumber]:
    found: dict[tuple[str, str, str], PaperNumber] = {}
    for modality, values in _DECODING.items():
        chance = (*_CHANCE.get(modality, (None, None)), 0.5)
        # Their top-k is by class, where there are classes.
        metrics = ("class_top1", "class_top5", "two_way_retrieved")
        for metric, value, level in zip(metrics, values, chance, strict=True):
            if value is not None:
                number = PaperNumber(value, level, _GALLERY[modality])
                found[modality, "pictures", metric] = number
    for modality, value in _ENCODING.items():
        found["pictures", modality, "two_way_retrieved"] = PaperNumber(value, 0.5)
    for (source, target), (value, normalised) in _CONVERSION.items():
        found[source, target, "two_way_retrieved"] = PaperNumber(value, 0.5)
        found[source, target, "two_way_retrieved_normalised"] = PaperNumber(normalised)
    return found


#: (source, target, metric) -> what the paper published.
PAPER_TABLES = MappingProxyType(_tables())


def published(score: Score) -> PaperNumber | None:
    """Return the paper's number for the same question as `score`, over all people; or None.

    It may stand beside the score only where `why_not_comparable` has no objection: use
    `comparable`.
    """
    if score.subject != "all":
        return None
    return PAPER_TABLES.get((score.source, score.target, score.metric))


def comparable(score: Score, datasets: Mapping[str, str]) -> PaperNumber | None:
    """Return the paper's number if data set and protocol are the same; else None."""
    return None if why_not_comparable(score, datasets) else published(score)


def why_not_comparable(score: Score, datasets: Mapping[str, str]) -> str:
    """Return why the paper's number for the same question may not stand beside a score.

    Parameters
    ----------
    score : Score
    datasets : mapping from modality to the name of its data set
        As a run records them; a modality that is not in it has recordings of the user's own.

    Returns
    -------
    str
        Empty where data set and protocol are the same, and the data are all that the protocol
        expects (a part of the people or pictures is another question).
    """
    reasons = []
    if score.simulated:
        reasons.append("simulated recordings")
    else:
        for modality in dict.fromkeys((score.source, score.target)):
            theirs = _THEIR_DATA.get(modality)
            ours = datasets.get(modality, "")
            if theirs is not None and ours not in theirs:
                reasons.append(
                    f"{modality_name(modality)} of {ours or 'own recordings'}, not {theirs[0]}"
                )
    asked = _THEIR_PROTOCOLS.get(score.task)
    if asked is None:
        reasons.append(f"the paper has no {score.task}")
    elif score.protocol.split("@")[0] not in asked:
        reasons.append(f"protocol {score.protocol or 'not stated'}, not {asked[0]}")
    _, _, unlike = score.note.partition(unmet_note(score.protocol))
    if unlike:
        reasons.append(unlike)
    return "; ".join(reasons)
