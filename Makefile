# Interval: `make run` from a fresh clone serves the workstation, `make test` runs every test. Both do all set-up themselves.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
TESTED := .cache/test-data

.PHONY: help run test check bench hostile browser screens clean setup-check setup-test

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | awk -F'\t' '{printf "  make %-9s %s\n", $$1, $$2}'

run: ## from a fresh clone to http://127.0.0.1:7860 with the bundled model and demo cases
	@$(PYTHON) .ci/setup.py run
	@exec $(BIN)/python app.py serve

test: setup-test check ## from a fresh clone to a finished test run
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not (browser or model or slow)"
	@INTERVAL_TEST_MODELS=$(CURDIR)/$(TESTED)/models $(BIN)/python -m pytest -q -m "browser or model or slow"

check: setup-check ## format, lint, types, imports, file sizes, documentation
	@$(BIN)/ruff format --check -q .
	@$(BIN)/ruff check -q .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m pytest -q -m "not (model or slow)" tests/test_house.py tests/test_docs.py

bench: setup-test ## the figures of docs/benchmarks.md, measured here and now
	@INTERVAL_TEST_MODELS=$(CURDIR)/$(TESTED)/models $(BIN)/python -m tests.bench

hostile: setup-check ## files made to break readers: each a picture or a sentence
	@$(BIN)/python -m tests.hostile

browser: setup-test ## the page in a real Chromium
	@INTERVAL_TEST_MODELS=$(CURDIR)/$(TESTED)/models $(BIN)/python -m pytest -q -m browser

screens: setup-test ## draw docs/screens anew
	@INTERVAL_TEST_MODELS=$(CURDIR)/$(TESTED)/models $(BIN)/python -m tests.browser.screens

clean: ## remove the environment and caches of this checkout (never your data, never the compiled wheel)
	@rm -rf .venv .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup-check:
	@$(PYTHON) .ci/setup.py check

setup-test:
	@$(PYTHON) .ci/setup.py test
