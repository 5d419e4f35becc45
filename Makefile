# make run            set up, fetch the models, start everything, index this project's docs (or DOCS=path), ask a question
# make test           set up, and run the whole suite
# make eval           measure how good the answers are, on a set of questions
# make lint, format   what CI checks; CONTRIBUTING.md names the slower suites

SHELL := bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Without DOCS: the project's own, in a collection of their own, so that they never mix with yours.
DOCS ?=
ifeq ($(strip $(DOCS)),)
run: export RAGLINE_SERVER__READ_ONLY := ["ragline"]
UP := --collection ragline --docs docs --ask "What does ragline do when the reranker is down?"
else
UP := --docs "$(DOCS)"
ifneq ($(strip $(ASK)),)
UP += --ask "$(ASK)"
endif
endif

.PHONY: run test test-slow test-chaos test-containers lint format docs eval bench clean

run: $(VENV)/.run
	@exec $(BIN)/ragline up $(UP)

test: $(VENV)/.dev lint
	$(BIN)/ragline models pull
	$(BIN)/pytest -n 2 --dist loadfile    # two files at a time: most of them wait, for servers and for time to pass

test-slow: $(VENV)/.dev
	$(BIN)/pytest -m slow

# CHAOS_KILLS=200 make test-chaos
test-chaos: $(VENV)/.dev
	$(BIN)/ragline models pull
	$(BIN)/pytest -s -m chaos

test-containers: $(VENV)/.dev
	$(BIN)/pytest -m containers

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.run
	$(BIN)/python -m tests.settings_page

# make eval DATASET=folder ARGS="--limit 200": docs/evaluation.md
eval: $(VENV)/.run
	@exec $(BIN)/ragline eval "$(DATASET)" $(ARGS)

# Ours, its peers and the engines alone: ARGS="--help"
bench: $(VENV)/.dev
	$(BIN)/python -m bench.serving $(ARGS)

# bench-index, bench-chunking, ...: one table each
bench-%: $(VENV)/.dev
	$(BIN)/python -m bench.$* $(ARGS)

clean:
	rm -rf $(VENV)

# What is installed is pinned; the stamp makes the second `make run` start at once. An environment of an older Python, or a
# broken one, is made anew.
SUPPORTED := import sys; sys.exit(sys.version_info < (3, 11))
$(VENV)/.run: requirements/cpu.txt pyproject.toml
	@$(PYTHON) -c "$(SUPPORTED)" || { echo "ragline needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
		"Name another: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@$(BIN)/python -c "$(SUPPORTED)" 2>/dev/null || { \
		echo "Setting up $(VENV) with $$($(PYTHON) --version) ..."; $(PYTHON) -m venv --clear $(VENV); }
	@echo "Installing the libraries (no torch) ..."
	@$(BIN)/python -m pip install -r requirements/cpu.txt 2>&1 | \
		{ grep --line-buffered -oE '^ *(Downloading .*|Installing|ERROR.*)' || true; }
	@$(BIN)/python -m pip install --quiet --no-deps -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt requirements/milvus.txt
	$(BIN)/python -m pip install --quiet -r requirements/dev.txt -r requirements/milvus.txt
	@touch $@
