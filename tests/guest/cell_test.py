#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a cell costs the host, and that a deterministic one repeats itself on either engine."""
import json
import pathlib
import re
import time
import unittest

import support
from support import daemon

KIB = 1024


def family(pid):
    """The process and its children: `cloister run` may or may not become the cell itself."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid] + [each for child in children for each in family(int(child))]


def resident(pid):
    """Resident bytes: the guest's memory and all memory files, and everything else."""
    return daemon.guest_memory(pid, "Rss:", re.compile("memfd:"))


@unittest.skipIf(support.ENGINE == "qemu", "of our own cell")
class Cost(support.GuestCase):
    def test_the_cell_takes_less_than_64_mib_beside_the_guests_own(self):
        guest = self.boot(cpus=2, memory="1GiB")
        self.run_in(guest, "for i in 1 2; do (seq 5000 | sort -n | md5sum) & done; wait", 180)
        for _ in range(50):  # what its heap has free goes back when it rests
            guests, others = map(sum, zip(*(resident(pid) for pid in family(guest.process.pid))))
            if others < 64 * KIB * KIB:
                break
            time.sleep(0.1)
        print(f"\nthe cell: {others / KIB / KIB:.1f} MiB; the guest's memory: {guests / KIB / KIB:.1f} MiB of 1024")
        self.assertLess(others, 64 * KIB * KIB)
        self.power_off(guest)

    def test_memory_that_the_guest_never_touched_costs_nothing(self):
        guest = self.boot(cpus=1, memory="2GiB")
        guests = sum(resident(pid)[0] for pid in family(guest.process.pid))
        self.assertLess(guests, 400 * KIB * KIB)
        self.power_off(guest)


@unittest.skipIf(support.ENGINE == "qemu", "of our own cell")
class Deterministic(support.GuestCase):
    def run_once(self, seed, name, **options):
        stats = self.folder / name
        guest = self.start(append='cloister.run="for i in 1 2 3; do seq 300 | md5sum & done; wait; cat /proc/uptime"', cpus=2,
                           deterministic=seed, stats=stats, **options)
        guest.expect("^cloister: exit status 0", 600)
        self.assertEqual(guest.wait(60), 0)
        told = json.loads(stats.read_text())
        return [hart["instructions"] for hart in told["harts"]], told["memory_digest"], guest.console

    def assert_same(self, first, second):
        self.assertEqual(first[0], second[0], "instructions of each hart")
        self.assertEqual(first[1], second[1], "memory")
        self.assertEqual(first[2], second[2], "console")

    def test_two_runs_with_one_seed_are_the_same_and_a_third_on_the_other_engine(self):
        first = self.run_once(42, "first")
        self.assert_same(first, self.run_once(42, "second"))
        self.assert_same(first, self.run_once(42, "interpreted", flags=["--engine", "interp"]))


if __name__ == "__main__":
    support.main()
