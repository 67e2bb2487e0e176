# Two commands for a newcomer: `make demo` and `make test`. Both set up what they need.
export CARGO_TARGET_DIR ?= $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/smesec/target
CARGO ?= cargo
SMESEC = $(CARGO_TARGET_DIR)/release/smesec

.PHONY: demo test bars fuzz fmt conformance release header install install-c nginx-module

## demo: a shop behind the gateway, its visitors and attackers; then it is the reader's turn
demo: release
	@sh scripts/demo.sh "$(SMESEC)"

## test: everything that must hold; prints what it skipped and why
test:
	@bash scripts/test.sh

## bars: the long measurements beside the peers, one row each
bars: release
	@SMESEC="$(SMESEC)" sh benches/peers/waf_modsecurity.sh
	@SMESEC="$(SMESEC)" sh benches/peers/waf_coraza.sh
	@python3 tests/conformance/pack.py "$(SMESEC)" --legitimate || true
	@SMESEC="$(SMESEC)" sh benches/peers/gateway_modsecurity.sh
	@SMESEC="$(SMESEC)" sh benches/peers/gateway_latency.sh
	@SMESEC="$(SMESEC)" sh benches/peers/gateway_reload.sh
	@SMESEC="$(SMESEC)" sh benches/peers/python.sh
	@SMESEC="$(SMESEC)" sh benches/peers/taas_tavern.sh
	@sh benches/peers/siem_rsigma.sh
	@sh benches/peers/correlation_rsigma.sh
	@python3 tests/conformance/alarms.py "$(SMESEC)" --events 1000000
	@$(MAKE) -s nginx-module && SMESEC_MODULE="$(NGINX_MODULE)" sh benches/peers/nginx_modsecurity.sh

conformance: release
	@python3 tests/conformance/crs.py "$(SMESEC)"
	@python3 tests/conformance/gateway.py "$(SMESEC)"
	@python3 tests/conformance/sigma.py "$(SMESEC)"

release:
	@$(CARGO) build --locked --release -p smesec-core --features cli

## fuzz: every parser for SECONDS (60) each, without a sanitizer, so that the pinned toolchain will do
SECONDS ?= 60
FUZZ = $(CARGO_TARGET_DIR)/tools/bin/cargo-fuzz
fuzz:
	@[ -x "$(FUZZ)" ] || $(CARGO) install -q --locked --root "$(CARGO_TARGET_DIR)/tools" cargo-fuzz --version 0.13.2
	@cd smesec-core/fuzz && for target in fuzz_targets/*.rs; do \
	  name=$$(basename $$target .rs); found="$(CARGO_TARGET_DIR)/fuzz-found/$$name"; mkdir -p "$$found"; \
	  echo "== $$name"; \
	  "$(FUZZ)" run -s none --fuzz-dir . --target-dir "$(CARGO_TARGET_DIR)/fuzz" $$name "$$found" corpus/$$name -- \
	    -max_total_time=$(SECONDS) -max_len=4096 -timeout=10 -print_final_stats=1 || exit 1; \
	done

fmt:
	@$(CARGO) fmt --all

## header: writes include/smesec.h anew
header:
	@$${SMESEC_CBINDGEN:-$(CARGO_TARGET_DIR)/tools/bin/cbindgen} --quiet --config smesec-ffi/cbindgen.toml smesec-ffi --output include/smesec.h

## install: the C library, its header and the command under PREFIX (DESTDIR for packagers)
PREFIX ?= /usr/local
BUILT ?= $(CARGO_TARGET_DIR)/release
LIBRARY = $(DESTDIR)$(PREFIX)/lib
install: release
	@$(CARGO) build --locked --release -p smesec-ffi
	@$(MAKE) install-c
	install -d "$(DESTDIR)$(PREFIX)/bin"
	install -m 755 "$(SMESEC)" "$(DESTDIR)$(PREFIX)/bin/"

# The part for C alone, of what is built already; `nginx-module` builds the library without the network client.
install-c:
	@nm -D "$(BUILT)/libsmesec.so" | grep -q ' smesec_tests_run$$' || { \
	  echo "$(BUILT)/libsmesec.so is missing or lacks the network client: run \`make install\`" >&2; exit 1; }
	install -d "$(DESTDIR)$(PREFIX)/include" "$(LIBRARY)/pkgconfig" "$(LIBRARY)/cmake/smesec"
	install -m 644 include/smesec.h "$(DESTDIR)$(PREFIX)/include/"
	install -m 644 "$(BUILT)/libsmesec.a" "$(LIBRARY)/"
	install -m 755 "$(BUILT)/libsmesec.so" "$(LIBRARY)/libsmesec.so.0"
	ln -sf libsmesec.so.0 "$(LIBRARY)/libsmesec.so"
	sed 's|@PREFIX@|$(PREFIX)|' smesec-ffi/smesec.pc.in > "$(LIBRARY)/pkgconfig/smesec.pc"
	install -m 644 smesec-ffi/cmake/smesec-config.cmake smesec-ffi/cmake/smesec-config-version.cmake "$(LIBRARY)/cmake/smesec/"

## nginx-module: the dynamic module for the nginx of Debian's nginx-dev; without the network client, which it never calls
NGINX_MODULE = $(CARGO_TARGET_DIR)/nginx/ngx_http_smesec_module.so
nginx-module:
	@$(CARGO) build --locked --release -p smesec-ffi --no-default-features
	@SMESEC_LIB="$(CARGO_TARGET_DIR)/release" sh examples/nginx/build.sh "$(CARGO_TARGET_DIR)/nginx"
	@echo "$(NGINX_MODULE)"
