#!/bin/sh
# Starts the shop beside `make demo ARGS="--data-dir /tmp/shop"`, with keys that it makes there.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bin=$here/../../.venv/bin
data=${GATEPASS_DATA_DIR:-/tmp/shop}

key() {
    GATEPASS_DATA_DIR=$data "$bin/gatepass" "$@" --json |
        "$bin/python" -c 'import json, sys; print(json.load(sys.stdin)["key"])'
}

GATEPASS_ADMIN_KEY=$(key admin-key create --label "Corner Shop" --permission companies --permission owners --permission portal)
GATEPASS_KEY=$(key verifier create --label "Corner Shop")
GATEPASS_DIRECTORY=$(mktemp -d)
export GATEPASS_ADMIN_KEY GATEPASS_KEY GATEPASS_DIRECTORY
exec "$bin/python" -m uvicorn --app-dir "$here" --port 9000 shop:app
