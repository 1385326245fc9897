#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The tests without guests, under sanitizers: asan (addresses, undefined behaviour) or tsan (threads). Ends as test.sh does.
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
say "running the tests (log in $log)"
status=0
ctest --test-dir "build/$preset" -LE guest -j "$(nproc)" --output-on-failure --timeout 7200 >"$log" 2>&1 || status=$?
((status == 0)) || cat "$log"
passed=$(grep -c -E '^ *[0-9]+/[0-9]+ Test +#.* Passed ' "$log" || true)
failed=$(grep -E '^ *[0-9]+/[0-9]+ Test +#.*\*\*\*' "$log" | grep -c -v -F '***Skipped' || true)
((status == 0 || failed > 0)) || failed=1
printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
