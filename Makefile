# The one front door. `make` alone, or `make help`, lists what there is.
# Needs nothing but make, git and Python 3.10 or newer (make PYTHON=... names one).

.DEFAULT_GOAL := help
.SILENT:
.PHONY: help demo serve emulator test check fix bench lab docs requirements setup setup-dev

ONCE_FLAG = $(if $(filter-out 0 no false,$(ONCE)),--once)
export PYTHON

help: ## list these targets
	echo "make TARGET, where TARGET is one of:"
	awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: setup ## the whole sign-in on this machine, emulator included (ONCE=1: sign one person in and stop)
	exec .venv/bin/entrada demo $(ONCE_FLAG)

serve: setup ## the server, with the settings of the environment and entrada.toml (ARGS="--port 8000")
	exec .venv/bin/entrada serve $(ARGS)

emulator: setup ## an Entra of your own on this machine (ARGS="--port 8400")
	exec .venv/bin/entrada emulator $(ARGS)

test: setup-dev ## what the tests need, `make check`, every test (ARGS="-k name"; ENTRADA_TESTS_INSTALL=1: apt, too)
	sh scripts/setup-tests
	status=0; sh scripts/check || status=1; .venv/bin/python scripts/run_tests.py $(ARGS) || status=1; exit $$status

check: setup-dev ## ruff, mypy, import-linter, documentation freshness; under a minute
	sh scripts/check

fix: setup-dev ## let ruff format and mend what it can
	.venv/bin/ruff check --fix --quiet . || true
	.venv/bin/ruff format .

bench: setup-dev ## the benchmarks, each beside its peers (ARGS passes arguments on)
	if [ -f bench/__main__.py ]; then exec .venv/bin/python -m bench $(ARGS); \
	else echo "There are no benchmarks in this checkout yet (bench/__main__.py)." >&2; exit 1; fi

lab: setup-dev ## 100,000 mutated requests through every documented proxy (ARGS="--help")
	cd tests && exec ../.venv/bin/python -m lab $(ARGS)

docs: setup-dev ## write the generated pages of docs/reference again
	.venv/bin/python scripts/generate_docs.py

requirements: setup-dev ## resolve requirements/*.txt again (ARGS="--upgrade": newest versions)
	sh scripts/compile-requirements $(ARGS)

setup:
	sh scripts/install runtime

setup-dev:
	sh scripts/install dev
