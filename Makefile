# Everything a person or a machine does here. `make` alone lists the targets.
# Needs Python 3.11 or newer with venv and pip, and make; everything else is set up below .venv.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Many containers set it; without the compiled files every start of the service takes 1.5 seconds longer.
unexport PYTHONDONTWRITEBYTECODE

# The first interpreter that is new enough; `make PYTHON=/path/to/python setup` chooses another.
PYTHON ?= $(shell for each in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$each" && break; done)
BIN := .venv/bin
READY := .venv/.ready
# What the tests hold Tarmac against: command, or command=package where Debian calls the package otherwise.
PEERS := docker-registry skopeo nginx haproxy curl http=httpie openssl ip=iproute2 unshare=util-linux strace pg_ctlcluster=postgresql chromium node=nodejs systemd-analyze=systemd promtool=prometheus
PULP := .venv-pulp
INTEROP_PEERS := nginx apache2=apache2-bin pg_ctlcluster=postgresql skopeo setpriv=util-linux
INTEROP ?= $(addprefix tests/interop/,rights.py corpus.py simultaneous.py cut_lines.py)
TESTS ?= tests
SECONDS ?= 60
FUZZ ?=
ROUNDS ?= 200
SOAK ?=

.PHONY: help setup system-packages run test coverage cuts fuzz soak denial faults bench interop container-test check format openapi lock sbom advisories offline-bundle clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: $(READY) ## make .venv with everything that is pinned in requirements.lock

$(READY): requirements.lock pyproject.toml
	@[ -n "$(PYTHON)" ] && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed and was not found; install it, or name one: make PYTHON=/path/to/python3 setup" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) lacks the module venv; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@[ -x $(BIN)/python ] && [ -x $(BIN)/pip ] || "$(PYTHON)" -m venv --clear .venv
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > .venv/uv.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r .venv/uv.lock
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# A package that brings a service must not start it here: policy-rc.d is how Debian is told so.
system-packages: ## install docker-registry, skopeo, nginx and what else the tests run, where root and apt-get are there
	@missing=$$(for each in $(PEERS); do command -v "$${each%=*}" >/dev/null || printf '%s ' "$${each#*=}"; done); \
	[ -n "$$missing" ] || exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		policy=/usr/sbin/policy-rc.d; \
		[ -e $$policy ] || { trap 'rm -f /usr/sbin/policy-rc.d' EXIT; printf '#!/bin/sh\nexit 101\n' > $$policy; chmod +x $$policy; }; \
		export DEBIAN_FRONTEND=noninteractive; \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing </dev/null; \
	else \
		echo "Not here: $$missing- the tests against a real registry need them. As root: apt-get install $$missing" >&2; \
	fi

run: setup ## serve on 127.0.0.1:8080; with no registry configured, images land in ./data
	@exec $(BIN)/tarmac serve

# What a module's tests share is started once in a worker that keeps the whole module; that is what worksteal does.
# Three workers for two cores: tests of whole services wait for them half of the time.
WORKERS ?= $(shell echo $$(( ($$(nproc) * 3 + 1) / 2 )))
PYTEST := $(BIN)/pytest --dist worksteal -n
test: setup system-packages ## run every test (TESTS=tests/push for some of them)
	$(PYTEST) $(WORKERS) $(TESTS)

.PHONY: quick
quick: setup ## run the tests of reading, planning and pushing, in less than half a minute
	$(PYTEST) auto $(addprefix tests/,oci archive push registry/oci_layout spool test_rules.py test_language.py config)

coverage: setup ## run every test and hold the library to 100 % of its branches
	$(PYTEST) $(WORKERS) --cov --cov-report= tests
	$(BIN)/coverage report --skip-covered --show-missing --fail-under=100 --include='app/oci/*,app/archive/*,app/push/*'

# One core, at the lowest priority; FUZZ="tar pax" for some of the targets of tests/fuzz.
fuzz: setup ## bend archives for SECONDS (60) each target and see what breaks
	nice -n 19 $(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(FUZZ)

# Ten seconds; ARCHIVES="dir x.tar" for others than those of the tests.
ARCHIVES ?= tests/data/corpus
cuts: setup ## cut archives off at every place of their ends, and see that none is taken for whole
	$(BIN)/python -m tests.archive.cut_off $(ARCHIVES)

# Some minutes on a quiet machine; ONLY=docker,oci for some of its parts. Peers that are on PATH are run beside Tarmac.
RUNS ?= 3
ONLY ?=
bench: setup ## measure Tarmac beside its peers; the tables go to tests/bench/RESULTS.md
	$(BIN)/python -m tests.bench --runs $(RUNS) $(if $(ONLY),--only $(ONLY)) $(if $(PLAIN),--plain)

# A kill -9 at random moments of a mixed load against docker-registry, and what must hold after it.
soak: setup system-packages ## kill the service ROUNDS (200) times at random and look for losses
	nice $(BIN)/python -m tests.soak --rounds $(ROUNDS) $(SOAK)

# A docker-registry for each fault, behind a front that does what the fault says; in a network namespace of its own.
FAULTS ?=
faults: setup system-packages ## push before faults of every kind, with all waits as long as they are; ten minutes
	nice $(BIN)/python -m tests.registry.faults $(FAULTS)

# On a quiet machine; as root the service has a memory cgroup of 600 MiB, as the shipped deployments give it.
DURATION ?= 600
denial: setup ## attack the service in every known way at once for DURATION (600) seconds while an honest token pushes
	$(BIN)/python -m tests.denial --seconds $(DURATION) $(if $(ONLY),--only $(ONLY))

# Pulp comes from PyPI into an environment of its own, for it needs other versions than Tarmac of what both use.
interop: setup $(PULP)/.ready ## push to Pulp's container registry behind nginx and Apache, over cut connections; half an hour
	@$(MAKE) --no-print-directory system-packages PEERS="$(INTEROP_PEERS)"
	TARMAC_REQUIRE_PEERS=1 nice $(BIN)/pytest --timeout 900 $(INTEROP)

$(PULP)/.ready: tests/interop/requirements.lock | $(READY)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(PULP)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(PULP)/bin/python --require-hashes -r $<
	@touch $@

# Some minutes, as root on Debian. What it makes is below /var/tmp and goes with it.
container-test: setup ## build the image on a stand-in for its base, run it as compose and Kubernetes do
	@$(MAKE) --no-print-directory system-packages PEERS="podman runc mmdebstrap skopeo curl openssl ip=iproute2 nsenter=util-linux"
	TARMAC_REQUIRE_PEERS=1 $(BIN)/pytest --timeout 900 $(addprefix tests/container/,image.py compose.py pod.py)

check: setup ## format, lint, types, import contracts, OpenAPI in step with the code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(BIN)/python -m app openapi | diff -u openapi/openapi.json - \
		|| { echo "openapi/openapi.json is not in step with the code; run: make openapi" >&2; exit 1; }

format: setup ## format the code and mend what the linter can mend
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

openapi: setup ## write openapi/openapi.json anew
	@mkdir -p openapi
	$(BIN)/python -m app openapi > openapi/openapi.json.new
	@mv openapi/openapi.json.new openapi/openapi.json

# --no-emit-index-url: where packages come from is the machine's business, what they are is the hashes'.
EXPORT := $(BIN)/uv export --quiet --frozen --no-emit-project --no-header --no-emit-index-url --no-annotate --all-extras --format requirements-txt
lock: setup ## pin the dependencies of pyproject.toml anew
	$(BIN)/uv lock --quiet --upgrade
	$(EXPORT) --all-groups > requirements.lock
	$(EXPORT) --no-dev > deploy/requirements.lock
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url tests/interop/requirements.in -o tests/interop/requirements.lock

sbom: setup ## write dist/*.cdx.json: what the wheel and the image are made of, as CycloneDX
	$(BIN)/python deploy/sbom.py dist

# DATABASE: a JSON file, ZIP or directory of advisories (OSV, pypa/advisory-database) that lies on this machine.
advisories: setup ## compare the pinned packages with the advisories in DATABASE, without a network
	@[ -n "$(DATABASE)" ] || { echo "say which advisories: make advisories DATABASE=/path/to/advisory-database" >&2; exit 2; }
	$(BIN)/python deploy/advisories.py $(DATABASE)

# Wheels for the machine it is made on: the same Python version and kind of processor are needed where it is unpacked.
offline-bundle: setup ## write dist/tarmac-VERSION-offline.tar.gz: all that an installation without internet needs
	@rm -rf dist/bundle && mkdir -p dist/bundle/wheels dist/bundle/deploy
	$(BIN)/pip download --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
		--dest dist/bundle/wheels -r deploy/requirements.lock
	$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist/bundle/wheels .
	@cp -r deploy/install.sh deploy/requirements.lock deploy/systemd deploy/tarmac.toml deploy/monitoring deploy/kubernetes \
		README.md CHANGELOG.md LICENSE dist/bundle
	@cp deploy/README.md dist/bundle/deploy
	@version=$$($(BIN)/python -c 'import app; print(app.__version__)'); \
	tar --sort=name --owner=0 --group=0 --numeric-owner -C dist --transform "s,^bundle,tarmac-$$version," \
		-czf "dist/tarmac-$$version-offline.tar.gz" bundle && rm -rf dist/bundle && \
	ls -l "dist/tarmac-$$version-offline.tar.gz"

clean: ## remove what was set up and cached; ./data stays
	rm -rf .venv $(PULP) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
