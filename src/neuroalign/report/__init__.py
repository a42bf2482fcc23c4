"""Figures, picture grids and the HTML report of a run."""

from neuroalign.report.grids import draw_retrieval, retrieval_grid
from neuroalign.report.html import write_report
from neuroalign.report.picture_files import PictureFiles
from neuroalign.report.recordings_figures import recording_figure

__all__ = ["PictureFiles", "draw_retrieval", "recording_figure", "retrieval_grid", "write_report"]
