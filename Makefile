# `make demo` and `make test` work from a fresh clone: all they need is Python ≥ 3.11 and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A clone keeps everything of its own inside itself, unless you say otherwise.
MMSR_HOME ?= $(CURDIR)/.mmsr
export MMSR_HOME

PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt
CHECKED := mmsr tests studies benchmarks mlflow

.PHONY: help demo test lint docs format clean
.NOTPARALLEL:

help:
	@echo "make demo    install, run the demo study, show its leaderboard"
	@echo "make test    install, lint, check types, run all tests"
	@echo "make docs    build the documentation in site/, strictly"
	@echo "make lint    lint and check types only"
	@echo "make format  let ruff format the code"
	@echo "make clean   remove the environment and all caches; data sets and studies stay"

demo: $(VENV)/installed
	@echo "==> demo data set"
	@$(BIN)/mmsr data demo
	@echo "==> demo study"
	@$(BIN)/python studies/demo.py
	@echo "in a shell with:  source $(BIN)/activate; export MMSR_HOME=$(MMSR_HOME)"

test: lint docs
	@echo "==> pytest, fast tests in two processes"
	@$(BIN)/python -m pytest -m 'not slow and not fuzz' -n 2 --dist loadfile
	@echo "==> pytest, the others"
	@$(BIN)/python -m pytest -m 'slow or fuzz'

lint: $(VENV)/installed-dev
	@echo "==> ruff check"
	@$(BIN)/ruff check $(CHECKED)
	@echo "==> ruff format --check"
	@$(BIN)/ruff format --check $(CHECKED)
	@echo "==> mypy --strict"
	@$(BIN)/mypy

docs: $(VENV)/installed-dev
	@echo "==> mkdocs build --strict"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "open site/index.html"

format: $(VENV)/installed-dev
	@$(BIN)/ruff check --fix $(CHECKED)
	@$(BIN)/ruff format $(CHECKED)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

# The stamps rerun the installation when the requirements change.
$(VENV)/installed: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "==> installing mmsr (about 3 minutes, 2 GB)"
	@$(PIP) -e .
	@touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "==> installing mmsr and its development tools (about 3 minutes, 2 GB)"
	@$(PIP) -e '.[dev]'
	@touch $(VENV)/installed $@

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: mmsr needs Python 3.11 or newer, and '$(PYTHON)' is not: name one that is," \
			"e.g. make PYTHON=python3.12 demo" >&2; exit 2; }
	@echo "==> creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)
