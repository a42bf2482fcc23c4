"""The ideal observer: the best that any decoder could do on simulated recordings.

Given a person's parameters, an average x of n trials of a picture with latents phi is Gaussian
with mean ``m + B phi`` and covariance ``(S + tau^2 B B') / n`` (see
`neuroalign.simulation.generate`). With ``t = B' S^-1 (x - m)``, ``F = B' S^-1 B`` and Woodbury's
identity the log-likelihood is, but for what does not depend on the picture::

    log p(x | phi) = n ( t' M phi - phi' F M phi / 2 ),        M = (I + tau^2 F)^-1
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax, logsumexp

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.container import Recordings
from neuroalign.retrieval.embeddings import Embeddings
from neuroalign.simulation.truth import Person, load_truth

Array = npt.NDArray[np.float64]


def ideal_scores(recordings: Recordings, pictures: Embeddings) -> Array:
    """Return the exact log-likelihood of each candidate picture, up to a constant per item.

    Parameters
    ----------
    recordings : Recordings
        A view of simulated recordings: single trials or averages of repeats.
    pictures : Embeddings
        The candidates, embedded as those that were simulated from.

    Returns
    -------
    ndarray of shape (n_items, n_pictures), float64
        Ranking each row is the ideal decoder.

    Raises
    ------
    NeuroalignError
        The recordings are not simulated, or the pictures live in another space.
    """
    truth = load_truth(recordings.path)
    if pictures.space != truth.space:
        raise NeuroalignError(
            f"The pictures live in the space {pictures.space!r}, but {recordings.path} was "
            f"simulated from {truth.space!r}: the ideal observer needs the latter."
        )
    phi = truth.latents(pictures.vectors)
    if "n_averaged" in recordings.trials:
        averaged = recordings.trials["n_averaged"].to_numpy(np.float64)
    else:
        averaged = np.ones(len(recordings))
    scores = np.empty((len(recordings), len(pictures)))
    for subject, positions, signals in recordings.blocks():
        scores[positions] = _log_likelihood(
            truth.people[subject], signals, averaged[positions], phi
        )
    return scores


def _log_likelihood(
    person: Person, signals: npt.NDArray[np.float32], averaged: Array, phi: Array
) -> Array:
    information = person.information()
    shrink = np.linalg.inv(np.eye(len(information)) + person.latent_noise**2 * information)
    linear = person.project(signals) @ shrink @ phi.T
    constant = 0.5 * np.einsum("pk,kl,pl->p", phi, information @ shrink, phi)
    return np.asarray(averaged[:, None] * (linear - constant))


def ideal_encoding(log_likelihood: Array) -> Array:
    """Return how well each recording fits each picture: its log posterior over the gallery.

    Parameters
    ----------
    log_likelihood : ndarray of shape (n_items, n_pictures)
        From `ideal_scores`.

    Returns
    -------
    ndarray of shape (n_pictures, n_items)
        log p(picture | recording), pictures equally likely beforehand. Unlike the likelihood it can
        be compared between recordings, of different people too.
    """
    return np.asarray(log_softmax(log_likelihood, axis=1).T)


def ideal_conversion(source: Array, target: Array) -> Array:
    """Return how likely two recordings belong to the same picture.

    Parameters
    ----------
    source, target : ndarrays of shape (n_source, n_pictures) and (n_target, n_pictures)
        Log-likelihoods of the same pictures, in one order, for two modalities.

    Returns
    -------
    ndarray of shape (n_source, n_target)
        log sum over pictures of p(picture | source) p(picture | target).

    Raises
    ------
    NeuroalignError
        The two sides have different numbers of pictures.
    """
    if source.shape[1] != target.shape[1]:
        raise NeuroalignError(
            f"Conversion needs one set of candidate pictures on both sides, got {source.shape[1]} "
            f"and {target.shape[1]}."
        )
    a, b = log_softmax(source, axis=1), log_softmax(target, axis=1)
    # Row by row: the three-way array of all pairs and pictures may not fit in memory.
    return np.stack([logsumexp(row + b, axis=1) for row in a])
