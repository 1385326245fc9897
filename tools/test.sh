#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What must hold: unit tests, guests booted for real, a minute of each fuzzer, three of the translator's. Ends with the line
# `N passed, N failed`, and with a status other than 0 when anything failed. `all` adds the full Debian guest,
# whose making takes long, and whole guests on both engines at once.
#
# Two cores are kept busy: while the tests run in one half, the fuzzers are built and run in the other.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/common.sh

logs=$cache/test-logs
mkdir -p "$logs"
fuzz_seconds=${CLOISTER_FUZZ_SECONDS:-60}
started=$SECONDS

give_up() {
  tail -n 60 "$1"
  printf '0 passed, 1 failed\n'
  exit 1
}

say "building, and fetching and making the guest"
tools/image/busybox.sh "$cache" >"$logs/busybox.log" 2>&1 &
guest=$!
./run build >"$logs/build.log" 2>&1 || give_up "$logs/build.log"
wait "$guest" || give_up "$logs/busybox.log"
CLOISTER_BUSYBOX=$(tail -n 1 "$logs/busybox.log") && export CLOISTER_BUSYBOX # each guest test would ask apt for it

say "building and running the fuzzers (in the background)"
setsid tools/fuzz.sh all "$fuzz_seconds" all >"$logs/fuzz.log" 2>&1 &
fuzz=$!
trap 'kill -- -"$fuzz" 2>/dev/null || true' EXIT

say "running the tests"
tests_status=0
without=()
[[ ${1:-} == all ]] || { without=(-E '^guest\.(debian|[a-z_]+\.(Verified|Programs))'); say "leaving out the full Debian guest and the long comparisons of the engines: ./run test all has them"; }
ctest --test-dir build "${without[@]}" -j $(($(nproc) + 3)) --output-on-failure --timeout 840 >"$logs/ctest.log" 2>&1 || tests_status=$?
awk '/^ *[0-9]+\/[0-9]+ Test +#|^ *Start /{on = 0} /Test *#.*\*\*\*/{on = 1; n = 0} on && n++ < 100' "$logs/ctest.log" # with what it printed
((tests_status == 0)) || sed -n '/^The following tests FAILED/,$p' "$logs/ctest.log"

fuzz_status=0
wait "$fuzz" || fuzz_status=$?
trap - EXIT
((fuzz_status == 0)) || cat "$logs/fuzz.log"

passed=$(grep -c -E '^ *[0-9]+/[0-9]+ Test +#.* Passed ' "$logs/ctest.log" || true)
failed=$(grep -E '^ *[0-9]+/[0-9]+ Test +#.*\*\*\*' "$logs/ctest.log" | grep -c -v -F '***Skipped' || true)
((tests_status == 0 || failed > 0)) || failed=1
fuzz_passed=$(grep -c '^ok ' "$logs/fuzz.log" || true)
fuzz_failed=$(grep -c '^FAIL ' "$logs/fuzz.log" || true)
((fuzz_status == 0 || fuzz_failed > 0)) || fuzz_failed=1
say "$passed tests and $fuzz_passed fuzzers in $((SECONDS - started)) s; logs in $logs"
printf '%d passed, %d failed\n' $((passed + fuzz_passed)) $((failed + fuzz_failed))
((failed + fuzz_failed == 0))
