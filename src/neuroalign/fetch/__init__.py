"""Downloads of public data sets: listed first, resumed, checked."""

from neuroalign.fetch.dataset import Selection, fetch, select_files

__all__ = ["Selection", "fetch", "select_files"]
