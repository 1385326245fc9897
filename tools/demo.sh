#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Five Debian guests in a pool that is half of what they are configured to have: memory moves to those that use it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/common.sh

say "making the Debian guest (once; later runs find it in $cache)"
disk=$(tools/image/debian.sh "$cache")
exec python3 tools/demo.py "$disk"
