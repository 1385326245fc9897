#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The tests, but those of guests in cells, under sanitizers: asan (addresses, undefined behaviour) or tsan (threads). Ends as test.sh does.
#
#   sanitize.sh asan|tsan
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/common.sh

preset=$1 log=$cache/test-logs/$1.log
mkdir -p "$cache/test-logs"
configure "$preset"
say "building build/$preset"
compile -C "build/$preset"
CLOISTER_BUSYBOX=$(tools/image/busybox.sh "$cache" | tail -n 1) && export CLOISTER_BUSYBOX # moving_guest boots one
say "running the tests (log in $log)"
status=0
# Without the one in which a program of the system loads our library: that would need the sanitizer itself.
ctest --test-dir "build/$preset" -LE guest -E '^agent\.elsewhere$' -j "$(nproc)" --output-on-failure --timeout 7200 >"$log" 2>&1 || status=$?
((status == 0)) || cat "$log"
passed=$(grep -c -E '^ *[0-9]+/[0-9]+ Test +#.* Passed ' "$log" || true)
failed=$(grep -E '^ *[0-9]+/[0-9]+ Test +#.*\*\*\*' "$log" | grep -c -v -F '***Skipped' || true)
((status == 0 || failed > 0)) || failed=1
printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
