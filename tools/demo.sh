#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Boots a Debian guest with two harts, lets it compile and run a program and serve a database, and shows the figures.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/common.sh

say "making the Debian guest (once; later runs find it in $cache)"
disk=$(tools/image/debian.sh "$cache")
exec python3 tools/demo.py "$disk"
