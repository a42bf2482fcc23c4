"""Build the pictures that ship with neuroalign from Debian's `tuxpaint-stamps-default`.

Run once, on a Debian machine with the packages `tuxpaint-stamps-default` and `librsvg2-bin`::

    python tools/build_stamps.py

`tools/stamps_selection.tsv` names the stamps that were chosen by eye, with their concept and
category. This script renders them, leaves out near duplicates and writes
`src/neuroalign/images/stamps/`. The same package versions give the same bytes.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image, ImageFilter

STAMPS = Path("/usr/share/tuxpaint/stamps")
GPL = Path("/usr/share/common-licenses/GPL-2")
SELECTION = Path(__file__).with_name("stamps_selection.tsv")
OUT = Path(__file__).parents[1] / "src/neuroalign/images/stamps"

SIZE = 224
FILL = 0.85  # share of the frame that the object's longer side takes
GREY = (128, 128, 128)
VISIBLE_ALPHA = 12  # fainter pixels are soft shadows' ends, and must not shrink the object
SAME_BRIGHTNESS = 0.88  # correlations above which two pictures count as near duplicates
SAME_OUTLINE = 0.70

ATTRIBUTION = """\
# The shipped pictures

{count} pictures in {categories} categories, made from the stamps of Tux Paint
(<https://tuxpaint.org>), as packaged by Debian in `tuxpaint-stamps-default`, version {version}.

- Copyright: 2002-2022 by Bill Kendrick and the contributors to Tux Paint Stamps; the Debian
  packaging 2002-2014 by Ben Armstrong and 2017-2022 by Jonathan Carter.
- Licence: GNU General Public License, version 2 or (at your option) any later version; the text
  is in `LICENSE`. It covers this folder. The code of neuroalign has its own licence.
- Source: <http://sourceforge.net/projects/tuxpaint>. The column `origin` of `pictures.tsv` names
  the stamp that each picture was made from, relative to `/usr/share/tuxpaint/stamps`.

Changes made by `tools/build_stamps.py`: a choice of stamps (no letters, numbers, symbols, signs,
flags, money, weapons or religious items); drawings in SVG rasterised with `rsvg-convert`; each
object cropped to what is visible, scaled so that its longer side takes {fill:.0%} of the frame,
centred on mid-grey (128) in {size} x {size} pixels and saved as WebP; near duplicates, mirrored or
recoloured ones included, left out.
"""


def main() -> None:
    """Build the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    out = parser.parse_args().out
    table = pd.read_csv(SELECTION, sep="\t")
    pictures = [render(STAMPS / source) for source in table["source"]]
    keep = without_near_duplicates(pictures, list(table["source"]))
    table = table.iloc[keep].reset_index(drop=True)
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    numbers = table.groupby("concept").cumcount() + 1
    slugs = table["concept"].str.lower().str.replace(" ", "-", regex=False)
    table.insert(0, "file", slugs + "-" + numbers.astype(str) + ".webp")
    for name, position in zip(table["file"], keep, strict=True):
        # Sharp chroma subsampling: without it, saturated outlines bleed into the grey.
        pictures[position].save(out / name, quality=95, method=6, use_sharp_yuv=True)
    table = table.rename(columns={"source": "origin"}).sort_values(["category", "file"])
    columns = ["file", "concept", "category", "origin"]
    table[columns].to_csv(out / "pictures.tsv", sep="\t", index=False)
    shutil.copyfile(GPL, out / "LICENSE")
    text = ATTRIBUTION.format(
        count=len(table),
        categories=table["category"].nunique(),
        version=debian_version(),
        fill=FILL,
        size=SIZE,
    )
    (out / "ATTRIBUTION.md").write_text(text)
    total = sum(f.stat().st_size for f in out.iterdir())
    print(f"{len(table)} pictures, {total / 1e6:.2f} MB, in {out}")
    print(table.groupby("category")["concept"].agg(["size", "nunique"]).to_string())


def render(source: Path) -> Image.Image:
    """Return the stamp as an RGB picture of SIZE x SIZE on mid-grey."""
    stamp = read(source)
    visible = stamp.getchannel("A").point(lambda a: 255 if a > VISIBLE_ALPHA else 0).getbbox()
    if visible is None:
        raise SystemExit(f"{source} is fully transparent")
    stamp = stamp.crop(visible)
    scale = FILL * SIZE / max(stamp.size)
    width, height = (max(1, round(side * scale)) for side in stamp.size)
    # Pillow resamples RGBA with premultiplied alpha: hidden colours cannot make a halo.
    stamp = stamp.resize((width, height), Image.Resampling.LANCZOS)
    frame = Image.new("RGB", (SIZE, SIZE), GREY)
    frame.paste(stamp, ((SIZE - width) // 2, (SIZE - height) // 2), stamp)
    return frame


def read(source: Path) -> Image.Image:
    """Return the stamp with its alpha channel."""
    if source.suffix == ".png":
        return Image.open(source).convert("RGBA")
    side = str(4 * SIZE)
    command = ["rsvg-convert", "--keep-aspect-ratio", "-w", side, "-h", side, str(source)]
    return Image.open(io.BytesIO(subprocess.run(command, check=True, capture_output=True).stdout))


def without_near_duplicates(pictures: list[Image.Image], names: list[str]) -> list[int]:
    """Return the positions to keep: the first of each group of near duplicates.

    Compared are brightness patterns and outlines, as they are and mirrored; outlines also find
    the same drawing in another colour.
    """
    brightness, outline = similarities(pictures)
    dropped: set[int] = set()
    for i, j in combinations(range(len(pictures)), 2):
        if i in dropped or j in dropped:
            continue
        if brightness[i, j] > SAME_BRIGHTNESS or outline[i, j] > SAME_OUTLINE:
            dropped.add(j)
            print(
                f"left out {names[j]}: like {names[i]} "
                f"(brightness {brightness[i, j]:.2f}, outline {outline[i, j]:.2f})"
            )
    return [i for i in range(len(pictures)) if i not in dropped]


def similarities(
    pictures: list[Image.Image],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return two (n, n) arrays: correlations of brightness and of outlines, best of mirrorings."""
    grey = np.stack(
        [np.asarray(p.convert("L").filter(ImageFilter.BoxBlur(2)), float) for p in pictures]
    )
    across, down = np.gradient(grey, axis=2), np.gradient(grey, axis=1)
    return _correlations(grey[:, 2::5, 2::5]), _correlations(np.hypot(across, down)[:, 1::3, 1::3])


def _correlations(pictures: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    mirrored = pictures[:, :, ::-1]
    a, b = (_standard(x.reshape(len(x), -1)) for x in (pictures, mirrored))
    return np.maximum(a @ a.T, a @ b.T)


def _standard(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    rows = rows - rows.mean(1, keepdims=True)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def debian_version() -> str:
    """Return the version of the installed Debian package."""
    command = ["dpkg-query", "-W", "-f", "${Version}", "tuxpaint-stamps-default"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
