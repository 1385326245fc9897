#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a cell costs the host, that a deterministic one repeats itself, and what it tells of its guest and its code."""
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
class Code(support.GuestCase):
    WORK = "seq 20000 | sort -n | md5sum"
    KERNEL = 0xffffffff80000000

    def test_none_of_its_memory_is_writable_and_executable_at_once(self):
        guest = self.boot(cpus=2)
        guest.send(f"{self.WORK}; echo do''ne\n")
        seen = 0
        while "\ndone" not in guest.console:
            for pid in family(guest.process.pid):
                lines = [line.split(None, 5) for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()]
                self.assertEqual([line for line in lines if "w" in line[1] and "x" in line[1]], [])
                seen += sum(1 for line in lines if "cloister-code" in line[-1] and "x" in line[1])
            time.sleep(0.01)
        self.assertGreater(seen, 0)
        self.power_off(guest)

    def test_a_profile_names_functions_with_their_translated_size_and_exits_by_reason(self):
        symbols, profile = self.folder / "symbols", self.folder / "profile"
        # A name for each MiB of the kernel: which version has which function where is not this test's.
        symbols.write_text("".join(f"{self.KERNEL + (i << 20):x} T kernel_mebibyte_{i}\n" for i in range(64)))
        guest = self.start(append=f'nokaslr cloister.run="{self.WORK}"', profile=profile, symbols=symbols)
        guest.expect("^cloister: exit status 0", support.BOOT)
        self.assertEqual(guest.wait(60), 0)
        text = profile.read_text()
        rows = re.findall(r"^ +(\d+) +([\d.]+) +(\d+)  (.+)$", text, re.MULTILINE)
        self.assertTrue([row for row in rows if row[3].startswith("kernel_mebibyte_") and int(row[2]) > 1000], text)
        self.assertTrue([row for row in rows if row[3].startswith("user 0x") and int(row[2]) > 0], text)
        shares = sum(float(row[1]) for row in rows)
        self.assertTrue(50 < shares < 100.5, text)
        for reason in ("environment call from U-mode", "load page fault", "supervisor timer interrupt", "SBI calls", "device accesses"):
            self.assertRegex(text, rf"(?m)^ +[1-9]\d*  {reason}$")

    def test_a_map_for_perf_says_where_translated_code_lies(self):
        guest = self.start(append=f'cloister.run="{self.WORK}"', **{"perf-map": "yes"})
        guest.expect(support.harness.USER_SPACE_IS_UP, support.BOOT)
        paths = [pathlib.Path(f"/tmp/perf-{pid}.map") for pid in family(guest.process.pid)]
        self.addCleanup(lambda: [path.unlink(missing_ok=True) for path in paths])
        self.assertEqual(guest.wait(support.BOOT), 0)
        text = "".join(path.read_text() for path in paths if path.exists())
        pieces = re.findall(r"^([0-9a-f]+) ([0-9a-f]+) guest (0x[0-9a-f]+)$", text, re.MULTILINE)
        self.assertEqual(len(pieces), text.count("\n"))
        self.assertGreater(len(pieces), 1000)
        self.assertTrue([piece for piece in pieces if int(piece[2], 16) >= self.KERNEL])


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
