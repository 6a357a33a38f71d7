# Everything a newcomer needs: `make run` and `make test`. Only Python 3.11 or later and make have to be there.
# The first Python on the path that is new enough and really runs (a version manager's shim may not).
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup run test lint unit kafka fuzz soak bench lock audit sbom clean

help:
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

setup: $(READY) ## a virtual environment with the locked dependencies

$(READY): deploy/requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "kroute needs Python 3.11 or later, and found none on the path. Set PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked dependencies into $(VENV), once; this takes a minute or two"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r deploy/requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --no-build-isolation --editable .
	touch $(READY)

run: setup ## start a local Kafka, worker, collector and a demo estate; show a fault become a routed alert
	$(BIN)/kroute up

# Two processes, whole files each, and each with a Kafka of its own: tests on a broker mostly wait.
test: setup ## linters, types and every test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

lint: setup ## linters and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: setup ## tests that need no broker
	$(BIN)/pytest tests/unit tests/test_cases.py

kafka: setup ## tests on a real Kafka and Connect
	$(BIN)/pytest tests/kafka

fuzz: setup ## over a million bad inputs to every decoder and parser, and the properties of arrival at length
	$(BIN)/python -m tests.fuzz.run --inputs 1200000
	KROUTE_EXAMPLES=60 $(BIN)/pytest tests/unit/equivalence

soak: setup ## deaths, rebalances and broker trouble for as long as you like: make soak ARGS="--schedules 200 --minutes 60 --seed 7"
	$(BIN)/python -m tests.soak $(ARGS)

bench: setup ## every benchmark; figures, not tests
	for b in tests/bench/bench_*.py; do echo "== $$b"; $(BIN)/python $$b || exit 1; done

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --generate-hashes
RUNTIME := \# What the image installs: the run-time part of deploy/requirements.lock (same versions, without the extras).

lock: ## resolve the dependencies anew
	$(COMPILE) --extra dev --output-file deploy/requirements.lock pyproject.toml
	$(COMPILE) --no-header --no-annotate --constraint deploy/requirements.lock --output-file deploy/docker/requirements.lock pyproject.toml
	sed -i '1i $(RUNTIME)' deploy/docker/requirements.lock

audit: setup ## look up the locked dependencies in OSV's advisories; status 75 where it could not be done
	$(BIN)/python deploy/audit.py

SBOM := build/kroute.cdx.json

sbom: setup ## a bill of materials (CycloneDX) of what the image installs
	mkdir -p build
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --output-format JSON --output-file $(SBOM) deploy/docker/requirements.lock
	@echo "$(SBOM)"

clean: ## remove what was built and stored here
	rm -rf build $(VENV) .kroute .mypy_cache .ruff_cache .pytest_cache .hypothesis
