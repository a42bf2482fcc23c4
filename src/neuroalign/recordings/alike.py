"""What holds of many places, said once: findings and drops of one kind share a line.

Forty missing sessions are one thing to put right. A line for each would hide the other things.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from neuroalign.recordings.quality import Finding
from neuroalign.recordings.schema import Dropped

#: So many findings of a kind have a line each; more of them share one.
FEW = 2
_NAMED = 3
_ASIDE = re.compile(r" \([^()]*\)")
_WORD = re.compile(r"\([^()]*\)\S*|\S+")
_VARIES = re.compile(r"['\"]\S+|\S*[\d_/]\S*")
_DIGITS = re.compile(r"\d+")
_LETTER = re.compile(r"[^\W\d_]")
_NUMBER = re.compile(r"(\W*)(\d[\d,]*(?:\.\d+)?)(\W*)")

T = TypeVar("T")


def findings_once(findings: Iterable[Finding]) -> list[Finding]:
    """Merge findings that differ in numbers and names only.

    Parameters
    ----------
    findings : iterable of Finding
        In any order; the places of a kind stay where its first was.

    Returns
    -------
    list of Finding
        First what is said of one place several times becomes one ("session 3 to 12 has 0
        trials"), then what is said of several places. `count` is their sum.
    """
    single = [(f, 1) for f in findings]
    here = _merged_by(single, lambda f: (f.severity, f.where, _kind(f.what)))
    everywhere = _merged_by(here, lambda f: (f.severity, _kind_of_place(f.where), _kind(f.what)))
    return [_with_number(f, n) for f, n in everywhere]


def drops_once(dropped: Iterable[Dropped]) -> list[Dropped]:
    """Merge what was left out for one reason; what stands in brackets beside it goes."""
    told: list[Dropped] = []
    for alike in _grouped(dropped, lambda d: _kind(d.reason)):
        if len(alike) == 1:
            told += alike
            continue
        reason = _merged([_ASIDE.sub("", d.reason) for d in alike])
        trials = sum(d.trials for d in alike)
        told.append(Dropped(where=_places([d.where for d in alike]), trials=trials, reason=reason))
    return told


def _grouped(items: Iterable[T], key: Callable[[T], Hashable]) -> list[list[T]]:
    groups: dict[Hashable, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.values())


def _merged_by(
    findings: Iterable[tuple[Finding, int]], key: Callable[[Finding], Hashable]
) -> list[tuple[Finding, int]]:
    """Merge more than a few of a key; beside each finding, how many it stands for."""
    merged = []
    for alike in _grouped(findings, lambda pair: key(pair[0])):
        if len(alike) <= FEW:
            merged += alike
            continue
        own = [f for f, _ in alike]
        one = replace(
            own[0],
            where=_places([f.where for f in own]),
            what=_merged([f.what for f in own]),
            count=sum(f.count for f in own),
        )
        merged.append((one, sum(n for _, n in alike)))
    return merged


def _with_number(finding: Finding, number: int) -> Finding:
    told = number == 1 or finding.where.endswith(f" ({number})")
    return finding if told else replace(finding, what=f"{finding.what} ({number} of this kind)")


def _kind(text: str) -> str:
    """Return a text without what may vary: asides in brackets, numbers, names, paths."""
    return _VARIES.sub("#", _ASIDE.sub("", text))


def _kind_of_place(where: str) -> str:
    """Return a place without what may vary; files differ in more than numbers for a reason."""
    return _DIGITS.sub("#", where) if "/" in where or "." in where else _kind(where)


def _places(where: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(where))
    if len(distinct) <= _NAMED:
        return ", ".join(distinct)
    return f"{distinct[0]} ... {distinct[-1]} ({len(distinct)})"


def _merged(texts: Sequence[str]) -> str:
    """Merge texts of one kind word by word: numbers become ranges, of names the ends stay."""
    words = [_WORD.findall(t) for t in texts]
    if len({len(w) for w in words}) > 1:
        words = [_WORD.findall(_ASIDE.sub("", t)) for t in texts]
    merged = [_word(list(dict.fromkeys(column))) for column in zip(*words, strict=True)]
    return " ".join(word for word in merged if word)


def _word(words: list[str]) -> str:
    if len(words) == 1:
        return words[0]
    numbers = [_NUMBER.fullmatch(w) for w in words]
    found = [n for n in numbers if n is not None]
    if len(found) < len(words) or len({(n[1], n[3]) for n in found}) > 1:
        is_aside = words[0].startswith("(") and any(_LETTER.search(w) for w in words)
        return "" if is_aside else f"{words[0]} ... {words[-1]}"
    ordered = sorted((n[2] for n in found), key=lambda n: float(n.replace(",", "")))
    return f"{found[0][1]}{ordered[0]} to {ordered[-1]}{found[0][3]}"
