# Everything a contributor types. Each target makes what it needs, once, in .venv.
#   make demo     a load test you can watch: nothing to configure, works offline after the install
#   make test     all tests (10 minutes at most)      make check   ruff, mypy --strict, import rules
#   make bench    our figures beside wrk and Locust   make soak    long sweeps (ROUNDS=20)
# PYTHON=… chooses the interpreter, ARGS=… is passed on (make test ARGS="-k ledger").

PYTHON ?=
ARGS   ?=
ROUNDS ?= 20
VENV   ?= .venv
BIN     = $(VENV)/bin
PIP     = $(BIN)/python -m pip --quiet --disable-pip-version-check
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help demo test test-all check bench soak clean

help:
	@sed -n '2,5s/^# *//p' Makefile

# Two stamps: running needs fewer packages than testing, and `make demo` should start soon.
# pip runs again only when pyproject.toml has changed.
RUN_READY  = $(VENV)/.ready-to-run
TEST_READY = $(VENV)/.ready-to-test

$(BIN)/python:
	@python="$$(.ci/find-python)" && echo "making $(VENV) with $$($$python --version) (once)" && $$python -m venv $(VENV)

$(RUN_READY): pyproject.toml | $(BIN)/python
	@echo "installing loadgen into $(VENV)"
	@$(PIP) install --editable .
	@touch $@

$(TEST_READY): pyproject.toml | $(RUN_READY)
	@echo "installing the test tools into $(VENV)"
	@$(PIP) install --editable ".[dev]"
	@touch $@

demo: $(RUN_READY)
	@$(BIN)/loadgen demo $(ARGS)

test: $(TEST_READY)
	@$(BIN)/python -m pytest -q $(ARGS)

check: $(TEST_READY)
	@$(BIN)/ruff check .
	@$(BIN)/mypy --strict
	@$(BIN)/python -m pytest -q tests/house/test_import_rules.py

# On every supported Python that is on this machine, each in a .venv of its own.
test-all:
	@for version in 3.11 3.12 3.13; do \
	    python="$$(.ci/find-python $$version 2>/dev/null)" || { echo "Python $$version is not here: skipped"; continue; }; \
	    echo "== Python $$version"; \
	    $(MAKE) --no-print-directory test PYTHON="$$python" VENV=.venv-$$version || exit 1; \
	done

bench: $(TEST_READY)
	@$(BIN)/python -m benchmarks $(ARGS)

# The same laws with many more examples, then the tests with real processes again and again.
soak: $(TEST_READY)
	@LOADGEN_TEST_SEEDS=10000 $(BIN)/python -m pytest -q --timeout=0 --hypothesis-profile=soak $(ARGS)
	@for round in $$(seq $(ROUNDS)); do \
	    echo "== round $$round of $(ROUNDS)"; \
	    $(BIN)/python -m pytest -q tests/oracle tests/system tests/scenarios || exit 1; \
	done

clean:
	rm -rf .venv .venv-* build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
