"""The paper's published numbers: data to stand beside ours, in a column named as theirs.

Ferrante, Boccato, Toschi (2024), "Towards neural foundation models for vision: aligning EEG, MEG
and fMRI representations to perform decoding, encoding and modality conversion", tables 1 and 2.
Their recordings, people, pictures and galleries are not ours; only the questions are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from neuroalign.evaluation.scores import Score

#: The heading under which the paper's numbers are shown, and nowhere else.
PAPER_COLUMN = "Ferrante et al. 2024 (their data)"

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
    """Return the paper's number for the same question as `score`, over all people; or None."""
    if score.subject != "all":
        return None
    return PAPER_TABLES.get((score.source, score.target, score.metric))
