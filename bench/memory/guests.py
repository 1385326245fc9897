# SPDX-License-Identifier: Apache-2.0
"""What sharing memory does to real guests under cloisterd: figures of whole machines, in wall time where guests work and
in CPU time where the host does. Each function makes its own daemon and machines, and gives {figure: value}."""
import ctypes
import mmap
import os
import pathlib
import re
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import daemon  # noqa: E402
import harness  # noqa: E402

MIB = 1 << 20


class Host(daemon.Daemon):
    """A daemon whose machines can run cloister-probe."""

    def __init__(self, pool, **settings):
        self.image = harness.busybox()
        self.ramdisk = harness.initrd_with(self.image / "initrd", {"bin/probe": harness.GUEST_PROGRAMS / "cloister-probe"},
                                           harness.CACHE)
        super().__init__(pool, swap="8GiB", swap_folder=harness.CACHE / "swap", **settings)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
        os.unlink(self.ramdisk)

    def machine(self, name, memory, **options):
        self.launch(name, self.image, initrd=self.ramdisk, memory=f"{memory}MiB", **options)

    def working(self, name, mib):
        """A shell in which `mib` MiB of pages are worked on; each second says how many pages."""
        shell = self.shell_of(name)
        shell.send(f"probe pages {len(name)} {mib} &\n")
        shell.expect(r"^filled in ([\d.]+) s$", 600)
        return shell

    def settle(self, names, least, most):
        """Until what is held moves by less than 2 MiB in 5 s."""
        history, start = [], time.monotonic()
        while time.monotonic() - start < most:
            history.append([self.memory(name)["held"] for name in names])
            if time.monotonic() - start > least and all(abs(a - b) < 2 * MIB for a, b in zip(history[-6], history[-1])):
                return
            time.sleep(1)


def rate(shell, seconds):
    """Pages a second, the median of so many seconds."""
    shell.expect(r"^pages (\d+)$", 120, len(shell.console))
    start = len(shell.console)
    time.sleep(seconds)
    found = [int(value) for value in re.findall(r"^pages (\d+)$", shell.console[start:], re.MULTILINE)]
    if not found:
        raise harness.GuestFailed(f"no page was visited in {seconds} s: {shell.console[-500:]}")
    return statistics.median(found)


def visits(shell, seconds):
    """How many pages were visited in so many seconds."""
    shell.expect(r"^pages (\d+)$", 120, len(shell.console))
    start, begun = len(shell.console), time.monotonic()
    time.sleep(seconds)
    found = [int(value) for value in re.findall(r"^pages (\d+)$", shell.console[start:], re.MULTILINE)]
    return statistics.mean(found) * (time.monotonic() - begun)


def finish(shell):
    start = len(shell.console)
    shell.send("kill $!\n")
    shell.expect("^all pages hold$", 600, start)


def idle_tax():
    """Two machines of 512 MiB and frames for 720: one has written 360 MiB and sleeps, one works on 400. What it does with its
    part is compared with what it does with all memory by turns: it works at random in its memory, so what others do to the
    host's caches weighs more than what is measured."""
    sampling = {"period": "3s", "longest_period": "3s", "cell_overhead": "16MiB"}
    with Host("2GiB", idle_tax=0, **sampling) as host:
        for name in ("idle", "busy"):
            host.machine(name, 512)
        idle, busy = host.working("idle", 360), host.working("busy", 400)
        idle.send("kill -STOP $!\n")
        time.sleep(12)  # cells are measured each 8 s
        before = host.get("host")["memory"]
        pool = 720 * MIB + before["overhead"] + before["goal"]
        host.set(pool=pool)
        host.settle(("idle", "busy"), 20, 60)
        plain = rate(busy, 20)
        host.set(idle_tax="0.75")
        host.settle(("idle", "busy"), 60, 90)  # what came back a page at a time is huge pages again within a minute
        found = {pool: [], "2GiB": []}
        for _ in range(5):
            for size in found:
                host.set(pool=size)
                time.sleep(2)
                found[size].append(rate(busy, 8))
        taxed, whole = (statistics.median(values) for values in found.values())
        print(f"  pages/s: {plain:.0f} at 0, {taxed:.0f} at 75 %, {whole:.0f} with all", file=sys.stderr)
        idle.send("kill -CONT $!\n")
        for shell in (busy, idle):
            finish(shell)
    return {"idle-tax-gain": taxed / plain, "active-fits": taxed / whole}


def cpu_seconds(folder):
    """What all threads of a process, or one of them, have taken of the host's CPUs."""
    threads = list((folder / "task").iterdir()) if (folder / "task").exists() else [folder]
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def processes(host):
    return [pathlib.Path(f"/proc/{machine['process']}") for machine in host.get("machines")]


def alike():
    """Ten machines of one image and one trust group; what they share, and what looking for it costs one that works: in its
    work for each second of CPU time that it, the others and the daemon take, so with what the looking takes itself."""
    names = [f"like{i}" for i in range(10)]
    with Host("3GiB", scan_share=10, cell_overhead="16MiB") as host:
        for name in names:
            host.machine(name, 128, trust_group="like")
            host.shell_of(name, 600).close()
        time.sleep(45)
        memory = [host.memory(name) for name in names]
        saved = sum(one["shared"] + one["zero"] for one in memory) / sum(one["configured"] for one in memory)
        of_used = sum(one["shared"] for one in memory) / sum(one["shared"] + one["held"] for one in memory)
        shell = host.shell_of(names[0])
        shell.send("probe pages 1 24 &\n")
        shell.expect(r"^filled", 60)
        involved = [pathlib.Path(f"/proc/{host.process.pid}"), *processes(host)]
        found = {0: [], 2: []}
        for _ in range(6):
            for share in found:
                host.set(scan_share=share)
                before = sum(map(cpu_seconds, involved))
                found[share].append(visits(shell, 6) / (sum(map(cpu_seconds, involved)) - before))
        finish(shell)
    return {"alike-saved": saved, "alike-shared-of-used": of_used,
            "scan-cost": 1 - statistics.median(found[2]) / statistics.median(found[0])}


def fifty():
    """Fifty machines that idle: what deciding (the daemon) and sampling (each cell's own threads) take of one CPU."""
    names = [f"vm{i}" for i in range(50)]
    with Host("16GiB", cell_overhead="16MiB", scan_share=0) as host:
        for name in names:  # one after the other: fifty boots at once take longer than anybody waits
            host.machine(name, 128)
            host.shell_of(name, 600).close()
        time.sleep(10)
        cells = processes(host)

        def taken():
            own = sum(cpu_seconds(task) for cell in cells for task in (cell / "task").iterdir()
                      if (task / "comm").read_text().strip() in ("housekeeper", "control"))
            return cpu_seconds(pathlib.Path(f"/proc/{host.process.pid}")), own

        start, before = time.monotonic(), taken()
        time.sleep(120)
        after, seconds = taken(), time.monotonic() - start
    return {"deciding-50": 100 * (after[0] - before[0]) / seconds, "sampling-50": 100 * (after[1] - before[1]) / seconds}


def use_frames_once(bytes):
    """A host that is a guest itself gets its own frames when they are first used, at less than half a GiB a second: so those of
    all free memory that the row can come to use are used once, as on a host that has been up for a while."""
    memory = mmap.mmap(-1, bytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE)
    begin = ctypes.c_char.from_buffer(memory)
    ctypes.memset(ctypes.addressof(begin), 1, bytes)
    del begin
    memory.close()


def wake():
    """A machine that had nothing wants 300 MiB while another holds them, zeros most of them, and idles; and the same while
    nobody holds them. Machines of a size at which their kernel uses huge pages."""
    def fill(host, name):
        shell = host.shell_of(name)
        use_frames_once(8 << 30)
        shell.send("probe pages 1 300 &\n")
        seconds = float(shell.expect(r"^filled in ([\d.]+) s$", 600).group(1))
        finish(shell)
        return 300 / 1024 / seconds

    with Host("2GiB", period="2s", longest_period="2s", cell_overhead="16MiB") as host:
        host.machine("alone", 640)
        alone = fill(host, "alone")
        host.state("alone", "killed")
        host.machine("idle", 640)
        host.machine("waking", 640)
        idle = host.shell_of("idle")
        host.shell_of("waking").close()
        idle.shell("mount -t tmpfs -o size=90% t /mnt; dd if=/dev/zero of=/mnt/zeros bs=1M count=400 2>/dev/null", 120)
        before = host.get("host")["memory"]
        host.set(pool=before["held"] + before["overhead"] + before["goal"] + 32 * MIB)
        time.sleep(10)
        return {"wake": fill(host, "waking"), "wake-alone": alone}


# figure: its function, its unit
ROWS = {
    "idle-tax-gain": (idle_tax, "times"),
    "active-fits": (idle_tax, "of all"),
    "alike-saved": (alike, "of all"),
    "alike-shared-of-used": (alike, "of used"),
    "scan-cost": (alike, "of work"),
    "deciding-50": (fifty, "% CPU"),
    "sampling-50": (fifty, "% CPU"),
    "wake": (wake, "GiB/s"),
    "wake-alone": (wake, "GiB/s"),
}


def measure(wanted):
    """{row: value} of those wanted, each function run once."""
    found = {}
    for function in dict.fromkeys(ROWS[row][0] for row in wanted):
        found.update(function())
    return {row: found[row] for row in wanted}
