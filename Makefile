# make demo   renders clips with the shipped models into out/demo and writes out/demo/index.html
# make test   lint, types and tests; make test-slow adds the tests that take minutes
# make bench  times training steps beside those of other libraries, for some minutes, in an environment of
#             their own; writes the table in README.md and a line of tests/bench/record.jsonl
# make clean  removes everything that make made
# All but clean first make .venv (bench: .venv-bench) and install the tested versions into it; PYTHON=python3.12 chooses the Python.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python -m
DONE := $(VENV)/.installed
UNFINISHED := $(VENV)/.unfinished
PEERS := .venv-bench

.PHONY: demo test test-slow lint bench clean

demo: $(DONE)
	$(RUN) mediadiff demo --out out/demo

test: lint
	$(RUN) pytest -m "not slow"

test-slow: lint
	$(RUN) pytest

lint: $(DONE)
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy

# A set-up that was cut short may leave any package half there, so it starts again from nothing.
$(DONE): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "mediadiff needs Python 3.11 or later as '$(PYTHON)'; choose another with: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "'$(PYTHON)' cannot make virtual environments; on Debian: apt install python3-venv"; exit 1; }
	@if [ -e $(UNFINISHED) ]; then echo "An earlier set-up was cut short; starting again."; rm -rf $(VENV); fi
	@mkdir -p $(VENV) && touch $(UNFINISHED)
	@test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV); the first time takes some minutes."
	$(RUN) pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@rm $(UNFINISHED) && touch $(DONE)

# The other libraries ask for packages that would replace ours, and use nothing of them here.
$(PEERS)/.installed: pyproject.toml constraints.txt tests/bench/requirements.txt
	rm -rf $(PEERS) && $(PYTHON) -m venv $(PEERS)
	@echo "Installing into $(PEERS); the first time takes some minutes."
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r tests/bench/requirements.txt
	@touch $@

bench: $(PEERS)/.installed
	$(PEERS)/bin/python -m tests.bench.compare --write

clean:
	rm -rf $(VENV) $(PEERS) out/demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
