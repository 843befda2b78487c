# What one does with a checkout, by name.
#
#   make run     build the server and start it (make run ARGS="config check")
#   make test    everything that CI checks: format, lints, licences, all tests, real clients, a real
#                Synapse to federate with
#   make lint    the same without the tests
#   make bench   the benchmarks of docs/benchmarks.md
#   make complement   the Matrix conformance suite; needs root, Go, and a network that has the suite
#                     (ARGS=accept writes down what got better)
#   make setup   install what building needs; the others do it by themselves

SHELL := /bin/bash

# Where rustup puts Rust, for shells that do not know it.
export PATH := $(HOME)/.cargo/bin:$(PATH)

# Outside of the checkout, so that every checkout and CI share one build of the dependencies.
export BELFRY_CACHE ?= $(HOME)/.cache/belfry
export CARGO_TARGET_DIR ?= $(BELFRY_CACHE)/target

# RocksDB is compiled once per machine; this names the result.
with_rocksdb := rocksdb=$$(.ci/rocksdb) && eval "$$rocksdb" &&

.PHONY: run test lint bench complement setup

run: setup
	@$(with_rocksdb) cargo run --locked --release --bin belfry -- $(ARGS)

test: setup
	@$(with_rocksdb) .ci/test lint tests clients federation

lint: setup
	@$(with_rocksdb) .ci/test lint

bench: setup
	@$(with_rocksdb) cargo bench --locked --workspace --bench '*'

# 77: it could not be run here, and said so.
complement: setup
	@$(with_rocksdb) complement/run $(ARGS) || [ $$? = 77 ]

setup:
	@.ci/setup
