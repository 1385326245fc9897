#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Lets fuzzers run under the address and undefined-behaviour sanitizers.
#
#   fuzz.sh [TARGET|all] [SECONDS] [JOBS|all]
#
# What a target finds new stays in the cache as its corpus; what breaks it is kept in build/fuzz/crashes and named,
# with the seed. Of all, the translator's is given three times as long, and executes so many programs however busy the
# machine is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/common.sh

target=${1:-all} seconds=${2:-60} jobs=${3:-$(nproc)}
share=1 least=0
[[ $target != all ]] || share=3 least=500
[[ $jobs != all ]] || jobs=0 # xargs: as many at once as there are
[[ $seconds =~ ^[1-9][0-9]*$ ]] || fail "fuzz: SECONDS must be a number above 0, not $seconds"

build() {
  configure fuzz
  mapfile -t all < <(ninja -C build/fuzz -t targets all | sed -n -E 's/^(fuzz_[a-z0-9_]+): phony.*/\1/p' | sort -u)
  ((${#all[@]})) || fail "there are no fuzz targets in build/fuzz"
  if [[ $target == all ]]; then
    targets=("${all[@]}")
  else
    targets=("fuzz_${target#fuzz_}")
    [[ " ${all[*]} " == *" ${targets[0]} "* ]] || fail "there is no fuzzer $target: there are ${all[*]#fuzz_}"
  fi
  say "building ${#targets[@]} fuzzers"
  compile -C build/fuzz "${targets[@]}" >"$cache/build-fuzz.log" || { tail -n 40 "$cache/build-fuzz.log" >&2; fail "the fuzzers do not build"; }
}

# run_fuzzer TARGET ARGUMENTS: adds to `log` and `runs`.
run_fuzzer() {
  nice "build/fuzz/bin/$1" -timeout=120 -rss_limit_mb=2048 -seed="$seed" -print_final_stats=1 \
    -artifact_prefix="build/fuzz/crashes/$1-" "${@:2}" >>"$log" 2>&1 || return 1
  runs=$((runs + $(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)))
}

# fuzz_one TARGET SECONDS RUNS: as long, and at least so many, the rest of these without the corpus; one line at the end,
# and on failure the log.
fuzz_one() {
  local seed runs=0 log=build/fuzz/$1.log corpus=$cache/corpus/$1
  seed=$((RANDOM * 32768 + RANDOM + 1))
  mkdir -p "$corpus" build/fuzz/crashes
  : >"$log"
  if run_fuzzer "$1" "-max_total_time=$2" "$corpus" && { ((runs >= $3)) || run_fuzzer "$1" "-runs=$(($3 - runs))"; }; then
    printf 'ok    %s (seed %s, %s runs)\n' "$1" "$seed" "$runs"
  else
    tail -n 40 "$log"
    printf 'FAIL  %s (seed %s; log in %s)\n' "$1" "$seed" "$log"
    return 1
  fi
}
export -f fuzz_one run_fuzzer
export cache

build
for one in "${targets[@]}"; do
  [[ $one == fuzz_jit ]] && echo "$one $((share * seconds)) $least" || echo "$one $seconds 0"
done | xargs -P "$jobs" -I{} bash -c "fuzz_one {}"
