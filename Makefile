# `make` or `make help` lists the targets. PYTHON=… takes another Python, ARGS=… adds arguments to a command,
# PROCESSES=… runs tests in so many processes (0: in one, as `--pdb` needs it).

PYTHON ?= python3
ARGS ?=
PROCESSES ?= 2
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.installed
DEVELOPMENT := $(VENV)/.installed-dev
PIP := $(BIN)/python -m pip --disable-pip-version-check
# A file of tests stays in one process, since its tests share servers, workers and rendered scans.
# A process of tests that ends by itself ends the run, which would otherwise wait for ever at times.
PYTEST = $(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder --max-worker-restart 0

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-unit fuzz chaos lint format bench scale evaluate length-error faces faces-found alignment lifting reidentify drift stature train train-stature three catalogue pictures lock audit clean servers

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(RUNTIME) ## Install the project into .venv (TORCH_INDEX=… takes PyTorch from there)

demo: $(RUNTIME) ## See it work: a worker takes two rendered scans
	$(BIN)/python -m worker.demo $(ARGS)

test: $(DEVELOPMENT) servers lint ## All checks and tests; sets up what they need
	$(PYTEST) --durations=10 $(ARGS)

test-unit: $(DEVELOPMENT) ## The quick tests: no server, no subprocess
	$(PYTEST) tests/unit $(ARGS)
	@echo "Left out: tests/integration (Redis, S3), tests/e2e (workers, packaging, README), tools (fuzz, chaos), lint."

fuzz: $(DEVELOPMENT) ## Give a million damaged and invented inputs to all readers (ARGS="--count 20000 --target depth")
	$(BIN)/python -m tools.fuzz.run $(ARGS)

chaos: $(DEVELOPMENT) servers ## Process 300 scans for ten minutes while workers are killed and servers fail (ARGS="--short --seed 2")
	nice -n 10 $(BIN)/python -m tools.chaos.run $(ARGS)

lint: $(DEVELOPMENT) ## Ruff, mypy and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEVELOPMENT) ## Let ruff format the code and sort the imports
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(DEVELOPMENT) servers ## Measure stages, scans and workers beside the original's method (ARGS="--quick --json FILE")
	$(BIN)/python -m benchmarks.speed $(ARGS)

scale: $(DEVELOPMENT) servers ## Measure the regular work for 10^5 waiting and 10^6 stored scans (ARGS="--stored 20000 --real")
	$(BIN)/python -m benchmarks.scale $(ARGS)

evaluate: $(RUNTIME) ## Measure the shipped model on held-out rendered scans and empty rooms
	$(BIN)/python -m pose.evaluation.estimator $(ARGS)

length-error: $(RUNTIME) ## Measure how far off body lengths are; write the constants of their intervals
	$(BIN)/python -m pose.evaluation.length_error $(ARGS)

faces: $(RUNTIME) ## Measure how much of rendered faces is left in published pictures (ARGS="--table --jobs 8 --minutes 5")
	$(BIN)/python -m pose.evaluation.anonymisation $(or $(ARGS),--table)

alignment: $(RUNTIME) ## Measure how often a picture that does not fit its depth map is noticed
	$(BIN)/python -m pose.evaluation.alignment $(ARGS)

faces-found: $(DEVELOPMENT) ## Measure which faces the face detector finds, in what size and tilt, and how fast
	$(BIN)/python -m pose.evaluation.faces_found $(ARGS)

lifting: $(RUNTIME) ## Compare the lifting with that of the original system, side by side
	$(BIN)/python -m pose.evaluation.lifting $(ARGS)

reidentify: $(RUNTIME) ## Measure how often a network recognises a redacted head
	$(BIN)/python -m pose.evaluation.reidentification $(ARGS)

drift: $(RUNTIME) ## Measure the shipped model against the truth over a scan, to set the limits of the drift alarm
	$(BIN)/python -m pose.evaluation.drift $(ARGS)

stature: $(RUNTIME) ## Measure the stature on rendered scans (ARGS="--real FOLDER": on real ones, whose truth.json tells it)
	$(BIN)/python -m pose.evaluation.stature $(ARGS)

train: $(RUNTIME) ## Train the shipped model again, on rendered people, into train/new
	$(BIN)/python -m pose.training.train $(or $(ARGS),train/new)

train-stature: $(RUNTIME) ## Train the network of the stature again, into train/stature
	$(BIN)/python -m pose.training.stature $(or $(ARGS),train/stature)

# It needs npm. The versions are in tools/three/package-lock.json.
three: ## Bundle what the pages of scans use of three.js
	cd tools/three && npm ci && npm run build

catalogue: $(DEVELOPMENT) ## Collect the texts of the pages for translators
	$(BIN)/python -m tools.catalogue

pictures: $(RUNTIME) ## Render the README's pictures again
	$(BIN)/python docs/make_pictures.py

# Versions are resolved for Python 3.11 and newer on any platform, and the files name no package index: pip takes
# its own. ARGS=--upgrade takes newer versions; without it only what pyproject.toml demands changes.
LOCK = build/lock/bin/uv pip compile --quiet pyproject.toml --universal --python-version 3.11 \
	--fork-strategy fewest --generate-hashes --no-emit-index-url --custom-compile-command "make lock" $(ARGS)
lock: ## Update requirements.lock and requirements-dev.lock
	scripts/make-venv.sh build/lock
	build/lock/bin/python -m pip install --quiet uv
	$(LOCK) --extra flower --output-file requirements.lock
	$(LOCK) --extra dev --constraint requirements.lock --output-file requirements-dev.lock

# --strict: without it a package that cannot be looked up counts as a good one.
audit: $(DEVELOPMENT) ## Look up known vulnerabilities of the locked packages at PyPI
	$(BIN)/pip-audit --strict --require-hashes --disable-pip --requirement requirements.lock $(ARGS)

clean: ## Remove built and cached files and the demo's results (.venv stays)
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis demo-results
	find pose worker tests tools benchmarks docs -name __pycache__ -prune -exec rm -rf {} +

servers:
	@scripts/need.sh 'command -v redis-server' redis-server
	@scripts/need.sh --in-ci 'command -v openssl' openssl
	@scripts/need.sh --in-ci 'command -v prometheus && command -v promtool' prometheus
	@scripts/need.sh --in-ci 'command -v chromium' chromium
	@scripts/need.sh --in-ci 'command -v radosgw && command -v ceph-mon && command -v ceph-osd' \
		radosgw ceph-mon ceph-osd

$(BIN)/python:
	scripts/make-venv.sh $(VENV)

$(RUNTIME): requirements.lock pyproject.toml | $(BIN)/python
	PIP="$(PIP)" TORCH_INDEX="$(TORCH_INDEX)" scripts/install.sh requirements.lock
	@touch $@

$(DEVELOPMENT): requirements-dev.lock pyproject.toml | $(BIN)/python
	PIP="$(PIP)" TORCH_INDEX="$(TORCH_INDEX)" scripts/install.sh requirements-dev.lock
	@touch $@ $(RUNTIME)
