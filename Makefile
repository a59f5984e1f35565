# make demo, make test, make docs: each does all the set-up it needs; a second run is quick.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
DEMO := demo
LOWEST := .venv-lowest

# Idle OpenMP threads must sleep soon, as those of the command line do: benchmarks/idle_threads.py.
export GOMP_SPINCOUNT := 3000

.PHONY: setup demo test lowest wheel check docs notebooks label clean

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

# The lowest versions that pyproject.toml allows, in an environment of their own, and tests of every library. Of torch the tested
# one, because its lowest comes with 3 GB of CUDA where there is no index of builds for the CPU: make lowest TORCH=2.6
# Old libraries warn that parts of newer ones go away; that is no error here.
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)
TESTS_OF_LIBRARIES := bounds cli espirit extras fastmri_and_generic inline_commands ismrmrd metrics outputs public save_and_simulate twix

lowest:
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --constraint constraints-lowest.txt --editable '.[all]' \
		torch==$(TORCH) hypothesis ismrmrd pytest pytest-xdist
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest --numprocesses auto --quiet -W default::DeprecationWarning \
		$(TESTS_OF_LIBRARIES:%=tests/test_%.py)

# The package as users get it, without any extra, does the main job outside the repository.
WHEEL_RUN = $(CURDIR)/build/wheel/bin/raki
wheel: setup
	rm -rf build/lib build/wheel dist
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	$(PYTHON) -m venv build/wheel
	build/wheel/bin/python -m pip install --quiet --constraint constraints.txt dist/raki-*.whl
	folder=$$(mktemp -d) && cd "$$folder" && $(WHEEL_RUN) simulate -o scan.h5 --matrix 64x48 --coils 4 && $(WHEEL_RUN) info scan.h5 \
		&& $(WHEEL_RUN) compare scan.h5 -o report --rates 2 3 --methods zero-filled grappa gated --replicas 4 \
		&& $(WHEEL_RUN) simulate -o half.h5 --matrix 64x48 --coils 4 --rate 2 && $(WHEEL_RUN) reconstruct half.h5 -o images.h5 \
		&& $(WHEEL_RUN) view images.h5 --no-open && rm -r "$$folder"

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
	rm -rf $(VENV) $(LOWEST) $(DEMO) build dist raki.egg-info
