# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint bench setup clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $(STAMP)

demo: setup  ## the main job on the embedded default: a table, plots and an HTML report
	$(BIN)/python -m franken +experiment=quickstart

# A process for every core, one thread each: small tensors gain nothing from a second thread. A file's tests stay together, with their fixtures.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --dist loadfile

lint: setup
	$(BIN)/ruff check franken tests benchmarks
	$(BIN)/ruff format --check franken tests benchmarks
	$(BIN)/mypy

# The initialisers at full size take hours on two cores; a twentieth of the rows is fitted and scaled up.
bench: setup
	for script in $(filter-out benchmarks/init.py,$(wildcard benchmarks/*.py)); do echo "== $$script"; $(BIN)/python $$script || exit 1; done
	$(BIN)/python benchmarks/init.py --share 0.05

clean:
	rm -rf $(VENV) build dist *.egg-info
