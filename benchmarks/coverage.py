"""How often 95 % intervals hold the truth, and what p-values do where nothing is to be found.

Simulated scores with a known truth, drawn 1,000 times for each size: the table says how many of
1,000 intervals hold it. Several shapes of score (areas under a curve, hits of a top-k, differences,
shares of a ceiling, normalised conversions, median ranks, encoding by class) and sizes (pictures,
blocks, people).

    python benchmarks/coverage.py --draws 1000 --out coverage.json

The exit status is 1 if a share lies outside 0.93 to 0.97 by more than two standard errors.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import norm

from neuroalign.evaluation.bootstrap import (
    Interval,
    bootstrap_interval,
    paired_difference,
    share_interval,
)
from neuroalign.evaluation.median import median_interval
from neuroalign.evaluation.queries import Asked, query_values
from neuroalign.evaluation.spread import Sample

#: What is promised; n draws may stray by sqrt(0.95 * 0.05 / n) each way.
LEAST, MOST = 0.93, 0.97
Array = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator], tuple[Interval | None, float]]


@dataclass(frozen=True)
class Case:
    """A kind of score at one size; `draw` returns an interval and the truth."""

    kind: str
    unit: str
    pictures: int
    people: int
    draw: Draw


def area(rng: np.random.Generator, pictures: int, people: int, spread: float) -> Array:
    """2-way scores near 0.73: beta around a logit with parts of picture, person and both."""
    logit = 1.0 + 0.7 * rng.normal(size=(pictures, 1)) + spread * rng.normal(size=people)
    mean = 1 / (1 + np.exp(-logit - 0.4 * rng.normal(size=(pictures, people))))
    return rng.beta(6 * mean, 6 * (1 - mean))


def hits(rng: np.random.Generator, pictures: int, people: int, spread: float) -> Array:
    """0 or 1, near 0.2, some pictures easier than others, some people better than others."""
    logit = -1.6 + 1.0 * rng.normal(size=(pictures, 1)) + spread * rng.normal(size=people)
    return (rng.random((pictures, people)) < 1 / (1 + np.exp(-logit))).astype(np.float64)


Score = Callable[[np.random.Generator, int, int, float], Array]


def truth_of(score: Score, spread: float) -> float:
    """The mean over a population of pictures and people."""
    rng = np.random.default_rng(99)
    return float(np.mean([score(rng, 2000, 500, spread).mean() for _ in range(20)]))


def fixed_people(score: Score, pictures: int, people: int, level: float) -> Draw:
    def draw(rng: np.random.Generator) -> tuple[Interval, float]:
        values = score(rng, pictures, people, 0.0)
        clusters = np.repeat(np.arange(pictures), people)
        return bootstrap_interval(values.ravel(), clusters, seed=int(rng.integers(2**31))), level

    return draw


def sampled_people(score: Score, pictures: int, people: int, spread: float, level: float) -> Draw:
    def draw(rng: np.random.Generator) -> tuple[Interval, float]:
        values = score(rng, pictures, people, spread)
        clusters, who = (x.ravel() for x in np.indices(values.shape))
        interval = bootstrap_interval(
            values.ravel(), clusters, people=who, seed=int(rng.integers(2**31))
        )
        return interval, level

    return draw


def difference(pictures: int, people: int) -> Draw:
    """Two models on the same pictures, the first better by 0.02."""

    def draw(rng: np.random.Generator) -> tuple[Interval, float]:
        hard = rng.normal(0.7, 0.15, (pictures, 1))
        ours, theirs = (
            hard + shift + 0.1 * rng.normal(size=(pictures, people)) for shift in (0.02, 0.0)
        )
        clusters = np.repeat(np.arange(pictures), people)
        found = paired_difference(
            ours.ravel(), theirs.ravel(), clusters, seed=int(rng.integers(2**31))
        )
        return found, 0.02

    return draw


def share(pictures: int, people: int) -> Draw:
    """A score of 0.65 below a ceiling of 0.8 on the same pictures; chance 0.5: a share of 0.5."""

    def draw(rng: np.random.Generator) -> tuple[Interval | None, float]:
        easy = 0.12 * rng.normal(size=(pictures, 1))
        ours, best = (
            mean + easy + 0.12 * rng.normal(size=(pictures, people)) for mean in (0.65, 0.8)
        )
        clusters = np.repeat(np.arange(pictures), people)
        found = share_interval(
            Sample(ours.ravel(), clusters),
            Sample(best.ravel(), clusters),
            0.5,
            seed=int(rng.integers(2**31)),
        )
        return found, 0.5

    return draw


def ranks(rng: np.random.Generator, pictures: int, people: int) -> Array:
    """Ranks among 200, with a median of 24: some pictures easier for everybody."""
    logit = 2.0 - 1.2 * rng.normal(size=(pictures, 1)) - rng.normal(size=(pictures, people))
    return 1 + np.floor(199 / (1 + np.exp(logit)))


def median_rank(pictures: int, people: int, level: float) -> Draw:
    def draw(rng: np.random.Generator) -> tuple[Interval, float]:
        values = ranks(rng, pictures, people).ravel()
        clusters = np.repeat(np.arange(pictures), people)
        return median_interval(values, clusters, seed=int(rng.integers(2**31))), level

    return draw


def encoding_by_class(recordings: int, block: int, shift: float) -> Draw:
    """Eighty pictures of two classes ask for recordings, which stray by blocks of `block`."""
    apart = shift / np.sqrt(2 * (1 + 0.25))

    def draw(rng: np.random.Generator) -> tuple[Interval, float]:
        unit = np.arange(recordings) // block
        shown = unit % 2
        evidence = shift * shown + rng.normal(size=recordings)
        evidence += 0.5 * rng.normal(size=recordings // block)[unit]
        names = np.array(["face", "house"])
        missing = pd.array([None] * 80, "string")
        asked = np.repeat([0, 1], 40)
        pictures = pd.array([f"p{i}" for i in range(80)], "string")
        queries = pd.DataFrame({"stimulus": pictures, "subject": missing, "label": names[asked]})
        gallery = pd.DataFrame(
            {"label": names[shown], "subject": "sub-01", "block": unit.astype(str)}
        )
        found = query_values(
            np.stack([-evidence, evidence])[asked],
            queries,
            gallery.assign(stimulus=pd.array([None] * recordings, "string")),
            asked=Asked(metrics=("two_way_embedding",)),
        )["two_way_embedding"]
        return found.interval(seed=int(rng.integers(2**31))), float(norm.cdf(apart))

    return draw


def normalised(pictures: int, people: int) -> Draw:
    """A conversion of 0.65 over a decoding of 0.8, on the same pictures."""

    def draw(rng: np.random.Generator) -> tuple[Interval | None, float]:
        easy = 0.1 * rng.normal(size=(pictures, 1))
        ours, base = (m + easy + 0.1 * rng.normal(size=(pictures, people)) for m in (0.65, 0.8))
        clusters = np.repeat(np.arange(pictures), people)
        top, bottom = (Sample(x.ravel(), clusters) for x in (ours, base))
        return share_interval(top, bottom, 0.0, seed=int(rng.integers(2**31))), 0.65 / 0.8

    return draw


def cases() -> Iterator[Case]:
    """Yield every kind and size."""
    for name, score in (("2-way", area), ("top-k", hits)):
        alone = truth_of(score, 0.0)
        for pictures in (10, 20, 50, 200, 982):
            for people in (1, 4):
                draw = fixed_people(score, pictures, people, alone)
                yield Case(name, "picture", pictures, people, draw)
        for spread in (0.1, 0.4):
            level = truth_of(score, spread)
            for pictures in (20, 50, 200):
                for people in (3, 4, 6, 10):
                    draw = sampled_people(score, pictures, people, spread, level)
                    kind = f"{name}, people differ by {spread}"
                    yield Case(kind, "picture+person", pictures, people, draw)
    for pictures in (10, 20, 50, 200):
        yield Case("difference", "picture", pictures, 4, difference(pictures, 4))
        yield Case("share of ceiling", "picture", pictures, 4, share(pictures, 4))
        yield Case("normalised conversion", "picture", pictures, 4, normalised(pictures, 4))
    middle = float(np.median(ranks(np.random.default_rng(99), 400_001, 5)))
    for pictures in (10, 20, 50, 200):
        for people in (1, 4):
            draw = median_rank(pictures, people, middle)
            yield Case("median rank", "picture", pictures, people, draw)
    for blocks in (10, 20, 50, 200):
        draw = encoding_by_class(4 * blocks, 4, 1.2)
        yield Case("2-way of encoding by class", "block", blocks, 1, draw)


def coverage(case: Case, draws: int, seed: int = 0) -> tuple[float, float]:
    """Return the share of intervals that hold the truth, and their mean width."""
    rng = np.random.default_rng([seed, case.pictures, case.people])
    held, width = 0, 0.0
    for _ in range(draws):
        interval, truth = case.draw(rng)
        if interval is not None:
            held += interval.low <= truth <= interval.high
            width += (interval.high - interval.low) / draws
    return held / draws, width


def main() -> None:
    """Measure, print a Markdown table, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    sys.stdout.write("| score | unit | pictures | people | coverage | mean width |\n")
    sys.stdout.write("|---|---|---|---|---|---|\n")
    started = time.perf_counter()
    for case in cases():
        held, width = coverage(case, arguments.draws)
        rows.append(
            {
                "score": case.kind,
                "unit": case.unit,
                "pictures": case.pictures,
                "people": case.people,
                "coverage": held,
                "width": width,
            }
        )
        sys.stdout.write(
            f"| {case.kind} | {case.unit} | {case.pictures} | {case.people} | {held:.3f} | "
            f"{width:.3f} |\n"
        )
        sys.stdout.flush()
    sys.stdout.write(f"\n{arguments.draws} draws each, {time.perf_counter() - started:.0f} s\n")
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(rows, indent=2) + "\n")
    stray = 2 * float(np.sqrt(0.95 * 0.05 / arguments.draws))
    sys.exit(any(not LEAST - stray <= r["coverage"] <= MOST + stray for r in rows))


if __name__ == "__main__":
    main()
