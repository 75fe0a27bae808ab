# Two commands do everything: make demo, make test. See README.md.

GO ?= go

.PHONY: demo test test-sdk soak lint bench binaries help

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' $(MAKEFILE_LIST)

demo: ## sign in, share one encrypted file among 8 processes, refresh once per expiry
	@cd internal/demo && GOWORK=off $(GO) run .

test: ## every module's tests, with the real peers this machine has
	@scripts/test

test-sdk: ## examples/msgraphsdk, whose first build takes minutes: Microsoft's full Graph SDK
	@scripts/test-sdk

soak: ## what is too long for every run of the tests: a million simulated runs of core, kills, loads
	@scripts/soak

lint: ## gofmt, vet (Linux, macOS, Windows), staticcheck, govulncheck, tidy, workflows
	@scripts/lint

bench: ## the figures of docs/benchmarks.md
	@scripts/bench

binaries: ## the command for six systems, in dist/: make binaries VERSION=v0.1.0
	@scripts/binaries $(VERSION)
