"""THINGS-MEG with the trial tables of all people in view: protocol, repeats, channels, scaling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.quality import Finding
from neuroalign.recordings.readers.contract import Options, Settled, StagedPart
from neuroalign.recordings.readers.things import ThingsPicture, picture_table
from neuroalign.recordings.readers.things_meg_trials import Published, disagreeing
from neuroalign.recordings.schema import Channel, Dropped, RecordingsInfo, Step
from neuroalign.recordings.writer import RecordingsWriter
from neuroalign.signals import steps
from neuroalign.signals.scaling import Scaling, fit_scaling

LICENCE = "CC0 (the recordings; the pictures of THINGS have licences of their own)"
_MOST_CONSTANT = 0.1
_MOST_LAG_MS = 50.0


class MegOptions(Options):
    """What can be chosen for the preprocessed epochs and for the raw recordings alike."""

    protocol: Literal["paper", "zero-shot"] = Field(
        "paper", description="zero-shot: training trials of the 200 test concepts are dropped."
    )
    tmin: float | None = Field(None, description="Start of a trial, seconds from the onset.")
    tmax: float | None = Field(None, description="End of a trial, seconds from the onset.")
    resample: float | None = Field(None, gt=0, description="New samples per second.")
    baseline: Literal["mean", "none"] = Field(
        "none", description="mean: minus the mean from the trial's start to the onset."
    )
    standardise: bool = Field(
        True, description="Scale each channel by the training trials of its person."
    )
    incomplete: bool = Field(
        False, description="Accept other counts than published (part of the set); they are listed."
    )
    pictures: Path | None = Field(
        None, description="The folder of THINGS pictures, with a folder for each concept."
    )

    @model_validator(mode="after")
    def _ordered(self) -> MegOptions:
        if self.tmin is not None and self.tmax is not None and not self.tmin < self.tmax:
            raise ValueError(f"tmin {self.tmin:g} must lie before tmax {self.tmax:g}")
        return self


def settle(
    parts: Sequence[StagedPart],
    options: MegOptions,
    published: Published,
    done: tuple[Step, ...],
    units: str,
) -> Settled:
    """Apply the protocol, number the repeats, and describe the recordings.

    Parameters
    ----------
    parts : sequence of StagedPart
    options : MegOptions
    published : Published
    done : tuple of Step
        The steps that staging took.
    units : str
        Of the staged signals.
    """
    channels, findings = _channels(parts)
    _check_alike(parts)
    test_concepts = sorted({c for p in parts for c in p.facts["test_concepts"]})
    people: dict[str, tuple[StagedPart, ...]] = {}
    dropped: list[Dropped] = []
    for subject in dict.fromkeys(p.part.subject for p in parts):
        own = [p for p in parts if p.part.subject == subject]
        people[subject], left_out = _split(own, test_concepts, options.protocol)
        catch = sum(p.facts["catch"] for p in own)
        if catch:
            reason = "catch trials, whose pictures are none of THINGS"
            dropped.append(Dropped(where=subject, trials=catch, reason=reason))
        dropped += left_out
        findings += _training_count(people[subject], subject, options, published)
    tables = [p.trials for own in people.values() for p in own]
    findings += [*_across_people(parts), *_lags(parts)]
    pictures, about_pictures = _pictures(tables, options.pictures)
    findings += about_pictures
    facts = parts[0].facts
    done += (steps.record("split", by=(), protocol=options.protocol),)
    if options.standardise:
        fitted_on = "training trials of each person, per channel"
        done += (steps.record("standardise", fitted_on=fitted_on),)
    info = RecordingsInfo(
        modality="meg",
        axes=("channels", "samples"),
        units="standard deviations" if options.standardise else units,
        sfreq=facts["sfreq"],
        tmin=facts["tmin"],
        channels=channels,
        steps=done,
        dropped=tuple(dropped),
        source="THINGS-MEG (OpenNeuro ds004212)",
        licence=LICENCE,
    )
    return Settled(people, info, tuple(findings), pictures)


def finish(subject: str, settled: Settled, options: MegOptions, writer: RecordingsWriter) -> None:
    """Write a person's trials, scaled by the training trials."""
    names = [c.name for c in settled.info.channels]
    own = settled.people[subject]
    scaling = _fit(subject, own, names) if options.standardise else None
    for part in own:
        keep = _places(part, names)
        for signals, trials in part.blocks():
            kept = signals[:, keep]
            ready = kept if scaling is None else scaling.apply(kept)
            writer.append(subject, ready, trials.drop(columns="staged_row"))


def _split(
    own: Sequence[StagedPart], test_concepts: Sequence[str], protocol: str
) -> tuple[tuple[StagedPart, ...], list[Dropped]]:
    whole = pd.concat([p.trials.assign(part=i) for i, p in enumerate(own)], ignore_index=True)
    whole["split"] = np.where(whole["trial_type"] == "test", "test", "train")
    dropped = []
    if protocol == "zero-shot":
        unwanted = (whole["split"] == "train") & whole["label"].isin(list(test_concepts))
        if unwanted.any():
            reason = (
                f"training trial of one of the {len(test_concepts)} test concepts (protocol "
                "zero-shot)"
            )
            subject = own[0].part.subject
            dropped.append(Dropped(where=subject, trials=int(unwanted.sum()), reason=reason))
        whole = whole[~unwanted]
    # Trials are in the order of recording, so this numbers repeats in time.
    whole["repetition"] = whole.groupby("stimulus").cumcount() + 1
    parts = []
    for place, part in enumerate(own):
        rows = whole[whole["part"] == place].drop(columns="part").reset_index(drop=True)
        if len(rows):
            parts.append(replace(part, trials=rows))
    if not parts:
        raise NeuroalignError(f"{own[0].part.subject} has no trials left.")
    return tuple(parts), dropped


def _training_count(
    own: Sequence[StagedPart], subject: str, options: MegOptions, published: Published
) -> Iterator[Finding]:
    zero_shot = options.protocol == "zero-shot"
    expected = published.zero_shot if zero_shot else published.counts["exp"]
    counts = pd.concat([p.trials["split"] for p in own]).value_counts()
    for split, wanted in (("train", expected), ("test", published.counts["test"])):
        found = int(counts.get(split, 0))
        if found != wanted:
            what = f"{found:,} {split} trials are left, published {wanted:,}"
            yield Finding(subject, what, "warning", found)


def _channels(parts: Sequence[StagedPart]) -> tuple[tuple[Channel, ...], list[Finding]]:
    """Return the channels that are usable in all parts."""
    channels = [Channel(**c) for c in parts[0].facts["channels"]]
    names = [c.name for c in channels]
    for part in parts:
        mine = [c["name"] for c in part.facts["channels"]]
        if mine != names:
            odd = sorted(set(mine) ^ set(names))[:6]
            raise NeuroalignError(
                f"{part.part.name} has {len(mine)} channels, {parts[0].part.name} has "
                f"{len(names)}, and they differ ({', '.join(odd) or 'in their order'}). All "
                "recordings must have the same channels: one of the two is not of this data set."
            )
    constant = {n: p.part.name for p in parts for n in p.facts["constant"]}
    if len(constant) > max(1, _MOST_CONSTANT * len(names)):
        raise NeuroalignError(
            f"{len(constant)} of {len(names)} channels never change in some part (such as "
            f"{next(iter(constant))} in {next(iter(constant.values()))}): these are not usable "
            "recordings. Copy or download them again."
        )
    findings = [
        Finding(where, f"the channel {name} never changes; left out for everybody", "warning", 1)
        for name, where in constant.items()
    ]
    broken = sorted({n for p in parts for n in p.facts.get("broken", ())})
    if broken:
        what = f"the sensor(s) {', '.join(broken)}, broken in all sessions, are left out"
        findings.append(Finding("channels", what, "note", len(broken)))
    return tuple(c for c in channels if c.name not in constant), findings


def _check_alike(parts: Sequence[StagedPart]) -> None:
    first = parts[0]
    for part in parts:
        for what in ("sfreq", "tmin"):
            if part.facts[what] != first.facts[what]:
                raise NeuroalignError(
                    f"{part.part.name} has {what} {part.facts[what]:g}, {first.part.name} has "
                    f"{first.facts[what]:g}. All must agree: give the same rate and window "
                    "(--resample, --tmin, --tmax), or leave one of them out."
                )
        if part.feature_shape and part.feature_shape != first.feature_shape:
            raise NeuroalignError(
                f"{part.part.name} has trials of the shape {part.feature_shape}, "
                f"{first.part.name} of {first.feature_shape} (channels x samples)."
            )


def _across_people(parts: Sequence[StagedPart]) -> Iterator[Finding]:
    everybody = pd.concat([p.trials for p in parts], ignore_index=True)
    for number, name in (("things_image_nr", "stimulus"), ("things_category_nr", "label")):
        yield from disagreeing(everybody, number, name, "people together")
    test = everybody[everybody["trial_type"] == "test"]
    exp = everybody[everybody["trial_type"] == "exp"]
    both = sorted(set(test["stimulus"]) & set(exp["stimulus"]))
    if both:
        what = f"{len(both)} picture(s) are training for one person and test for another: " + (
            ", ".join(both[:4])
        )
        yield Finding("people together", what, "fatal", len(both))


def _lags(parts: Sequence[StagedPart]) -> Iterator[Finding]:
    """Find runs in which the two witnesses of onsets lie apart in another way than elsewhere."""
    lags = {p.part.name: p.facts["lag_ms"] for p in parts if p.facts.get("lag_ms") is not None}
    if not lags:
        return
    usual = float(np.median(list(lags.values())))
    for name, lag in lags.items():
        if abs(lag - usual) > _MOST_LAG_MS:
            what = (
                f"onsets of events.tsv come {lag:.1f} ms after the triggers, in other runs "
                f"{usual:.1f} ms: the onsets of this run are shifted"
            )
            yield Finding(name, what, "warning", 1)


def _pictures(
    tables: Sequence[pd.DataFrame], folder: Path | None
) -> tuple[pd.DataFrame, list[Finding]]:
    shown = pd.concat([t[["stimulus", "label"]] for t in tables]).drop_duplicates()
    named = [
        ThingsPicture(name, concept, f"{name}.jpg")
        for name, concept in shown.itertuples(index=False)
    ]
    return picture_table(named, folder)


def _fit(subject: str, own: Sequence[StagedPart], names: Sequence[str]) -> Scaling:
    blocks = (
        signals[(trials["split"] == "train").to_numpy()][:, _places(part, names)]
        for part in own
        for signals, trials in part.blocks()
    )
    try:
        return fit_scaling(blocks)
    except NeuroalignError as error:
        raise NeuroalignError(
            f"{subject} (channels {', '.join(names[:6])}, ...): {error}"
        ) from error


def _places(part: StagedPart, names: Sequence[str]) -> list[int]:
    order = {c["name"]: place for place, c in enumerate(part.facts["channels"])}
    return [order[n] for n in names]
