"""Embeddings, galleries and the three tasks."""

from neuroalign.retrieval.embeddings import Embeddings, concatenate
from neuroalign.retrieval.gallery import Gallery, Ranking, convert, decode, encode

__all__ = ["Embeddings", "Gallery", "Ranking", "concatenate", "convert", "decode", "encode"]
