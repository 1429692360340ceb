# The programs that CI, the README and people run; `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python
.DEFAULT_GOAL := help

.PHONY: help setup demo up test fault lint proto bench clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else \
		"Python 3.11, 3.12 or 3.13 is needed, this is " + sys.version.split()[0] + ": name one with `make PYTHON=python3.12 ...`")'
	@echo "Installing into $(VENV): about 950 MB, one to three minutes."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

setup: $(BIN)/.ready ## install everything into .venv and build the JavaScript bundle
	@$(RUN) tools/build_runtime.py

demo: setup ## run everything on a fresh data folder and show the main job, end to end
	@$(BIN)/onward demo

up: setup ## run Postgres, NATS and the four services until Ctrl-C
	@$(BIN)/onward up

test: setup lint ## check everything, then run every test
	$(RUN) -m tests.suite

fault: setup ## kill 200 processes under load and check every event; KILLS=20 SEED=7 for others; writes build/fault/
	$(RUN) -m tests.fault.harness --kills $(or $(KILLS),200) --seed $(or $(SEED),1)

lint: $(BIN)/.ready ## style, types, layers, protos
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(RUN) tests/tidy.py
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	$(BIN)/buf breaking --against tests/golden/protos.binpb
	$(RUN) tools/generate.py --check
	$(BIN)/mypy

proto: $(BIN)/.ready ## generate gen/ from protos/
	$(BIN)/buf format --write
	$(RUN) tools/generate.py

bench: setup ## measure the whole chain; writes build/bench/
	$(RUN) bench/pipeline.py --json build/bench/pipeline.json

clean: ## delete what was built
	rm -rf build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
