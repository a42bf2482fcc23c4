"""Embeddings on disk: one Parquet table that any tool can read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from neuroalign.errors import NeuroalignError
from neuroalign.files import atomic_file
from neuroalign.retrieval.embeddings import Embeddings

_SPACE = b"neuroalign.space"


def write_embeddings(embeddings: Embeddings, path: Path) -> None:
    """Write the items with their vectors as a fixed-size list column."""
    if "vector" in embeddings.items:
        raise NeuroalignError(
            "The items have a column named 'vector', which is the name of the stored embedding: "
            "rename that column."
        )
    table = pa.Table.from_pandas(embeddings.items, preserve_index=False)
    flat = pa.array(embeddings.vectors.ravel())
    column = pa.FixedSizeListArray.from_arrays(flat, embeddings.vectors.shape[1])
    table = table.append_column("vector", column)
    metadata = {**(table.schema.metadata or {}), _SPACE: embeddings.space.encode()}
    with atomic_file(path) as partial:
        pq.write_table(table.replace_schema_metadata(metadata), partial)


def read_embeddings(path: Path) -> Embeddings:
    """Read a table written by `write_embeddings`."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise NeuroalignError(f"{path} is not a readable table of embeddings: {error}.") from error
    metadata = table.schema.metadata or {}
    if _SPACE not in metadata or "vector" not in table.column_names:
        raise NeuroalignError(f"{path} is a table, but not one of embeddings.")
    column = table.column("vector").combine_chunks()
    vectors = np.asarray(column.flatten()).reshape(len(table), column.type.list_size)
    return Embeddings(
        vectors, table.drop_columns(["vector"]).to_pandas(), metadata[_SPACE].decode()
    )
