"""`neuroalign simulate` and `neuroalign power`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from neuroalign.cli.arguments import (
    Modality,
    Out,
    Overwrite,
)
from neuroalign.cli.output import print_table, say, say_prepared
from neuroalign.errors import NeuroalignError


def simulate_command(
    modality: Modality,
    out: Out,
    pictures: Annotated[str, typer.Option(help="`shipped`, a folder or a table.")] = "shipped",
    encoder: Annotated[str, typer.Option(help="`offline` or `hf:NAME`.")] = "offline",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A field of SimulationConfig: snr=0.02.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Simulate recordings of people looking at pictures, with a known ideal observer."""
    from neuroalign.simulation.generate import simulate

    recordings = simulate(
        _simulation(modality, settings), _embedded(pictures, encoder), out, overwrite=overwrite
    )
    say_prepared(recordings)


def power_command(
    modality: Modality,
    vary: Annotated[
        str, typer.Option(help="subjects, training_pictures, training_repeats, test_repeats, snr.")
    ],
    values: Annotated[str, typer.Option(help="Values to try: 1,2,4,8.")],
    pictures: Annotated[str, typer.Option(help="`shipped`, a folder or a table.")] = "shipped",
    encoder: Annotated[str, typer.Option(help="`offline` or `hf:NAME`.")] = "offline",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A field of SimulationConfig: snr=0.02.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=2, help="Repetitions of each experiment.")] = 5,
    jobs: Annotated[int, typer.Option(help="Processes.")] = 1,
) -> None:
    """Power analysis: simulated decoding score against the size of the experiment."""
    from neuroalign.simulation.power import power_curve

    table = power_curve(
        _simulation(modality, settings),
        _embedded(pictures, encoder),
        vary,
        [float(v) if "." in v else int(v) for v in values.split(",")],
        seeds=seeds,
        jobs=jobs,
    )
    say(f"Simulated {modality.value}: 2-way score against {vary}")
    print_table(table.round(3))


def _embedded(pictures: str, encoder: str) -> Any:
    from neuroalign.images.cache import embed_pictures
    from neuroalign.images.pictures import picture_set

    return embed_pictures(picture_set(pictures), encoder)


def _simulation(modality: Modality, settings: list[str] | None) -> Any:
    import yaml
    from pydantic import ValidationError

    from neuroalign.settings import faults
    from neuroalign.simulation.config import SimulationConfig

    fields: dict[str, Any] = {"modality": modality.value}
    for entry in settings or []:
        name, sign, value = entry.partition("=")
        if not sign:
            raise NeuroalignError(f"Expected --set FIELD=VALUE, got {entry!r}.")
        fields[name] = yaml.safe_load(value)
    try:
        return SimulationConfig(**fields)
    except ValidationError as error:
        lines = "\n  ".join(faults(error, SimulationConfig))
        raise NeuroalignError(f"These settings do not make a simulation:\n  {lines}") from error
