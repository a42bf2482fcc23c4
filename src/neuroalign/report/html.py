"""The report of a run: one HTML file that needs nothing else, and its figures as files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

from neuroalign.assess import IDEAL, RIDGE
from neuroalign.assess.ceiling_choice import RELIABILITY
from neuroalign.evaluation.ceilings import MEASURED
from neuroalign.evaluation.floors import SIGNAL_BLIND, UNTRAINED
from neuroalign.evaluation.scores import Score
from neuroalign.evaluation.tables import display_table
from neuroalign.files import atomic_file, atomic_folder
from neuroalign.report.audited import accepted_banner, audit_section
from neuroalign.report.contents import RunContents, read_contents
from neuroalign.report.drawings import EXAMPLES, Drawing, draw_all
from neuroalign.report.further import further_section
from neuroalign.report.page import Section, figure_html, folded, page
from neuroalign.report.provenance import data_section, provenance_section
from neuroalign.report.score_tables import (
    is_difference,
    models_table_html,
    plain_table_html,
    reasons_html,
    score_table_html,
    shown_first,
)
from neuroalign.report.verdict import verdict

_PRIVACY = (
    '<div class="privacy"><p><b>Decoded content is personal.</b> It comes from recordings of '
    "people's brains: treat it, and this file, as you treat the recordings. A retrieved picture "
    "is the nearest of the given candidates; it is <b>not</b> what the person saw, imagined or "
    "thought, and a candidate is returned even where nothing fits.</p></div>"
)
_BANNER = (
    '<div class="banner" role="note"><b>SIMULATED recordings.</b> No brain was measured: every '
    "score and figure below comes from a generative model of EEG, MEG or fMRI, whose ideal "
    "observer is known. It shows that the method runs, and says nothing about people.</div>"
)


def write_report(run: str | Path, beside: Sequence[str | Path] = ()) -> Path:
    """Write `report.html` and the folder `figures/` of a run.

    Parts that are missing are left out, and the report says so: recordings that were moved (no
    scalp maps), a run that was not evaluated, a single modality (no conversion).

    Parameters
    ----------
    run : Path
        A run folder.
    beside : sequence of Path
        Other runs on the same recordings (another preset, an ablation of the alignment), whose
        scores and training curves stand beside.

    Returns
    -------
    Path
        The report.

    Raises
    ------
    NeuroalignError
        A folder is no finished run, or a file in it is damaged.
    """
    contents = read_contents(Path(run))
    others = [read_contents(Path(other)) for other in beside]
    scores = joined_scores(contents, others)
    everyone = [s for s in scores if s.subject == "all"]
    compared = [s for s in everyone if s.task != RELIABILITY]
    models = list(dict.fromkeys(s.model for s in compared if not is_difference(s)))
    last = {m: i for i, m in enumerate((RIDGE, UNTRAINED, SIGNAL_BLIND, *MEASURED, IDEAL), 1)}
    models.sort(key=lambda name: -1 if name == contents.model else last.get(name, 0))
    with atomic_folder(contents.path / "figures", overwrite=True) as folder:
        drawings = draw_all(contents, others, models, compared, folder)
    report = contents.path / "report.html"
    with atomic_file(report) as partial:
        partial.write_text(_document(contents, others, everyone, models, drawings), "utf-8")
    return report


def joined_scores(contents: RunContents, others: Sequence[RunContents]) -> list[Score]:
    """Return a run's scores and those of other runs' own models, told apart by name."""
    scores = list(contents.scores)
    for other in others:
        taken = {s.model for s in scores}
        name = other.model if other.model not in taken else f"{other.model} ({other.path.name})"
        scores += [replace(s, model=name) for s in other.scores if s.model == other.model]
    return scores


def _document(
    contents: RunContents,
    others: Sequence[RunContents],
    everyone: Sequence[Score],
    models: Sequence[str],
    drawings: Sequence[Drawing],
) -> str:
    # Drawing is what finds out that a view no longer fits: the notes come last.
    sections = [
        Section("data", "What was trained on what", data_section(contents)),
        Section("audit", "The audit of the split", audit_section(contents)),
        *_task_sections(contents, everyone, drawings),
        Section("protocols", "Other protocols", further_section(contents)),
        Section("models", "Models side by side", _models(contents, everyone, models, drawings)),
        Section("training", "Training curves", _figures(drawings, "training", _TRAINING)),
        Section("map", "The common space", _figures(drawings, "map", _MAP)),
        Section("people", "Each person", _people(contents)),
        Section("provenance", "Provenance", provenance_section(contents, others)),
    ]
    return page(f"{contents.recipe.name}: neuroalign report", _opening(contents, others), sections)


def _opening(contents: RunContents, others: Sequence[RunContents]) -> str:
    record = contents.record
    finished = str(record.get("finished", ""))[:10]
    meta = [
        f"run {contents.path.name}",
        f"model {contents.model}",
        f"neuroalign {record.get('neuroalign', '')}",
        finished,
    ]
    if others:
        meta.append("beside: " + ", ".join(o.path.name for o in others))
    gaps = "".join(f"<li>{escape(note)}</li>" for note in contents.missing)
    return (
        f"<h1>{escape(contents.recipe.name)}</h1>"
        f'<p class="verdict">{escape(verdict(contents.scores, contents.model))}</p>'
        f'<p class="meta">{escape(" · ".join(m for m in meta if m))}</p>'
        + accepted_banner(contents, others)
        + (_BANNER if contents.simulated else "")
        + _PRIVACY
        + (
            f'<p class="note">Missing from this report:</p><ul class="note">{gaps}</ul>'
            * bool(gaps)
        )
    )


_TASKS = {
    "decoding": (
        "Decoding",
        "A recording is embedded and the candidate pictures are ranked by their cosine "
        "similarity to it.",
    ),
    "classification": (
        "Decoding of classes",
        "These recordings carry a class, and no picture. A recording is embedded and the classes "
        "are ranked; a class lies at the mean embedding of its pictures.",
    ),
    "encoding": (
        "Encoding",
        "A picture is embedded and the test recordings of one modality are ranked; each is judged "
        "by the picture that was shown with it, or by its class where that picture is not known.",
    ),
    "conversion": (
        "Conversion",
        "A recording of one modality is embedded and the test recordings of another are "
        "ranked. Normalised: divided by the decoding score of the retrieved modality, as "
        "in the paper.",
    ),
}
_KEY = (
    "In the column 0 to 1: the dot is the score, the bar its 95 % interval (green where all of it "
    "lies above chance), the dotted line chance, the violet line the ceiling: what the ideal "
    "observer attains where recordings are simulated; else how well a person's own repeats (or "
    "other people) find the picture or the class, which is no bound. The share of the way counts "
    "from chance to it. p: permutation of labels over pictures, corrected for the cells of this "
    "model."
)
_TRAINING = (
    "Above the training loss, below the validation score (2-way against other validation "
    "targets; chance 0.5). Epoch 0 is the start before any training. Thin lines: other runs."
)
_MAP = (
    "The two leading principal components of the candidate pictures in the common space. Dots "
    "are test recordings, averaged over people; a line joins each to its picture (or the centre "
    "of its class; crosses are then single items). Distances in a plane show a small part of the "
    "space: scores count all of it."
)


def _task_sections(
    contents: RunContents, everyone: Sequence[Score], drawings: Sequence[Drawing]
) -> list[Section]:
    sections = []
    own = [s for s in everyone if s.model == contents.model]
    tasks = dict.fromkeys([*_TASKS, *(s.task for s in own)])
    number = 0
    for task in tasks:
        heading, explanation = _TASKS.get(task, (task.capitalize(), ""))
        scores = [s for s in own if s.task == task]
        body = ""
        if scores:
            number += 1
            caption = f"Table {number}. {heading}{_simulated(contents)}, all people."
            first = shown_first(scores, contents.datasets)
            body += score_table_html(first, caption, contents.datasets)
            body += reasons_html(scores, contents.datasets)
            if len(first) < len(scores):
                every = score_table_html(scores, caption, contents.datasets)
                body += folded("All metrics", every)
        if scores and number == 1:
            body += f'<p class="note">{_KEY}</p>'
        if task == "conversion":
            body += _figures(drawings, "matrix", _matrix_caption(own))
        examples = [d for d in drawings if d.section == task]
        if examples:
            body += f"<h3>Examples{_simulated(contents)}</h3><p class=note>{_examples()}</p>"
            body += "".join(figure_html(d.uri, d.title, _file(d)) for d in examples)
        if body:
            sections.append(Section(task, heading, f"<p>{explanation}</p>{body}"))
    return sections


def _file(drawing: Drawing) -> str:
    return f"File: figures/{drawing.name}.pdf"


def _examples() -> str:
    return (
        f"{EXAMPLES} queries each, drawn at random with the run's seed and not by how well they "
        "came out; with the five best candidates. Dark green frame: the right picture; light "
        "green: the right class."
    )


def _matrix_caption(own: Sequence[Score]) -> str:
    levels = sorted({round(s.chance, 2) for s in own if s.metric == "two_way_retrieved"})
    chance = (
        " to ".join(f"{c:.2f}" for c in dict.fromkeys([levels[0], levels[-1]])) if levels else ""
    )
    return (
        "2-way from the retrieved item, with its 95 % interval: decoding is the first column, "
        f"encoding the first row, conversion the rest. Chance: {chance}."
    )


def _models(
    contents: RunContents,
    everyone: Sequence[Score],
    models: Sequence[str],
    drawings: Sequence[Drawing],
) -> str:
    if not everyone:
        return ""
    plain = [s for s in everyone if not s.metric.endswith("_normalised") and s.task != RELIABILITY]
    charts = [d for d in drawings if d.section == "models"]
    caption = f"Models side by side{_simulated(contents)}: score and 95 % interval, all people."
    return (
        "".join(figure_html(d.uri, d.title, _file(d)) for d in charts)
        + folded("All numbers", models_table_html(plain, models, caption))
        + _reliability(contents, everyone)
    )


def _reliability(contents: RunContents, everyone: Sequence[Score]) -> str:
    """Return how far the recordings agree with themselves, whatever the model."""
    found = [s for s in everyone if s.task == RELIABILITY]
    if not found:
        return ""
    table = display_table(found).drop(columns=["task", "metric", "people", "gallery", "chance"])
    caption = (
        f"Reliability of the test recordings{_simulated(contents)}: the share of the variance over "
        "pictures that the picture decides, averaged over features and people."
    )
    rows = table.itertuples(index=False, name=None)
    return folded("Reliability", plain_table_html(caption, list(table.columns), rows))


def _people(contents: RunContents) -> str:
    own = [s for s in contents.scores if s.subject != "all" and s.model == contents.model]
    if not own:
        return ""
    table = display_table(own).drop(columns=["model"])
    caption = f"Each person{_simulated(contents)}, model {contents.model}."
    rows = table.itertuples(index=False, name=None)
    return folded("Scores by person", plain_table_html(caption, list(table.columns), rows))


def _figures(drawings: Sequence[Drawing], section: str, caption: str) -> str:
    return "".join(
        figure_html(d.uri, d.title, f"{d.title}. {caption} {_file(d)}")
        for d in drawings
        if d.section == section
    )


def _simulated(contents: RunContents) -> str:
    return " (simulated recordings)" if contents.simulated else ""
