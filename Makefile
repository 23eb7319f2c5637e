# Everything starts from here: `make demo` runs it, `make quick` is the loop one works in, `make test` proves it,
# `make bench` measures it, `make faults` breaks it.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
CORES = $$(getconf _NPROCESSORS_ONLN)
# Tests that need more than Python, or long; tests/support/needs.py says which they are.
SLOW := apache or browser or go or nginx or node or helm or postgresql or processes or installation or slow
# The order of the tests: another each time. `make quick SEED=…` repeats one.
SEED := $(shell date +%s)

.PHONY: demo test coverage test-all-pythons quick t check bench faults lock clean system-tools server-env dev-env tools-env

demo: server-env  ## a ready installation in a throwaway directory
	$(BIN)/gatepass demo $(ARGS)

# Hundreds of processes are started: none should compile again what another has compiled.
test coverage: export PYTHONDONTWRITEBYTECODE =
# Collecting compiles the tests, on the core that mypy leaves free.
test: system-tools dev-env  ## everything that must hold
	$(BIN)/pytest --collect-only -qq >/dev/null & $(MAKE) check tools-env && wait
	$(BIN)/pytest -n $$(($(CORES) * 2)) --dist loadfile --no-loadscope-reorder -p no:randomly $(ARGS)

coverage:  ## the same tests, a quarter slower, and how much of src they run
	$(MAKE) test ARGS="--cov --cov-report= $(ARGS)"
	@echo "Lines of src that ran in the tests' own processes: $$($(BIN)/coverage report --format=total) %"

test-all-pythons: dev-env $(VENV)/.pythons  ## core, verify, registry and web on each Python that can be had
	$(BIN)/python tests/all_pythons.py $(ARGS)

quick: dev-env  ## style, types, and the tests that need no browser, server or whole installation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@echo "SEED=$(SEED)"
	$(BIN)/pytest -n $(CORES) --dist loadfile --randomly-seed=$(SEED) -m "not ($(SLOW))" $(ARGS)

t: dev-env  ## one test: make t T=tests/core/test_decision.py::test_the_decision_is_the_tables
	$(BIN)/pytest -p no:randomly $(T) $(ARGS)

check: dev-env  ## style, types, layers, words
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	sh tests/words.sh

bench: dev-env  ## the figures, as a table and as docs/explanation/figures.svg
	$(BIN)/python -m benchmarks $(ARGS)

faults: dev-env  ## the promise under faults, as a table and as docs/explanation/faults.md
	$(BIN)/python -m faults $(ARGS)

system-tools:  # first of all, since only root can install them
	sh tests/system-tools.sh

server-env: $(VENV)/.server
dev-env: $(VENV)/.dev
tools-env: $(VENV)/.tools  ## gateways, generators of clients, an OpenID provider and Helm, for tests

$(VENV)/.server: requirements/server.txt pyproject.toml hatch_build.py
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Gatepass needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/server.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.server
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	touch $@

$(VENV)/.tools: tests/tools/install.py requirements/openapi-python-client.txt requirements/gateways.txt requirements/helm.txt tests/tools/package-lock.json $(VENV)/.dev
	$(BIN)/python tests/tools/install.py
	touch $@

$(VENV)/.pythons: requirements/pythons.txt $(VENV)/.dev
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/pythons.txt
	touch $@

lock:  ## pin the dependencies again (needs pip-tools, npm and jq)
	pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header --allow-unsafe --upgrade --extra server --output-file requirements/server.txt pyproject.toml requirements/build.in
	pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header --allow-unsafe --upgrade --extra server --extra otel --extra grpc --output-file requirements/extras.txt pyproject.toml requirements/build.in requirements/extras.in
	pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header --allow-unsafe --upgrade --extra server --extra grpc --output-file requirements/dev.txt pyproject.toml requirements/build.in requirements/dev.in
	pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header --allow-unsafe --upgrade --output-file requirements/openapi-python-client.txt requirements/openapi-python-client.in
	pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header --allow-unsafe --upgrade --output-file requirements/pythons.txt requirements/pythons.in
	pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header --allow-unsafe --upgrade --output-file requirements/gateways.txt requirements/gateways.in
	pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header --allow-unsafe --upgrade --output-file requirements/helm.txt requirements/helm.in
	cd tests/tools && npm update --package-lock-only && jq 'del(.packages[].funding)' package-lock.json > lock.json && mv lock.json package-lock.json

clean:
	rm -rf $(VENV) dist build
