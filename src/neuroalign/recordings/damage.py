"""Errors of libraries about a damaged file, said so that its owner can act on them."""

from __future__ import annotations

import errno
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from neuroalign.errors import NeuroalignError

_DAMAGED = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    EOFError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    struct.error,
    zlib.error,
)
#: What is wrong with the disk that is written to, not with a file that is read.
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def damage_explained(where: str, files: str, dataset: str) -> Iterator[None]:
    """Turn what a library says of a file that it cannot digest into an error for the user.

    Parameters
    ----------
    where : str
        What was being read.
    files : str
        The files, by name.
    dataset : str
        The reader's name.
    """
    try:
        yield
    except NeuroalignError:
        raise
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno in NO_SPACE:
            raise  # it is the output that does not fit, and is said there
        raise NeuroalignError(
            f"{where}: {files} cannot be read ({type(error).__name__}: {error}). It is damaged or "
            f"laid out in another way than published: compare it with `neuroalign datasets "
            f"{dataset}`, or download it again."
        ) from error
