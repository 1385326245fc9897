#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Five Debian machines in a pool that is half of what they are configured to have: what `./run demo` shows.

Three machines fill their memory and then idle, one serves Redis, one compiles. The same jobs run three times: with
memory shared by shares alone (idle tax 0), by worth (idle tax 75 %), and with memory for all. At the end each machine
checks the sums of what it had written, so that nothing was lost on the way.
"""
import pathlib
import re
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "bench"))
import daemon  # noqa: E402
import harness  # noqa: E402

MIB = 1 << 20
POOL_MIB = 1230
ALL_MIB = 4096
MEMORY_MIB = 512
FILL_MIB = 330  # what an idle machine has written and will want back
MEASURE = 20    # seconds of each measurement
WARM_UP = 25    # seconds of work before memory is looked at for rest
PATIENCE = 90   # seconds that memory may take to move
ANSWER = 300     # seconds that a guest may take to answer, where others have the CPUs and the disk

IDLE = ["idle-1", "idle-2", "idle-3"]
BUSY = ["redis", "compiler"]

# A third of what is written cannot be packed, the rest is like text.
FILL = (f"head -c {FILL_MIB // 3}M /dev/urandom >/dev/shm/noise; "
        f"seq 1000000000 2000000000 | head -c {FILL_MIB * 2 // 3}M >/dev/shm/text; "
        "sha256sum /dev/shm/noise /dev/shm/text >/run/sums; echo filled")
VERIFY = "sha256sum -c --quiet /run/sums && echo all sums hold"

PROGRAM = "\n".join(
    ["#include <stdio.h>", "#define F(n) static double f##n(double x) { for (int i = 0; i < 9; i++) x = x * n + i / (x + n); return x; }"]
    + [f"F({n})" for n in range(1, 30)] + ["int main(void) { double s = 0;"] + [f"s += f{n}(s);" for n in range(1, 30)]
    + ['printf("%g", s); }'])
REDIS_KEYS = 300_000
SERVE = ("redis-server --daemonize yes --save '' --dir /run >/run/redis.log; "
         "until redis-cli ping 2>/dev/null | grep -q PONG; do sleep 0.2; done; "
         f"redis-cli eval \"for i = 0, {REDIS_KEYS - 1} do redis.call('set', string.format('key:%012d', i), "
         "string.rep(tostring(math.random()), 50)) end\" 0")
LOAD = f"redis-benchmark -t get -r {REDIS_KEYS} -n 1000000000 -c 4 -P 8 -q >/dev/null 2>&1 & true"
COMPILE = ("mkdir -p /dev/shm/c; while :; do gcc -O2 -o /dev/shm/c/a /run/a.c && echo >>/run/compiled; done "
           ">/dev/null 2>&1 & true")


def all_at_once(work, machines):
    """Runs work(machine) for each machine, side by side; fails when one fails."""
    failures = []

    def one(machine):
        try:
            work(machine)
        except Exception as failure:  # told below, on the main thread
            failures.append(failure)

    threads = [threading.Thread(target=one, args=(machine,)) for machine in machines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


class Show:
    """A line a second: what each machine has and the part of it that it uses."""

    def __init__(self, host):
        self.host, self.start = host, time.monotonic()

    def heading(self, text):
        print(f"\n{text}\n  {'':>5} {'pool':>6} " + "".join(f"{name:>16}" for name in IDLE + BUSY)
              + "\n  " + f"{'s':>5} {'state':>6} " + "".join(f"{'MiB, in use':>16}" for _ in IDLE + BUSY), flush=True)

    def line(self):
        machines, host = self.host.machines(), self.host.get("host")
        cells = []
        for name in IDLE + BUSY:
            memory = machines[name]["memory"]
            cells.append(f"{memory['held'] / MIB:9.0f} {memory['activity']['estimate']:5.0%}")
        print(f"  {time.monotonic() - self.start:5.0f} {host['state']:>6} " + " ".join(cells), flush=True)
        return machines

    def settle(self):
        """Until held memory moves by less than 2 % in 4 s."""
        history = []
        for second in range(PATIENCE):
            held = [machine["memory"]["held"] for machine in self.line().values()]
            history.append(held)
            if second > WARM_UP and all(abs(a - b) < 0.02 * MEMORY_MIB * MIB for a, b in zip(history[-5], held)):
                return
            time.sleep(1)


def done_so_far(machines):
    """Requests answered and programs compiled since the start."""
    answered = machines["redis"].must("redis-cli info stats | grep total_commands_processed", ANSWER)
    compiled = machines["compiler"].must("wc -l </run/compiled", ANSWER)
    return int(re.search(r"processed:(\d+)", answered).group(1)), int(compiled.split()[-1])


def measure(machines, show):
    """What the busy ones get done, side by side, in a second."""
    start, before = time.monotonic(), done_so_far(machines)
    while time.monotonic() - start < MEASURE:
        show.line()
        time.sleep(1)
    after, seconds = done_so_far(machines), time.monotonic() - start
    return {"redis": (after[0] - before[0]) / seconds, "compiler": (after[1] - before[1]) / seconds}


def phase(title, settings, machines, show):
    show.heading(title)
    show.host.set(**settings)
    show.settle()
    figures = measure(machines, show)
    figures["redis-mib"] = show.host.machines()["redis"]["memory"]["held"] / MIB
    print(f"  Redis {figures['redis']:.0f} requests/s, compiler {figures['compiler']:.2f} programs/s", flush=True)
    return figures


def report(machines, plain, worth, whole):
    taken = {}
    for machine in machines.values():
        for way, size in machine["memory"]["taken"].items():
            taken[way] = taken.get(way, 0) + size
    print("\nreclaimed, by way: " + ", ".join(f"{way} {size / MIB:.0f} MiB" for way, size in taken.items() if size))
    print(f"\n{'':12}{'by shares alone':>18}{'by worth (75 %)':>18}{'memory for all':>18}")
    for name in BUSY:
        print(f"{name:12}" + "".join(f"{figure[name]:18.2f}" for figure in (plain, worth, whole))
              + f"   worth/shares {worth[name] / max(plain[name], 1e-9):.2f}, worth/all {worth[name] / max(whole[name], 1e-9):.2f}")


def work(host, folder, disk):
    print(f"{len(IDLE + BUSY)} Debian machines of {MEMORY_MIB} MiB ({len(IDLE + BUSY) * MEMORY_MIB} MiB) in a pool of {POOL_MIB} MiB",
          flush=True)
    machines = {}
    for name in IDLE + BUSY:
        machines[name] = daemon.Debian(host, name, disk, folder / name, memory=f"{MEMORY_MIB}MiB")
    all_at_once(daemon.Debian.log_in, machines.values())
    show = Show(host)
    show.heading(f"booted; {', '.join(IDLE)} write {FILL_MIB} MiB each, then idle")
    all_at_once(lambda machine: machine.must(FILL, ANSWER), [machines[name] for name in IDLE])
    show.line()
    machines["compiler"].must(f"printf %s '{PROGRAM}' >/run/a.c; : >/run/compiled", ANSWER)
    machines["compiler"].must(COMPILE, ANSWER)
    machines["redis"].must(SERVE, ANSWER)
    machines["redis"].must(LOAD, ANSWER)
    plain = phase("by shares alone: idle tax 0", {"idle_tax": "0"}, machines, show)
    worth = phase("by worth: idle tax 75 %", {"idle_tax": "0.75"}, machines, show)
    whole = phase("memory for all", {"pool": f"{ALL_MIB}MiB"}, machines, show)
    state = host.machines()
    report(state, plain, worth, whole)
    all_at_once(lambda machine: machine.must(VERIFY, ANSWER), [machines[name] for name in IDLE])
    keys = machines["redis"].must("redis-cli dbsize", ANSWER).split()[-1]
    print(f"nothing was lost: the sums of {len(IDLE)} machines hold, Redis has its {keys} keys")
    print("\n" + host.get(f"machines/{IDLE[0]}/explain"))
    if int(keys) != REDIS_KEYS:
        raise harness.GuestFailed(f"Redis has {keys} keys of {REDIS_KEYS}")
    if worth["redis-mib"] < 1.1 * plain["redis-mib"]:
        raise harness.GuestFailed(f"no memory moved to Redis: {worth['redis-mib']:.0f} MiB by worth, {plain['redis-mib']:.0f} by shares")
    if worth["redis"] < 0.8 * plain["redis"]:  # the compiler beside it takes more of the CPUs at one time than at another
        raise harness.GuestFailed(f"Redis was slower by worth: {worth['redis']:.0f} against {plain['redis']:.0f} requests/s")


def main():
    disk = sys.argv[1]
    with tempfile.TemporaryDirectory(dir=harness.CACHE) as name:
        folder = pathlib.Path(name)
        host = daemon.Daemon(f"{POOL_MIB}MiB", swap="8GiB", swap_folder=folder, idle_tax=0, period="3s", longest_period="6s",
                             cell_user="root")
        try:
            work(host, folder, disk)
        except Exception:
            print("the daemon said:\n" + host.said()[-2000:], file=sys.stderr)
            raise
        finally:
            host.end()
    print("everything works")


if __name__ == "__main__":
    try:
        main()
    except harness.GuestFailed as failure:
        sys.exit(f"demo: {failure}")
