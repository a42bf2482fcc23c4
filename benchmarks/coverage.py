"""How often 95 % intervals hold the truth, and what p-values do where nothing is to be found.

Simulated scores with a known mean, drawn 1,000 times for each size: the table says how many of
1,000 intervals hold that mean. Several shapes of score (areas under a curve, hits of a top-k,
differences, shares of a ceiling) and sizes (pictures, people).

    python benchmarks/coverage.py --draws 1000 --out coverage.json
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

from neuroalign.evaluation.bootstrap import (
    Interval,
    Sample,
    bootstrap_interval,
    paired_difference,
    share_interval,
)

#: What is promised is 0.93 to 0.97; 1,000 draws may stray by a hundredth or two.
LEAST, MOST = 0.91, 0.98
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
    broken = any(
        r["coverage"] < LEAST or (r["score"] == "2-way" and r["coverage"] > MOST) for r in rows
    )
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
