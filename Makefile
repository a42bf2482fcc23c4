# Everything below works on a machine that has Python 3.11 or newer, make, and PyPI in reach.
#
#   make demo        install what the demo needs, run it, write the report to OUT
#   make test        install everything, then format, lint, types, documentation and tests
#   make lint        only format, lint and types
#   make docs        only the documentation, into docs/_build/html
#   make benchmarks  every script in benchmarks/
#   make clean       remove what was installed and built, but no results
#
# Another Python:  make PYTHON=python3.12 demo

PYTHON ?= python3
OUT ?= runs/demo
BIN := .venv/bin

.DEFAULT_GOAL := demo
.NOTPARALLEL:
.PHONY: demo test lint docs benchmarks clean

demo: .venv/.installed-offline
	$(BIN)/neuroalign demo --out $(OUT)

test: lint docs
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

lint: .venv/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# -E: an incremental build repeats no warning of an unchanged page, and -W would then miss it.
docs: .venv/.installed-dev
	$(BIN)/sphinx-build -E -W -q -b html docs docs/_build/html

benchmarks: .venv/.installed-dev
	@set -e; for script in benchmarks/*.py; do echo "$$script"; $(BIN)/python "$$script"; done

clean:
	rm -rf .venv docs/_build docs/api build dist .mypy_cache .ruff_cache .pytest_cache

# .venv/.installed-EXTRA is newer than what it was installed from, or is made again. While pip
# runs, .venv/.unfinished exists: pip takes a half-copied package for a whole one, so an
# environment whose installation was cut short is built afresh.
.venv/.installed-%: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "neuroalign needs Python 3.11 or newer, but '$(PYTHON)' is $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Install a newer one, or name it: make PYTHON=python3.12 $(or $(MAKECMDGOALS),demo)" >&2; \
	  exit 1; }
	@if [ -e .venv/.unfinished ]; then rm -rf .venv; fi
	@mkdir -p .venv && touch .venv/.unfinished
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$*]'
	@if [ $* = dev ]; then touch .venv/.installed-offline; fi  # dev includes it
	@rm .venv/.unfinished && touch $@
