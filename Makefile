# Two commands need nothing but Python 3.11+, make and a package index:
#   make demo   one checkpoint through both frameworks, side by side
#   make test   everything that must hold before a change is merged; what .ci/run calls
# Others: make bench, make docs, make clean, and the parts of make test by name; make check-transformers-4 opens what is
# written here in transformers 4.57.6, PyTorch and TensorFlow, in an environment of its own; make check-kills kills runs;
# make check-unicode takes every character through the tokenizer with all its options; make check-thorough: what is slow.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TRANSFORMERS_4 := .venv-transformers-4
WRITTEN := build/transformers-4
PYTEST := $(BIN)/python -m pytest -q
# Two processes for two cores, with one thread each or they fight. Each starts with one half of the files in order, so
# module fixtures are made once; whichever is done first takes half of what the other still has.
PARALLEL := -n 2 --dist worksteal
ONE_THREAD := OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1

# What one process has compiled, the others need not.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types test-pytorch test-tensorflow test-both docs bench check-transformers-4 check-kills check-unicode check-thorough clean

help:
	@sed -n 's/^# \?//p' Makefile | head -6

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip
	@# tensorflow-cpu stands in for the extra `tf`, so that a machine without a GPU downloads no CUDA libraries. What is
	@# imported is compiled then; all there is would take a minute.
	$(BIN)/python -m pip install -q --no-compile -c constraints.txt -e '.[pt,dev]' tensorflow-cpu keras
	touch $(STAMP)

install: $(STAMP)

demo: $(STAMP)
	$(BIN)/electra demo

# What needs one core goes together, what has two processes of its own one after the other.
test: $(STAMP)
	$(MAKE) -j 2 lint types docs
	$(MAKE) test-pytorch
	$(MAKE) test-tensorflow
	$(MAKE) test-both

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

# The suite as a user of one framework would see it: the other one cannot be imported, in subprocesses neither.
# What is marked `once` has nothing to do with frameworks (tests/conftest.py says what): it runs in the first of the two.
test-pytorch: $(STAMP)
	$(ONE_THREAD) PYTHONPATH=$(CURDIR)/tests/without/tensorflow $(PYTEST) $(PARALLEL) -m "not both and not thorough"

test-tensorflow: $(STAMP)
	$(ONE_THREAD) PYTHONPATH=$(CURDIR)/tests/without/torch $(PYTEST) $(PARALLEL) -m "not both and not once and not thorough"

# What needs both runs each framework in a process of its own, once for each file; pytest itself imports neither.
test-both: $(STAMP)
	$(ONE_THREAD) $(PYTEST) -n 2 --dist loadfile -m "both and not thorough" tests/equivalence tests/cli tests/docs

docs: $(STAMP)
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

bench: $(STAMP)
	$(BIN)/python -m benchmarks

# The last transformers with TensorFlow cannot be installed beside 5, so it has an environment of its own.
$(TRANSFORMERS_4)/.installed:
	$(PYTHON) -m venv $(TRANSFORMERS_4)
	$(TRANSFORMERS_4)/bin/python -m pip install -q transformers==4.57.6 tf_keras tensorflow-cpu h5py torch safetensors
	touch $@

# Runs are killed twenty times at random moments in each framework, and must end in the same bits.
check-kills: $(STAMP)
	cd tests && ../$(BIN)/python -m support.killed_runs pt pretraining 20
	cd tests && ../$(BIN)/python -m support.killed_runs tf pretraining 20
	cd tests && ../$(BIN)/python -m support.killed_runs pt fine-tuning 20
	cd tests && ../$(BIN)/python -m support.killed_runs tf fine-tuning 20

# What takes long and guards what seldom changes: compiling to machine code, a word of 50 MB, random kills, memory, the
# longest pages in TensorFlow; and ten times as many damaged checkpoints.
check-thorough: $(STAMP)
	$(ONE_THREAD) ELECTRA_THOROUGH=1 $(PYTEST) -m thorough
	$(ONE_THREAD) ELECTRA_THOROUGH=1 $(PYTEST) tests/common/weights

# Half an hour; make test takes every assigned character that is no ideograph or Korean syllable with the options of the
# released models, and samples of the rest.
check-unicode: $(STAMP)
	ELECTRA_THOROUGH=1 $(PYTEST) $(PARALLEL) tests/common/tokenization/python

check-transformers-4: $(STAMP) $(TRANSFORMERS_4)/.installed
	rm -rf $(WRITTEN)
	$(BIN)/python tests/transformers_4/write.py $(WRITTEN)
	$(TRANSFORMERS_4)/bin/python -W ignore tests/transformers_4/check.py pt $(WRITTEN)
	$(TRANSFORMERS_4)/bin/python -W ignore tests/transformers_4/check.py tf $(WRITTEN)

clean:
	rm -rf $(VENV) $(TRANSFORMERS_4) docs/_build build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
