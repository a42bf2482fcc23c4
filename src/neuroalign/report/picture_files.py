"""Where the pictures of a run lie, and which of them may stand for an item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from neuroalign.errors import NeuroalignError
from neuroalign.images.pictures import open_picture

_PIXELS = 224


@dataclass(frozen=True)
class PictureFiles:
    """Picture files by stimulus, and an example for each class.

    Parameters
    ----------
    by_stimulus : mapping from stimulus to file
    by_label : mapping from class to the file of one of its pictures
    """

    by_stimulus: Mapping[str, Path] = field(default_factory=dict)
    by_label: Mapping[str, Path] = field(default_factory=dict)

    @classmethod
    def from_items(cls, items: pd.DataFrame) -> PictureFiles:
        """Read the `path` column of embedded pictures; without one, no files are known."""
        if "path" not in items:
            return cls()
        known = items[items["path"].notna() & items["stimulus"].notna()]
        stimuli = {str(s): Path(p) for s, p in zip(known["stimulus"], known["path"], strict=True)}
        # The first by name is the example of its class, whatever the order of the table.
        known = known[known["label"].notna()].sort_values("stimulus", kind="stable")
        first = known.drop_duplicates("label")
        labels = {str(s): Path(p) for s, p in zip(first["label"], first["path"], strict=True)}
        return cls(stimuli, labels)

    def of(self, item: pd.Series[Any]) -> tuple[Path | None, bool]:
        """Return the file for an item, and whether it only shows an example of its class."""
        if pd.notna(item["stimulus"]):
            return self.by_stimulus.get(str(item["stimulus"])), False
        if pd.notna(item["label"]):
            return self.by_label.get(str(item["label"])), True
        return None, False


def thumbnail(path: Path | None, pixels: int = _PIXELS) -> Image.Image | None:
    """Return a picture, at most `pixels` wide and high; None where the file is gone or damaged."""
    if path is None:
        return None
    try:
        picture = open_picture(path)
    except NeuroalignError:
        return None
    picture.thumbnail((pixels, pixels))
    return picture


def caption(item: pd.Series[Any]) -> str:
    """Name what an item shows: its picture, or its class."""
    if pd.notna(item["stimulus"]):
        return Path(str(item["stimulus"])).name
    return f"class {item['label']}" if pd.notna(item["label"]) else "unknown"
