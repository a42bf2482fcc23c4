"""The files of the Natural Scenes Dataset in a folder: which are there, and what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from neuroalign.errors import MissingDependencyError, NeuroalignError
from neuroalign.images.bricks import brick_length
from neuroalign.recordings.quality import Finding, Severity
from neuroalign.recordings.readers.contract import Part, Plan
from neuroalign.recordings.readers.nsd_betas import (
    HDF5,
    NIFTI,
    Region,
    check_betas,
    lies_elsewhere,
    read_ncsnr,
    read_region,
)
from neuroalign.recordings.readers.nsd_design import (
    PICTURES,
    SESSIONS,
    TRIALS,
    Design,
    contradictions_with_info,
    contradictions_with_responses,
    read_design,
    read_info,
)

if TYPE_CHECKING:
    from neuroalign.recordings.readers.nsd import NsdOptions

BRICK = "imgBrick"
_EXPERIMENT = Path("nsddata/experiments/nsd")
_STIMULI = Path("nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5")
_SESSION = re.compile(r"betas_session(\d\d)(\.hdf5|\.nii\.gz)")
_VERSIONS = ("betas_assumehrf", "betas_fithrf", "betas_fithrf_GLMdenoise_RR")
#: Volumes of 1.8 mm and voxels of nsdgeneral of person 1, 2, ..., as published.
_VOLUMES = (
    ((81, 104, 83), 15_724),
    ((82, 106, 84), 14_278),
    ((81, 106, 82), 15_226),
    ((85, 99, 80), 13_153),
    ((79, 97, 78), 13_039),
    ((85, 113, 83), 17_907),
    ((78, 95, 81), 12_682),
    ((80, 103, 78), 14_386),
)
_SUFFIXES = {"auto": (HDF5, NIFTI), "hdf5": (HDF5,), "nifti": (NIFTI,)}

T = TypeVar("T")


@dataclass
class _Report:
    """What is wrong, with paths relative to the folder."""

    folder: Path
    findings: list[Finding]

    def add(self, where: Path | str, what: str, severity: Severity = "fatal", n: int = 1) -> None:
        if isinstance(where, Path):
            where = str(where.relative_to(self.folder))
        self.findings.append(Finding(where, what, severity, n))

    def tried(self, path: Path, function: Callable[[], T]) -> T | None:
        """Return what `function` returns, or None if it found something wrong with `path`."""
        if not path.is_file():
            self.add(path, "it is a folder, expected a file" if path.is_dir() else "it is missing")
            return None
        if path.stat().st_size == 0:
            self.add(path, "it is empty (0 bytes): download it again")
            return None
        try:
            return function()
        except MissingDependencyError:
            raise
        except NeuroalignError as error:
            self.add(path, str(error))
            return None


def plan_files(
    folder: Path, options: NsdOptions, published: Sequence[str], wanted: Sequence[str] | None
) -> Plan:
    """List the sessions of some people (None: of all there are), and everything that is wrong."""
    report = _Report(folder, [])
    people = _people(report, published, wanted)
    experiment = folder / _EXPERIMENT
    design_file = experiment / "nsd_expdesign.mat"
    design = report.tried(design_file, lambda: read_design(design_file))
    for remark in design.remarks if design else ():
        report.add(design_file, remark, "warning")
    shared = {
        "design": str(design_file),
        "info": _info(report, experiment / "nsd_stim_info_merged.csv", design, people),
        "stimuli": _stimuli(report, folder / _STIMULI),
    }
    parts = []
    for subject in people:
        if design is not None:
            _responses(report, subject, design)
        parts += _parts(report, subject, options, shared)
    return Plan(tuple(parts), tuple(report.findings))


def _parts(
    report: _Report, subject: str, options: NsdOptions, shared: Mapping[str, str | None]
) -> list[Part]:
    files = _sessions(report, subject, options)
    mask = _region_file(report, subject, options.roi)
    if mask is None:
        return []
    region = report.tried(mask, partial(read_region, mask, options.roi_values))
    if region is None:
        return []
    _expected_voxels(report, mask, region, options, int(subject[-2:]))
    sound = [(k, p) for k, p in files if report.tried(p, partial(check_betas, p, region))]
    ncsnr = _ncsnr(report, subject, options, region)
    for path in (*(p for _, p in sound), *([] if ncsnr is None else [Path(ncsnr)])):
        if lies_elsewhere(path, region):
            what = f"its affine differs from that of {mask.name}: do they lie at the same place?"
            report.add(path, what, "warning")
    tables = (shared["design"], str(mask), ncsnr)
    known = [Path(p) for p in tables if p is not None and Path(p).is_file()]
    return [
        Part(
            subject,
            f"{subject}_session{session:02d}",
            (path, *known),
            TRIALS,
            {**shared, "session": session, "roi": str(mask), "ncsnr": ncsnr},
        )
        for session, path in sound
    ]


def _people(
    report: _Report, published: Sequence[str], wanted: Sequence[str] | None
) -> tuple[str, ...]:
    root = report.folder / "nsddata_betas" / "ppdata"
    there = sorted(p.name for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
    strangers = [n for n in there if re.fullmatch(r"sub\S*", n) and n not in published]
    if strangers:
        what = f"not among the published people ({published[0]} to {published[-1]}): left out"
        report.add(root, f"{', '.join(strangers)}: {what}", "warning", len(strangers))
    known = tuple(n for n in there if n in published)
    lacking = [n for n in wanted or () if n not in known]
    if lacking:
        here = ", ".join(known) or "nobody"
        report.add(root, f"{', '.join(lacking)} asked for; there is {here}", n=len(lacking))
    if wanted is None and not known:
        report.add(root, f"it holds no folder of a person ({published[0]}, ...)")
    return known if wanted is None else tuple(n for n in wanted if n in known)


def _info(report: _Report, path: Path, design: Design | None, people: Sequence[str]) -> str | None:
    if not path.exists():
        what = "not there: COCO numbers stay unknown, and the design is checked against less"
        report.add(path, what, "note")
        return None
    numbers = tuple(int(s[-2:]) for s in people)
    info = report.tried(path, lambda: read_info(path, numbers))
    if info is None:
        return None
    if info.missing:
        what = f"it lacks the column(s) {', '.join(info.missing)}: not checked, or unknown"
        report.add(path, what, "warning", len(info.missing))
    for problem in contradictions_with_info(design, info, numbers) if design else ():
        report.add(path, problem)
    return str(path)


def _stimuli(report: _Report, path: Path) -> str | None:
    if not path.exists():
        what = "not there: the table of pictures has no paths, so nothing can be trained on it yet"
        report.add(path, what, "warning")
        return None

    def length() -> int:
        try:
            return brick_length(path, BRICK)
        except MissingDependencyError:
            raise
        except (OSError, ValueError) as error:
            raise NeuroalignError(f"its pictures cannot be read: {error}") from error

    found = report.tried(path, length)
    if found is not None and found != PICTURES:
        report.add(path, f"{BRICK} holds {found} pictures, expected {PICTURES}")
    return str(path)


def _beta_folder(report: _Report, subject: str, options: NsdOptions) -> Path:
    return report.folder / "nsddata_betas/ppdata" / subject / "func1pt8mm" / options.betas


def _sessions(report: _Report, subject: str, options: NsdOptions) -> list[tuple[int, Path]]:
    """Return the files of a person's sessions, in order, and report those that are not there."""
    folder = _beta_folder(report, subject, options)
    if not folder.is_dir():
        there = [v for v in _VERSIONS if (folder.parent / v).is_dir()]
        what = f"not there; there is {', '.join(there)} (--betas)" if there else "not there"
        report.add(folder, what)
        return []
    suffixes = _SUFFIXES[options.container]
    published = SESSIONS[int(subject[-2:]) - 1]
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda p: (p.name.endswith(NIFTI), p.name)):
        match = _SESSION.fullmatch(path.name)
        if match is None or not 1 <= int(match[1]) <= published:
            if path.name.startswith("betas_session"):
                report.add(
                    path, f"not one of the {published} published sessions: left out", "warning"
                )
        elif match[2] in suffixes:
            found.setdefault(int(match[1]), path)
    last = min(options.sessions or published, published)
    missing = [k for k in range(1, last + 1) if k not in found]
    names = ", ".join(f"{k:02d}" for k in missing[:12]) + (", ..." if len(missing) > 12 else "")
    kinds = " or ".join(suffixes)
    if not found:
        report.add(folder, f"no betas_session01 ({kinds}) or other session in it")
    elif missing and (options.sessions is not None or missing[0] < max(found)):
        what = f"{len(missing)} of {last} sessions missing ({names}; {kinds})"
        report.add(folder, f"{what}: trials before and after would not join up", n=len(missing))
    elif missing:
        what = f"{last - len(missing)} of {published} sessions there, without {names}"
        report.add(folder, f"{what}: prepared without them", "warning", len(missing))
    if options.sessions is not None and options.sessions > published:
        what = f"has {published} sessions, fewer than the {options.sessions} asked for"
        report.add(subject, what, "note")
    return [(k, found[k]) for k in range(1, last + 1) if k in found]


def _region_file(report: _Report, subject: str, roi: str) -> Path | None:
    folder = report.folder / "nsddata/ppdata" / subject / "func1pt8mm/roi"
    path = folder / f"{roi}{NIFTI}"
    if Path(roi).name == roi and path.exists():
        return path
    there = sorted(p.name.removesuffix(NIFTI) for p in folder.glob(f"*{NIFTI}"))
    what = f"no mask {roi!r}; there is {', '.join(there[:20]) or 'none'}"
    report.add(folder, f"{what} (--roi)" if there else what)
    return None


def _expected_voxels(
    report: _Report, path: Path, region: Region, options: NsdOptions, person: int
) -> None:
    shape, voxels = _VOLUMES[person - 1]
    if region.shape != shape:
        what = f"volumes of {region.shape}, published {shape}: cut out, resampled or a miniature"
        report.add(path, what, "note")
    elif options.roi == "nsdgeneral" and not options.roi_values and len(region.index) != voxels:
        what = f"{len(region.index)} voxels, published {voxels}: the mask was changed"
        report.add(path, what, "warning")


def _ncsnr(report: _Report, subject: str, options: NsdOptions, region: Region) -> str | None:
    path = _beta_folder(report, subject, options) / f"ncsnr{NIFTI}"
    if not path.exists():
        report.add(path, "not there: the recordings get no noise ceilings from it", "note")
        return None
    ratio = report.tried(path, lambda: read_ncsnr(path, region))
    if ratio is None:
        return None
    lost = int((~np.isfinite(ratio) | (ratio < 0)).sum())
    if lost:
        what = f"{lost} voxel(s) of the mask are NaN, infinite or negative: taken as 0, no signal"
        report.add(path, what, "warning", lost)
    return str(path)


def _responses(report: _Report, subject: str, design: Design) -> None:
    path = report.folder / "nsddata/ppdata" / subject / "behav/responses.tsv"
    if not path.exists():
        return
    problem = report.tried(
        path, lambda: contradictions_with_responses(design, path, int(subject[-2:])) or ""
    )
    if problem:
        report.add(path, problem)
