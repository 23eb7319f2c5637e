#!/bin/sh
# Finds the programs the tests drive (a browser, nginx with Lua, HAProxy, Apache httpd with LuaSocket, a pooler, jq, git, systemd-analyze, promtool, Go, what the README's
# "In production" uses), or installs Debian's when root. Otherwise fails with the command that installs them.
set -eu
wanted=""
command -v chromium-headless-shell >/dev/null || command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || wanted="$wanted chromium"
command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || wanted="$wanted nginx-light"
[ -e /usr/lib/nginx/modules/ngx_http_lua_module.so ] || wanted="$wanted libnginx-mod-http-lua"
command -v haproxy >/dev/null || [ -x /usr/sbin/haproxy ] || wanted="$wanted haproxy"
command -v apache2 >/dev/null || [ -x /usr/sbin/apache2 ] || wanted="$wanted apache2-bin"
ls /usr/share/lua/*/socket.lua >/dev/null 2>&1 || wanted="$wanted lua-socket"
command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ] || wanted="$wanted pgbouncer"
command -v jq >/dev/null || wanted="$wanted jq"
command -v git >/dev/null || wanted="$wanted git"
command -v systemd-analyze >/dev/null || wanted="$wanted systemd"
/usr/bin/python3 -c "import ensurepip" 2>/dev/null || wanted="$wanted python3-venv"
command -v adduser >/dev/null || [ -x /usr/sbin/adduser ] || wanted="$wanted adduser"
command -v ip >/dev/null || [ -x /usr/sbin/ip ] || wanted="$wanted iproute2"
command -v promtool >/dev/null || wanted="$wanted prometheus"
command -v go >/dev/null || [ -x /usr/local/go/bin/go ] || wanted="$wanted golang-go"
[ -e /usr/lib/apache2/modules/mod_auth_openidc.so ] || wanted="$wanted apache2-bin libapache2-mod-auth-openidc"
[ -z "$wanted" ] || wanted="$wanted fonts-dejavu-core"
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    if [ -n "$wanted" ]; then
        apt-get update -qq
        # shellcheck disable=SC2086
        apt-get install -y -qq --no-install-recommends $wanted >/dev/null
    fi
    # Chromium without windows takes half the time; the tests do without it where it can't be had.
    command -v chromium-headless-shell >/dev/null ||
        { apt-cache show chromium-headless-shell && apt-get install -y -qq --no-install-recommends chromium-headless-shell; } >/dev/null 2>&1 ||
        true
    exit 0
fi
[ -z "$wanted" ] && exit 0
echo "The tests need packages of Debian that are missing. Install them, then run make again:" >&2
echo "    sudo apt-get update && sudo apt-get install --no-install-recommends$wanted" >&2
exit 1
