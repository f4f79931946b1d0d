# Everything that a developer or CI runs. All of it needs only Python 3.11 or later (with venv), make and git.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# Of the tests. One more than processors, because many tests wait.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')

# Compiled once: each worker of the tests would compile them all, and each run again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-all lint guards format bench bench-daemons bench-peers docs screenshots clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --upgrade pip
	$(INSTALL) --editable . --group dev
	touch $@

demo: $(VENV)/.installed  ## train two ops on the iris data, push them, and see a bad pair refused and a good one accepted
	@PATH="$(abspath $(BIN)):$$PATH" sh examples/iris/demo.sh

test: $(VENV)/.installed  ## run the tests, without those that are marked as slow
	TMPDIR="$$($(BIN)/python -m tests.support.memory_folder)" \
		$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal -m "not slow" $(ARGS)

test-all: $(VENV)/.installed  ## run all tests, with twenty times as many random examples
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal --hypothesis-profile all $(ARGS)

lint: $(VENV)/.installed  ## check style, types and the directions of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

guards: $(VENV)/.installed  ## remove each guard in a copy, and check that a test fails without it
	$(BIN)/python tools/guards.py $(ARGS)

format: $(VENV)/.installed  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed  ## measure transfers, small ops, memory, kills, the start of commands, verdicts, hostile clients: about 27 minutes
	for what in transfer profiles small concurrency memory killed startup page validity waiting hostile; do \
		$(BIN)/python -m benchmarks.$$what || exit 1; done

bench-daemons: $(VENV)/.installed  ## measure PostgreSQL, an object store and several daemons, with servers of its own: about 20 minutes
	$(BIN)/python -m benchmarks.validity --db postgres
	$(BIN)/python -m benchmarks.migration --versions 4000
	for what in fleet database_time counters scale direct; do $(BIN)/python -m benchmarks.$$what || exit 1; done

bench-peers: $(VENV)/.installed  ## install MLflow, DVC and an OCI registry under build/peers, and run beside them
	sh benchmarks/peers.sh
	$(BIN)/python -m benchmarks.peers

$(VENV)/.docs-installed: $(VENV)/.installed
	$(INSTALL) --group docs
	touch $@

docs: $(VENV)/.docs-installed  ## build the site of docs/ under build/site; every warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

screenshots: $(VENV)/.installed  ## make the pictures of docs/pictures (needs Chromium)
	$(BIN)/python -m tools.pictures

clean:  ## delete everything that was made here
	rm -rf $(VENV) .demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
