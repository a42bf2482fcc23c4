"""Metrics and baseline on the real Haxby volumes: runs left out, eight classes."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score

from neuroalign.evaluation.baselines import RidgeDecoder
from neuroalign.evaluation.tasks import score_matrix

DATA = os.environ.get("NEUROALIGN_DATA")


@pytest.mark.skipif(not DATA, reason="NEUROALIGN_DATA does not name the folder of real recordings")
def test_eight_classes_from_single_volumes():
    folder = Path(DATA) / "haxby2001-vt"
    bold, table = np.load(folder / "bold.npy"), pd.read_csv(folder / "volumes.tsv", sep="\t")
    label, run = table["label"].to_numpy(str), table["run"].to_numpy()
    for r in np.unique(run):
        rows = run == r
        bold[rows] = (bold[rows] - bold[rows].mean(0)) / bold[rows].std(0)
    classes = np.unique(label)
    onehot = (label[:, None] == classes).astype(float)
    test = np.isin(run, np.unique(run)[-3:])
    decoder = RidgeDecoder().fit(bold[~test], onehot[~test], groups=run[~test])
    predicted = decoder.predict(bold[test])

    volumes = table[test].assign(kind="fmri", stimulus=None, subject="sub-01")
    candidates = pd.DataFrame({"label": classes, "stimulus": None, "subject": None})
    scores = score_matrix(
        predicted,
        volumes,
        candidates,
        task="decoding",
        source="fmri",
        target="pictures",
        model="ridge",
        items="single volumes",
    )
    found = {s.metric: s for s in scores if s.subject == "all"}
    accuracy = found["class_top1"]
    assert accuracy.value == accuracy_score(label[test], classes[predicted.argmax(1)])
    for other in ("class_accuracy", "balanced_accuracy"):  # as many volumes of each class
        assert found[other].value == pytest.approx(accuracy.value)
    assert accuracy.low > 0.5 > accuracy.chance == 0.125  # 24 blocks: a wide interval
    assert found["two_way_embedding"].low > 0.8
