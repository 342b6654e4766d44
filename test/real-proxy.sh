#!/usr/bin/env bash
# The tests of proxies against Debian's tinyproxy and squid, which are installed where they are missing (that needs
# root). One that cannot be had is named, and not tested; only when neither can be had is that a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
for proxy in tinyproxy squid; do
  command -v "$proxy" >/dev/null || apt-get install -q -y --no-install-recommends "$proxy" || missing+=("$proxy")
done
if [ ${#missing[@]} -eq 2 ]; then
  echo 'Neither tinyproxy nor squid can be installed: nothing was tested' >&2
  exit 1
fi
node --import tsx --test --test-reporter=spec test/transport/real-proxy.ts
for proxy in "${missing[@]}"; do echo "NOT RUN: the tests against $proxy, which cannot be installed" >&2; done
