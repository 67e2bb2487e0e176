#!/bin/sh
# Builds the module against nginx's source as Debian's package nginx-dev brings it; no root needed.
# usage: build.sh OUT      (OUT/ngx_http_smesec_module.so is the module)
#   NGINX_SRC       nginx's source with its `configure` (/usr/share/nginx/src)
#   SMESEC_LIB      the folder of libsmesec.a
#   SMESEC_INCLUDE  the folder of smesec.h (that of this repository)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: build.sh OUT}
source=${NGINX_SRC:-/usr/share/nginx/src}
export SMESEC_INCLUDE="${SMESEC_INCLUDE:-$here/../../include}"
export SMESEC_LIB="${SMESEC_LIB:?set it to the folder of libsmesec.a}"
[ -f "$SMESEC_LIB/libsmesec.a" ] || { echo "no libsmesec.a in $SMESEC_LIB; cargo build --release -p smesec-ffi --no-default-features"; exit 1; }
[ -x "$source/configure" ] || { echo "no nginx source at $source (Debian package nginx-dev, or set NGINX_SRC)"; exit 1; }

mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$out/nginx-src
rm -rf "$work"
cp -rL "$source" "$work"
cd "$work"
# The flags of the nginx that is installed: a module that was built with others is refused by it.
if [ -f conf_flags ]; then
    bash -c '. ./conf_flags; ./configure "${NGX_CONF_FLAGS[@]}" "$@"' configure --builddir="$out/objs" \
        --with-cc-opt="-g -O2 -fstack-protector-strong -Wformat -Werror=format-security -fPIC -D_FORTIFY_SOURCE=2 ${SMESEC_CFLAGS:-}" \
        --with-ld-opt="-Wl,-z,relro -Wl,-z,now -fPIC ${SMESEC_LDFLAGS:-}" \
        --add-dynamic-module="$here" > "$out/configure.log" 2>&1 || { tail -n 20 "$out/configure.log"; exit 1; }
else
    ./configure --with-compat --with-threads --builddir="$out/objs" --add-dynamic-module="$here" > "$out/configure.log" 2>&1 \
        || { tail -n 20 "$out/configure.log"; exit 1; }
fi
make -s -f "$out/objs/Makefile" modules
# By a rename: an nginx that runs has the old file mapped.
cp "$out/objs/ngx_http_smesec_module.so" "$out/ngx_http_smesec_module.so.new"
mv "$out/ngx_http_smesec_module.so.new" "$out/ngx_http_smesec_module.so"
