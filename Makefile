# Interval: `make run` from a fresh clone serves the workstation, `make test` runs every test. Both do all set-up themselves.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
TESTED := .cache/test-data

# The bundled model from nothing: folder with the data folders, folder of checkpoints and curves, recipe, where the reports go.
DATA_ROOT ?= ../data
RUN ?= runs/bundled
RECIPE ?= finetune/recipes/bundled.yaml
REPORTS ?= docs/model
PAIRS ?= 150
RAD := Med_MIM_benchmark_Held_out_RAD.json
TRAIN = $(BIN)/python -m finetune.train --recipe $(RECIPE) --run $(RUN) --data-root $(DATA_ROOT)
MEASURED = .cache/model-data
STAGES := model-tower model-connector model-joint model-ship model-measure model-card

.PHONY: help run test check loop bench hostile browser screens viewer viewer-test viewer-packages clean setup-check setup-test model $(STAGES)

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | awk -F'\t' '{printf "  make %-15s %s\n", $$1, $$2}'

run: ## from a fresh clone to http://127.0.0.1:7860 with the bundled model and demo cases
	@$(PYTHON) .ci/setup.py run
	@exec $(BIN)/python app.py serve

test: setup-test check ## from a fresh clone to a finished test run
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not (browser or model or slow)"
	@INTERVAL_TEST_MODELS=$(CURDIR)/$(TESTED)/models $(BIN)/python -m pytest -q -n 2 --dist loadfile -m "(model or slow) and not browser"
	@INTERVAL_TEST_MODELS=$(CURDIR)/$(TESTED)/models $(BIN)/python -m pytest -q -m browser

check: setup-check ## format, lint, types, imports, file sizes, documentation
	@$(BIN)/ruff format --check -q .
	@$(BIN)/ruff check -q .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m pytest -q -m "not (model or slow)" tests/test_house.py tests/test_docs.py

loop: setup-test ## sixty planted flags: corrected, reviewed, learned, gated, promoted, rolled back; the figures as JSON
	@INTERVAL_TEST_MODELS=$(CURDIR)/$(TESTED)/models $(BIN)/python -m tests.loop

bench: setup-test ## the figures of docs/benchmarks.md, measured here and now
	@INTERVAL_TEST_MODELS=$(CURDIR)/$(TESTED)/models $(BIN)/python -m tests.bench

hostile: setup-check ## files made to break readers: each a picture or a sentence
	@$(BIN)/python -m tests.hostile

browser: setup-test ## the page in a real Chromium
	@INTERVAL_TEST_MODELS=$(CURDIR)/$(TESTED)/models $(BIN)/python -m pytest -q -m browser

screens: setup-test ## draw docs/screens anew; with LOOP=DIR, what `tests.loop --keep DIR` left, review and training
	@INTERVAL_TEST_MODELS=$(CURDIR)/$(TESTED)/models $(BIN)/python -m tests.browser.screens $(if $(LOOP),--loop $(LOOP))

viewer: viewer-packages ## build assets/viewer from ui/viewer (needs Node 20 or newer; users need none)
	@cd ui/viewer && npm run --silent types && npm run --silent build

viewer-test: viewer-packages ## the viewer's own unit tests
	@cd ui/viewer && npm run --silent test

viewer-packages:
	@command -v npm >/dev/null || { echo "building the viewer needs Node 20 or newer with npm (apt-get install nodejs npm)" >&2; exit 2; }
	@cd ui/viewer && { [ -d node_modules ] || npm ci --no-audit --no-fund --silent; }

model: setup-check ## the bundled model from nothing, all six stages; variables DATA_ROOT, RUN, RECIPE; each stage goes on where it stopped
	@for stage in $(STAGES); do echo "[model] $$stage"; $(MAKE) --no-print-directory $$stage || exit 1; done

model-tower: ## 1: the image tower learns to see (generator, real films of DATA_ROOT)
	@$(TRAIN) --stage tower

model-connector: ## 2: the connector learns to speak to the language model
	@$(TRAIN) --stage connector

model-joint: ## 3: connector and low-rank adapters learn questions and answers
	@$(TRAIN) --stage joint

model-ship: ## 4: the trained parts go to assets/bundled, are built from there as set-up does, and offsets of their likelihoods are fitted
	@$(BIN)/python -m finetune.ship --recipe $(RECIPE) --run $(RUN)
	@$(BIN)/python app.py --data-dir $(MEASURED) models build bundled --hf
	@$(BIN)/python -m finetune.offsets --data-dir $(MEASURED) --data-root $(DATA_ROOT)
	@$(BIN)/python app.py --data-dir $(MEASURED) models build bundled

model-measure: ## 5: figures on held-out pairs, GGUF against torch, real pairs, Held-out RAD; reports in docs/model
	@$(BIN)/python -m finetune.measure --data-dir $(MEASURED) --data-root $(DATA_ROOT) --pairs $(PAIRS) --out $(REPORTS)/figures.json
	@$(BIN)/python -m finetune.parity --data-dir $(MEASURED) --data-root $(DATA_ROOT) --out $(REPORTS)/parity.json
	@if [ -f $(DATA_ROOT)/pairs_cxr.csv ]; then $(BIN)/python -m finetune.realpairs --data-dir $(MEASURED) \
		--pairs $(DATA_ROOT)/pairs_cxr.csv --image-root $(DATA_ROOT) --out $(REPORTS)/real-pairs.json; \
	else echo "[model] no real pairs: $(DATA_ROOT)/pairs_cxr.csv is not there"; fi
	@if [ -f $(DATA_ROOT)/med_mim/$(RAD) ]; then $(BIN)/python app.py --data-dir $(MEASURED) evaluate --out $(REPORTS)/rad \
		--benchmark $(DATA_ROOT)/med_mim/$(RAD) --image-root $(DATA_ROOT)/vqa_rad/images; \
	else echo "[model] no Held-out RAD: $(DATA_ROOT)/med_mim/$(RAD) is not there"; fi

model-card: ## 6: the card beside the parts, from the run's curves and the reports
	@$(BIN)/python -m finetune.card --recipe $(RECIPE) --run $(RUN) --reports $(REPORTS)
	@$(BIN)/python .ci/tables.py

clean: ## remove the environment and caches of this checkout (never your data, never the compiled wheel)
	@rm -rf .venv .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup-check:
	@$(PYTHON) .ci/setup.py check

setup-test:
	@$(PYTHON) .ci/setup.py test
