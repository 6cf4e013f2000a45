# Everything runs from .venv; nothing but Python 3.11 or later and make is asked of the machine.
PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv

.PHONY: setup install demo test check unit contract integration e2e schema supergraph bench lock

setup: install

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "DataSpoke needs Python 3.11 or later; this is %s. Set PYTHON=…" % sys.version.split()[0])'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check uv

install: $(UV)
	@VIRTUAL_ENV=.venv $(UV) pip sync --quiet requirements.lock
	@VIRTUAL_ENV=.venv $(UV) pip install --quiet --no-deps --editable .

lock: $(UV)
	$(UV) pip compile --quiet pyproject.toml --universal --generate-hashes --all-extras --python-version 3.11 --no-header --output-file requirements.lock

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit contract integration e2e: install
	$(BIN)/pytest tests/$@
