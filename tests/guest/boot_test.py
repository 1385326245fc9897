#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Debian's kernel boots with any number of harts, works, and ends as it was told to."""
import unittest

import support


class Boot(support.GuestCase):
    def boots_with(self, harts):
        guest = self.boot(cpus=harts)
        self.assertEqual(self.run_in(guest, "nproc").split()[-1], str(harts))
        self.assertIn("riscv64", self.run_in(guest, "uname -a"))
        # Every hart takes part: each gets a process of its own and computes the same.
        sums = self.run_in(guest, f"for i in $(seq {harts}); do (seq 2000 | md5sum) & done; wait", 180)
        self.assertEqual(len(set(line for line in sums.split() if len(line) == 32)), 1)
        self.assert_log_is_clean(guest)
        self.power_off(guest)

    def test_one_hart_reaches_a_shell_and_powers_off(self):
        self.boots_with(1)

    def test_two_harts_reach_a_shell_and_power_off(self):
        self.boots_with(2)

    def test_four_harts_reach_a_shell_and_power_off(self):
        self.boots_with(4)

    def test_eight_harts_reach_a_shell_and_power_off(self):
        self.boots_with(8)

    @unittest.skipIf(support.ENGINE == "qemu", "the peer is told to end at a reboot")
    def test_a_reboot_starts_the_guest_anew(self):
        guest = self.boot(cpus=2)
        seen = len(guest.console)
        guest.send("reboot -f\n")
        guest.expect(support.harness.SHELL_IS_UP, support.BOOT, seen)
        guest.send("poweroff -f\n")
        self.assertEqual(guest.wait(60), 0)

    def test_a_command_on_the_kernels_line_runs_and_ends_the_guest(self):
        guest = self.start(append='cloister.run="echo sum $((6 * 7)); exit 3"')
        guest.expect(r"^sum 42$", support.BOOT)
        guest.expect(r"^cloister: exit status 3$", 30)
        self.assertEqual(guest.wait(60), 0)

    @unittest.skipIf(support.ENGINE == "qemu", "the peer is told to end at a reboot")
    def test_a_panic_that_resets_starts_the_guest_anew(self):
        guest = self.boot(append="panic=-1")
        seen = len(guest.console)
        guest.send("echo c > /proc/sysrq-trigger\n")
        guest.expect("Kernel panic", support.BOOT, seen)
        guest.expect(support.harness.SHELL_IS_UP, support.BOOT, seen)
        guest.send("poweroff -f\n")
        self.assertEqual(guest.wait(60), 0)

    @unittest.skipIf(support.ENGINE == "qemu", "the peer has an exit status of its own")
    def test_a_panic_ends_the_machine_where_a_reboot_is_to_stop_it(self):
        guest = self.boot(append="panic=-1", **{"on-reboot": "stop"})
        guest.send("echo c > /proc/sysrq-trigger\n")
        self.assertEqual(guest.wait(support.BOOT), 4)

    @unittest.skipIf(support.ENGINE == "qemu", "the peer has no such console")
    def test_the_virtio_console_serves_as_well(self):
        guest = support.harness.Guest(support.ENGINE, kernel=self.image / "Image", initrd=self.ramdisk(), memory="256MiB",
                                      console="virtio", append="console=hvc0 quiet")
        self.addCleanup(guest.kill)
        guest.expect(support.harness.SHELL_IS_UP, support.BOOT)
        guest.send("poweroff -f\n")
        self.assertEqual(guest.wait(60), 0)


if __name__ == "__main__":
    support.main()
