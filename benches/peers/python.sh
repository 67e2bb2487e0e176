#!/bin/sh
# What Python adds to the firewall: builds the wheel as it is released and runs python.py over it.
set -eu
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
venv=$target/venv
if [ ! -x "$venv/bin/maturin" ]; then
  echo "##### SKIPPED: no maturin here; scripts/setup.sh brings it #####"
  exit 0
fi
rm -rf "$target/wheels-release" "$target/python-release"
"$venv/bin/maturin" build -q --locked --release -m smesec-py/Cargo.toml -o "$target/wheels-release" >/dev/null 2>&1
"$venv/bin/pip" install -q --disable-pip-version-check --no-deps --target "$target/python-release" "$target"/wheels-release/smesec-*.whl
PYTHONPATH=$target/python-release "$venv/bin/python" benches/peers/python.py "$SMESEC"
