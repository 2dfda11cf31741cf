# Needs make and Python 3.11 or newer; everything else is installed into .venv and .venv-peers.
#   make PYTHON=python3.13 ...     another interpreter
#   make test ARGS="-k spool"      arguments for pytest, the demo or the benchmarks
#   make bench ONLY=collector      one benchmark

PYTHON ?= python3
ARGS ?=
ONLY ?=

BIN := .venv/bin
INSTALL := -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help venv venv-peers demo test check lint types format bench build clean check-python

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

venv: .venv/installed  ## Install Trackway with all its extras and tools into .venv

venv-peers: .venv-peers/installed  ## Install foreign clients and the libraries we measure against

demo: venv  ## Show a live dashboard of a small shop (ARGS="--seconds 30" ends by itself)
	$(BIN)/trackway demo $(ARGS)

test: venv venv-peers  ## Run the tests
	$(BIN)/python -m pytest $(ARGS)

check: lint types test  ## Check format, lint and types, then run the tests

lint: venv  ## Check format and lint
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: venv  ## Check types
	$(BIN)/mypy

format: venv  ## Format the code and mend what the linter can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: venv venv-peers  ## Measure speed and memory beside the peers (ONLY=name for one)
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY)) $(ARGS)

build: venv  ## Build the wheel into dist/
	$(BIN)/python -m hatchling build --target wheel

clean:  ## Remove everything that make has made
	rm -rf .venv .venv-peers dist build .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# The files named `installed` are newer than what they were made from, or the step runs again.
.venv/installed: pyproject.toml | check-python
	$(PYTHON) -m venv .venv
	$(BIN)/python $(INSTALL) --editable '.[all,dev]'
	@touch $@

.venv-peers/installed: benchmarks/peers.txt | check-python
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python $(INSTALL) --requirement benchmarks/peers.txt
	@touch $@

check-python:
	@command -v $(PYTHON) >/dev/null \
	  || { echo "$(PYTHON) is not installed: install Python 3.11 or newer, or say make PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "Trackway needs Python 3.11 or newer and $(PYTHON) is " + sys.version.split()[0] + ": say make PYTHON=...")'
