#!/bin/sh
# Worker CPU per request, memory and reloads of nginx with our module beside nginx with the ModSecurity connector,
# the Core Rule Set at paranoia level 1 in both, the same file and the same browser GET on loopback.
# usage: nginx_modsecurity.sh      (environment: see common.sh)
#   SMESEC_MODULE  ngx_http_smesec_module.so (make nginx-module)
#   DURATION       seconds of load in each measurement (6)
#   ROUNDS         rounds over all variants, medians are compared (3)
#   RELOADS        reloads of the server (1000)
#   STRICT         1: end with status 1 when a row is SHORT
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"

need_command python3 "Debian package python3"
need_command nginx "Debian package nginx"
need_command wrk "Debian package wrk"
peer=/usr/lib/nginx/modules/ngx_http_modsecurity_module.so
[ -f "$peer" ] || skipped "no $peer (Debian package libnginx-mod-http-modsecurity)"
module=${SMESEC_MODULE:-${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/smesec/target}/nginx/ngx_http_smesec_module.so}
[ -f "$module" ] || skipped "no $module (make nginx-module, or set SMESEC_MODULE)"
need_crs
configuration 1

work=$out/nginx
rm -rf "$work"
mkdir -p "$work/site/catalog/shoes"
head -c 2048 /dev/zero | tr '\0' x > "$work/site/catalog/shoes/42"
started=
stop_all() {
    for pid in $started; do kill "$pid" 2>/dev/null || true; done
}
trap stop_all EXIT
trap 'exit 1' INT TERM

# start NAME PORT HTTP-DIRECTIVES [LOAD-MODULE] [MORE-SERVERS]
start() {
    mkdir -p "$work/$1"
    cat > "$work/$1/nginx.conf" <<CONF
${4:-}
user $(id -un);
worker_processes 1;
daemon off;
pid $work/$1/nginx.pid;
error_log $work/$1/error.log crit;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path $work/$1/body;
    proxy_temp_path $work/$1/proxy;
    fastcgi_temp_path $work/$1/fastcgi;
    uwsgi_temp_path $work/$1/uwsgi;
    scgi_temp_path $work/$1/scgi;
    keepalive_requests 1000000;
    server_names_hash_max_size 2048;
    root $work/site;
    default_type text/html;
    $3
    server { listen 127.0.0.1:$2; }
    ${5:-}
}
CONF
    nginx -c "$work/$1/nginx.conf" -e "$work/$1/error.log" > "$work/$1/out" 2>&1 &
    started="$started $!"
    last=$!
}

hosts=
for n in $(seq 100); do
    hosts="$hosts server { listen 127.0.0.1:18494; server_name shop$n.example; smesec_exception rule=$((941000 + n)) path=/shop$n; }
"
done
ours="smesec on; smesec_rules $out/crs-1.conf;"
start plain 18491 ""; plain=$last
start modsecurity 18492 "modsecurity on; modsecurity_rules_file $out/crs-1.conf;" "load_module $peer;"; modsecurity=$last
start smesec 18493 "$ours" "load_module $module;"; smesec_nginx=$last
start hosts 18494 "$ours" "load_module $module;" "$hosts"; many=$last

cat > "$work/browser.lua" <<'LUA'
wrk.method = "GET"
wrk.path = "/catalog/shoes/42?ref=home"
wrk.headers["Host"] = "shop.example.com"
wrk.headers["Cache-Control"] = "max-age=0"
wrk.headers["Sec-Ch-Ua"] = '"Chromium";v="126", "Google Chrome";v="126", "Not-A.Brand";v="8"'
wrk.headers["Sec-Ch-Ua-Mobile"] = "?0"
wrk.headers["Sec-Ch-Ua-Platform"] = '"Linux"'
wrk.headers["Upgrade-Insecure-Requests"] = "1"
wrk.headers["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
wrk.headers["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
wrk.headers["Sec-Fetch-Site"] = "same-origin"
wrk.headers["Sec-Fetch-Mode"] = "navigate"
wrk.headers["Sec-Fetch-User"] = "?1"
wrk.headers["Sec-Fetch-Dest"] = "document"
wrk.headers["Referer"] = "https://shop.example.com/catalog/shoes?page=2&sort=price"
wrk.headers["Accept-Encoding"] = "gzip, deflate, br"
wrk.headers["Accept-Language"] = "en-GB,en;q=0.9,fr;q=0.8"
wrk.headers["Cookie"] = "session=wKj2v2BSBnmPYyGf1KuTe0EWotnG3ZoVsbZZXvAAWzE; _ga=GA1.2.1234567890.1719999999; " ..
    "_gid=GA1.2.987654321.1719999999; lang=en; theme=dark; consent=analytics%3D1%26ads%3D0; last_seen=1719999999; ab_bucket=17"
function done(summary)
    local e = summary.errors
    io.write(string.format("RESULT %d %d\n", summary.requests, e.connect + e.read + e.write + e.status + e.timeout))
end
LUA

python3 "$here/nginx_load.py" --script "$work/browser.lua" --duration "${DURATION:-6}" --rounds "${ROUNDS:-3}" \
    --reloads "${RELOADS:-1000}" "plain=$plain:18491" "modsecurity=$modsecurity:18492" "smesec=$smesec_nginx:18493" \
    "hosts=$many:18494" || status=$?
[ "${STRICT:-0}" = 1 ] && exit "${status:-0}"
exit 0
