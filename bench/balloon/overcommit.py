# SPDX-License-Identifier: Apache-2.0
"""Redis, a Java program and a reader of files in a pool that is smaller than their machines: what each way of giving memory up
leaves of their throughput.

Three Debian machines work at the same time, each with a job that uses most of its memory: Redis as a cache before something
slower (redis-benchmark asks for keys, and a key that is not there is made), a Java program with such a cache on its heap, and a
program that reads pieces of a file. For each ratio and each way the machines first have all memory, in which their throughput
is measured; then the pool shrinks to a part of what they are configured to have, and it is measured again. A cell of the table
is the second divided by the first. What a machine does with all memory does not depend on the way, so the first is the median over
all turns of a run, and what one of these happens to be weighs on no cell. Seconds in which a hart is ready and others have the CPUs are
left out: other work on this machine weighs little.
Only what the guests do differs between the ways; the host swaps in all of them.
"""
import contextlib
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import daemon  # noqa: E402
import harness  # noqa: E402

MIB = 1 << 20
MEMORY = 384     # MiB of each machine
KEYS = 880       # Redis', with values of VALUE bytes: a cache of pictures
VALUE = 240_000  # smaller ones share a page of its allocator, 64 KiB: what is forgotten here and there would free none
JAVA_KEYS = 160_000
FILE_MIB = 220
SHRINK = 90      # seconds in which the pool becomes smaller, at most
RESTED = 30      # seconds until what came back a page at a time is huge pages again, most of it
MEASURE = 15     # seconds
SETTLE = 25      # seconds that memory may go on moving in after the pool has shrunk
RATIOS = (2, 1.5)
AGENT = "/tmp/cloister-agent --parts '{}' --config /tmp/agent.conf >>/tmp/agent.log 2>&1 & true"

# How a guest takes part, and the commands that begin and end it.
NOTHING, STOP_AGENT = "true", "kill $(pidof cloister-agent) && while pidof cloister-agent; do sleep 0.1; done; rm -rf /run/cloister"
WAYS = {
    "swap": (NOTHING, NOTHING),
    "virtio": ("modprobe virtio_balloon", "rmmod virtio_balloon"),
    "balloon": (AGENT.format("balloon"), STOP_AGENT),
    "condition": (AGENT.format("bridge"), STOP_AGENT),
    "both": (AGENT.format("balloon bridge"), STOP_AGENT),
}


class Job:
    """What one machine does. `knob` is its section of the agent's configuration; `begin`, once all are prepared, starts the work;
    `restore` gives it all its memory again, and touches it."""

    def __init__(self, knob, prepare, begin, done, restore):
        self.knob, self.prepare, self.begin, self.restore = knob, prepare, begin, restore
        self._done = done

    def done(self, machine):
        """Work done so far, and the guest's clock."""
        output = machine.must(f"{self._done}; date +%s.%N", 120).split()
        return sum(int(value) for value in output[:-1]), float(output[-1])


# Small keys are wanted more often, as the cube of an even distribution. What is not there comes from elsewhere, which costs
# this machine that it is put in: a piece of k0, as long as any and as bad to pack.
SPREAD = 1_000_000_000  # so finely that each key is wanted
ASK = ("local n = tonumber(ARGV[1]) / %d local k = math.floor(n * n * n * %d) if not redis.call('get', 'k' .. k) then "
       "local from = k * 256 %% %d redis.call('set', 'k' .. k, redis.call('getrange', 'k0', from, from + %d)) end return 1"
       ) % (SPREAD, KEYS, VALUE, VALUE - 1)
REDIS_CEILING = "260mb"
FILL = "redis-cli --pipe </mnt/keys >/dev/null"
REDIS = [
    f"redis-server --daemonize yes --save '' --dir /run --maxmemory {REDIS_CEILING} --maxmemory-policy allkeys-lru >/dev/null",
    "until redis-cli ping | grep -q PONG; do sleep 0.2; done",
    FILL,
    f"redis-cli script load \"{ASK}\" >/tmp/ask",
]
ASK_FOR_EVER = f"redis-benchmark -r {SPREAD} -n 1000000000 -c 4 -P 4 -q EVALSHA $(cat /tmp/ask) 0 __rand_int__ >/dev/null 2>&1 & true"
HEAP_MIB = 260
# One compiler, not two: each method that Java compiles is code that its guest writes, which the translator pays for dearly.
JAVA = ["javac -J-Xint -J-XX:+UseSerialGC -d /tmp /mnt/Cache.java"]
RUN_JAVA = (
    f"java -Xms16m -Xmx{HEAP_MIB}m -XX:TieredStopAtLevel=1 -XX:+UseShenandoahGC -XX:+UnlockExperimentalVMOptions "
    f"-XX:ShenandoahUncommitDelay=1000 -XX:ShenandoahGuaranteedGCInterval=10000 -cp /tmp Cache {JAVA_KEYS} /tmp/java.out "
    ">/tmp/java.log 2>&1 & echo $! >/tmp/java.pid; "
    "(until [ -s /tmp/java.out ]; do sleep 0.5; kill -0 $(cat /tmp/java.pid) || { cat /tmp/java.log; exit 1; }; done)")
# In its group, which what is read counts for.
FILL_CACHE = "echo 1 >/proc/sys/vm/drop_caches; sh -c 'echo 0 >/sys/fs/cgroup/reader/cgroup.procs; cat /files/file'"
FILES = [
    "mkdir -p /files && mount -t ext4 -o ro /dev/vdb /files",
    "mount -t cgroup2 none /sys/fs/cgroup && echo +memory >/sys/fs/cgroup/cgroup.subtree_control && mkdir /sys/fs/cgroup/reader",
    f"({FILL_CACHE}) >/dev/null",
]
READ = ("sh -c 'echo 0 >/sys/fs/cgroup/reader/cgroup.procs; exec python3 /mnt/reader.py /files/file /tmp/reader.out' & "
        "until [ -s /tmp/reader.out ]; do sleep 0.5; done")
JOBS = {
    "redis": Job("[redis cache]\naddress = 127.0.0.1:6379\n", REDIS, ASK_FOR_EVER,
                 "redis-cli info stats | tr -d '\\r' | sed -n 's/^keyspace_[hm]i[a-z]*://p'",
                 f"kill -STOP $(pidof redis-benchmark); redis-cli config set maxmemory {REDIS_CEILING}; redis-cli flushall; "
                 f"redis-cli memory purge; {FILL}; kill -CONT $(pidof redis-benchmark)"),
    "java": Job("[jvm cache]\npid-file = /tmp/java.pid\n", JAVA, RUN_JAVA, "tail -n 1 /tmp/java.out | cut -d ' ' -f 1",
                "touch /tmp/java.out.whole; while [ -e /tmp/java.out.whole ]; do sleep 0.2; done"),
    "files": Job("[cgroup reader]\npath = /sys/fs/cgroup/reader\n", FILES, READ, "tail -n 1 /tmp/reader.out | cut -d ' ' -f 1",
                 f"echo max >/sys/fs/cgroup/reader/memory.high; {FILL_CACHE}"),
}


def each(work, machines):
    """work(machine) for all machines, side by side: {name: what it gave}."""
    found, failures = {}, []

    def one(name, machine):
        try:
            found[name] = work(machine)
        except Exception as failure:  # told below, on the main thread
            failures.append(failure)

    threads = [threading.Thread(target=one, args=pair) for pair in machines.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return found


def seconds_in_line(pid):
    """How long a machine's harts were ready to run and had no CPU."""
    waited = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # it has just ended
            if (task / "comm").read_text().startswith("hart"):
                waited += int((task / "schedstat").read_text().split()[1])
    return waited / 1e9


class Town:
    """The machines at their jobs, under a daemon of their own."""

    def __init__(self, names, folder):
        self.names = names
        self._host = daemon.Daemon("4GiB", swap="8GiB", swap_folder=folder, scan_share=0, period="3s", longest_period="6s",
                                   cell_user="root")
        self.machines = {}

    @staticmethod
    def _share(folder):
        """What the guests get from here: the agent, the two programs that are no package, and Redis' keys, which pack badly."""
        share = folder / "share"
        share.mkdir()
        for path in (harness.GUEST_PROGRAMS / "cloister-agent", HERE / "guest/Cache.java", HERE / "guest/reader.py"):
            shutil.copy(path, share)
        with open(share / "keys", "wb") as out:
            for key in range(KEYS):
                name, size = b"k%d" % key, VALUE if key else 2 * VALUE
                out.write(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(name), name, size, os.urandom(size)))
        return share

    def _machine(self, name, system, share, folder):
        more = [f"{file_disk(folder)},readonly"] if name == "files" else []
        return daemon.Debian(self._host, name, system, folder / name, memory=f"{MEMORY}MiB", disk=more, balloon_device="yes",
                             share=f"tag=files,path={share},readonly")

    def prepare(self, folder):
        system, share = str(harness.debian("applications")), self._share(folder)
        for name in self.names:
            self.machines[name] = self._machine(name, system, share, folder)

        def one(machine):
            machine.log_in()
            machine.must("dmesg -n 1; mkdir -p /mnt; mount -t 9p -o trans=virtio,version=9p2000.L,ro files /mnt; rmmod virtio_balloon; "
                         "mount -t tmpfs tmp /tmp; cp /mnt/cloister-agent /tmp")
            job = JOBS[machine.name]
            machine.must(f"printf '%s' '{job.knob}' >/tmp/agent.conf")
            for command in job.prepare:
                machine.must(command, 600)
        each(one, self.machines)
        each(lambda machine: machine.must(JOBS[machine.name].begin, 600), self.machines)

    def all_memory(self):
        self._host.set(pool="4GiB")

    def squeeze(self, ratio):
        """Until the machines hold no more than the pool has for them: as need grows, so that the host keeps up with it. A step is
        taken when it has; in the state `low` it would stop the machines."""
        whole = len(self.names) * MEMORY * MIB
        frames, size, limit = int(whole / ratio), whole, time.monotonic() + SHRINK
        while size > frames:
            host = self._host.get("host")
            if host["state"] in ("high", "soft") or time.monotonic() > limit:
                size = max(size - whole // 200, frames)
                self._host.set(pool=size + host["memory"]["overhead"])
            time.sleep(0.3)
        limit = time.monotonic() + 60
        while sum(machine["memory"]["held"] for machine in self._host.get("machines")) > frames:
            if time.monotonic() > limit:
                raise harness.GuestFailed(f"the machines do not come down to {frames // MIB} MiB: {self._host.said()}")
            time.sleep(0.5)

    def _done(self, machine):
        """Work done so far, and seconds so far in which its hart had a CPU, or waited for something other than a CPU."""
        done, clock = JOBS[machine.name].done(machine)
        return done, clock - seconds_in_line(self._host.machines()[machine.name]["process"])

    def rates(self):
        """Work a second of each machine."""
        before = each(self._done, self.machines)
        time.sleep(MEASURE)
        after = each(self._done, self.machines)
        return {name: (after[name][0] - before[name][0]) / (after[name][1] - before[name][1]) for name in self.names}

    def run(self, command):
        return each(lambda machine: machine.must(command, 120), self.machines)

    def restore(self):
        each(lambda machine: machine.must(f"({JOBS[machine.name].restore}) >/dev/null", 300), self.machines)

    def killed(self):
        """How often the guests' OOM killers came."""
        return sum(int(output.split()[-1]) for output in self.run("dmesg | grep -c 'Out of memory' || true").values())

    def complaints(self):
        """What the guests' kernels said of errors, which does not come between a machine's answers."""
        said = self.run("dmesg -l emerg,alert,crit,err | tail -n 5")
        return [f"{name}: {line}" for name, text in said.items() for line in text.splitlines() if line.strip()]

    def state(self):
        """For people: what each machine holds, and where the rest went."""
        cells = []
        for name in self.names:
            memory = self._host.memory(name)
            cells.append(f"{name} holds {memory['held'] // MIB}, balloon {memory['balloon']['pages'] // MIB}, packed "
                         f"{memory['compressed'] // MIB}, swapped {memory['swapped'] // MIB}")
        return "; ".join(cells)

    def end(self):
        for machine in self.machines.values():
            machine.close()
        self._host.end()


def file_disk(folder):
    """A read-only disk with one file that nothing can pack."""
    tree, path = folder / "tree", folder / "files.img"
    tree.mkdir()
    subprocess.run(["dd", "if=/dev/urandom", f"of={tree / 'file'}", "bs=1M", f"count={FILE_MIB}", "status=none"], check=True)
    with open(path, "wb") as out:
        out.truncate((FILE_MIB + 64) * MIB)
    subprocess.run(["/usr/sbin/mkfs.ext4", "-q", "-F", "-d", tree, path], check=True)
    shutil.rmtree(tree)
    return path


def throughput(town, ratio, way):
    """Work a second of each machine: in the small pool, and with all memory."""
    begin, end = WAYS[way]
    town.all_memory()
    town.restore()
    town.run(begin)
    time.sleep(RESTED)
    whole = town.rates()
    town.squeeze(ratio)
    time.sleep(SETTLE)
    short = town.rates()
    print(f"  {ratio} times, {way}: {', '.join(f'{name} {short[name]:.0f} of {whole[name]:.0f} a second' for name in town.names)}"
          f"\n    {town.state()}", file=sys.stderr, flush=True)
    town.all_memory()
    town.run(end)
    return short, whole


def measure(names, rounds, ways=tuple(WAYS)):
    """{(machine, ratio, way): part left, the median of the rounds}, and how often a guest ran out of memory."""
    found, wholes = {}, {name: [] for name in names}
    with tempfile.TemporaryDirectory(dir=harness.CACHE) as name, contextlib.ExitStack() as ends:
        town = Town(names, pathlib.Path(name))
        ends.callback(town.end)
        town.prepare(pathlib.Path(name))
        for turn in range(rounds * len(RATIOS)):
            ratio = RATIOS[turn % len(RATIOS)]
            first = 2 * turn % len(ways)  # what changes with time falls on all of them
            for way in ways[first:] + ways[:first]:
                short, whole = throughput(town, ratio, way)
                for machine in names:
                    found.setdefault((machine, ratio, way), []).append(short[machine])
                    wholes[machine].append(whole[machine])
        killed = town.killed()
        print("".join(f"  {line}\n" for line in town.complaints()), end="", file=sys.stderr)
    for name in names:
        print(f"  {name} with all memory: {min(wholes[name]):.0f} to {max(wholes[name]):.0f} a second", file=sys.stderr)
    return {key: statistics.median(rates) / statistics.median(wholes[key[0]]) for key, rates in found.items()}, killed


ROWS = ("overcommit", *(f"overcommit-{name}" for name in JOBS))


def machines_of(wanted):
    """The machines of the rows `wanted`: overcommit is all of them, overcommit-NAME is one."""
    return [name for name in JOBS if "overcommit" in wanted or f"overcommit-{name}" in wanted]


def figures(names, rounds, goals):
    """The table, printed, and its entries for the suite's JSON."""
    cells, killed = measure(names, rounds)
    lines = [[f"{name}, {ratio} times"] + [f"{cells[name, ratio, way]:.2f}" for way in WAYS] for ratio in RATIOS for name in names]
    print(harness.table(["part of the throughput left", *WAYS], lines))
    found = [harness.figure(f"overcommit-{name}-{ratio}-{way}", value, "of all") for (name, ratio, way), value in cells.items()]

    def compared(name, ratio, better, worse):
        row, goal = f"overcommit-{name}-{ratio}-{better}-to-{worse}", goals[f"overcommit-{better}-to-{worse}"]
        found.append(harness.figure(row, cells[name, ratio, better] / cells[name, ratio, worse], "times", goals={row: goal}))

    for name in names:
        for ratio in RATIOS:
            compared(name, ratio, "both", "swap")
            if name != "files":
                compared(name, ratio, "condition", "balloon")
    return [*found, harness.figure("overcommit-oom", killed, "times", goals=goals)]
