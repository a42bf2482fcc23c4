"""Score a run in two steps: embed its test items with every model, then score what is stored.

`embed_run` needs the model and the recordings, and fills the folder `evaluation/`; `score_stored`
needs that folder alone. `evaluate_run` does both.
"""

from neuroalign.assess.embed import RIDGE, embed_run, test_pictures
from neuroalign.assess.evaluate import evaluate_run, rescore_run, scores_file
from neuroalign.assess.ideal import IDEAL
from neuroalign.assess.score import score_stored
from neuroalign.assess.stored import Embedded, ItemSet, Stored, load_stored, save_stored

__all__ = [
    "IDEAL",
    "RIDGE",
    "Embedded",
    "ItemSet",
    "Stored",
    "embed_run",
    "evaluate_run",
    "load_stored",
    "rescore_run",
    "save_stored",
    "score_stored",
    "scores_file",
    "test_pictures",
]
