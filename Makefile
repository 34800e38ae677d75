# On a fresh Debian with python3 and make: `make demo` shows what it does, `make test` proves it.

PYTHON ?= python3
export PYTHON
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip
PYTEST := $(BIN)/python -m pytest

# A plugin that touches Qt outside the main thread is an error in the tests.
export NAPARI_ENSURE_PLUGIN_MAIN_THREAD := 1

# No advertisement of other programs.
export NO_MKDOCS_2_WARNING := 1

.PHONY: demo test test-all bench docs lint clean debian-packages-for-tests debian-packages-for-bench
.NOTPARALLEL:

demo: $(VENV)/installed
	$(BIN)/napari-deconv demo

test: debian-packages-for-tests $(VENV)/installed-for-tests
	$(PYTEST) -m "not slow" --numprocesses 2 --dist loadfile

test-all: debian-packages-for-tests $(VENV)/installed-for-tests
	$(PYTEST)

# A quarter of an hour; --full lets the slow ones end too.
bench: debian-packages-for-bench $(VENV)/installed-for-bench
	$(BIN)/python -m benchmarks

# Pages in site/; a warning is an error.
docs: $(VENV)/installed-for-docs
	$(BIN)/python -m mkdocs build

lint: $(VENV)/installed-for-tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist demo site .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find src tests docs benchmarks -name __pycache__ -prune -exec rm -rf {} +

debian-packages-for-tests:
	scripts/debian-packages test

debian-packages-for-bench:
	scripts/debian-packages bench

# A venv without pip is what a Debian without python3-venv leaves behind.
$(BIN)/pip:
	scripts/debian-packages venv
	$(PYTHON) -m venv --clear $(VENV)

$(VENV)/installed: pyproject.toml | $(BIN)/pip
	$(PIP) install --quiet --editable .
	touch $@

# pip knows --group from 25.1 on.
$(VENV)/installed-for-tests: pyproject.toml | $(BIN)/pip
	$(PIP) install --quiet "pip>=25.1"
	$(PIP) install --quiet --editable ".[all]" --group test
	touch $@ $(VENV)/installed

$(VENV)/installed-for-bench: pyproject.toml | $(BIN)/pip
	$(PIP) install --quiet "pip>=25.1"
	$(PIP) install --quiet --editable . --group bench
	touch $@ $(VENV)/installed

# The API's pages are read from the source: nothing else is installed.
$(VENV)/installed-for-docs: pyproject.toml | $(BIN)/pip
	$(PIP) install --quiet "pip>=25.1"
	$(PIP) install --quiet --group docs
	touch $@
