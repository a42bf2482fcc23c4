"""Sphinx configuration."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive

import neuroalign

project = "neuroalign"
author = "neuroalign developers"
copyright = "2026, neuroalign developers"
version = release = neuroalign.__version__

extensions = ["myst_parser", "sphinx.ext.apidoc", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
# ref.python: words of a numpydoc type, such as "of shape", may be the name of two attributes.
suppress_warnings = ["ref.python"]

default_role = "code"  # `x` is code here, as in Markdown

html_theme = "furo"
html_title = f"neuroalign {version}"
html_static_path = ["_static"]

myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]

# A page for each module that exists; the command line has a page of its own.
apidoc_modules = [
    {
        "path": "../src/neuroalign",
        "destination": "api",
        "separate_modules": True,
        "module_first": True,
        "exclude_patterns": ["../src/neuroalign/cli/*"],
        "automodule_options": {"members", "show-inheritance"},
    }
]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {
    # Neither pydantic's settings nor the methods that scikit-learn adds are ours to document.
    "exclude-members": "model_config, set_fit_request, set_predict_request, set_score_request, "
    "set_transform_request",
    "ignore-module-all": True,  # each name once, in the module that defines it
}
napoleon_google_docstring = False
napoleon_use_ivar = True  # an attribute is documented once, by its class


class CommandHelp(Directive):
    """The help text of every command, taken from the program itself."""

    def run(self) -> list[nodes.Node]:
        from typer.main import get_command

        from neuroalign.cli import app
        from neuroalign.cli.prepare import prepare
        from neuroalign.cli.readers import add_reader_commands

        add_reader_commands(prepare)
        root = get_command(app)
        return list(_sections(root, root.context_class(root, info_name="neuroalign")))


def _sections(command: Any, context: Any) -> list[nodes.Node]:
    children = getattr(command, "commands", {})
    found: list[nodes.Node] = []
    if not children:
        section = nodes.section(ids=[nodes.make_id(context.command_path)])
        section += nodes.title("", context.command_path)
        section += _help(command, context)
        found.append(section)
    for name, child in children.items():
        found += _sections(child, child.context_class(child, info_name=name, parent=context))
    return found


def _help(command: Any, context: Any) -> list[nodes.Node]:
    parts: list[nodes.Node] = [
        nodes.paragraph("", " ".join(text.split()))
        for text in (command.help or "").replace("\b", "").split("\n\n")
        if text.strip()
    ]
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    parts.append(nodes.literal_block(usage, usage, language="text"))
    records = [p.get_help_record(context) for p in command.get_params(context)]
    options = nodes.definition_list()
    for names, text in filter(None, records):
        term = nodes.term("", "", nodes.literal("", names))
        meaning = nodes.definition("", nodes.paragraph("", text))
        options += nodes.definition_list_item("", term, meaning)
    return [*parts, options] if len(options) else parts


def setup(app: Any) -> None:
    app.add_directive("command-help", CommandHelp)
