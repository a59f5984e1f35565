# make demo, make test, make docs: each does all the set-up it needs; a second run is quick.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
DEMO := demo

# Idle OpenMP threads must sleep: spinning ones make small matrix products many times slower on a busy machine.
export OMP_WAIT_POLICY := PASSIVE

.PHONY: setup demo test check docs notebooks label clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,dev,docs]'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[peers]' \
		|| echo 'the peer tool pygrappa could not be installed here: the tests that compare with it will skip'
	touch $(STAMP)

demo: setup
	$(BIN)/raki demo -o $(DEMO)

# One worker per core, with one thread each: tests are many small problems.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# The site: build/site/html/index.html. Pages with figures are executed, with one thread each;
# make docs RAKI_DOCS_EXECUTION=cache also runs the notebooks and shows what they print.
docs: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx --jobs auto --quiet --fail-on-warning --keep-going docs build/site/html
	@echo build/site/html/index.html

# Every notebook in its short form, as scripts.
notebooks: setup
	for notebook in notebooks/*.py; do echo "$$notebook" && $(BIN)/python "$$notebook" || exit 1; done

# The scanner's description of the container, from its readable form into the Dockerfile.
label:
	sed -i "s|^\\(LABEL .*\\)=\".*\"|\\1=\"$$(base64 -w 0 container/openrecon.json)\"|" container/Dockerfile

clean:
	rm -rf $(VENV) $(DEMO) build dist raki.egg-info
