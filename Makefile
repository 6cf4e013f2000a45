# Everything is installed into .venv and gateway/node_modules. Nothing but Python 3.11 or later and
# make is asked of the machine.
PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv
SHELL := /bin/bash

.PHONY: setup install model kafka weaviate demo test check unit contract integration e2e schema supergraph bench lock docs

# What a user needs: packages, the gateway, the sentence model.
setup: install gateway/node_modules/.installed model

# The packages are synchronised when the lock changed; the project itself each time, as a new file
# is seen only then.
install: .venv/.synchronised
	@VIRTUAL_ENV=.venv $(UV) pip install --quiet --no-deps --editable .

.venv/.synchronised: requirements.lock | $(UV)
	@echo "Installing Python packages (a few minutes the first time) …"
	@VIRTUAL_ENV=.venv $(UV) pip sync requirements.lock
	@touch $@

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "DataSpoke needs Python 3.11 or later, and %s is %s. Name another one: make PYTHON=python3.12 …" % (sys.executable, sys.version.split()[0]))'
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check uv

gateway/node_modules/.installed: gateway/package-lock.json gateway/package.json | install
	@echo "Installing the gateway's packages (a minute the first time) …"
	@$(BIN)/python -m dataspoke.embedded.node ci
	@touch $@

model: install
	@$(BIN)/python -m dataspoke.embedded.model

# Servers that the tests run besides; the demo runs on Weaviate with `dataspoke demo --vectors weaviate`.
kafka: install
	@$(BIN)/python -m dataspoke.embedded.kafka

weaviate: install
	@$(BIN)/python -m dataspoke.embedded.weaviate

demo: setup
	@$(BIN)/dataspoke demo

# Everything, the quick ones first. Under CI=true nothing may be skipped.
test: setup kafka weaviate check unit contract integration e2e

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(BIN)/dataspoke schema print | diff -u schema/subgraph.graphql - || { echo "Run: make schema"; exit 1; }
	@$(BIN)/dataspoke config page | diff -u docs/settings.md - || { echo "Run: make docs"; exit 1; }

unit: install
	$(BIN)/pytest tests/unit --numprocesses=auto

contract integration e2e: setup kafka weaviate
	$(BIN)/pytest tests/$@

# Prints the SDL anew, after a change of schema/.
schema: install
	$(BIN)/dataspoke schema print --out schema/subgraph.graphql

# Prints docs/settings.md anew, after a change of the settings.
docs: install
	$(BIN)/dataspoke config page --out docs/settings.md

# Composes it with the hub's whole interface, as a gateway would.
supergraph: setup
	$(BIN)/pytest tests/contract/test_supergraph.py

# NAB=path/to/nab scores detection on that corpus too, SERIES=folder on labelled series of your own.
bench: setup
	$(BIN)/python -m bench.labelled_sample
	$(if $(NAB)$(SERIES),$(BIN)/python -m bench.detection $(if $(NAB),--data $(NAB)) $(if $(SERIES),--series $(SERIES)))

lock: | $(UV)
	$(UV) pip compile --quiet pyproject.toml --universal --generate-hashes --all-extras --python-version 3.11 --no-header --output-file requirements.lock
