"""NeuralModule f(n, s) = g(a(n, s)): recordings of one modality to the common space."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from neuroalign.errors import NeuroalignError
from neuroalign.models.alignment import Alignment, AlignMode
from neuroalign.models.networks import NETWORKS, receives_vectors
from neuroalign.models.space import CommonSpace
from neuroalign.progress import bar
from neuroalign.recordings.container import Modality, Recordings
from neuroalign.retrieval.embeddings import Embeddings


class Architecture(BaseModel):
    """The shape of one neural module, apart from its people and their data.

    Attributes
    ----------
    align : what the alignment layers do (see `Alignment`)
    alignment : `linear` maps all features of a trial; `spatial` mixes channels
    align_dim : width after alignment; None: the width of the common space
    kernel : samples that a spatial alignment spans
    network, hidden, depth, dropout : the shared network
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    align: AlignMode = "trained"
    alignment: Literal["linear", "spatial"] = "linear"
    align_dim: int | None = Field(None, gt=0)
    kernel: int = Field(1, gt=0)
    network: Literal["residual_mlp", "time_cnn", "spectrogram_cnn"] = "residual_mlp"
    hidden: int = Field(256, gt=0)
    depth: int = Field(1, ge=0)
    dropout: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _parts_fit(self) -> Architecture:
        if receives_vectors(self.network) != (self.alignment == "linear"):
            raise ValueError(
                f"network {self.network!r} does not fit alignment {self.alignment!r}: "
                "residual_mlp takes a linear alignment, the CNNs a spatial one"
            )
        return self


_AXES = {
    "residual_mlp": None,
    "time_cnn": ("channels", "samples"),
    "spectrogram_cnn": ("channels", "frequencies", "frames"),
}


class NeuralModule(nn.Module):
    """Embed the recordings of one modality.

    Parameters
    ----------
    architecture : Architecture
    modality : {"eeg", "meg", "fmri"}
    axes : names of the feature axes, as in the recordings
    shapes : mapping from person to the shape of one trial
    space : CommonSpace
        The picture side, shared with the other modalities of a bundle.

    Examples
    --------
    >>> z = module(x, ["sub-01", "sub-02", "sub-01"])  # doctest: +SKIP
    """

    def __init__(
        self,
        architecture: Architecture,
        modality: Modality,
        axes: Sequence[str],
        shapes: Mapping[str, tuple[int, ...]],
        space: CommonSpace,
    ) -> None:
        super().__init__()
        wanted = _AXES[architecture.network]
        if wanted is not None and tuple(axes) != wanted:
            fitting = [n for n, reads in _AXES.items() if reads == tuple(axes)] or ["residual_mlp"]
            raise NeuroalignError(
                f"The network {architecture.network!r} reads the axes {', '.join(wanted)}, but "
                f"these {modality} recordings have {', '.join(axes)}. Prepare them with the other "
                f"`--features`, or write `architectures: {{{modality}: {{network: {fitting[0]}}}}}`"
                " in the recipe."
            )
        self.architecture, self.modality, self.axes = architecture, modality, tuple(axes)
        self.shapes = {s: tuple(shape) for s, shape in shapes.items()}
        self.space = space
        dim = architecture.align_dim or space.dim
        self.alignment = Alignment(
            self.shapes,
            dim,
            kind=architecture.alignment,
            kernel=architecture.kernel,
            mode=architecture.align,
        )
        self.network = NETWORKS[architecture.network](
            dim,
            space.dim,
            hidden=architecture.hidden,
            depth=architecture.depth,
            dropout=architecture.dropout,
        )

    @property
    def subjects(self) -> tuple[str, ...]:
        """The people whose recordings this module can embed."""
        return tuple(self.shapes)

    def forward(self, x: Tensor | Mapping[str, Tensor], subject: Sequence[str]) -> Tensor:
        """Embed a batch of several people's trials.

        Parameters
        ----------
        x : Tensor of shape (n, ...features), or mapping from person to such a tensor
            The mapping is for people of different widths; it holds each person's trials in the
            order in which `subject` names them.
        subject : sequence of n people
            The person of each trial.

        Returns
        -------
        Tensor of shape (n, space.dim), not normalised

        Raises
        ------
        NeuroalignError
            A person is unknown, a trial has another shape than the person's training data, or
            trials and people do not match in number.
        """
        names = np.asarray(subject, dtype=object)
        present = list(dict.fromkeys(names))
        if not present:
            raise NeuroalignError("There are no trials to embed: `subject` is empty.")
        if isinstance(x, Tensor):
            if len(x) != len(names):
                raise NeuroalignError(
                    f"{len(x)} trials but {len(names)} people: `subject` names one per trial."
                )
            positions = {s: torch.as_tensor(np.flatnonzero(names == s)) for s in present}
            groups = {s: x[positions[s].to(x.device)] for s in present}
        else:
            groups = dict(x)
            unnamed = [s for s in groups if s not in present and len(groups[s])]
            wrong = [s for s in present if s in groups and len(groups[s]) != (names == s).sum()]
            if unnamed or wrong:
                found = {s: len(groups[s]) for s in unnamed + wrong}
                named = {s: int((names == s).sum()) for s in found}
                raise NeuroalignError(
                    f"The mapping holds {found} trials, but `subject` names {named}: each trial "
                    "needs its person, in the same order."
                )
        for name in present:
            self._check(name, groups.get(name))
        aligned = torch.cat([self.alignment(groups[s], s) for s in present])
        order = np.concatenate([np.flatnonzero(names == s) for s in present])
        back = torch.as_tensor(np.argsort(order, kind="stable"), device=aligned.device)
        # Put in order only now: embeddings are far smaller than what the network reads.
        out: Tensor = self.network(aligned)[back]
        return out

    def _check(self, subject: str, x: Tensor | None) -> None:
        if subject not in self.shapes:
            raise NeuroalignError(
                f"Person {subject!r} is unknown to this {self.modality} module, which was trained "
                f"on {', '.join(self.subjects)}. Each person needs an alignment layer of their own:"
                " train with recordings of that person."
            )
        if x is None or tuple(x.shape[1:]) != self.shapes[subject]:
            found = "none" if x is None else str(tuple(x.shape[1:]))
            raise NeuroalignError(
                f"Person {subject!r}: trials of shape {found}, but the {self.modality} module "
                f"expects {self.shapes[subject]} ({' x '.join(self.axes)}). Prepare the recordings "
                "with the same options as for training."
            )

    def check_recordings(self, recordings: Recordings) -> None:
        """Refuse recordings of another modality, other axes, people or shapes, by name."""
        if recordings.modality != self.modality:
            raise NeuroalignError(
                f"{recordings.path} holds {recordings.modality} recordings, but this module embeds "
                f"{self.modality}."
            )
        if recordings.info.axes != self.axes:
            raise NeuroalignError(
                f"{recordings.path} has the axes {recordings.info.axes}, but this module was "
                f"trained on {self.axes}."
            )
        for subject in recordings.subjects:
            self._check(subject, torch.empty(0, *recordings.feature_shape(subject)))

    @torch.no_grad()
    def embed(self, recordings: Recordings, *, batch_size: int = 256) -> Embeddings:
        """Embed every item of a view of recordings.

        Parameters
        ----------
        recordings : Recordings
            Single trials, or averages (`recordings.average_repeats()`).
        batch_size : int
            Items read at a time.

        Returns
        -------
        Embeddings
            In the order of the view, with its trial columns.
        """
        self.check_recordings(recordings)
        device = next(self.parameters()).device
        vectors = np.empty((len(recordings), self.space.dim), np.float32)
        training = self.training
        self.eval()
        with bar(len(recordings), f"embedding {self.modality}") as advance:
            for subject, positions, x in recordings.blocks(batch_size):
                z = self(torch.from_numpy(x).to(device), [subject] * len(x))
                vectors[positions] = z.float().cpu().numpy()
                advance(len(x))
        self.train(training)
        return Embeddings(vectors, trial_items(recordings), self.space.name)


def trial_items(recordings: Recordings) -> pd.DataFrame:
    """Return the item table of embeddings for a view of recordings: which trial each is, too."""
    items = recordings.trials.copy()
    items.insert(0, "kind", recordings.modality)
    return items


def shapes_of(recordings: Recordings, subjects: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Return the shape of one trial of each person."""
    return {s: recordings.feature_shape(s) for s in subjects}
