#!/usr/bin/env bash
# Installs what the tests use besides Rust, Python 3.11 and a C compiler. Says what it could not install.
set -u
wanted="libmodsecurity3 modsecurity-crs libnginx-mod-http-modsecurity valgrind"
missing=""
for package in $wanted; do
  dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
done
if [ -n "$missing" ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing Debian packages:$missing"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } \
      >/dev/null 2>&1 || echo "SKIPPED: could not install$missing; the tests that need them will say so"
  else
    echo "SKIPPED: not root, so$missing stay missing; the tests that need them will say so"
  fi
fi
venv="${CARGO_TARGET_DIR:-target}/venv"
if [ ! -x "$venv/bin/python" ]; then
  python3 -m venv "$venv" || { echo "SKIPPED: no Python virtual environment"; exit 0; }
fi
"$venv/bin/python" -c 'import yaml' 2>/dev/null || "$venv/bin/pip" install -q 'PyYAML==6.0.3' \
  || echo "SKIPPED: PyYAML could not be installed; the conformance suite will say so"
