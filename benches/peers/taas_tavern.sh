#!/bin/sh
# The public test files through Tavern 3.7.1 (pytest 9.1.1) and through smesec, against one server, interleaved.
# Prints wall and CPU seconds, their ratio, the CPU of a request, and each verdict that differs.
#   SMESEC_TAVERN   a Python with both installed (else one is made under target/peers)
#   SMESEC_TAAS_SERVER   the test program that serves (else it is built)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"
need_smesec
need_command python3 "Debian package python3"
[ -d "$corpora/taas/integration" ] || skipped "no public test files at $corpora/taas (set SMESEC_CORPORA)"
python=${SMESEC_TAVERN:-$out/tavern/bin/python}
if ! "$python" -c 'import tavern' 2>/dev/null; then
    python3 -m venv "$out/tavern" && "$out/tavern/bin/pip" install -q tavern==3.7.1 pytest==9.1.1 ||
        skipped "Tavern cannot be installed here"
    python=$out/tavern/bin/python
fi
server=$(sh "$root/scripts/taas_server.sh") || skipped "the test server was not built"
exec python3 "$here/taas_tavern.py" "$smesec" "$python" "$server" "$corpora/taas" "${ROUNDS:-3}"
