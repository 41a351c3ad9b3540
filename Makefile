# The door. `make help` lists what it opens.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# What the dashboard is made of: it is built again only when one of these is newer.
DASHBOARD := dashboard/dist/index.html
DASHBOARD_SOURCES := $(shell find dashboard/src dashboard/styles dashboard/assets openapi/src xtask/src -type f) \
	$(wildcard dashboard/index.html dashboard/*.json dashboard/Cargo.toml openapi/*.json openapi/build.rs Cargo.lock)

.PHONY: help run build static images-local compose-secrets test torture check packages release openapi chart dashboard screenshots bench clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## build everything, then watch this machine: backend and agent until Ctrl-C
	@scripts/need.sh build port
	@$(MAKE) build
	@scripts/run.sh

build: $(DASHBOARD) ## target/release/infra-watch, the dashboard inside, and target/release/infra-watch-agent
	@scripts/step.sh "backend and agent, release" \
		cargo build --release --locked --package infra-watch --package infra-watch-agent

test: $(DASHBOARD) ## every test, in the browser too
	@scripts/need.sh build static test
	@scripts/test.sh

torture: $(DASHBOARD) ## a thousand ends of the backend under load and ten thousand power cuts: some twenty minutes
	@scripts/need.sh build test
	@scripts/torture.sh

check: ## format, lints, documentation, dependencies, and that openapi.json is not stale
	@scripts/need.sh build check
	@scripts/check.sh

static: $(DASHBOARD) ## static binaries for x86_64 and aarch64 in target/static
	@scripts/need.sh build static
	@scripts/static.sh

images-local: ## images infra-watch:local and infra-watch-agent:local of target/static, by the local Docker daemon
	@scripts/images.sh

compose-secrets: ## secrets for docker-compose.yml in deploy/compose/secrets, each made once
	@scripts/compose-secrets.sh

packages: ## .deb, .rpm and archives in target/packages, of the binaries that make static left
	@scripts/need.sh packages
	@scripts/packages.sh
	@ls -l target/packages

release: $(DASHBOARD) ## everything that a release consists of in target/release-files; refuses what is not ready for one
	@scripts/need.sh build static packages release
	@scripts/release.sh

openapi: ## write openapi/openapi.json anew from the code
	@scripts/openapi.sh

chart: ## write the table in the README of charts/infra-watch anew from its values.yaml
	@scripts/need.sh chart
	@target/deploy/bin/python scripts/chart-readme.py

dashboard: $(DASHBOARD) ## dashboard/dist, from which the backend is built

$(DASHBOARD): $(DASHBOARD_SOURCES)
	@scripts/need.sh build
	@scripts/step.sh "dashboard" cargo xtask dashboard

screenshots: $(DASHBOARD) ## docs/screenshots, of a backend with made-up hosts
	@scripts/need.sh build test
	@scripts/screenshots.sh

bench: $(DASHBOARD) ## what things cost, beside Prometheus and VictoriaMetrics where they are; writes docs/benchmarks.md
	@scripts/need.sh build
	@scripts/bench.sh

clean: ## remove everything that was built; ./data stays
	cargo clean
	rm -rf dashboard/dist dashboard/node_modules
