#!/bin/sh
# Finds the programs the tests drive (a browser, nginx, a pooler, jq, git, systemd-analyze, Go, Apache), or installs Debian's when root. Fails and says so otherwise.
set -eu
wanted=""
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || wanted="$wanted chromium"
command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || wanted="$wanted nginx-light"
command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ] || wanted="$wanted pgbouncer"
command -v jq >/dev/null || wanted="$wanted jq"
command -v git >/dev/null || wanted="$wanted git"
command -v systemd-analyze >/dev/null || wanted="$wanted systemd"
command -v go >/dev/null || [ -x /usr/local/go/bin/go ] || wanted="$wanted golang-go"
[ -e /usr/lib/apache2/modules/mod_auth_openidc.so ] || wanted="$wanted apache2-bin libapache2-mod-auth-openidc"
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
