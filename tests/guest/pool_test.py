#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real guests in a pool that is smaller than all of them: what moves, what never happens, and that nothing is lost."""
import time
import unittest

import support
from support import daemon, harness

MIB = 1 << 20


class PoolCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.image = harness.busybox()

    def begin(self, pool, **settings):
        self.host = daemon.Daemon(pool, period="1s", longest_period="2s", **settings)
        self.addCleanup(self.host.end)

    def fill(self, shell, mib, name="/m/big"):
        """A file of random bytes in the guest's memory; returns its checksum."""
        # The root's own size is half of what the kernel leaves free.
        shell.shell("[ -d /m ] || { mkdir /m && mount -t tmpfs -o size=95% m /m; }")
        output, status = shell.shell(f"dd if=/dev/urandom of={name} bs=1M count={mib} 2>/dev/null && md5sum {name}", 400)
        self.assertEqual(status, 0, output)
        return output.split()[0]

    def settle(self):
        """Until zeros and like pages are found, and cells measured."""
        figures = [0, 2 * MIB]
        limit = time.monotonic() + 90
        while abs(figures[-1] - figures[-2]) > MIB and time.monotonic() < limit:
            time.sleep(3)
            memory = self.host.get("host")["memory"]
            figures.append(memory["held"] + memory["overhead"])

    def sum_of(self, shell, name="/m/big"):
        output, status = shell.shell(f"md5sum {name}", 400)
        self.assertEqual(status, 0, output)
        return output.split()[0]


@unittest.skipIf(support.ENGINE == "qemu", "of our own daemon")
class Pool(PoolCase):
    def test_the_pool_is_never_exceeded_and_nothing_is_lost(self):
        self.begin("448MiB", cell_overhead="16MiB", swap="1GiB")
        names = ["a", "b", "c"]
        for name in names:
            self.host.launch(name, self.image, memory="192MiB", min="32MiB")
        watch = support.Watch(self.host)
        try:
            shells = {name: self.host.shell_of(name) for name in names}
            sums = {name: self.fill(shells[name], 64) for name in names}
            # By turns: each brings back what the others' turns took.
            for _ in range(2):
                for name in names:
                    self.assertEqual(self.sum_of(shells[name]), sums[name], name)
        finally:
            watch.end()
        host = self.host.get("host")["memory"]
        machines = {name: self.host.memory(name) for name in names}
        for name, memory in machines.items():
            print(f"\n{name}: held {memory['held'] // MIB} MiB, packed {memory['compressed'] // MIB}, swapped {memory['swapped'] // MIB},"
                  f" target {memory['target'] // MIB}, in use {memory['activity']['estimate']:.0%}, {memory['reason']}")
            self.assertGreaterEqual(memory["held"], 32 * MIB)
            self.assertEqual(memory["lies"], 0)
        print(f"most that the kernel counted: {watch.most // MIB} MiB of a pool of {host['pool'] // MIB}")
        self.assertLessEqual(watch.most, host["pool"])
        self.assertEqual(watch.unbalanced, [])

    def test_a_guest_that_wakes_gets_memory_from_one_that_is_idle(self):
        self.begin("300MiB", cell_overhead="16MiB", swap="1GiB", scan_share=30)
        self.host.launch("idle", self.image, memory="192MiB")
        idle = self.host.shell_of("idle")
        checksum = self.fill(idle, 64)
        self.host.launch("busy", self.image, memory="192MiB")
        busy = self.host.shell_of("busy")
        time.sleep(8)  # the idle one's estimate falls
        self.settle()
        before = self.host.memory("idle")["held"]
        memory = self.host.get("host")["memory"]
        self.host.set(pool=before + memory["overhead"] + memory["goal"] + 64 * MIB)
        self.fill(busy, 78)  # more than the pool has beside the idle one, and cannot be packed
        for _ in range(3):
            self.sum_of(busy)
        after = self.host.memory("idle")
        print(f"\nthe idle one: {before // MIB} MiB, then {after['held'] // MIB} MiB; the busy one {self.host.memory('busy')['held'] // MIB} MiB")
        print(self.host.get("machines/idle/explain"))
        self.assertLess(after["held"], before)
        self.assertEqual(self.sum_of(idle), checksum)

    def test_a_guest_lives_within_its_limit_also_without_the_daemon(self):
        self.begin("512MiB")
        self.host.launch("one", self.image, memory="192MiB", limit="96MiB")
        shell = self.host.shell_of("one")
        checksum = self.fill(shell, 64)
        self.assertLessEqual(self.host.memory("one")["held"], 96 * MIB)
        pid = self.host.get("machines/one")["process"]
        self.host.kill()
        self.assertEqual(self.sum_of(shell), checksum)
        second = self.fill(shell, 10, "/m/more")
        self.assertLessEqual(daemon.guest_memory(pid)[0], 100 * MIB)
        self.host.start()
        self.assertEqual(self.sum_of(shell), checksum)
        self.assertEqual(self.sum_of(shell, "/m/more"), second)


@unittest.skipIf(support.ENGINE == "qemu", "of our own daemon")
class Sharing(PoolCase):
    def test_like_guests_of_one_group_share_and_strangers_do_not(self):
        self.begin("768MiB", scan_share=30)
        for name in ("a", "b"):
            self.host.launch(name, self.image, memory="128MiB", trust_group="friends")
        self.host.launch("stranger", self.image, memory="128MiB")
        shells = {name: self.host.shell_of(name) for name in ("a", "b", "stranger")}
        make = "yes 'the same line, again and again, but numbered' | head -n 300000 | cat -n"
        for shell in shells.values():
            output, status = shell.shell(f"mkdir /m && mount -t tmpfs -o size=95% m /m && {make} > /m/same", 200)
            self.assertEqual(status, 0, output)
        sums = {name: [self.sum_of(shell, "/m/same")] for name, shell in shells.items()}
        limit = time.monotonic() + 90
        def beyond(name):  # a stranger shares with itself only
            return self.host.memory(name)["shared"] - self.host.memory("stranger")["shared"]
        while min(beyond("a"), beyond("b")) < 8 * MIB and time.monotonic() < limit:
            time.sleep(1)
        shared = {name: self.host.memory(name)["shared"] // MIB for name in shells}
        vaults = self.host.get("host")["memory"]["vaults"] // MIB
        print(f"\nshared: {shared} MiB, in {vaults} MiB of vaults")
        self.assertGreaterEqual(shared["a"], shared["stranger"] + 8)
        self.assertGreaterEqual(shared["b"], shared["stranger"] + 8)
        for name, shell in shells.items():
            sums[name].append(self.sum_of(shell, "/m/same"))
        if len({one for both in sums.values() for one in both}) != 1:
            differ = {name: shell.shell(f"wc -c /m/same; {make} | cmp -l - /m/same | wc -l; {make} | cmp -l - /m/same | head -n 40", 200)[0]
                      for name, shell in shells.items()}
            self.fail(f"{sums}; bytes that differ from what they should be:\n{differ}")
        # Written to, a shared page is its writer's own again.
        shells["a"].shell("sed -i s/line/word/ /m/same", 200)
        self.assertEqual(self.sum_of(shells["b"], "/m/same"), sums["b"][0])


if __name__ == "__main__":
    support.main()
