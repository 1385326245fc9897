#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what memory's parts cost: run it as `./run bench memory [--json FILE] [--rows a,b]`.

Most rows are one benchmark of one of this folder's programs, in CPU time of its own, the median of several runs:
other work on the machine weighs little. What it costs to take a guest's memory and to give it back is
measured by a program that knows how to (reclaim_bench.cpp); its peer is the host's own disk. What sharing does to
whole machines is in guests.py.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import guests  # noqa: E402
import harness  # noqa: E402

# figure: program, benchmark, unit
ROWS = {
    "targets_50": ("memory_policy_bench", "targets_for/flat/50", "ms"),
    "targets_10000": ("memory_policy_bench", "targets_for/flat/10000", "ms"),
    "targets_10000_progressive": ("memory_policy_bench", "targets_for/progressive/10000", "ms"),
    "targets_10000_by_time": ("memory_policy_bench", "targets_for/by_time/10000", "ms"),
    "targets_10000_pools": ("memory_policy_bench", "targets_for/pools_of_100/10000", "ms"),
}
RECLAIM = ("compress", "compress-ratio", "zeros", "page-in-compressed", "condense", "condense-ratio", "page-in-condensed",
           "swap-out", "swap-out-share", "page-in-swapped", "growth")
SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}


def measure(program, benchmarks, repeat):
    """{benchmark: seconds of CPU time} of one program."""
    names = "|".join(f"^{name}$" for name in benchmarks)
    output = subprocess.run([harness.BUILD / "bin" / program, f"--benchmark_filter={names}", "--benchmark_format=json",
                             f"--benchmark_repetitions={repeat}", "--benchmark_report_aggregates_only=true"],
                            check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return {entry["run_name"]: entry["cpu_time"] * SECONDS[entry["time_unit"]]
            for entry in json.loads(output)["benchmarks"] if entry["aggregate_name"] == "median"}


def measure_reclaim(wanted, goals):
    """The figures among `wanted` from reclaim_bench's lines: name, value, unit, and the host's own where there is one."""
    subprocess.run(["ninja", "-C", harness.BUILD, "reclaim_bench"], check=True, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory(dir=harness.CACHE) as folder:
        output = subprocess.run([harness.BUILD / "bin/reclaim_bench", folder], check=True, stdout=subprocess.PIPE,
                                text=True).stdout
    lines = [line.split() for line in output.splitlines()]
    return [harness.figure(name, float(value), unit, float(peer[0]) if peer else None, goals)
            for name, value, unit, *peer in lines if name in wanted]


def main():
    parser = argparse.ArgumentParser(prog="./run bench memory", description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--peer", choices=["none"], default="none", help="there is none to compare with")
    known = [*ROWS, *RECLAIM, *guests.ROWS]
    harness.add_rows(parser, known, known)
    parser.add_argument("--repeat", type=int, default=5, help="medians of so many runs")
    arguments = parser.parse_args()
    reclaim, whole = [row for row in arguments.rows if row in RECLAIM], [row for row in arguments.rows if row in guests.ROWS]
    wanted = [row for row in arguments.rows if row in ROWS]
    programs = sorted({ROWS[row][0] for row in wanted})
    if programs:
        subprocess.run(["ninja", "-C", harness.BUILD] + programs, check=True, stdout=subprocess.DEVNULL)
    found = {program: measure(program, [ROWS[row][1] for row in wanted if ROWS[row][0] == program], arguments.repeat)
             for program in programs}
    goals = json.loads((pathlib.Path(__file__).parent / "goals.json").read_text())
    figures = []
    for row in wanted:
        program, benchmark, unit = ROWS[row]
        figures.append(harness.figure(row, found[program][benchmark] / SECONDS[unit], unit, None, goals))
    if reclaim:
        figures += measure_reclaim(reclaim, goals)
    figures += [harness.figure(row, value, guests.ROWS[row][1], None, goals) for row, value in guests.measure(whole).items()]
    lines = [[one["name"], f"{one['value']:.3g}", one["unit"], one["goal"] or "", f"{one['peer']:.3g}" if one["peer"] else ""] for one in figures]
    print(harness.table(["row", "ours", "", "goal", "peer"], lines))
    return harness.report(figures, arguments.json)


if __name__ == "__main__":
    sys.exit(main())
