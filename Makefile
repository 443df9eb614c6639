# `make help` lists the recipes. Nothing needs to be there but Python 3.11 or newer with pip,
# and Docker or, on Debian and Ubuntu, root.

# The machine's own Python; uv as it is locked, where the machine has none.
PYTHON := $(shell command -v python3 2> /dev/null)
PINNED_UV := .dev/uv/bin/uv
UV := $(or $(wildcard .venv/bin/uv),$(shell command -v uv 2> /dev/null),$(PINNED_UV))
UV_IF_MISSING := $(filter $(PINNED_UV),$(UV))

PATH := $(CURDIR)/.venv/bin:$(CURDIR)/.dev/bin:$(PATH)
export PATH
# Without bytecode, every process of the tests would compile the program anew.
unexport VIRTUAL_ENV PYTHONDONTWRITEBYTECODE

EXPORT := $(UV) export --quiet --locked --no-emit-project --format requirements.txt

.PHONY: help demo test unit compiled soak mutants site lint lock bench up down
.DEFAULT_GOAL := help

help: ## list the recipes
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 14

demo: .venv/installed ## publish examples/frontend to a registry on this machine, and run it
	dev/demo

# The unit tests take every branch of the core by themselves, which slows them down: what runs
# thousands of times is not measured. They need no engine, so that one is started meanwhile.
# Much of the others' time is waiting. The longest come first: nobody waits for one at the end.
RUNGS ?= unit end_to_end lint integration races contract servers action
OTHERS = $(addprefix tests/,$(filter-out unit,$(RUNGS)))
WORKERS := $(shell expr `nproc` + 3)
# In a new checkout, each worker would compile all tests by itself: one process does so beforehand.
NEW := $(if $(wildcard tests/integration/__pycache__),,compiled)
# What tests write is kept in memory, where 4 GiB of it may hold files.
MEMORY := $(shell df --output=avail /dev/shm 2> /dev/null | awk 'NR == 2 && $$1 > 4194304 { print "/dev/shm" }')
test soak: export TMPDIR := $(or $(TMPDIR),$(MEMORY),/tmp)

test: .venv/installed ## prove every promise; RUNGS="unit lint" runs those alone
	@$(MAKE) --no-print-directory --jobs=3 $(filter unit,$(RUNGS)) up $(if $(OTHERS),$(NEW))
	$(if $(OTHERS),pytest -n $(WORKERS) --dist loadscope $(OTHERS))

unit: .venv/installed
	pytest -n auto --cov --cov-config tests/unit/.coveragerc tests/unit

compiled: .venv/installed
	@-pytest --collect-only -qq $(OTHERS) > /dev/null

soak: .venv/installed up ## run the same proofs at every other place, as each night
	pytest -n $(WORKERS) --dist loadscope -m soak tests

mutants: $(UV_IF_MISSING) ## change the code line by line, and see the tests fail; PART=".tags.rules.*"
	nice $(UV) run --quiet --locked --isolated --group mutants mutmut run $(if $(PART),'feastflow_registry$(PART)')

site: $(UV_IF_MISSING) ## make the pages of docs/ a site, in .dev/site
	$(UV) run --quiet --locked --isolated --only-group site \
	  sphinx-build --quiet --fail-on-warning --fresh-env docs .dev/site

lint: .venv/installed ## run only the checkers
	pytest tests/lint

lock: $(UV_IF_MISSING) ## bring the lock files in line with pyproject.toml
	$(UV) lock
	$(EXPORT) --no-dev --output-file requirements.txt
	$(EXPORT) --only-group uv --output-file requirements-uv.txt
	$(UV) run --quiet --locked dev/wheels

bench: .venv/installed up ## measure
	python -m bench

up: ## start an engine, a registry and what else the tests need
	dev/stack up --buildkit

down: ## stop what was started
	dev/stack down

.venv/installed: pyproject.toml uv.lock $(UV_IF_MISSING)
	$(UV) sync --quiet --locked
	@touch $@

$(PINNED_UV): requirements-uv.txt
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action ignore --upgrade \
	  --require-hashes --no-deps --target .dev/uv --requirement $<
	@touch $@
