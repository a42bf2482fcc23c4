r"""Simulated recordings of several people, from a generative model that is known in full.

For a picture with the unit embedding v, the latents are its leading principal components over the
set of pictures, whitened, weighted and, if asked for, saturated (`LatentMap`)::

    phi(v) = strength * saturate(W' (v - mean))                                 (K numbers)

A single trial adds wandering of the latents, eta ~ N(0, I), and measurement noise E::

    x = m_s + B_s (phi + latent_noise * eta) + E,          E ~ N(0, S_s)

EEG, MEG (`SensorPerson`): latent k has a dipole in person s's spherical head, whose field a_sk
(from MNE's forward model) fades in and out with a Gaussian window h_sk(t)::

    B_s = [a_s1 h_s1', ..., a_sK h_sK'],     S = S_space (x) S_time,    m_s = common evoked response

fMRI (`VoxelPerson`): B_s is a random tuning of every voxel, m_s = 0, and
S_s = diag(sd^2) + shared shared'.

So trials and averages of n trials are Gaussian given the picture, with the covariance
(S_s + latent_noise^2 B_s B_s') / n: the ideal observer follows exactly
(`neuroalign.simulation.ideal`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.files import atomic_folder
from neuroalign.recordings.container import Channel, Recordings, RecordingsInfo
from neuroalign.recordings.writer import RecordingsWriter
from neuroalign.retrieval.embeddings import Embeddings
from neuroalign.simulation.config import SimulationConfig
from neuroalign.simulation.latents import fit_latents
from neuroalign.simulation.sensor_person import sensor_people
from neuroalign.simulation.truth import Person, Truth, save_truth
from neuroalign.simulation.voxel_person import VOXEL_SIZE_MM, VoxelPerson, voxel_people

# Distinct streams of random numbers: people of two modalities are different people.
_STREAM = {"eeg": 1, "meg": 2, "fmri": 3}
_TRIALS_PER_RUN = 100
_SECONDS_PER_TRIAL = {"eeg": 1.0, "meg": 1.5, "fmri": 4.0}


def simulate(
    config: SimulationConfig,
    pictures: Embeddings,
    out: str | Path,
    *,
    overwrite: bool = False,
    chunk: int = 128,
) -> Recordings:
    """Simulate recordings of several people who look at `pictures`.

    Parameters
    ----------
    config : SimulationConfig
    pictures : Embeddings
        One item per picture, with its `stimulus`.
    out : path
        The recordings folder to make; truth.json and truth.npz are put beside the recordings.
    overwrite : bool
        Replace an existing folder.
    chunk : int
        Trials held in memory at a time; without influence on the numbers.

    Returns
    -------
    Recordings
        float32. People are called eeg-01, eeg-02, ...

    Raises
    ------
    NeuroalignError
        Pictures without a name or named twice; too few for the split or for the latents.
    """
    test, train = choose_pictures(pictures, config)
    latents = fit_latents(pictures.vectors, config)
    channels, drawn = _draw_people(config)
    people = {f"{config.modality}-{i + 1:02d}": person for i, person in enumerate(drawn)}
    truth = Truth(config, latents, people, pictures.space)
    phi = latents(pictures.vectors)
    repeats = config.test_repeats * test + config.training_repeats * train
    with atomic_folder(Path(out), overwrite=overwrite) as folder:
        with RecordingsWriter(folder, _info(config, channels, len(pictures))) as writer:
            for number, (subject, person) in enumerate(people.items()):
                stream = [config.seed, _STREAM[config.modality], number]
                table = _trial_table(
                    config, pictures, test, repeats, np.random.default_rng([*stream, 2])
                )
                picture = table.pop("picture").to_numpy()
                wandering = np.random.default_rng([*stream, 3])
                noise = np.random.default_rng([*stream, 4])
                for start in range(0, len(table), chunk):
                    part = picture[start : start + chunk]
                    eta = wandering.standard_normal((len(part), config.latents))
                    signals = person.respond(phi[part] + config.latent_noise * eta)
                    signals += person.measurement_noise(len(part), noise)
                    writer.append(subject, signals, table.iloc[start : start + chunk])
                if isinstance(person, VoxelPerson):
                    _state_volume(writer, subject, person)
        save_truth(truth, folder)
    return Recordings(out)


def choose_pictures(
    pictures: Embeddings, config: SimulationConfig
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Mark the test pictures and the training pictures.

    They depend on the pictures' names and on `config.split_seed` alone, so that modalities share
    them, and fewer training pictures are a subset of more.

    Returns
    -------
    test, train : ndarrays of shape (n_pictures,), bool

    Raises
    ------
    NeuroalignError
        Pictures without a name or named twice, or fewer than asked for.
    """
    names = pictures.items["stimulus"]
    if names.isna().any() or names.duplicated().any():
        found = (
            f"{int(names.isna().sum())} without a name"
            if names.isna().any()
            else f"{names[names.duplicated()].iloc[0]!r} more than once"
        )
        raise NeuroalignError(
            "The pictures to simulate from must each have a `stimulus` of their own; found "
            f"{found}."
        )
    n_test = config.test_pictures
    n_train = config.training_pictures or max(len(names) - n_test, 2)
    if len(names) < n_test + n_train:
        raise NeuroalignError(
            f"{len(names)} pictures cannot be split into {n_test} test pictures and {n_train} for "
            "training. Give more pictures, or lower `test_pictures` or `training_pictures`."
        )
    by_name = np.argsort(names.astype(str).to_numpy(), kind="stable")
    order = by_name[np.random.default_rng(config.split_seed).permutation(len(names))]
    test, train = np.zeros(len(names), bool), np.zeros(len(names), bool)
    test[order[:n_test]] = True
    train[order[n_test : n_test + n_train]] = True
    return test, train


def _draw_people(config: SimulationConfig) -> tuple[tuple[Channel, ...], Sequence[Person]]:
    if config.modality == "fmri":
        return (), voxel_people(config, _STREAM["fmri"])
    head, people = sensor_people(config, _STREAM[config.modality])
    return head.channels, people


def _trial_table(
    config: SimulationConfig,
    pictures: Embeddings,
    test: npt.NDArray[np.bool_],
    repeats: npt.NDArray[np.int64],
    rng: np.random.Generator,
) -> pd.DataFrame:
    picture = rng.permutation(np.repeat(np.arange(len(pictures)), repeats))
    place = np.arange(len(picture))
    return pd.DataFrame(
        {
            "picture": picture,
            "stimulus": pictures.items["stimulus"].to_numpy()[picture],
            "label": pictures.items["label"].to_numpy()[picture],
            "split": np.where(test, "test", "train")[picture],
            "session": "01",
            "run": [f"{r + 1:02d}" for r in place // _TRIALS_PER_RUN],
            "repetition": pd.Series(picture).groupby(picture).cumcount() + 1,
            "onset_s": (place % _TRIALS_PER_RUN + 1) * _SECONDS_PER_TRIAL[config.modality],
        }
    )


def _info(
    config: SimulationConfig, channels: tuple[Channel, ...], n_pictures: int
) -> RecordingsInfo:
    sensors = config.modality != "fmri"
    return RecordingsInfo(
        modality=config.modality,
        axes=("channels", "samples") if sensors else ("voxels",),
        units=config.units,
        simulated=True,
        sfreq=config.sfreq if sensors else None,
        tmin=config.tmin if sensors else None,
        channels=channels,
        source=(
            f"simulated {config.modality} of {config.subjects} people who do not exist, looking at "
            f"{n_pictures} pictures; neuroalign.simulation, seed {config.seed}"
        ),
        licence="simulated data: no restrictions",
    )


def _state_volume(writer: RecordingsWriter, subject: str, person: VoxelPerson) -> None:
    i, j, k = (int(s) for s in person.volume_shape)
    affine = np.diag([VOXEL_SIZE_MM, VOXEL_SIZE_MM, VOXEL_SIZE_MM, 1.0])
    affine[:3, 3] = -VOXEL_SIZE_MM * (np.array([i, j, k]) - 1) / 2
    writer.set_volume(subject, person.voxel_index, (i, j, k), affine)
