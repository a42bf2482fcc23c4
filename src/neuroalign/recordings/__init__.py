"""The container of recordings on disk, and the readers that fill it."""

from neuroalign.recordings.container import (
    Channel,
    Dropped,
    Modality,
    Recordings,
    RecordingsInfo,
    Step,
)
from neuroalign.recordings.writer import RecordingsWriter, write_recordings

__all__ = [
    "Channel",
    "Dropped",
    "Modality",
    "Recordings",
    "RecordingsInfo",
    "RecordingsWriter",
    "Step",
    "write_recordings",
]
