"""What a run was trained on, what was dropped, and everything needed to repeat it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from html import escape

from neuroalign.recipe import dump_recipe
from neuroalign.report.contents import RunContents, sealed
from neuroalign.report.page import folded
from neuroalign.report.score_tables import plain_table_html
from neuroalign.report.style import KIND_NAMES

_MOST_ROWS = 200


def data_section(contents: RunContents) -> str:
    """Return people, trials, pictures, and what was dropped and why, as HTML."""
    parts = [_data_table(contents), _targets(contents), _trials_by_person(contents)]
    return "".join(parts) + _dropped(contents)


def provenance_section(contents: RunContents, others: Sequence[RunContents]) -> str:
    """Return recipe, versions, seed, space, preprocessing and checksums as HTML."""
    record, recipe = contents.record, contents.recipe
    start = record.get("start", {})
    rows: list[tuple[object, object]] = [
        ("common space", record.get("space", "")),
        ("image encoder", recipe.encoder),
        ("pictures", recipe.pictures),
        ("seed", recipe.seed),
        ("alignment", recipe.align),
        ("chosen epochs", _pairs(record.get("best_epochs", {}))),
        ("start", "; ".join(f"{m}: {_pairs(c)}" for m, c in start.items())),
        ("device", f"{record.get('device', '')}, {record.get('devices', 1)} process(es)"),
        ("started, finished", f"{record.get('started', '')}, {record.get('finished', '')}"),
        ("seconds", _pairs(record.get("seconds", {}))),
        (
            "versions",
            _pairs({"neuroalign": record.get("neuroalign"), **record.get("versions", {})}),
        ),
        ("model file", _bundle_digest(contents)),
    ]
    kept = [(a, b) for a, b in rows if b not in ("", None)]
    runs = [("this run", dump_recipe(recipe))]
    runs += [(other.path.name, dump_recipe(other.recipe)) for other in others]
    return (
        plain_table_html("How this run came about.", ["what", "value"], kept)
        + "".join(folded(f"Recipe of {name}", f"<pre>{escape(text)}</pre>") for name, text in runs)
        + _steps(contents)
        + _checksums(contents)
    )


def _data_table(contents: RunContents) -> str:
    rows = []
    for modality in contents.modalities:
        split, recordings = contents.split, contents.recordings.get(modality)
        own = None if split is None else split[split["modality"] == modality]
        count = {} if own is None else own["part"].value_counts().to_dict()
        people = "-" if own is None else str(own["subject"].nunique())
        shown = trial = source = "-"
        if recordings is not None:
            table = recordings.trials
            by_part = table.groupby("split")["stimulus"].nunique()
            shown = f"{by_part.get('train', 0)} / {by_part.get('test', 0)}"
            if table["stimulus"].isna().all():
                shown = f"none; {table['label'].nunique()} classes"
            info = recordings.info
            shapes = sorted({i.shape for i in info.subjects.values()})
            sizes = " or ".join(" x ".join(map(str, s)) for s in shapes[:3])
            more = ", ..." if len(shapes) > 3 else ""
            trial = f"{sizes}{more} ({' x '.join(info.axes)}), {info.units}"
            source = info.source or recordings.path.name
            source += f"; {info.licence}" if info.licence else ""
        rows.append(
            [
                KIND_NAMES[modality],
                people,
                f"{count.get('train', 0)} / {count.get('validation', 0)} / {count.get('test', 0)}"
                if count
                else "-",
                shown,
                trial,
                source,
            ]
        )
    heads = ["modality", "people", "trials: train / validation / test"]
    heads += ["pictures: train / test", "a trial", "source"]
    return plain_table_html(f"The recordings{_word(contents)}.", heads, rows)


def _targets(contents: RunContents) -> str:
    targets = contents.record.get("targets") or {}
    if not targets:
        return ""
    lines = "".join(
        f"<li>{escape(str(label))}: {escape(str(source))}</li>" for label, source in targets.items()
    )
    return (
        "<p>Some trials carry a class and no picture. Their target is the class's own:</p>"
        f"<ul>{lines}</ul>"
    )


def _trials_by_person(contents: RunContents) -> str:
    if contents.split is None:
        return ""
    table = contents.split.pivot_table(
        index=["modality", "subject"], columns="part", values="array_row", aggfunc="count",
        fill_value=0, observed=True,
    ).astype(int)  # fmt: skip
    parts = [p for p in ("train", "validation", "test") if p in table]
    rows = [[*key, *row] for key, row in zip(table.index, table[parts].to_numpy(), strict=True)]
    caption = f"Trials of each person{_word(contents)}."
    return folded(
        "Trials of each person", plain_table_html(caption, ["modality", "person", *parts], rows)
    )


def _dropped(contents: RunContents) -> str:
    dropped = contents.record.get("dropped")
    if dropped is None:
        dropped = [
            {"modality": m, **d.model_dump()}
            for m, r in contents.recordings.items()
            for d in r.info.dropped
        ]
    if not dropped:
        return "<p>Nothing was dropped when the recordings were prepared.</p>"
    rows = [[d.get(c, "") for c in ("modality", "where", "trials", "reason")] for d in dropped]
    total = sum(int(d.get("trials", 0)) for d in dropped)
    shown = plain_table_html(
        f"Dropped when the recordings were prepared: {total} trials.",
        ["modality", "where", "trials", "reason"],
        rows[:_MOST_ROWS],
    )
    if len(rows) > _MOST_ROWS:
        shown += f"<p class=note>{len(rows) - _MOST_ROWS} more rows are in run.json.</p>"
    return shown if len(rows) <= 12 else folded(f"Dropped: {total} trials, with reasons", shown)


def _steps(contents: RunContents) -> str:
    rows = [
        [KIND_NAMES[m], s.name, _pairs(s.parameters), s.fitted_on or "-", _pairs(s.versions)]
        for m, r in contents.recordings.items()
        for s in r.info.steps
    ]
    if not rows:
        return ""
    heads = ["modality", "step", "parameters", "statistics from", "versions"]
    return folded(
        "Preprocessing",
        plain_table_html(f"Preprocessing steps, in order{_word(contents)}.", heads, rows),
    )


def _checksums(contents: RunContents) -> str:
    rows = [
        [KIND_NAMES.get(m, m), subject, digest]
        for m, people in sealed(contents).items()
        for subject, digest in people.items()
    ]
    if not rows:
        return ""
    return folded(
        "Checksums of the signals",
        plain_table_html(
            f"SHA-256 of each signal file{_word(contents)}.",
            ["modality", "person", "SHA-256"],
            rows,
        ),
    )


def _bundle_digest(contents: RunContents) -> str:
    file = contents.path / "bundle" / "model.safetensors"
    if not file.is_file():
        return ""
    with file.open("rb") as content:
        return f"SHA-256 {hashlib.file_digest(content, 'sha256').hexdigest()}"


def _word(contents: RunContents) -> str:
    return " (simulated recordings)" if contents.simulated else ""


def _pairs(mapping: object) -> str:
    if not isinstance(mapping, dict):
        return str(mapping)
    return ", ".join(f"{k} {v}" for k, v in mapping.items() if v is not None)
