#!/bin/sh
# Worker CPU per request of nginx with the ModSecurity connector and of our gateway, the Core Rule Set at
# paranoia level 1 in both, the same static upstream and the same browser GET on loopback.
# usage: gateway_modsecurity.sh      (environment: see common.sh)
#   DURATION   seconds of load in each measurement (1)
#   ROUNDS     rounds over all variants, the best ones are compared (30)
#   PEER_ONLY  1: measure nginx alone
#   STRICT     1: end with status 1 when a row is SHORT
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"

upstream_port=18480
nginx_waf_port=18481
nginx_plain_port=18482
ours_waf_port=18483
ours_plain_port=18484

# ours_config PORT MODE: the configuration file of our gateway.
ours_config() {
    cat <<TOML
[gateway]
listen = ["127.0.0.1:$1"]
threads = 1

[[gateway.host]]
names = ["*"]
upstream = "http://127.0.0.1:$upstream_port"

[waf]
rules = ["$out/crs-1.conf"]
paranoia = 1
mode = "$2"
TOML
}

need_command python3 "Debian package python3"
need_command nginx "Debian package nginx"
need_command wrk "Debian package wrk"
module=/usr/lib/nginx/modules/ngx_http_modsecurity_module.so
[ -f "$module" ] || skipped "no $module (Debian package libnginx-mod-http-modsecurity)"
need_crs
[ "${PEER_ONLY:-0}" = 1 ] || need_smesec
configuration 1

work=$out/gateway
rm -rf "$work"
mkdir -p "$work/site/catalog/shoes"
head -c 2048 /dev/zero | tr '\0' x > "$work/site/catalog/shoes/42"
started=
stop_all() {
    for pid in $started; do kill "$pid" 2>/dev/null || true; done
}
trap stop_all EXIT
trap 'exit 1' INT TERM

# nginx_config NAME PORT BODY-OF-THE-SERVER [LOAD-MODULE]
nginx_config() {
    mkdir -p "$work/$1"
    cat > "$work/$1/nginx.conf" <<CONF
${4:-}
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
    upstream site { server 127.0.0.1:$upstream_port; keepalive 32; }
    server {
        listen 127.0.0.1:$2;
        $3
    }
}
CONF
    nginx -c "$work/$1/nginx.conf" -e "$work/$1/error.log" > "$work/$1/out" 2>&1 &
    started="$started $!"
    last=$!
}

proxy='location / { proxy_pass http://site; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; }'
# Workers of a server started by root otherwise run as nobody, who may not read below a home directory.
nginx_config upstream "$upstream_port" "root $work/site; default_type text/html;" "user $(id -un);"
nginx_config plain "$nginx_plain_port" "$proxy"
nginx_plain=$last
nginx_config waf "$nginx_waf_port" "modsecurity on; modsecurity_rules_file $out/crs-1.conf; $proxy" "load_module $module;"
nginx_waf=$last
variants="nginx_plain nginx_waf"
if [ "${PEER_ONLY:-0}" != 1 ]; then
    for mode in off block; do
        ours_config "$([ "$mode" = off ] && echo "$ours_plain_port" || echo "$ours_waf_port")" "$mode" > "$work/smesec-$mode.toml"
        "$smesec" serve --config "$work/smesec-$mode.toml" > "$work/smesec-$mode.log" 2>&1 &
        started="$started $!"
        [ "$mode" = off ] && ours_plain=$! || ours_waf=$!
    done
    variants="$variants ours_plain ours_waf"
fi

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

python3 "$here/gateway_load.py" --script "$work/browser.lua" --duration "${DURATION:-1}" --rounds "${ROUNDS:-30}" \
    $(for v in $variants; do eval "echo $v=\$$v:\$${v}_port"; done) || status=$?
[ "${STRICT:-0}" = 1 ] && exit "${status:-0}"
exit 0
