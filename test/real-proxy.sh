#!/usr/bin/env bash
# The tests of the proxy against Debian's tinyproxy, which is installed where it is missing (that needs root).
set -euo pipefail
cd "$(dirname "$0")/.."

command -v tinyproxy >/dev/null || apt-get install -y --no-install-recommends tinyproxy
node test/run.mjs transport/proxy
