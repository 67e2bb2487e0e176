# Sourced by the scripts beside it: where things are, and how to say that a comparison did not run.
#   SMESEC          the command under test (target/release/smesec)
#   SMESEC_TOOLS    measuring tools        (../shared/tools from the repository's root)
#   SMESEC_CORPORA  test material          (../shared/corpora)
root=$(cd "$here/../.." && pwd)
tools=${SMESEC_TOOLS:-$root/../shared/tools}
corpora=${SMESEC_CORPORA:-$root/../shared/corpora}
smesec=${SMESEC:-$root/target/release/smesec}
out=$root/target/peers
mkdir -p "$out"

skipped() {
    echo "##### SKIPPED: $(basename "$0"): $1 #####"
    exit 0
}

need_command() {
    command -v "$1" >/dev/null 2>&1 || skipped "no $1 here ($2)"
}

need_crs() {
    [ -f "$tools/waf/corpus.jsonl" ] || skipped "no measuring tools at $tools (set SMESEC_TOOLS)"
    [ -d "$corpora/crs/rules" ] || skipped "no Core Rule Set at $corpora/crs (set SMESEC_CORPORA)"
}

need_libmodsecurity() {
    need_command cc "Debian package gcc"
    modsecurity=$(ldconfig -p 2>/dev/null | sed -n 's/.*=> \(.*libmodsecurity\.so\.3\)$/\1/p' | head -n 1)
    [ -n "$modsecurity" ] || skipped "no libmodsecurity.so.3 here (Debian package libmodsecurity3)"
    cc -O2 -o "$out/msc_bench" "$tools/waf/msc_bench.c" -ldl
}

need_smesec() {
    [ -x "$smesec" ] || skipped "no $smesec (cargo build --release, or set SMESEC)"
}

# configuration NAME: paranoia level or "ftw"; absolute paths inside, so it stays under target/
configuration() {
    sh "$tools/waf/mkconf.sh" "$corpora/crs" "$1" > "$out/crs-$1.conf"
}

# ours CONF: load cost and memory as the command reports them, nothing where it does not yet
ours_load() {
    "$smesec" rules check --json "$1" 2>/dev/null | tail -n 1 || true
}
