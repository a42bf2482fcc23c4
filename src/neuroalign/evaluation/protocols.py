"""Protocols as data: what a score is computed on, and how, in one versioned YAML file.

Two numbers can be compared if their protocol is the same, by name and version. The files that ship
are in `neuroalign/protocols/`; a user's own file has the same form.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.asked import Asked, Metric
from neuroalign.evaluation.items import item_key
from neuroalign.recordings.schema import Modality
from neuroalign.settings import each_once, faults, read_settings

T = TypeVar("T")
Retrieval = Literal["decoding", "encoding", "conversion", "classification"]
Pictures = Literal["test", "all tests", "test and never shown", "every picture"]
ByModality = dict[Modality | Literal["each"], T]
#: A list whose entries each stand for scores of their own: twice, they would be counted twice.
Once = Annotated[tuple[T, ...], AfterValidator(each_once())]
Items = Annotated[tuple[str, ...], AfterValidator(each_once(item_key))]
DEFAULT = "default"
_RECIPE = "as the recipe's test_items say"
_TIES = {
    "shared": "the mean over the orders that equal scores could be put in",
    "last": "a right candidate comes behind the wrong ones of its score",
}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class GalleryRule(_Part):
    """Which candidates there are.

    Attributes
    ----------
    pictures : by modality, or for `each`: `test`, the test pictures of that modality (decoding) or
        of either side's; `all tests`, those of every modality of the run; `test and never shown`,
        with the pictures of the picture set that nobody saw while training; `every picture` of
        the picture set, those of training too
    duplicates : `merged`: picture files with the same content are one candidate, a test picture if
        one of them is (of several, under the name that comes first); `kept`. Several recordings of
        one picture are several right candidates under either
    """

    pictures: ByModality[Pictures] = {"each": "test"}
    duplicates: Literal["merged", "kept"] = "merged"


class ConceptRule(_Part):
    """Which concepts (classes) are scored.

    Attributes
    ----------
    zero_shot : no concept of a test item may occur in training; it is an error if one does
    leave_out : concepts that are taken out of queries and gallery; case, and what stands between
        words, do not matter
    """

    zero_shot: bool = False
    leave_out: Once[str] = ()


class CandidateRule(_Part):
    """How many candidates a query chooses from, in the metrics `k_way` and `k_way_resampled`.

    Attributes
    ----------
    k : the right one and `k - 1` wrong ones, drawn without replacement; null: all there are
    resamples, seed : draws of `k_way_resampled`; `k_way` is the mean over all possible draws
    """

    k: Annotated[int, Field(ge=2)] | None = None
    resamples: Annotated[int, Field(ge=1)] = 30
    seed: Annotated[int, Field(ge=0)] = 0


class IntervalRule(_Part):
    """What intervals allow for.

    Attributes
    ----------
    unit : what is drawn again: the picture (with all its trials, of all people), or people too
    draws : bootstrap draws
    """

    unit: Literal["picture", "picture and person"] = "picture"
    draws: Annotated[int, Field(ge=100)] = 1000


class Expected(_Part):
    """What the run should hold, by modality or for `each`; what is not stated is not checked.

    Attributes
    ----------
    gallery : candidate pictures in decoding
    classes : distinct classes among the test items
    people : people among the test items
    repeats : trials behind each test item
    """

    gallery: ByModality[int] = {}
    classes: ByModality[int] = {}
    people: ByModality[int] = {}
    repeats: ByModality[int] = {}


class Protocol(_Part):
    """A protocol.

    Attributes
    ----------
    name, version : what a score is filed under; a change that can move a number needs a new
        version. The name is words of letters and digits with a `-` between, in groups with a `/`
    title, source : what it is, and where it comes from
    data : the data sets it is meant for, in words
    modalities : which modalities of a run are scored (empty: all)
    retrievals : which of the tasks
    items : by modality, or for `each`: how test items are made (`trials`, `repeats`, `by COLUMN`,
        `groups of N`); the first is what encoding and conversion use; empty: as the recipe says
    gallery, concepts, candidates, intervals, expect : see there
    ties : `shared`: where scores tie, the mean over the orders they could be put in; `last`: a
        right candidate comes behind the wrong ones of its score
    people : `pooled`: one gallery of everybody's recordings; `separate`: recordings are candidates
        among those of their own person only, and "all" is the mean over people, who count alike;
        `both`: pooled, and each person on their own
    metrics : which, as far as the items allow
    strict : whether it is an error if `expect` is not met; else the scores carry a note
    """

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*(/[a-z0-9]+(-[a-z0-9]+)*)*$")
    version: int = Field(ge=1)
    title: str = Field(min_length=1)
    source: str = Field(min_length=1)
    data: str = "any"
    modalities: Once[Modality] = ()
    retrievals: Once[Retrieval] = Field(get_args(Retrieval), min_length=1)
    items: ByModality[Items] = {}
    gallery: GalleryRule = GalleryRule()
    concepts: ConceptRule = ConceptRule()
    candidates: CandidateRule = CandidateRule()
    ties: Literal["shared", "last"] = "shared"
    people: Literal["pooled", "separate", "both"] = "both"
    metrics: Once[Metric] = Field(min_length=1)
    intervals: IntervalRule = IntervalRule()
    expect: Expected = Expected()
    strict: bool = False

    @model_validator(mode="after")
    def _k_goes_with_its_metrics(self) -> Protocol:
        chosen = {"k_way", "k_way_resampled"} & set(self.metrics)
        if bool(chosen) != (self.candidates.k is not None):
            raise ValueError(
                "the metrics k_way and k_way_resampled and the number candidates.k need each other"
            )
        return self

    @property
    def label(self) -> str:
        """Name and version, as scores carry them."""
        return f"{self.name}@{self.version}"

    @property
    def slug(self) -> str:
        """The name as a file name, which no other name has: no name holds `--`."""
        return self.name.replace("/", "--")

    @property
    def asked(self) -> Asked:
        """What is asked of each retrieval."""
        return Asked(
            metrics=self.metrics,
            ties=self.ties,
            k=self.candidates.k or 2,
            resamples=self.candidates.resamples,
            draw_seed=self.candidates.seed,
            by_person=self.intervals.unit == "picture and person",
        )

    def as_yaml(self) -> str:
        """Return YAML that `load_protocol` reads back."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

    def described(self) -> list[tuple[str, str]]:
        """Return what the protocol fixes, in words: pairs of what and how."""
        k = self.candidates.k
        return [
            ("for", ", ".join([self.data, *self.modalities])),
            ("queries", _by_modality({m: ", ".join(s) for m, s in self.items.items()}, _RECIPE)),
            (
                "gallery",
                "; ".join(
                    filter(
                        None,
                        [
                            _by_modality({m: str(p) for m, p in self.gallery.pictures.items()}),
                            f"duplicates {self.gallery.duplicates}",
                            f"people {self.people}",
                            "new concepts only" if self.concepts.zero_shot else "",
                            f"without {', '.join(self.concepts.leave_out)}"
                            if self.concepts.leave_out
                            else "",
                        ],
                    )
                ),
            ),
            (
                "candidates",
                "all"
                if k is None
                else f"{k} a query, {self.candidates.resamples} draws, seed {self.candidates.seed}",
            ),
            ("tasks", ", ".join(self.retrievals)),
            ("metrics", ", ".join(self.metrics)),
            ("ties", _TIES[self.ties]),
            ("intervals", f"drawn again: {self.intervals.unit}; {self.intervals.draws:,} draws"),
            ("expects", self._expectations()),
            ("source", " ".join(self.source.split())),
        ]

    def _expectations(self) -> str:
        """Return what a run should hold, and what happens if it does not."""
        parts = [
            f"{name} {_by_modality({m: f'{n:,}' for m, n in values.items()})}"
            for name, values in (
                ("candidate pictures", self.expect.gallery),
                ("classes", self.expect.classes),
                ("people", self.expect.people),
                ("repeats", self.expect.repeats),
            )
            if values
        ]
        if not parts:
            return "nothing"
        return f"{'; '.join(parts)} (else {'an error' if self.strict else 'a note'})"


def _by_modality(values: Mapping[str, str], otherwise: str = "") -> str:
    if not values:
        return otherwise
    if set(values) == {"each"} or len(set(values.values())) == 1 == len(values):
        return next(iter(values.values()))
    return "; ".join(f"{m}: {v}" for m, v in values.items())


def unmet_note(label: str) -> str:
    """Return how the note of a score begins whose data are not what its protocol expects."""
    return f"not as {label} expects: "


def of_modality(values: ByModality[T], modality: Modality, otherwise: T) -> T:
    """Return the entry of a modality, else that for `each`, else another."""
    return values.get(modality, values.get("each", otherwise))


def protocol_names() -> list[str]:
    """Return the names of the protocols that ship, the default first."""
    return [DEFAULT, *sorted(n for n in _shipped() if n != DEFAULT)]


def load_protocol(name_or_file: str | Path = DEFAULT) -> Protocol:
    """Return a protocol that ships, by name, or one from a YAML file.

    Raises
    ------
    NeuroalignError
        There is neither; the file is not YAML; a field is unknown, missing, given twice or out of
        range; or the file takes the name of a protocol that ships.
    """
    text, where = protocol_text(name_or_file), str(name_or_file)
    protocol = read_protocol(text, where)
    for name, file in _shipped().items():
        alike = name.replace("/", "-") == protocol.name.replace("/", "-")
        taken = alike and where != name
        if taken and protocol != _validated(yaml.safe_load(file.read_text("utf-8")), name):
            raise NeuroalignError(
                f"{where} calls itself {protocol.name!r}, but a protocol of that name ships with "
                "neuroalign, and a score is filed under its protocol's name. Choose another `name`."
            )
    return protocol


def read_protocol(text: str, where: str) -> Protocol:
    """Return a protocol from its YAML; `where` is what its user calls it.

    Raises
    ------
    NeuroalignError
        It is not YAML; a field is unknown, missing, given twice or out of range.
    """
    return _validated(read_settings(text, where), where)


def protocol_text(name_or_file: str | Path = DEFAULT) -> str:
    """Return a protocol as it was written, comments included."""
    shipped = _shipped()
    if str(name_or_file) in shipped:
        return shipped[str(name_or_file)].read_text(encoding="utf-8")
    path = Path(name_or_file)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        name = str(name_or_file)
        like = [n for n in shipped if name in n] or get_close_matches(name, shipped)
        meant = f" Did you mean {' or '.join(sorted(like))}?" if name and like else ""
        raise NeuroalignError(
            f"There is no protocol {name!r}, and no such readable file.{meant} Those that "
            f"ship are {', '.join(protocol_names())}; `neuroalign protocols` says what they are."
        ) from error


def _shipped() -> dict[str, Traversable]:
    found: dict[str, Traversable] = {}
    root = files("neuroalign") / "protocols"
    for entry in root.iterdir():
        inner = entry.iterdir() if entry.is_dir() else [entry]
        prefix = f"{entry.name}/" if entry.is_dir() else ""
        for file in inner:
            if file.name.endswith(".yaml"):
                found[prefix + file.name.removesuffix(".yaml")] = file
    return found


def _validated(content: dict[str, Any], where: str) -> Protocol:
    try:
        return Protocol.model_validate(content)
    except ValidationError as error:
        lines = "\n  ".join(faults(error, Protocol))
        raise NeuroalignError(f"{where} is not a valid protocol:\n  {lines}") from error
