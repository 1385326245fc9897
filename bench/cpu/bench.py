#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The engine's speed: cloister-bench's rows in a guest of ours, in the peer's, and natively.

The same source is built three times from one compiler option (-O2); every engine gets the same sizes. Counts of
retired instructions come from the guest's own counter, so MIPS is measured, not guessed. `boot` is the time from the
engine's start to the kernel's first user program, `boot-4` with four harts, the median of three; `prompt` is the longest time from one prompt of a
shell to the next while the first twenty commands after a boot are typed; `integer` is the rate over all integer rows. What has a
goal is told at the end when it misses it: a row's time to the native one (`ROW/native`) and the geometric means, too.

Rows of two harts, and those of system calls, faults and processes once more (`getppid-2`), run in a guest with two; the native time
of the latter is that of one, for a native machine that has two CPUs has them in any case. They are not counted twice in `peer/ours`.

`--time cpu` measures the CPU time of all of the engine's processes instead of the guest's clock: on a machine that is
shared, other programs count less then.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import harness  # noqa: E402

INTEGER = ("coremark-like", "dhrystone-like", "fibonacci", "bytecode", "quicksort", "sha256")
COMPUTE = INTEGER + ("libc-strings", "memcpy-64k", "memcpy-16m", "chase-16k", "chase-4m", "chase-64m", "nbody", "matrix",
                     "mandelbrot")
TWO_HARTS = ("pipe-2", "mprotect-2", "lock-2")
AGAIN_ON_TWO = {f"{row}-2": row for row in ("getppid", "page-fault", "fork", "exec", "shell")}
TYPED = ["true", "ls /", "echo one two", "cat /proc/uptime"] * 5
PROGRAM = harness.BUILD / "native/bin/cloister-bench"
LIMIT = 1800  # seconds for one boot with all its rows
BOOTS = 3      # with four harts. The first finds that the host has given the frames of whoever ran before to its own host


def of_program():
    """The rows that the program knows."""
    return subprocess.run([PROGRAM, "--list"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()


def program_rows(rows):
    """What the program calls them, each once."""
    return list(dict.fromkeys(AGAIN_ON_TWO.get(row, row) for row in rows))


def parse_rows(text):
    """{name: (seconds, instructions, check)} from cloister-bench's lines."""
    rows = {}
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["row"] and len(words) == 8:
            rows[words[1]] = (float(words[3]), int(words[5]), words[7])
    return rows


def native_cpu(rows, scale):
    """CPU seconds by row: each in a process of its own, less what an empty one takes."""
    def run(name):
        with subprocess.Popen([PROGRAM, "--scale", str(scale), "--rows", name], stdout=subprocess.PIPE, text=True) as process:
            out = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        return out, usage.ru_utime + usage.ru_stime

    empty = min(run("none")[1] for _ in range(3))
    found = {}
    for name in rows or of_program():
        out, seconds = min((run(name) for _ in range(3)), key=lambda pair: pair[1])
        found |= {row: (max(seconds - empty, 1e-4), 0, check) for row, (_, _, check) in parse_rows(out).items()}
    return found


class CpuTimes(threading.Thread):
    """Of an engine's processes, their CPU time when user space is up, and at each of the console's lines about rows."""

    def __init__(self, guest):
        super().__init__(daemon=True)
        self.guest = guest
        self.at = []  # (boot, begin or a row, seconds)
        self.start()

    def run(self):
        while self.guest.is_listening():
            text = self.guest.console
            begun = [harness.USER_SPACE_IS_UP] if harness.USER_SPACE_IS_UP in text else []
            for name in (begun + re.findall(r"^rows? (\S+)(?: seconds.*)?$", text, re.MULTILINE))[len(self.at):]:
                self.at.append((name, harness.cpu_seconds(self.guest.process.pid)))
            time.sleep(0.002)

    def rows(self, wall):
        """`wall` with CPU seconds in the place of the guest's."""
        spent = {name: now - before for (_, before), (name, now) in zip(self.at, self.at[1:])}
        return {name: (spent.get(name, row[0]), row[1], row[2]) for name, row in wall.items()}


def native(rows, scale):
    command = [PROGRAM, "--scale", str(scale)] + (["--rows", ",".join(rows)] if rows else [])
    return parse_rows(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def in_guest(engine, image, ramdisk, cpus, rows, scale, clock):
    """Boots, runs the rows, powers off. Returns the rows and the boot's seconds."""
    asked = f"--rows {','.join(rows)}" if rows else ""
    # As much as page-fault uses is used before, untimed: what a host that is a machine itself takes to have its frames is no engine's.
    used = f"/bin/cloister-bench --scale {scale} --rows page-fault >/dev/null; " if not rows or "page-fault" in rows else ""
    # The counter is open to user mode only when the kernel is told so; a kernel without a driver for it has no such file.
    run = (f"echo 2 > /proc/sys/kernel/perf_user_access; [ -e /bin/cloister-bench ] && {{ {used}/bin/cloister-bench --scale {scale} {asked}; }}")
    with harness.Guest(engine, cpus=cpus, memory="1GiB", kernel=image / "Image", initrd=ramdisk,
                       append=f'console=ttyS0 quiet cloister.run="{run}"') as guest:
        cpu = CpuTimes(guest) if clock == "cpu" else None
        guest.expect(r"^cloister: exit status", LIMIT)
        status = guest.wait(60)
        if status != 0:
            raise SystemExit(f"bench: {engine} ended with status {status}:\n{guest.console[-2000:]}")
        rows = parse_rows(guest.console)
        if cpu is None:
            return rows, guest.seconds_to(harness.USER_SPACE_IS_UP)
        return cpu.rows(rows), cpu.at[0][1]


def measure(engine, arguments, ramdisk, image):
    """The medians over all repetitions: rows and boot."""
    found, boots = [], []
    of_two = TWO_HARTS + tuple(AGAIN_ON_TWO)
    alone = [row for row in arguments.rows if row not in of_two]
    together = [row for row in (arguments.rows or of_two) if row in of_two]
    names = {AGAIN_ON_TWO.get(row, row): row for row in together}
    for _ in range(arguments.repeat):
        rows, boot = in_guest(engine, image, ramdisk, 1, alone, arguments.scale, arguments.time) if alone or not arguments.rows else ({}, None)
        if together and (os.cpu_count() or 1) > 1:
            on_two = in_guest(engine, image, ramdisk, 2, list(names), arguments.scale, arguments.time)[0]
            rows.update({names[row]: figures for row, figures in on_two.items()})
        found.append(rows)
        boots += [boot] if boot is not None else []
    median = {name: tuple(statistics.median(run[name][i] for run in found) for i in (0, 1)) + (row[2],)
              for name, row in found[0].items()}
    return median, statistics.median(boots) if boots else None


def boot_seconds(engine, image, cpus):
    with harness.Guest(engine, cpus=cpus, memory="1GiB", kernel=image / "Image", initrd=image / "initrd",
                       append='console=ttyS0 quiet cloister.run="true"') as guest:
        guest.expect(r"^cloister: exit status", LIMIT)
        return guest.seconds_to(harness.USER_SPACE_IS_UP)


def prompt_milliseconds(engine, image):
    """The longest from one prompt to the next, right after a boot."""
    prompt, where = r"/ # \x1b\[6n", "\x1b[24;5R"  # the shell asks its terminal for the cursor, and would wait for the answer
    with harness.Guest(engine, memory="1GiB", kernel=image / "Image", initrd=image / "initrd", append="console=ttyS0 quiet") as guest:
        guest.expect(prompt, LIMIT)
        longest = 0
        for command in TYPED:
            guest.send(where)
            time.sleep(0.05)  # until it is read; nobody types sooner
            end, start = len(guest.console), time.monotonic()
            guest.send(command + "\n")
            guest.expect(prompt, 60, end)
            longest = max(longest, time.monotonic() - start)
        return longest * 1000


def rate(rows, names):
    """Millions of instructions a second over these rows together."""
    known = [rows[name] for name in names if name in rows and rows[name][1] > 0]
    return sum(row[1] for row in known) / sum(row[0] for row in known) / 1e6 if known else None


def number(value, form="{:.3f}"):
    return "" if value is None else form.format(value)


def quotient(a, b):
    return a / b if a is not None and b else None


def print_table(host, ours, peer):
    lines = []
    for name in ours:
        n, o, p = (rows[name][0] if name in rows else None for rows in (host, ours, peer))
        lines.append([name, number(n), number(o), number(p), number(quotient(o, n), "{:.1f}"), number(quotient(p, o), "{:.2f}"),
                      "" if name in TWO_HARTS or name in AGAIN_ON_TWO else number(rate(ours, [name]), "{:.0f}")])  # each hart counts for itself
    print(harness.table(["row", "native s", "ours s", "peer s", "ours/native", "peer/ours", "MIPS"], lines))


def ratios(host, ours, peer):
    """{name: ratio}: each row's time to the native one; and geometric means, where all their rows were measured: of the compute
    rows to native, and of the peer's times to ours."""
    found = {f"{name}/native": ours[name][0] / host[name][0] for name in ours if name in host}
    if all(f"{name}/native" in found for name in COMPUTE):
        found["compute/native"] = statistics.geometric_mean(found[f"{name}/native"] for name in COMPUTE)
    if peer and all(name in peer for name in COMPUTE + TWO_HARTS):
        found["peer/ours"] = statistics.geometric_mean(peer[name][0] / ours[name][0] for name in ours if name not in AGAIN_ON_TWO)
    return found


def compare_checks(ours, peer):
    """Both run the same program: other results mean that one of them computes wrongly."""
    wrong = [name for name in ours if name in peer and ours[name][2] != peer[name][2]]
    for name in wrong:
        print(f"WRONG RESULT: {name}: ours {ours[name][2]}, the peer's {peer[name][2]}")
    return not wrong


def main():
    parser = argparse.ArgumentParser(prog="./run bench cpu", description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--peer", choices=["qemu", "none"], help="default: qemu when it is installed")
    parser.add_argument("--engine", default="cloister", choices=sorted(harness.ENGINES))
    harness.add_rows(parser, [*of_program(), *AGAIN_ON_TWO], (), "all, boots with four harts, and prompts")
    parser.add_argument("--scale", type=float, default=1.0, help="how much work, for every engine alike")
    parser.add_argument("--time", choices=["guest", "cpu"], default="guest", help="whose clock: the guest's, or the engine's CPU time")
    parser.add_argument("--repeat", type=int, default=1, help="medians of so many runs")
    arguments = parser.parse_args()
    goals = json.loads((pathlib.Path(__file__).parent / "goals.json").read_text())
    with_peer = arguments.peer == "qemu" or (arguments.peer is None and shutil.which("qemu-system-riscv64"))
    image = harness.busybox()
    with tempfile.TemporaryDirectory(dir=harness.CACHE) as folder:
        ramdisk = harness.initrd_with(image / "initrd", {"bin/cloister-bench": harness.GUEST_PROGRAMS / "cloister-bench"}, folder)
        host = (native_cpu if arguments.time == "cpu" else native)(program_rows(arguments.rows), arguments.scale)
        host |= {again: host[row] for again, row in AGAIN_ON_TWO.items() if row in host}
        ours, boot = measure(arguments.engine, arguments, ramdisk, image)
        peer, peer_boot = measure("qemu", arguments, ramdisk, image) if with_peer else ({}, None)
        whole = {}
        if not arguments.rows:
            repeated = range(arguments.repeat)
            whole["boot-4"] = statistics.median(boot_seconds(arguments.engine, image, 4) for _ in range(BOOTS)), "s"
            whole["prompt"] = statistics.median(prompt_milliseconds(arguments.engine, image) for _ in repeated), "ms"
    print_table(host, ours, peer)
    integer, peer_integer = rate(ours, INTEGER), rate(peer, INTEGER)
    print(f"boot: {number(boot, '{:.2f}')} s (peer {number(peer_boot, '{:.2f}') or '-'});"
          f" integer: {number(integer, '{:.0f}') or '-'} MIPS (peer {number(peer_integer, '{:.0f}') or '-'})")
    figures = [harness.figure(name, ours[name][0], "s", peer.get(name, (None,))[0], goals) for name in ours]
    figures.append(harness.figure("boot", boot, "s", peer_boot, goals))
    figures.append(harness.figure("integer", integer, "MIPS", peer_integer, goals))
    whole |= {name: (value, "ratio") for name, value in ratios(host, ours, peer).items()}
    figures += [harness.figure(name, value, unit, None, goals) for name, (value, unit) in whole.items()]
    for one in figures:
        if one["name"] in ("boot-4", "prompt", "compute/native", "peer/ours"):
            print(f"{one['name']}: {one['value']:.3g} {one['unit']} (goal {one['goal']})")
    status = harness.report(figures, arguments.json)
    return status if compare_checks(ours, peer) else 1


if __name__ == "__main__":
    sys.exit(main())
