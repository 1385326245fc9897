#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A full Debian: with four harts it does what people use one for; under a daemon its applications make room when memory is short."""
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest

import support
from support import daemon, harness

MIB = 1 << 20
INSIDE = pathlib.Path(__file__).resolve().parent / "inside"

C_PROGRAM = """#include <stdio.h>
int main(void) { long s = 0; for (long i = 0; i < 1000; i++) s += i * i; printf("sum %ld", s); }
"""
STRESS_SECONDS = 120


def log_in(guest):
    guest.expect("login:", 600)
    guest.send("root\n")
    guest.expect(r"[#$] $", 180)
    # A shell without line editing, whose escapes would stand before each answer.
    guest.send("exec env PS1= TERM=dumb DEBIAN_FRONTEND=noninteractive sh\n")
    guest.send("stty -echo; echo\n")  # the line that the last escape stands on ends here
    guest.shell("dmesg -n 1", 120)


class Debian(support.GuestCase):
    @classmethod
    def setUpClass(cls):
        cls.disk = str(harness.debian())

    def test_it_boots_and_works(self):
        guest = harness.Guest(support.ENGINE, cpus=4, memory="1GiB", kernel=self.disk + ".kernel",
                              initrd=self.disk + ".initrd", disk=f"{self.disk},overlay={self.folder}/overlay",
                              net="user", append="console=ttyS0 quiet root=/dev/vda")
        self.addCleanup(guest.kill)
        log_in(guest)
        for step in (self.systemd_is_content, self.compiles, self.runs_python, self.serves_redis, self.installs_a_package,
                     self.endures_stress):
            with self.subTest(step.__name__):
                step(guest)
        self.assert_log_is_clean(guest)
        guest.send("systemctl poweroff\n")
        self.assertEqual(guest.wait(240), 0)

    def systemd_is_content(self, guest):
        self.assertIn("0 loaded units listed", self.run_in(guest, "systemctl --failed --no-pager", 120))

    def compiles(self, guest):
        output = self.run_in(guest, f"printf %s '{C_PROGRAM}' > /tmp/a.c && gcc -O2 -o /tmp/a /tmp/a.c && /tmp/a; echo", 300)
        self.assertIn("sum 332833500", output)

    def runs_python(self, guest):
        output = self.run_in(guest, "python3 -c 'import json; print(json.dumps({\"digits\": len(str(2 ** 5000))}))'", 120)
        self.assertIn('{"digits": 1506}', output)

    def serves_redis(self, guest):
        self.run_in(guest, "systemctl start redis-server; until redis-cli ping | grep -q PONG; do sleep 0.5; done", 180)
        output = self.run_in(guest, "redis-benchmark -q -n 2000 -c 10 -t set,get,lpush", 300)
        self.assertEqual(output.count("requests per second"), 3)

    def installs_a_package(self, guest):
        self.run_in(guest, "for i in $(seq 60); do ip route | grep -q default && break; sleep 1; done; apt-get -q update", 400)
        self.run_in(guest, "apt-get -q -y --no-install-recommends install hello", 300)
        self.assertIn("Hello, world!", self.run_in(guest, "hello"))

    def endures_stress(self, guest):
        classes = "--cpu 1 --vm 1 --vm-bytes 64M --fork 1 --pipe 1 --futex 1 --mmap 1 --mmap-bytes 32M --switch 1"
        output = self.run_in(guest, f"stress-ng {classes} --verify --timeout {STRESS_SECONDS}s 2>&1", 5 * STRESS_SECONDS)
        self.assertIn("successful run completed", output)
        self.assertNotIn("fail:", output)


# A service, and programs with a knob: who runs them gave them so much.
UNIT = """[Service]
DynamicUser=yes
ExecStart=/usr/bin/python3 /usr/local/lib/listener.py
"""
KNOBS = """[bridge]
folder = /run/adapters
repeat = 1s
[redis cache]
address = 127.0.0.1:6379
[valkey cache]
address = /run/valkey-cache.sock
[memcached pages]
address = 127.0.0.1:11211
[jvm cache]
pid-file = /run/java.pid
"""
CACHE = "--save '' --dir /run --daemonize yes --enable-debug-command local --maxmemory-policy allkeys-lru"
APPLICATIONS = [
    f"redis-server {CACHE} >/dev/null; until redis-cli ping | grep -q PONG; do sleep 0.2; done; redis-cli debug populate 60000 k 1000",
    f"valkey-server {CACHE} --port 0 --unixsocket /run/valkey-cache.sock --maxmemory 150mb >/dev/null; "
    "until valkey-cli -s /run/valkey-cache.sock ping | grep -q PONG; do sleep 0.2; done; "
    "valkey-cli -s /run/valkey-cache.sock debug populate 60000 k 1000",
    "memcached -d -u root -m 150; sleep 1; python3 /mnt/fill_memcached.py 60000",
    "javac -J-XX:+UseSerialGC -d /tmp /mnt/Cache.java",
    "(java -Xms16m -Xmx200m -XX:TieredStopAtLevel=1 -XX:+UseShenandoahGC -XX:+UnlockExperimentalVMOptions "
    "-XX:ShenandoahUncommitDelay=1000 -cp /tmp Cache 100000 /tmp/java.out >/tmp/java.log 2>&1 & echo $! >/run/java.pid); "
    "until [ -s /tmp/java.out ]; do sleep 0.5; kill -0 $(cat /run/java.pid) || { cat /tmp/java.log; exit 1; }; done",
]
# What each may use now, and what it was given; 0 is all there is.
LIMITS = {
    "redis cache": ("redis-cli config get maxmemory | tail -n 1", 0),
    "valkey cache": ("valkey-cli -s /run/valkey-cache.sock config get maxmemory | tail -n 1", 150 * MIB),
    "memcached pages": ("bash -c 'exec 3<>/dev/tcp/127.0.0.1/11211; printf \"stats\\r\\nquit\\r\\n\" >&3; cat <&3' | tr -d '\\r' | "
                        "sed -n 's/^STAT limit_maxbytes //p'", 150 * MIB),
    "jvm cache": ("jinfo -flag SoftMaxHeapSize $(cat /run/java.pid) | cut -d = -f 2", 200 * MIB),
}


class Applications(unittest.TestCase):
    """The guest's package as its users install it, and real servers and a real Java machine beside it."""

    MEMORY, WORK, SHORT = 1024, 320, 560  # MiB: the machine; what a program uses all the time; all that it may hold meanwhile

    @classmethod
    def setUpClass(cls):
        cls.disk = str(harness.debian("applications"))

    def share(self):
        """What the guest finds at /mnt."""
        share = self.folder / "share"
        share.mkdir()
        subprocess.run([harness.ROOT / "packaging/guest/deb.sh", harness.ROOT / "build/guest", share], check=True, stdout=subprocess.DEVNULL)
        for path in (harness.GUEST_PROGRAMS / "cloister-probe", harness.ROOT / "bench/balloon/guest/Cache.java", *INSIDE.iterdir()):
            shutil.copy(path, share)
        (share / "listener.service").write_text(UNIT)
        (share / "knobs").write_text(KNOBS)
        return share

    def boot(self):
        holder = tempfile.TemporaryDirectory(dir=harness.CACHE)
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)
        self.host = daemon.Daemon("3GiB", swap="3GiB", swap_folder=self.folder, scan_share=0, period="1s", longest_period="2s",
                                  cell_user="root")
        self.addCleanup(self.host.end)
        self.machine = daemon.Debian(self.host, "m", self.disk, self.folder / "overlay", memory=f"{self.MEMORY}MiB", cpus="2",
                                     append="console=ttyS0 quiet systemd.show_status=false no5lvl root=/dev/vda",
                                     share=f"tag=files,path={self.share()},readonly")
        self.addCleanup(self.machine.close)
        log_in(self.machine)
        self.run_in = self.machine.must
        self.run_in("mount -t 9p -o trans=virtio,version=9p2000.L,ro files /mnt")

    def wait(self, holds, what, seconds=240):
        limit = time.monotonic() + seconds
        while not holds():
            self.assertLess(time.monotonic(), limit, what)
            time.sleep(1)

    def limit(self, mib):
        self.host.call("PATCH", "machines/m", {"limit": f"{mib}MiB"})

    def test_it_takes_part_once_the_package_is_installed(self):
        self.boot()
        for step in (self.the_package, self.a_service_with_the_drop_in, self.a_python_program, self.applications,
                     self.memory_gets_short, self.applications_make_room, self.and_have_it_back):
            with self.subTest(step.__name__):
                step()
        log = self.run_in("dmesg")
        self.assertEqual([line for line in log.splitlines() if support.TROUBLE.search(line) or "Out of memory" in line], [])

    def the_package(self):
        self.run_in("dpkg -i /mnt/cloister-guest_*.deb", 300)
        self.assertEqual(self.run_in("systemctl is-active cloister-agent cloister-exec").split(), ["active", "active"])
        self.wait(lambda: self.host.memory("m")["balloon"]["applications"] == 1, "the balloon registers")
        self.assertEqual(self.run_in("stat -c %U /proc/$(systemctl show -P MainPID cloister-agent)").strip(), "cloister-agent")
        self.wait(lambda: self.host.cli("exec", "m", "--", "id", "-un") == (0, "root\n", ""), "commands of the host run")
        self.assertIn("level ample", self.host.cli("exec", "m", "--", "cloister-condition")[1])

    def a_service_with_the_drop_in(self):
        for name, place in (("listener.py", "/usr/local/lib/"), ("listener.service", "/etc/systemd/system/")):
            self.assertEqual(self.host.cli("copy", self.folder / "share" / name, f"m:{place}"), (0, "", ""))
        self.run_in("mkdir /etc/systemd/system/listener.service.d && ln -s /usr/share/doc/cloister-guest/examples/cloister-pressure.conf "
                    "/etc/systemd/system/listener.service.d/cloister.conf && systemctl daemon-reload && systemctl start listener")
        self.assertEqual(self.run_in("systemctl show -P MemoryPressureWatch listener").strip(), "skip")
        self.wait(lambda: "listens at /run/cloister/pressure" in self.said_by_the_service(), "the service listens")

    def said_by_the_service(self):
        return self.run_in("journalctl -q -o cat -u listener")

    def a_python_program(self):
        self.run_in(f"(python3 /mnt/binding.py {self.MEMORY} >/tmp/binding 2>&1 &); until grep -q . /tmp/binding; do sleep 0.2; done", 180)
        self.assertEqual(self.run_in("cat /tmp/binding").strip(), "waits")

    def applications(self):
        self.run_in("systemctl stop redis-server valkey-server memcached", 180)
        for command in APPLICATIONS:
            self.run_in(command, 1200)  # a compiler for Java that shares its two CPUs with five others
        self.run_in("(cloister-agent --parts bridge --config /mnt/knobs >/tmp/adapters.log 2>&1 &)")

    def allowed(self, name):
        """What a program may use: its own word for it, and all of the machine where that is 0."""
        return int(self.run_in(LIMITS[name][0])) or self.MEMORY * MIB

    def memory_gets_short(self):
        for name, (_, given) in LIMITS.items():
            self.assertEqual(self.allowed(name), given or self.MEMORY * MIB, name)
        self.run_in(f"cp /mnt/cloister-probe /tmp; (/tmp/cloister-probe pages 7 {self.WORK} >/tmp/work 2>&1 &); "
                    "until grep -q filled /tmp/work; do sleep 0.2; done")
        self.limit(self.SHORT)
        self.wait(lambda: "heard hard" in self.said_by_the_service(), "the service with the drop-in hears of it")
        self.wait(lambda: "all is as it should be" in self.run_in("cat /tmp/binding"), "the Python program hears of it")

    def applications_make_room(self):
        for name, (_, given) in LIMITS.items():
            self.wait(lambda: self.allowed(name) < (given or self.MEMORY * MIB), f"{name} is turned down")
        log = self.run_in("cat /tmp/adapters.log").splitlines()
        self.assertEqual([line for line in log if line and "may use" not in line], [])  # the console may have begun a line
        self.low = {name: self.allowed(name) for name in LIMITS}

    def and_have_it_back(self):
        self.limit(self.MEMORY)
        self.run_in("kill -TERM $(pidof cloister-probe)")
        self.wait(lambda: "all pages hold" in self.run_in("cat /tmp/work"), "nothing in memory has suffered")
        for name in LIMITS:
            self.wait(lambda: self.allowed(name) > self.low[name], f"{name} is turned up again")


if __name__ == "__main__":
    support.main()
