"""The model card that goes with a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neuroalign import __version__
from neuroalign.models.module import NeuralModule
from neuroalign.models.networks import count_parameters
from neuroalign.models.space import CommonSpace


def model_card(
    modules: Mapping[Any, NeuralModule], space: CommonSpace, provenance: Mapping[str, Any]
) -> str:
    """Describe a bundle: what it embeds, what it was trained on, what it must not be used for."""
    lines = [
        "---",
        "library_name: neuroalign",
        f"tags: [neuroscience, {', '.join(modules)}]",
        "---",
        "",
        "# A neuroalign bundle",
        "",
        f"Modules that map {', '.join(modules)} recordings into one space with pictures embedded "
        f"by `{space.encoder}` ({space.dim} dimensions after the common transform). "
        f"Written by neuroalign {__version__}.",
        "",
    ]
    if provenance.get("simulated"):
        lines += ["**Trained on simulated recordings**: of no use on real ones.", ""]
    lines += [
        "| modality | people | trial | network | trainable numbers |",
        "|---|---|---|---|---|",
    ]
    for name, module in modules.items():
        shapes = " or ".join("x".join(map(str, s)) for s in dict.fromkeys(module.shapes.values()))
        lines.append(
            f"| {name} | {len(module.subjects)} | {shapes} ({', '.join(module.axes)}) "
            f"| {module.architecture.network}, align: {module.architecture.align} "
            f"| {count_parameters(module):,} |"
        )
    lines += ["", "## Trained on", ""]
    lines += [f"- {key}: {value}" for key, value in provenance.items()]
    lines += [
        "",
        "## Use and limits",
        "",
        "- It embeds recordings of the people named in `config.json` only, prepared the same way.",
        "- Decoded content is personal. Use and share this model only with the consent of the "
        "people it was trained on.",
        "- A retrieved picture is the nearest of the candidates given, not what a person saw.",
        "",
        "```python",
        "import neuroalign",
        "",
        'bundle = neuroalign.load("path/of/this/folder")',
        "```",
        "",
    ]
    return "\n".join(lines)
