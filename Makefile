# Two commands for a newcomer: `make demo` and `make test`. Both set up what they need.
export CARGO_TARGET_DIR ?= $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/smesec/target
CARGO ?= cargo
SMESEC = $(CARGO_TARGET_DIR)/release/smesec

.PHONY: demo test bars fmt conformance release clean-cache

## demo: a shop's visitors and attackers through the built-in pack
demo: release
	@sh scripts/demo.sh "$(SMESEC)"

## test: everything that must hold; prints what it skipped and why
test:
	@bash scripts/test.sh

## bars: the long measurements beside the peers, one row each
bars: release
	@SMESEC="$(SMESEC)" sh benches/peers/waf_modsecurity.sh
	@SMESEC="$(SMESEC)" sh benches/peers/waf_coraza.sh

conformance: release
	@python3 tests/conformance/crs.py "$(SMESEC)"

release:
	@$(CARGO) build --locked --release -p smesec-core --features cli

fmt:
	@$(CARGO) fmt --all
