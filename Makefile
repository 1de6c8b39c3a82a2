# Everything that a fresh clone needs: the targets set up .venv themselves, and again when pyproject.toml changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := augment benchmarks callbacks conf datamodules hydra_plugins inference lightning_modules losses metrics models partial_labels reports runs
PYTEST_WORKERS ?= auto

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench clean

help:  ## show these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.core  ## train on the embedded phantom (a few minutes on a CPU): Dice table, curves, pictures
	$(BIN)/python train.py experiment=demo

test: lint  ## lint, types and all tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(PYTEST_WORKERS)

lint: $(VENV)/.dev  ## style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.dev  ## put every file into the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.core  ## speed and memory beside a plain loop
	$(BIN)/python -m benchmarks

clean:  ## remove .venv and what tools left behind; runs and stores stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	find $(PACKAGES) tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.core: pyproject.toml
	@$(MAKE) --no-print-directory _venv
	@echo "installing into $(VENV) (a minute or two) ..."
	@$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml
	@$(MAKE) --no-print-directory _venv
	@echo "installing into $(VENV) (a minute or two) ..."
	@$(BIN)/python -m pip install --quiet --editable ".[dev]"
	@touch $@ $(VENV)/.core

.PHONY: _venv
_venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || \
		{ echo "error: $(PYTHON) is missing or older than Python 3.10; name a newer one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "error: $(PYTHON) cannot create environments; install its venv package (apt-get install python3-venv)" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
