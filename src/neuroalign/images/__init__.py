"""Picture sets, frozen image encoders and the embedding cache."""

from neuroalign.images.cache import embed_pictures
from neuroalign.images.encoders import ImageEncoder, load_encoder
from neuroalign.images.pictures import (
    PictureSet,
    open_picture,
    picture_set,
    pictures_from_folder,
    pictures_from_table,
    shipped_pictures,
)
from neuroalign.images.targets import class_targets

__all__ = [
    "ImageEncoder",
    "PictureSet",
    "class_targets",
    "embed_pictures",
    "load_encoder",
    "open_picture",
    "picture_set",
    "pictures_from_folder",
    "pictures_from_table",
    "shipped_pictures",
]
