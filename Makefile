# The verbs: demo, test, test-wheel, check, docs, bench. Everything happens in virtual environments inside this folder.
PYTHON ?= python3
# The demo needs no torch, so it has an environment of its own that is ready in a fraction of the time.
DEMO = .venv-demo/bin
DEV = .venv/bin
# Without compiling: Python does it for the modules that are imported, a part of those installed.
INSTALL = install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt

.PHONY: demo test test-all test-wheel lint types check docs bench clean

demo: .venv-demo/ready
	$(DEMO)/unseen prune digits --keep 0.7 --out runs/demo

test: .venv/ready
	$(DEV)/python -m pytest -q -n auto

test-all: .venv/ready
	$(DEV)/python -m pytest -q -n auto -m "not gpu"

# The README's five users with the wheel in an empty environment, which takes minutes and a package index.
test-wheel: .venv/ready
	$(DEV)/python -m pytest -q -m slow tests/docs/test_wheel.py

lint: .venv/ready
	$(DEV)/ruff check .
	$(DEV)/ruff format --check .

types: .venv/ready
	$(DEV)/mypy

check: lint types test

# The documentation, in build/site: it opens from disk, without a server and without a network.
docs: .venv/ready
	NO_MKDOCS_2_WARNING=1 $(DEV)/mkdocs build --strict --quiet

# Needs CIFAR-10's training images: make bench CIFAR10=cifar10-train.parquet
bench: .venv/ready
	$(DEV)/python benchmarks/speed/scores.py
	$(DEV)/python benchmarks/speed/rules.py
	$(DEV)/python benchmarks/speed/overhead.py --data $(CIFAR10)
	$(DEV)/python benchmarks/speed/training_loop.py --data $(CIFAR10)
	$(DEV)/python benchmarks/speed/end_to_end.py --data $(CIFAR10)
	$(DEV)/python benchmarks/tables.py

.venv-demo/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-demo
	$(DEMO)/pip $(INSTALL) --editable .
	touch $@

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(DEV)/pip $(INSTALL) --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv .venv-demo runs build .mypy_cache .ruff_cache .pytest_cache
