"""Write CTF recordings (`.ds` folders), small or long: MNE reads the format but cannot write it.

A `.ds` folder holds `<name>.res4` (a header of fixed layout, big-endian), `<name>.meg4` (32-bit
integers, block by block, channel by channel) and `<name>.hc` (where the head coils were).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

#: Kinds of channels, by the numbers that the header uses.
KINDS = {"ref_mag": 0, "ref_grad": 1, "meg": 5, "eeg": 9, "stim": 11, "clock": 17, "adc": 18}
_RUN_DESCRIPTION = 1844
_COIL = np.dtype(
    [
        ("position_cm", ">f8", 3),
        ("pad0", ">f8"),
        ("normal", ">f8", 3),
        ("pad1", ">f8"),
        ("turns", ">i2"),
        ("pad2", ">i4"),
        ("pad3", ">i2"),
        ("area_cm2", ">f8"),
    ]
)
_CHANNEL = np.dtype(
    [
        ("kind", ">i2"),
        ("original_run", ">i2"),
        ("coil_shape", ">i4"),
        ("proper_gain", ">f8"),
        ("q_gain", ">f8"),
        ("io_gain", ">f8"),
        ("io_offset", ">f8"),
        ("coils", ">i2"),
        ("gradient_order", ">i2"),
        ("pad", ">i4"),
        ("coil", _COIL, 8),
        ("head_coil", _COIL, 8),
    ]
)
_BALANCING = np.dtype(
    [
        ("sensor", "S32"),
        ("kind", ">i4"),
        ("pad", ">i4"),
        ("references", ">i2"),
        ("names", "S31", 50),
        ("weights", ">f8", 50),
    ]
)
_FIRST_ORDER = int.from_bytes(b"G1BR", "big")
_HEAD_COILS = """\
standard {name} coil position relative to dewar (cm):
\tx = {x}
\ty = {y}
\tz = {z}
measured {name} coil position relative to dewar (cm):
\tx = {x}
\ty = {y}
\tz = {z}
measured {name} coil position relative to head (cm):
\tx = {x}
\ty = {y}
\tz = {z}
"""


@dataclass(frozen=True)
class CtfChannel:
    """A channel: its whole name (`MLC11-1609`), a key of `KINDS`, and what the number 1 means.

    `unit` is in teslas for sensors, in seconds for the clock, in volts or codes otherwise.
    """

    name: str
    kind: str
    unit: float = 1.0


def write_ctf(
    folder: Path,
    channels: Sequence[CtfChannel],
    sfreq: float,
    blocks: Iterator[npt.NDArray[np.int32]] | Sequence[npt.NDArray[np.int32]],
    n_blocks: int,
    block_samples: int,
) -> Path:
    """Write a recording as `blocks`, each of shape (channels, block_samples)."""
    folder.mkdir(parents=True)
    stem = folder / folder.stem
    header = _header(channels, sfreq, n_blocks, block_samples)
    stem.with_suffix(".res4").write_bytes(header)
    points = {"nasion": (8, 0, -20), "left ear": (0, 7, -20), "right ear": (0, -7, -20)}
    coils = [
        _HEAD_COILS.format(name=n, x=float(x), y=float(y), z=float(z))
        for n, (x, y, z) in points.items()
    ]
    stem.with_suffix(".hc").write_text("".join(coils))
    with stem.with_suffix(".meg4").open("wb") as file:
        file.write(b"MEG41CP\x00")
        for block in blocks:
            assert block.shape == (len(channels), block_samples)
            file.write(np.ascontiguousarray(block, ">i4").tobytes())
    return folder


def read_integers(folder: Path, n_channels: int, block_samples: int) -> npt.NDArray[np.int32]:
    """Return all samples of a recording as they are stored, shape (channels, samples)."""
    raw = np.fromfile(folder / f"{folder.stem}.meg4", ">i4", offset=8)
    blocks = raw.reshape(-1, n_channels, block_samples)
    return blocks.transpose(1, 0, 2).reshape(n_channels, -1).astype(np.int32)


def write_integers(folder: Path, samples: npt.NDArray[np.int32], block_samples: int) -> None:
    """Replace all samples of a recording, given with the shape (channels, samples)."""
    n_channels = len(samples)
    blocks = samples.reshape(n_channels, -1, block_samples).transpose(1, 0, 2)
    data = np.ascontiguousarray(blocks, ">i4").tobytes()
    (folder / f"{folder.stem}.meg4").write_bytes(b"MEG41CP\x00" + data)


def _header(channels: Sequence[CtfChannel], sfreq: float, n_blocks: int, samples: int) -> bytes:
    out = bytearray(_RUN_DESCRIPTION)

    def put(offset: int, kind: str, value: float) -> None:
        packed = np.array(value, kind).tobytes()
        out[offset : offset + len(packed)] = packed

    def text(offset: int, value: str) -> None:
        out[offset : offset + len(value)] = value.encode()

    text(0, "MEG41RS")
    text(8, "miniature")
    text(778, "10:00:00")
    text(1033, "01/02/2019")
    put(1288, ">i4", samples)
    put(1292, ">i2", len(channels))
    put(1296, ">f8", sfreq)
    put(1304, ">f8", n_blocks * samples / sfreq)
    put(1312, ">i2", n_blocks)
    put(1320, ">i2", n_blocks)
    out += np.array(0, ">i2").tobytes()  # no filters
    for channel in channels:
        out += channel.name.encode().ljust(32, b"\x00")
    table = np.zeros(len(channels), _CHANNEL)
    for place, channel in enumerate(channels):
        row = table[place]
        row["kind"], row["proper_gain"], row["q_gain"] = KINDS[channel.kind], 1.0, 1 / channel.unit
        if channel.kind in ("meg", "ref_mag", "ref_grad"):
            angle = 2.4 * place  # spread over the upper half of a sphere, as in a helmet
            height = 0.95 * (place + 1) / len(channels)
            out_of = np.array(
                [np.cos(angle) * (1 - height**2) ** 0.5, np.sin(angle) * (1 - height**2) ** 0.5, 0]
            )
            out_of[2] = height
            row["coils"] = 2
            row["coil"]["position_cm"][:2] = [11 * out_of, 16 * out_of]
            row["coil"]["normal"][:2] = [out_of, -out_of]
            row["coil"]["turns"][:2], row["coil"]["area_cm2"][:2] = 1, 2.5
    out += table.tobytes()
    # First-order balancing, that could be applied and has not been.
    references = [c.name for c in channels if c.kind.startswith("ref")][:50]
    sensors = [c.name for c in channels if c.kind == "meg"]
    balancing = np.zeros(len(sensors), _BALANCING)
    for row, sensor in zip(balancing, sensors, strict=True):
        row["sensor"], row["kind"], row["references"] = sensor, _FIRST_ORDER, len(references)
        row["names"][: len(references)] = references
    out += np.array(len(sensors), ">i2").tobytes() + balancing.tobytes()
    return bytes(out)
