"""Volume series from arrays and NIfTI (simulated) against plain NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from neuroalign.errors import NeuroalignError
from neuroalign.recordings import Recordings
from neuroalign.recordings.arrays import prepare_arrays

SHAPE = (3, 4, 5)
N_RUNS, N_VOLUMES, N_VOXELS = 4, 12, 6


def series(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(800.0, 10.0, size=(N_RUNS * N_VOLUMES, N_VOXELS)).astype(np.float32)


def table(subject: str = "sub-01", **columns: object) -> pd.DataFrame:
    count = N_RUNS * N_VOLUMES
    base: dict[str, object] = {
        "subject": subject,
        "label": (["rest"] * 2 + ["face"] * 5 + ["house"] * 5) * N_RUNS,
        "run": np.repeat(np.arange(N_RUNS), N_VOLUMES),
        "block": np.arange(count) // 5,
    }
    return pd.DataFrame(base | columns, index=range(count))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.save(tmp_path / "bold.npy", series())
    table().to_csv(tmp_path / "volumes.tsv", sep="\t", index=False)
    return tmp_path


def prepare(folder: Path, **options: Any) -> Recordings:
    return prepare_arrays(
        folder / "bold.npy", folder / "volumes.tsv", folder / "out", overwrite=True, **options
    )


def test_zscore_per_run_equals_scipy(folder: Path) -> None:
    recordings = prepare(folder)
    expected = np.concatenate(
        [scipy.stats.zscore(block.astype(float)) for block in np.split(series(), N_RUNS)]
    )
    trials = (table()["label"] != "rest").to_numpy()
    np.testing.assert_allclose(recordings.read(), expected[trials], rtol=1e-3, atol=1e-3)
    step = next(s for s in recordings.info.steps if s.name == "z-score per run")
    assert step.fitted_on == "per run, unsupervised"


def test_zscore_train_uses_training_volumes_alone(folder: Path) -> None:
    recordings = prepare(folder, zscore="train")
    trials = (table()["label"] != "rest").to_numpy()
    train = trials & (table()["run"] < N_RUNS - 1).to_numpy()
    mean, std = series()[train].mean(axis=0), series()[train].std(axis=0)
    np.testing.assert_allclose(
        recordings.read(), (series()[trials] - mean) / std, rtol=1e-3, atol=1e-3
    )
    changed = series()
    changed[-N_VOLUMES:] *= 2
    np.save(folder / "bold.npy", changed)
    other = prepare(folder, zscore="train")
    np.testing.assert_array_equal(
        other.select(split="train").read(), recordings.select(split="train").read()
    )
    step = next(s for s in other.info.steps if s.name == "z-score")
    assert step.fitted_on == "training volumes of each person"


def test_rest_is_left_out_and_listed(folder: Path) -> None:
    recordings = prepare(folder)
    assert set(recordings.trials["label"]) == {"face", "house"}
    assert [(d.where, d.trials, d.reason) for d in recordings.info.dropped] == [
        ("sub-01", 2 * N_RUNS, "not a trial: rest")
    ]
    assert len(recordings) + 2 * N_RUNS == len(table())


def test_classes_choose_labels(folder: Path) -> None:
    recordings = prepare(folder, classes=["face"])
    assert set(recordings.trials["label"]) == {"face"}
    assert {d.reason for d in recordings.info.dropped} == {
        "not a trial: rest",
        "not of the classes face",
    }


def test_other_columns_stay(folder: Path) -> None:
    recordings = prepare(folder)
    shown = table().query("label != 'rest'")
    assert recordings.trials["block"].tolist() == shown["block"].tolist()
    blocks = recordings.average(["subject", "run", "block", "label"])
    sizes = shown.groupby(["run", "block", "label"], sort=False).size()
    assert blocks.trials["n_averaged"].tolist() == sizes.tolist()


def test_the_last_run_is_held_out_unless_the_table_says_otherwise(folder: Path) -> None:
    recordings = prepare(folder)
    assert set(recordings.select(split="test").trials["run"]) == {"3"}
    assert set(prepare(folder, test_runs=0.5).select(split="test").trials["run"]) == {"2", "3"}
    assert set(prepare(folder, test_runs=["1"]).select(split="test").trials["run"]) == {"1"}
    split = np.where(np.arange(len(table())) < 24, "test", "train")
    table(split=split).to_csv(folder / "volumes.tsv", sep="\t", index=False)
    given = prepare(folder)
    assert set(given.select(split="test").trials["run"]) == {"0", "1"}
    assert given.info.steps[-1].parameters == {"test_runs": "split column"}


def test_lag_pairs_a_label_with_a_later_volume_of_its_run(folder: Path) -> None:
    recordings = prepare(folder, zscore="none", lag=2)
    table_ = table()
    expected = []
    for row in table_.index[table_["label"] != "rest"]:
        if row % N_VOLUMES + 2 < N_VOLUMES:
            expected.append(series()[row + 2])
    np.testing.assert_array_equal(recordings.read(), np.array(expected))
    late = next(d for d in recordings.info.dropped if "later in the run" in d.reason)
    assert late.trials == 2 * N_RUNS


def test_detrending_comes_first(folder: Path) -> None:
    drift = np.arange(len(table()))[:, None] * 5.0
    np.save(folder / "bold.npy", (series() + drift).astype(np.float32))
    plain = prepare(folder, detrend=True).read()
    np.save(folder / "bold.npy", series())
    np.testing.assert_allclose(prepare(folder, detrend=True).read(), plain, atol=0.02)


def test_voxel_indices_counted_from_one_column_major(folder: Path) -> None:
    index = np.array([1, 2, 4, 13, 25, 60])
    np.save(folder / "index.npy", index)
    recordings = prepare(
        folder,
        voxel_index=folder / "index.npy",
        index_base=1,
        index_order="F",
        volume_shape=SHAPE,
    )
    volume = np.zeros(np.prod(SHAPE))
    volume[recordings.voxel_index("sub-01")] = np.arange(1, 7)
    fortran = volume.reshape(SHAPE).ravel(order="F")
    np.testing.assert_array_equal(fortran[index - 1], np.arange(1, 7))


def test_useless_voxels_are_left_out_and_listed(folder: Path) -> None:
    bold = series()
    bold[3, 0] = np.nan
    bold[:N_VOLUMES, 4] = 7.0
    np.save(folder / "bold.npy", bold)
    np.save(folder / "index.npy", np.arange(N_VOXELS) * 2)
    recordings = prepare(folder, voxel_index=folder / "index.npy", volume_shape=SHAPE)
    assert recordings.feature_shape("sub-01") == (4,)
    index = recordings.voxel_index("sub-01")
    assert index is not None and index.tolist() == [2, 4, 6, 10]
    reasons = [(d.where, d.reason) for d in recordings.info.dropped if d.trials == 0]
    assert reasons == [
        ("sub-01, 1 of 6 voxels", "NaN or infinite"),
        ("sub-01, 1 of 6 voxels", "never changes in some run"),
    ]


def test_several_people_in_one_file_or_in_one_each(tmp_path: Path) -> None:
    pd.concat([table("a"), table("b")]).to_csv(tmp_path / "v.csv", index=False)
    np.save(tmp_path / "both.npy", np.concatenate([series(1), series(2)]))
    np.save(tmp_path / "b.npy", series(2))
    np.save(tmp_path / "a.npy", series(1))
    together = prepare_arrays(tmp_path / "both.npy", tmp_path / "v.csv", tmp_path / "one")
    apart = prepare_arrays(
        {"a": tmp_path / "a.npy", "b": tmp_path / "b.npy"}, tmp_path / "v.csv", tmp_path / "two"
    )
    assert together.subjects == apart.subjects == ("a", "b")
    np.testing.assert_array_equal(together.read(), apart.read())
    with pytest.raises(NeuroalignError, match=r"subject.s. b, but signals were given only for a"):
        prepare_arrays({"a": tmp_path / "a.npy"}, tmp_path / "v.csv", tmp_path / "three")


def test_columns_under_other_names(folder: Path) -> None:
    renamed = table(picture="p.jpg").rename(
        columns={"subject": "who", "run": "part", "label": "kind"}
    )
    renamed.to_csv(folder / "volumes.tsv", sep="\t", index=False)
    recordings = prepare(
        folder,
        subject_column="who",
        run_column="part",
        label_column="kind",
        stimulus_column="picture",
    )
    assert set(recordings.trials["label"]) == {"face", "house"}
    assert set(recordings.trials["stimulus"]) == {"p.jpg"}


def test_nifti_with_a_mask_equals_the_array(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    rng = np.random.default_rng(0)
    mask = np.zeros(SHAPE, np.uint8)
    mask.ravel()[rng.choice(60, N_VOXELS, replace=False)] = 1
    volume = rng.normal(0, 1, size=(*SHAPE, N_RUNS * N_VOLUMES)).astype(np.float32)
    volume[mask > 0] = series().T
    affine = np.diag([2.0, 2.0, 2.5, 1.0])
    nibabel.save(nibabel.Nifti1Image(volume, affine), tmp_path / "bold.nii.gz")
    nibabel.save(nibabel.Nifti1Image(mask, affine), tmp_path / "mask.nii.gz")
    table().to_csv(tmp_path / "volumes.tsv", sep="\t", index=False)
    np.save(tmp_path / "bold.npy", series())
    options: dict[str, Any] = {"overwrite": True}
    nifti = prepare_arrays(
        tmp_path / "bold.nii.gz",
        tmp_path / "volumes.tsv",
        tmp_path / "nifti",
        mask=tmp_path / "mask.nii.gz",
        **options,
    )
    np.testing.assert_allclose(nifti.read(), prepare(tmp_path).read(), atol=1e-4)
    index = nifti.voxel_index("sub-01")
    assert index is not None and index.tolist() == np.flatnonzero(mask).tolist()
    saved = nifti.info.subjects["sub-01"].volume
    assert saved is not None
    np.testing.assert_allclose(np.array(saved.affine), affine)
    shifted = affine.copy()
    shifted[0, 3] = 5.0
    nibabel.save(nibabel.Nifti1Image(mask, shifted), tmp_path / "mask.nii.gz")
    with pytest.raises(NeuroalignError, match="affines differ"):
        prepare_arrays(
            tmp_path / "bold.nii.gz", tmp_path / "volumes.tsv", tmp_path / "x",
            mask=tmp_path / "mask.nii.gz",
        )  # fmt: skip
    with pytest.raises(NeuroalignError, match="give a `mask`"):
        prepare_arrays(tmp_path / "bold.nii.gz", tmp_path / "volumes.tsv", tmp_path / "x")


def damage_rows(folder: Path) -> None:
    table().iloc[:-1].to_csv(folder / "volumes.tsv", sep="\t", index=False)


def damage_column(folder: Path) -> None:
    table().drop(columns="run").to_csv(folder / "volumes.tsv", sep="\t", index=False)


def damage_labels(folder: Path) -> None:
    table().drop(columns="label").to_csv(folder / "volumes.tsv", sep="\t", index=False)


def damage_subject(folder: Path) -> None:
    table(subject=None).to_csv(folder / "volumes.tsv", sep="\t", index=False)


def damage_shape(folder: Path) -> None:
    np.save(folder / "bold.npy", series()[:, :, None])


def damage_array(folder: Path) -> None:
    (folder / "bold.npy").write_bytes(b"no array")


def damage_values(folder: Path) -> None:
    np.save(folder / "bold.npy", np.full_like(series(), np.nan))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_rows, "48 volumes, but the trial table has 47 rows"),
        (damage_column, r"lacks the column\(s\) run; it has block, label, subject"),
        (damage_labels, r"lacks the column\(s\) label \(or stimulus\)"),
        (damage_subject, "48 row.s. have no subject"),
        (damage_shape, r"expected numbers of the shape \(volumes, voxels\)"),
        (damage_array, "not a readable .npy array"),
        (damage_values, "none of the 6 voxels can be used"),
        (lambda f: (f / "bold.npy").unlink(), r"bold\.npy does not exist"),
        (lambda f: (f / "volumes.tsv").unlink(), r"volumes\.tsv does not exist"),
    ],
)
def test_input_that_does_not_fit_is_refused(folder: Path, damage: Any, message: str) -> None:
    damage(folder)
    with pytest.raises(NeuroalignError, match=message):
        prepare(folder)
    assert not (folder / "out").exists()


def test_requests_that_cannot_be_met(folder: Path) -> None:
    np.save(folder / "index.npy", np.arange(5))
    with pytest.raises(NeuroalignError, match="needs `volume_shape`"):
        prepare(folder, voxel_index=folder / "index.npy")
    with pytest.raises(NeuroalignError, match="names 5 voxels, the signals have 6"):
        prepare(folder, voxel_index=folder / "index.npy", volume_shape=SHAPE)
    with pytest.raises(NeuroalignError, match="fMRI volumes, not eeg"):
        prepare(folder, modality="eeg")
    with pytest.raises(NeuroalignError, match=r"no volume of the class\(es\) car"):
        prepare(folder, classes=["car"])
