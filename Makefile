# Two commands do all set-up: `make demo` and `make test`. Needs python3.11 or newer, pip and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

ADAPTERS := $(basename $(notdir $(wildcard integrations/constraints/*.txt)))
NAME ?= $(firstword $(ADAPTERS))

.PHONY: demo up test test-all test-adapter test-adapters check bench docs lock lock-adapter clean help

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(STAMP): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "python3.11 or newer is needed; say which: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP) ## train, log and read back on the embedded stack, end to end
	$(BIN)/runlore demo --once

up: $(STAMP) ## start the embedded stack; Ctrl-C stops it
	$(BIN)/runlore up

test: $(STAMP) ## the tests, files spread over three processes: some wait while others work
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-all: test ## the tests, then the slow fault and soak tests, which measure: one by one
	$(BIN)/python -m pytest -m slow
	$(MAKE) test-adapters

test-adapters: ## the tests of all integrations, each in an environment of its own
	@for name in $(ADAPTERS); do $(MAKE) test-adapter NAME=$$name || exit 1; done

test-adapter: .venv-adapters/$(NAME)/.installed ## the tests of one: make test-adapter NAME=mlflow
	.venv-adapters/$(NAME)/bin/python -m pytest -m slow tests/integrations -k test_$(NAME)

.venv-adapters/%/.installed: integrations/constraints/%.txt pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

check: $(STAMP) ## ruff, mypy and pyright, all strict, and oxlint for JavaScript
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/oxlint
	$(BIN)/mypy
	$(BIN)/pyright

bench: $(STAMP) ## figures and ratios of docs/benchmarks.md, measured here
	$(BIN)/python -m benchmarks

docs: $(STAMP) ## write the generated pages of docs/
	$(BIN)/python -m docs.generate

COMPILE := --quiet --generate-hashes --allow-unsafe --strip-extras --no-header --no-emit-options --no-annotate
# Our own extras refer to runlore itself, which is installed from the checkout.
TIDY := /^\# WARNING/d; /^\# Consider/d; /^runlore @/d; /^\# The following/d; /^$$/d

lock: $(STAMP) ## resolve the dependencies into constraints.txt
	$(BIN)/pip-compile $(COMPILE) --extra dev --output-file constraints.txt pyproject.toml 2>/dev/null
	@sed -i '$(TIDY)' constraints.txt

lock-adapter: $(STAMP) ## resolve those of one integration: make lock-adapter NAME=mlflow
	$(BIN)/pip-compile $(COMPILE) $(or $(wildcard integrations/constraints/$(NAME).in),--extra $(NAME)) --extra local \
		--output-file integrations/constraints/$(NAME).txt pyproject.toml integrations/constraints/tests.in 2>/dev/null
	@sed -i '$(TIDY)' integrations/constraints/$(NAME).txt

clean: ## remove what was installed and built here
	rm -rf $(VENV) .venv-adapters build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
