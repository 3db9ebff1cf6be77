.DEFAULT_GOAL := help
.PHONY: help setup demo build test bench fuzz lint release teardown

# The end-to-end tests stop processes at named places; without WORKERPOOL_CRASH_AT in the environment those places do nothing. The tests of
# the fuzz targets' corpus reach what is private otherwise.
BUILD := --workspace --features workerpool/crash-points,scheduler/fuzzing,result-proxy/fuzzing

FUZZ_SECONDS ?= 600

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install and start what this machine lacks (npm packages, Docker engine); what is done is left alone
	@ci/setup

demo: setup ## A whole deal: chain, pool, two workers, the real SDK, results; KEEP=1 leaves it running, NATIVE=1 pays in the chain's coin
	@cargo build $(BUILD) --bins
	@KEEP=$(KEEP) NATIVE=$(NATIVE) $${CARGO_TARGET_DIR:-target}/debug/demo

build: ## Build everything, tests included
	@cargo build $(BUILD) --all-targets

test: setup build ## Every test, end to end included; NATIVE=1 runs the end-to-end tests on a native chain
	@NATIVE=$(NATIVE) cargo test $(BUILD)

bench: setup ## Measure what docs/benchmarks.md lists, into target/bench.json; ONLY=name,name runs some
	@cargo build --release --package workerpool --package loadgen --package bench --bins
	@$${CARGO_TARGET_DIR:-target}/release/bench --only "$(ONLY)"

fuzz: ## Throw what strangers could send at what reads it, FUZZ_SECONDS=600 a target; ONLY=name,name runs some; needs cargo-fuzz
	@FUZZ_SECONDS=$(FUZZ_SECONDS) ONLY=$(ONLY) ci/fuzz

lint: ## Format, lints, licences and duplicates of dependencies
	@ci/lint

release: ## One static binary, in target/x86_64-unknown-linux-gnu/release
	@RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked --target x86_64-unknown-linux-gnu --package workerpool

teardown: ## Stop what setup started
	@ci/teardown
