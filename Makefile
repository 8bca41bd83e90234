# make demo   train one spec on NumPy, PyTorch and TensorFlow and show that the curves are the same
# make test   everything that CI checks
# make fuzz   draw random specs and compare the backends on them (COUNT=5000 SEED=0)
# make fuzz-frontend   feed the readers mutated specs (COUNT=100000; guided by coverage where atheris is installed)
# PYTHON=python3.12 make ...   with another interpreter (3.11 or later)

PYTHON ?= python3
VENV ?= .venv
EPOCHS ?= 3
COUNT ?= 5000
SEED ?= 0
DEMO_RUN ?= runs/demo
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: help demo test lint format bench fuzz fuzz-frontend clean

help:
	@sed -n 's/^# make/make/p' Makefile

$(VENV)/.demo: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "specc needs Python 3.11 or later: PYTHON=... make")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[cpu,sklearn]'
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(PIP) --editable '.[cpu,sklearn,dev]'
	@touch $@

demo: $(VENV)/.demo
	$(BIN)/specc train examples/mnist_cnn.yaml --backend numpy --backend torch --backend tensorflow \
		--set training.epochs=$(EPOCHS) --set dtype=float64 --run-dir $(DEMO_RUN) --overwrite

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

fuzz: $(VENV)/.dev
	$(BIN)/specc fuzz --count $(COUNT) --seed $(SEED)

fuzz-frontend: $(VENV)/.dev
	$(BIN)/python -m tests.hostile.fuzz_frontend --count $(COUNT) --seed $(SEED)

clean:
	rm -rf $(VENV) runs build dist .mypy_cache .pytest_cache .ruff_cache .coverage htmlcov *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
