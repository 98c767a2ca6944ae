# Every target sets up what it needs: on a bare machine `make demo` or `make test` is all there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test proof lint format strip bench chaos clean setup

demo: $(READY)
	@echo "Running sweeps/ring.yaml, 20 trials: about two minutes on two cores, less on more."
	$(BIN)/ganray run sweeps/ring.yaml --name ring-$$(date +%Y%m%d-%H%M%S)

# first what needs no cluster, a process a core, then what does, one after the other
test: $(READY)
	$(BIN)/python -m pytest -m "not proof" --ignore tests/integration --numprocesses auto --dist loadfile
	$(BIN)/python -m pytest -m "not proof" tests/integration

# what a sweep survives, on real parts: longer than anybody wants to wait at every change
proof: $(READY)
	$(BIN)/python -m pytest -m proof

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# notebooks are kept without their results
strip: $(READY)
	$(BIN)/jupyter nbconvert --to notebook --inplace --log-level WARN \
		--ClearOutputPreprocessor.enabled=True --ClearMetadataPreprocessor.enabled=True \
		notebooks/*.ipynb

bench: $(READY)
	$(BIN)/python -m tests.benchmarks

chaos: $(READY)
	$(BIN)/python -m tests.chaos --seed $$(date +%s) --minutes 30

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "ganray needs Python 3.11 or newer; say which with PYTHON=..."; exit 1; }
	@echo "Setting up $(VENV), once: PyTorch, Ray, MLflow, 3 GB on disk; minutes, as the network allows."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -exec rm -rf {} +
