# Every target makes the environment it needs; nothing has to be installed or activated first.
# A certain interpreter: make test PYTHON=python3.13

.DEFAULT_GOAL := help
.PHONY: help test lint types covered faults pytest test-latest demo bench format lock clean .venv-latest .venv-lock

PYTHON ?=
ARGS ?=
UPGRADE ?=

CODE := $(wildcard src tests benchmarks examples stubs)
EXTRAS := aio,cli,demo,testing

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Without bytecode each of the hundreds of processes that tests start compiles all of Stepwell again.
unexport PYTHONDONTWRITEBYTECODE
# pyright comes whole with its package: run that, and look nowhere for a newer one.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
export PYRIGHT_PYTHON_FORCE_VERSION :=

# $(call venv,FOLDER): a new, empty environment, or word of what is missing.
define venv
	@set -e; python=; \
	for candidate in $(or $(PYTHON),python3.11 python3); do \
	    if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        python=$$candidate; break; \
	    fi; \
	done; \
	if [ -z "$$python" ]; then \
	    echo "Python 3.11 or newer is needed, tried: $(or $(PYTHON),python3.11 python3)." >&2; \
	    echo "On Debian: apt-get install python3 python3-venv. Elsewhere: make PYTHON=<interpreter>." >&2; \
	    exit 1; \
	fi; \
	if ! $$python -c 'import ensurepip, venv' 2>/dev/null; then \
	    version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	    echo "$$python cannot make virtual environments: ensurepip is missing." >&2; \
	    echo "On Debian: apt-get install python3-venv (or python$$version-venv)." >&2; \
	    exit 1; \
	fi; \
	echo "Making $(1) with $$($$python -V)"; \
	rm -rf $(1); $$python -m venv $(1)
endef

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

test: lint types covered faults  ## lint, type checks and tests, from the lock

lint: .venv/installed  ## ruff
	.venv/bin/ruff check
	.venv/bin/ruff format --check

types: .venv/installed  ## mypy and pyright, each of which takes one core
	@echo "mypy and pyright"; .venv/bin/mypy $(CODE) & mypy=$$!; \
	.venv/bin/pyright --warnings --pythonpath .venv/bin/python; pyright=$$?; \
	wait $$mypy && exit $$pyright

PYTEST = .venv/bin/python -m pytest --numprocesses auto --dist worksteal --durations=20

covered: .venv/installed  ## the tests without the long ones, and what of the code they reach; all of journal/
	.venv/bin/python -m compileall -qq src
	$(PYTEST) -m "not faults" --cov --cov-report=term
	.venv/bin/coverage report --include='src/stepwell/journal/*' --fail-under=100

faults: .venv/installed  ## the tests that kill, damage, simulate or run on moto: minutes, so they are not traced
	$(PYTEST) -m faults

pytest: .venv/installed  ## some of the tests, e.g. make pytest ARGS="-k fork"
	$(PYTEST) $(ARGS)

test-latest:  ## the tests on the newest release of everything
	test -x .venv-latest/bin/python || { $(MAKE) .venv-latest; }
	.venv-latest/bin/pip install --quiet --upgrade pip
	.venv-latest/bin/pip install --quiet --upgrade --upgrade-strategy eager -e '.[$(EXTRAS)]' --group dev
	.venv-latest/bin/python -m pytest --numprocesses auto --dist worksteal --durations=20 $(ARGS)

.venv-latest:
	$(call venv,$@)

demo: .venv-demo/installed  ## an incident handed over between three engineers, one of them killed
	@.venv-demo/bin/stepwell demo $(ARGS)

bench: .venv/installed .venv-bench/installed  ## the benchmarks, peers side by side
	.venv/bin/python -m benchmarks.append
	.venv/bin/python -m benchmarks.read
	.venv/bin/python -m benchmarks.imports
	.venv/bin/python -m benchmarks.dynamodb
	.venv/bin/python -m benchmarks.dynamodb_cpu
	.venv/bin/python -m benchmarks.dynamodb_loop
	.venv-bench/bin/python -m benchmarks.s3

format: .venv/installed  ## rewrite the code in the project's style
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

# Locks name no index: whichever one pip is set up for serves the files, and the hashes say whether they are the right ones.
COMPILE = .venv-lock/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)

lock:  ## resolve the locks again; make lock UPGRADE=1 takes newer releases
	test -x .venv-lock/bin/uv || { $(MAKE) .venv-lock && .venv-lock/bin/pip install --quiet uv; }
	$(COMPILE) --all-extras --group dev --group bench --output-file requirements/all.txt
	$(COMPILE) --no-annotate -c requirements/all.txt --extra aio --extra cli --extra demo --extra testing --group dev --output-file requirements/test.txt
	$(COMPILE) --no-annotate -c requirements/all.txt --extra cli --extra demo --group build --output-file requirements/demo.txt
	$(COMPILE) --no-annotate -c requirements/all.txt --group bench --output-file requirements/bench.txt

.venv-lock:
	$(call venv,$@)

clean:  ## remove environments, caches and build output
	rm -rf .venv .venv-bench .venv-demo .venv-latest .venv-lock .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/locked: requirements/test.txt
	$(call venv,.venv)
	.venv/bin/pip install --quiet --no-compile --no-deps --require-hashes -r requirements/test.txt
	-.venv/bin/python -m compileall -qq -j 0 -x '/(sympy|networkx)/' .venv/lib
	.venv/bin/pip check
	@touch $@

.venv/installed: .venv/locked pyproject.toml
	.venv/bin/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# The demo's lock holds only what the demo needs, so that it starts soon.
.venv-demo/locked: requirements/demo.txt
	$(call venv,.venv-demo)
	.venv-demo/bin/pip install --quiet --no-compile --no-deps --require-hashes -r requirements/demo.txt
	-.venv-demo/bin/python -m compileall -qq -j 0 .venv-demo/lib
	@touch $@

# Not editable: the demo runs what a user would install.
.venv-demo/installed: .venv-demo/locked pyproject.toml $(shell find src -type f -name '*.py')
	.venv-demo/bin/pip install --quiet --no-compile --no-deps --no-build-isolation --force-reinstall .
	@touch $@

# Peers are in none of the other environments.
.venv-bench/locked: requirements/bench.txt
	$(call venv,.venv-bench)
	.venv-bench/bin/pip install --quiet --no-compile --no-deps --require-hashes -r requirements/bench.txt
	@touch $@

.venv-bench/installed: .venv-bench/locked pyproject.toml
	.venv-bench/bin/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@
