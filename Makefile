# make demo, make test: each does all the set-up it needs; a second run is quick.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
DEMO := demo

# Idle OpenMP threads must sleep: spinning ones make small matrix products many times slower on a busy machine.
export OMP_WAIT_POLICY := PASSIVE

.PHONY: setup demo test check clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[peers]' \
		|| echo 'the peer tool pygrappa could not be installed here: the tests that compare with it will skip'
	touch $(STAMP)

demo: setup
	mkdir -p $(DEMO)
	$(BIN)/raki simulate -o $(DEMO)/scan.h5
	$(BIN)/raki info $(DEMO)/scan.h5
	$(BIN)/raki compare $(DEMO)/scan.h5 -o $(DEMO) --rates 2 3 4 5 --acs 24 --methods zero-filled grappa raki-2019

test: setup
	$(BIN)/python -m pytest

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

clean:
	rm -rf $(VENV) $(DEMO) build dist raki.egg-info
