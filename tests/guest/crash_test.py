#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A cell killed in the middle of writing loses nothing that the guest was told is on the disk."""
import re
import subprocess

import support


class Killed(support.GuestCase):
    def test_what_was_flushed_is_there_and_the_file_system_is_sound(self):
        disk = support.make_disk(self.folder / "disk", 64, ext4=True)
        guest = self.boot(["cloister-probe"], disk=disk, cpus=2)
        self.run_in(guest, "mount -t ext4 /dev/vda /mnt")
        guest.send("(while :; do dd if=/dev/urandom of=/mnt/noise bs=64k count=64 2>/dev/null; done) & cloister-probe flush /mnt/records\n")
        guest.expect(r"^flushed 60$", 180)
        guest.kill()
        told = max(int(number) for number in re.findall(r"^flushed (\d+)$", guest.console, re.MULTILINE))
        repaired = subprocess.run(["/usr/sbin/e2fsck", "-fp", disk], stdout=subprocess.PIPE, text=True, check=False)
        self.assertLessEqual(repaired.returncode, 1, repaired.stdout)  # 1: the journal was replayed
        subprocess.run(["/usr/sbin/e2fsck", "-fn", disk], stdout=subprocess.DEVNULL, check=True)
        kept = subprocess.run(["/usr/sbin/debugfs", "-R", "cat /records", disk], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True, check=True).stdout.splitlines()
        self.assertGreaterEqual(len(kept), told + 1)
        self.assertEqual(kept[:told + 1], [f"record {number:010}" for number in range(told + 1)])


if __name__ == "__main__":
    support.main()
