#!/usr/bin/env bash
# The conversation with servers of Debian packages, which are installed where they are missing (that needs root).
# A package that cannot be had is named, and what needs it is not run; only when none can be had is that a failure.
set -euo pipefail
cd "$(dirname "$0")/../.."

packages=(python3-websockets python3-aiohttp nginx)
installed() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'install ok installed'; }

updated=no
missing=()
for package in "${packages[@]}"; do
  installed "$package" && continue
  if [ "$updated" = no ]; then
    apt-get update -q || true
    updated=yes
  fi
  apt-get install -q -y --no-install-recommends "$package" || missing+=("$package")
done

if [ ${#missing[@]} -eq ${#packages[@]} ]; then
  echo "None of ${packages[*]} can be installed: nothing was tested" >&2
  exit 1
fi
node --import tsx --test --test-reporter=spec test/interop/debian.ts
for package in "${missing[@]}"; do echo "NOT RUN: what needs $package, which cannot be installed" >&2; done
