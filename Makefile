# Every target sets up what it needs: a virtual environment in .venv, from the locked versions in requirements/.
# Nothing but Python 3.11 or newer, make and pip is expected of the machine.

PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
MINOR = $(shell $(BIN)/python -c 'import sys; print("py%d%d" % sys.version_info[:2])')

# One BLAS thread a process: the parallel work is tusi's own. Pictures need no screen.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MPLBACKEND := Agg
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test typecheck science bench lint format types docs check lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---- environment: one stamp for each lock, made again when the lock or the project's metadata changes -------------

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "tusi needs Python 3.11 or newer: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV) \
		|| { $(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install pip; }

define install
	@test -f requirements/$(MINOR)$(1).txt \
		|| { echo "tusi has no lock for $(MINOR); there are: $$(ls requirements)" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --require-hashes --only-binary :all: -r requirements/$(MINOR)$(1).txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
endef

$(VENV)/run.stamp: pyproject.toml $(wildcard requirements/*.txt) | $(BIN)/python
	$(call install,)

$(VENV)/test.stamp: pyproject.toml $(wildcard requirements/*.txt) | $(BIN)/python
	$(call install,-test)

$(VENV)/all.stamp: pyproject.toml $(wildcard requirements/*.txt) | $(BIN)/python
	$(call install,-all)

# ---- what a user types ---------------------------------------------------------------------------------------------

demo: $(VENV)/run.stamp ## Simulate an alloy, analyse it, and print the truth beside what was inferred
	$(BIN)/tusi demo --out demo

test: $(VENV)/test.stamp ## Run the fast tests and every docstring's example
	$(BIN)/python -m pytest -n $(WORKERS) -m "not science" --doctest-modules src tests

# ---- what a developer types ----------------------------------------------------------------------------------------

typecheck: $(VENV)/test.stamp ## Run the fast tests with every shape annotation checked at run time
	TUSI_TYPECHECK=1 $(BIN)/python -m pytest -n $(WORKERS) -m "not science" tests

science: $(VENV)/test.stamp ## Run the full calibrations and write the tables that the docs show (long)
	$(BIN)/python benchmarks/science.py --workers $(WORKERS) --only "$(ONLY)"

bench: $(VENV)/test.stamp ## Run the benchmarks that need no peer installed
	$(BIN)/python benchmarks/bench_startup.py

lint: $(VENV)/all.stamp ## Check style, formatting and who imports whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

format: $(VENV)/all.stamp ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: $(VENV)/all.stamp ## Check types
	$(BIN)/pyright

docs: $(VENV)/all.stamp ## Build the documentation, running every page; warnings are errors
	$(BIN)/python -m sphinx -E -W --keep-going -q -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

check: lint types test docs ## All of the above that a change must pass

lock: $(VENV)/all.stamp ## Write the locks again (UPGRADE=1 for the newest versions)
	$(BIN)/python -m pip install --quiet uv
	PATH="$(CURDIR)/$(BIN):$$PATH" requirements/lock.sh

clean: ## Remove everything that was made
	rm -rf $(VENV) demo docs/_build docs/api/generated build dist .pytest_cache .ruff_cache .import_linter_cache
	find src tests benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} +
