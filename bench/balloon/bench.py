#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the balloon application and the memory condition: run it as `./run bench balloon [--json FILE] [--peer qemu]`.

A machine of 2 GiB under a daemon touches most of its memory and frees it; then its limit is lowered by 1 GiB. The rate is
what it gave back by then, from the order to the moment that the daemon's books have it. The peer does the same by its
virtio balloon, ordered over its monitor, on the same image in the same run. Times are wall times: on a busy machine, compare
the ratio. The peer's guest runs with one hart more of nothing else to do, as ours does.

as-configured-N: what a job costs in a machine of 512 MiB whose balloon leaves it N MiB, to what it costs in one of N MiB. Text
of 60 % of what is available in the latter lies in files in memory, and each is sorted for itself. Equal machines differ by
some percent, as their code came to be translated and their memory to lie; so there are several of each kind, of one hart, for
two differ more. They sort in turns, a file each, for a third of a second; what is compared is the mean of the machines' medians
of the CPU time of the whole cell.
"""
import argparse
import concurrent.futures
import contextlib
import itertools
import json
import pathlib
import socket
import statistics
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import daemon  # noqa: E402
import harness  # noqa: E402
import overcommit  # noqa: E402

MIB = 1 << 20
MACHINE = 2048
TAKEN = 1024
TOUCHED = 1700
WHOLE = 512
SIZES = (192, 256, 320, 448)
PART = 8 * MIB
PAIRS = 6
TURNS = 15
ROWS = ("take", "take-interp", "give-back", "condition-page", "condition-call", "level-to-waiter", "bursts-with-oom",
        "bursts-with-oom-and-swap", *(f"as-configured-{size}" for size in SIZES))


class Failed(Exception):
    """A machine did not do in time what was to be measured."""


def wait(condition, what, seconds=240):
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            raise Failed(what)
        time.sleep(0.01)


class Machine:
    """One machine under a daemon of its own, with the agent at work."""

    def __init__(self, ramdisk, image, engine="jit", memory=MACHINE, pool="6GiB", **options):
        self.host = daemon.Daemon(pool, scan_share=0)
        self.memory = memory
        self.host.launch("m", image, initrd=ramdisk, memory=f"{memory}MiB", engine=engine, **{"cpus": 2, **options})
        self.shell = self.host.shell_of("m", 600)
        self.run("(cloister-agent --parts balloon >/tmp/agent.log 2>&1 &)")
        wait(lambda: self.figures()["balloon"]["applications"] > 0, "the agent did not register")

    def run(self, command, timeout=600):
        output, status = self.shell.shell(command, timeout)
        if status != 0:
            raise Failed(f"{command}: {output}")
        return output

    def figures(self):
        return self.host.memory("m")

    def cpu(self):
        """Seconds of CPU time that the cell's threads have used."""
        threads = pathlib.Path(f"/proc/{self.host.machines()['m']['process']}/task").glob("*/schedstat")
        return sum(int(one.read_text().split()[0]) for one in threads) / 1e9

    def limit(self, mib):
        self.host.call("PATCH", "machines/m", {"limit": f"{mib}MiB"})

    def end(self):
        self.shell.close()
        self.host.end()


def take(machine):
    """(GiB/s, part that came by the balloon)."""
    machine.run(f"cloister-probe touch {TOUCHED}")
    wait(lambda: machine.figures()["held"] >= TOUCHED * MIB, "it does not hold what it touched")
    held = machine.figures()["held"]
    start = time.monotonic()
    machine.limit(held // MIB - TAKEN)
    wait(lambda: machine.figures()["held"] <= held - TAKEN * MIB, "1 GiB did not come back")
    seconds = time.monotonic() - start
    figures = machine.figures()
    part = 1 - (figures["compressed"] + figures["swapped"]) / (TAKEN * MIB)
    return TAKEN / 1024 / seconds, part


def give_back(machine):
    """GiB/s at which the guest uses memory again that it had given up."""
    machine.limit(machine.memory)
    wait(lambda: machine.figures()["balloon"]["target"] == 0, "the order did not fall")
    wait(lambda: machine.figures()["balloon"]["told"] == 0, "the balloon was not given back")
    start = time.monotonic()
    machine.run(f"cloister-probe touch {TAKEN}")
    return TAKEN / 1024 / (time.monotonic() - start)


def latencies(machine, times=20):
    """Milliseconds from a record's making to its arrival at a program that waits."""
    start = len(machine.shell.console)
    machine.shell.send(f"cloister-probe condition-wait {times} &\n")
    machine.shell.expect("^waiting$", 60, start)
    for i in range(times):
        machine.limit(machine.memory - 64 * (i % 2 + 1))
        machine.shell.expect(rf"(told level.*\s+){{{i + 1}}}", 60, start)
    text = machine.shell.console[start:]
    return [int(line.split()[-2]) / 1000 for line in text.splitlines() if line.startswith("told")]


def bursts(machine, times):
    """How often the guest's OOM killer came while its memory was taken and then wanted all at once: each second time the machine gets
    its memory back in that moment, else it stays as small; by turns as fast as it goes, and all of it in a second."""
    everything = int(machine.run("awk '/MemAvailable/ {print $2}' /proc/meminfo")) // 1024 * 9 // 10
    slowest = 0
    for turn in range(times):
        machine.limit(machine.memory // 3)
        wait(lambda: machine.figures()["held"] <= machine.memory * MIB // 3, "it does not give back")
        if turn % 2:
            machine.limit(machine.memory)
        start = time.monotonic()
        machine.run(f"cloister-probe touch {everything} {everything if turn // 2 % 2 else ''}")
        slowest = max(slowest, time.monotonic() - start)
        machine.limit(machine.memory)
    killed = int(machine.run("dmesg | grep -c 'Out of memory' || true").split()[-1])
    print(f"  {times} bursts of {everything} MiB in {machine.memory}: the slowest took {slowest:.1f} s, OOM killer {killed} times", file=sys.stderr)
    return killed


def write_text(machine, files):
    """Files of PART bytes each in the guest's memory, in lines of 256 bytes."""
    text = f"BEGIN {{ for (i = 0; i < {PART // 256}; i++) {{ s = (s * 69069 + 12345 + n) % 4294967296; printf \"%010.0f%245s\\n\", s, i }} }}"
    machine.run(f"mkdir /text && mount -t tmpfs -o size=90% text /text && for n in $(seq {files}); do awk -v n=$n '{text}' >/text/$n; done")
    if (size := machine.run("cat /text/* | wc -c").strip()) != str(files * PART):
        raise Failed(f"{files} files of text have {size} bytes together, not {files * PART}")


def sort_job(machine, file):
    """CPU seconds of sorting one of them."""
    before = machine.cpu()
    machine.run(f"sort /text/{file} | md5sum")
    return machine.cpu() - before


def as_configured(ramdisk, image, size, times):
    """The cost in ballooned machines, to that in ones as large as the balloon leaves them."""
    with contextlib.ExitStack() as ends:
        def start(memory):
            machine = Machine(ramdisk, image, memory=memory, cpus=1)
            ends.callback(machine.end)
            return machine
        pairs = [(start(WHOLE), start(size)) for _ in range(PAIRS)]
        for ballooned, _ in pairs:
            ballooned.run(f"cloister-probe touch {WHOLE * 7 // 10}")
            ballooned.limit(size)
        for ballooned, _ in pairs:
            wait(lambda one=ballooned: one.figures()["held"] <= size * MIB, "it does not come down to its limit")
        available = int(pairs[0][1].run("awk '/MemAvailable/ {print $2}' /proc/meminfo"))
        files = available * 1024 * 60 // 100 // PART
        with concurrent.futures.ThreadPoolExecutor(2) as writers:
            list(writers.map(lambda machine: write_text(machine, files), itertools.chain(*pairs)))
        costs = {machine: [] for machine in itertools.chain(*pairs)}
        for turn in range(TURNS * (times + 1)):
            for pair in pairs:
                for machine in pair if turn % 2 else pair[::-1]:
                    costs[machine].append(sort_job(machine, turn % files + 1))
        medians = [[statistics.median(costs[machine][TURNS:]) for machine in side] for side in zip(*pairs)]  # by then all hot code is translated
        figures = [ballooned.figures() for ballooned, _ in pairs]
        told = " to ".join("/".join(f"{cost:.3f}" for cost in sorted(side)) for side in medians)
        balloon = min(one["balloon"]["pages"] for one in figures) // MIB
        packed, swapped = (max(one[name] for one in figures) // MIB for name in ("compressed", "swapped"))
        print(f"{size} MiB: {told} s, balloon {balloon} MiB at least, packed {packed} MiB, swapped {swapped} MiB at most", file=sys.stderr)
        return sum(medians[0]) / sum(medians[1])


def monitor(path):
    """A function that gives the peer's monitor a command."""
    wait(lambda: pathlib.Path(path).exists(), "the peer has no monitor", 30)
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.connect(str(path))
    lines = stream.makefile("rw")
    lines.readline()

    def ask(command, **arguments):
        lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        lines.flush()
        while True:
            answer = json.loads(lines.readline())
            if "return" in answer:
                return answer["return"]

    ask("qmp_capabilities")
    return ask


def peer_take(image, ramdisk, folder):
    """The peer's rate for the same, by its virtio balloon."""
    path = pathlib.Path(folder) / "monitor"
    with harness.Guest("qemu", kernel=image / "Image", initrd=ramdisk, append="console=ttyS0 quiet", memory=f"{MACHINE}MiB",
                       cpus=2, monitor=path, **{"balloon-device": "yes"}) as guest:
        guest.expect(harness.SHELL_IS_UP, 600)
        guest.expect(r"# ", 60)
        guest.hush()
        output, status = guest.shell(f"cloister-probe touch {TOUCHED}", 600)
        if status != 0:
            raise Failed(f"the peer's guest: {output}")
        ask = monitor(path)
        start = time.monotonic()
        ask("balloon", value=(MACHINE - TAKEN) * MIB)
        wait(lambda: ask("query-balloon")["actual"] <= (MACHINE - TAKEN) * MIB, "the peer's balloon did not get there")
        return TAKEN / 1024 / (time.monotonic() - start)


def measure_taking(arguments, image, ramdisk, wanted):
    found = {}
    with contextlib.ExitStack() as ends:
        machine = Machine(ramdisk, image)
        ends.callback(machine.end)
        if "take" in wanted:
            rates = []
            for _ in range(arguments.repeat):
                rates.append(take(machine))
                rate = give_back(machine)
                found["give-back"] = max(found.get("give-back", 0), rate)
            found["take"], found["by-balloon"] = max(rates)
        costs = machine.run("cloister-probe condition-cost 5000000").split()
        found["condition-page"], found["condition-call"] = float(costs[costs.index("page") + 1]), float(costs[costs.index("call") + 1])
        if "level-to-waiter" in wanted:
            found["level-to-waiter"] = statistics.median(latencies(machine))
    return found


def take_interpreted(arguments, image, ramdisk):
    with contextlib.ExitStack() as ends:
        machine = Machine(ramdisk, image, "interp")
        ends.callback(machine.end)
        rates = []
        for _ in range(arguments.repeat):
            rates.append(take(machine)[0])
            give_back(machine)
        return max(rates)


def bursts_of(arguments, image, ramdisk, folder, swap):
    with contextlib.ExitStack() as ends:
        options = {}
        if swap:
            disk = pathlib.Path(folder) / "swap"
            with open(disk, "wb") as out:
                out.truncate(512 * MIB)
            disk.chmod(0o666)
            options["disk"] = [str(disk)]
        machine = Machine(ramdisk, image, memory=512, **options)
        ends.callback(machine.end)
        if swap:
            machine.run("mkswap /dev/vda && swapon /dev/vda")
        return bursts(machine, arguments.bursts)


def measure(arguments, image, ramdisk, folder):
    """{row: value}; the peer's rate is "peer"."""
    found = {}
    wanted = arguments.rows
    if not set(wanted).isdisjoint(("take", "give-back", "condition-page", "condition-call", "level-to-waiter")):
        found |= measure_taking(arguments, image, ramdisk, wanted)
    if "take-interp" in wanted:
        found["take-interp"] = take_interpreted(arguments, image, ramdisk)
    if "bursts-with-oom" in wanted:
        found["bursts-with-oom"] = bursts_of(arguments, image, ramdisk, folder, False)
    if "bursts-with-oom-and-swap" in wanted:
        found["bursts-with-oom-and-swap"] = bursts_of(arguments, image, ramdisk, folder, True)
    for size in SIZES:
        if f"as-configured-{size}" in wanted:
            found[f"as-configured-{size}"] = as_configured(ramdisk, image, size, arguments.repeat)
    if arguments.peer == "qemu":
        found["peer"] = peer_take(image, ramdisk, folder)
    return found


UNITS = {"take": "GiB/s", "take-interp": "GiB/s", "give-back": "GiB/s", "by-balloon": "part", "condition-page": "ns",
         "condition-call": "ns", "level-to-waiter": "ms", "bursts-with-oom": "times",
         "bursts-with-oom-and-swap": "times", "take-ratio": "times", **{f"as-configured-{size}": "ratio" for size in SIZES}}


def main():
    parser = argparse.ArgumentParser(prog="./run bench balloon", description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--peer", choices=["none", "qemu"], default="none")
    harness.add_rows(parser, [*ROWS, *overcommit.ROWS], ROWS, "all but overcommit's")
    parser.add_argument("--repeat", type=int, default=3, help="the best of so many, or their median")
    parser.add_argument("--bursts", type=int, default=100)
    arguments = parser.parse_args()
    goals = json.loads((HERE / "goals.json").read_text())
    if machines := overcommit.machines_of(arguments.rows):
        return harness.report(overcommit.figures(machines, arguments.repeat, goals), arguments.json)
    image = harness.busybox()
    with tempfile.TemporaryDirectory(dir=harness.CACHE) as folder:
        pathlib.Path(folder).chmod(0o755)
        files = {f"bin/{name}": harness.GUEST_PROGRAMS / name for name in ("cloister-probe", "cloister-agent")}
        ramdisk = harness.initrd_with(image / "initrd", files, folder)
        pathlib.Path(ramdisk).chmod(0o644)
        found = measure(arguments, image, ramdisk, folder)
    peer = found.pop("peer", None)
    if peer is not None and "take" in found:
        found["take-ratio"] = found["take"] / peer
    figures = [harness.figure(name, value, UNITS[name], peer if name == "take" else None, goals) for name, value in found.items()]
    lines = [[one["name"], f"{one['value']:.3g}", one["unit"], "" if one["goal"] is None else one["goal"],
              f"{one['peer']:.3g}" if one["peer"] else ""] for one in figures]
    print(harness.table(["row", "ours", "", "goal", "peer"], lines))
    return harness.report(figures, arguments.json)


if __name__ == "__main__":
    sys.exit(main())
