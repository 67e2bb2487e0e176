#!/usr/bin/env bash
# The whole truth. A stage that fails makes the run fail, but the later ones still run, so that one
# run tells all.
set -u
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/smesec/target}"
passed=0; failed=0; log=$(mktemp); trap 'rm -f "$log"' EXIT
stage() {
  local name=$1; shift
  local began=$SECONDS
  echo; echo "=== $name"
  if "$@" 2>&1 | tee "$log"; [ "${PIPESTATUS[0]}" -eq 0 ]; then
    echo "--- $name: ok, $((SECONDS - began)) s"; passed=$((passed + 1))
  else
    echo "--- $name: FAILED, $((SECONDS - began)) s"; failed=$((failed + 1))
  fi
}
python() { "$CARGO_TARGET_DIR/venv/bin/python" "$@"; }
docs() { RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --all-features; }
stage "setup" bash scripts/setup.sh
stage "format" cargo fmt --all --check
stage "clippy" cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
stage "docs" docs
stage "tests" cargo test --locked --workspace --all-features
stage "release build" cargo build --locked --release -p smesec-core --features cli
stage "conformance" python tests/conformance/crs.py "$CARGO_TARGET_DIR/release/smesec"
stage "rule pack" python tests/conformance/pack.py "$CARGO_TARGET_DIR/release/smesec"
echo
echo "stages: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
