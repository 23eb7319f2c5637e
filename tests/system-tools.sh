#!/bin/sh
# Finds the programs the tests drive (a browser, nginx, HAProxy, Apache httpd with LuaSocket, a pooler, jq, git, systemd-analyze), or installs Debian's when root. Fails and says so otherwise.
set -eu
wanted=""
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || wanted="$wanted chromium"
command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || wanted="$wanted nginx-light"
command -v haproxy >/dev/null || [ -x /usr/sbin/haproxy ] || wanted="$wanted haproxy"
command -v apache2 >/dev/null || [ -x /usr/sbin/apache2 ] || wanted="$wanted apache2-bin"
ls /usr/share/lua/*/socket.lua >/dev/null 2>&1 || wanted="$wanted lua-socket"
command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ] || wanted="$wanted pgbouncer"
command -v jq >/dev/null || wanted="$wanted jq"
command -v git >/dev/null || wanted="$wanted git"
command -v systemd-analyze >/dev/null || wanted="$wanted systemd"
[ -z "$wanted" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $wanted fonts-dejavu-core >/dev/null
    exit 0
fi
echo "The tests need:$wanted. Install them, or run as root on Debian and they are installed." >&2
exit 1
