# make demo   the whole path on sample_data: tile, train, predict, vectorize, evaluate
# make test   the tests
# make lint   ruff and mypy
# make docs   the pages as a site, in site/
# make lock   locks what the tests install in .ci/lock.txt, lists it in docs/licences.md
# make audit  looks for known holes in what is locked; asks PyPI
# make qgis-plugin  dist/geoseg_qgis.zip, for QGIS's plugin manager
# make clean  remove what the above made
#
# Each makes the virtual environment .venv if it is missing or older than pyproject.toml.
# PYTHON=python3.12, PIP_ARGS="--index-url ..." and PYTEST_ARGS="-m 'not slow'" may be given.

PYTHON ?= python3
PIP_ARGS ?=
PYTEST_ARGS ?=
DEMO ?= demo

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS)

.PHONY: demo test lint docs lock audit qgis-plugin clean

demo: $(VENV)/.installed
	$(BIN)/geoseg demo --overwrite -o $(DEMO)

# Each process of the tests computes with one thread: together they fill the processor.
test: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal $(PYTEST_ARGS)

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed-test
	$(BIN)/python -m mkdocs build --strict

lock: | $(BIN)/python
	$(BIN)/python .ci/lock.py $(PIP_ARGS)

audit: | $(BIN)/python
	$(PIP) pip-audit
	$(BIN)/python -m pip_audit --require-hashes --disable-pip --requirement .ci/lock.txt

qgis-plugin:
	$(PYTHON) cli/zip_qgis_plugin.py

clean:
	rm -rf $(VENV) $(DEMO) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist site
	find geoseg cli tests sample_data -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "geoseg needs Python 3.11 or newer; say which: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@echo "Made the virtual environment $(VENV)"

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "Installing geoseg into $(VENV): the first time downloads some gigabytes (PyTorch)"
	$(PIP) --editable .
	@touch $@
	@echo "Installed geoseg into $(VENV); use it with: . $(BIN)/activate"

# What is locked is for one Python and one kind of machine; elsewhere the newest that fit are taken.
$(VENV)/.installed-test: pyproject.toml .ci/lock.txt | $(BIN)/python
	@echo "Installing geoseg[test] into $(VENV): the first time downloads some gigabytes (PyTorch)"
	$(PIP) --require-hashes --requirement .ci/lock.txt || \
		echo "What .ci/lock.txt names is not to be had here; the newest that fit are installed"
	$(PIP) --editable ".[test]"
	@touch $@ $(VENV)/.installed
	@echo "Installed geoseg[test] into $(VENV); use it with: . $(BIN)/activate"
