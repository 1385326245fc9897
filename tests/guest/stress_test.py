#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whole guests whose translator has it hard: soft TLBs of four entries, a code cache that is always full, pages shot
down after each slice, turns of few instructions; beside the interpreter, which must go the same way to the last bit. And
what people run, beside the interpreter too."""
import support

WORK = "for i in 1 2 3; do seq 200 | md5sum & done; wait; gzip -c /bin/busybox | gunzip | cmp - /bin/busybox"
EVERY = "tlb,code,shootdowns"


class Brief(support.GuestCase):
    def test_two_harts_under_every_stress_at_once_compute_what_they_should(self):
        guest = self.start(append=f'cloister.run="{WORK}"', cpus=2, stress=EVERY)
        guest.expect("^cloister: exit status 0", 600)
        self.assertEqual(guest.wait(60), 0)


class Verified(support.GuestCase):
    def verify(self, stress, cpus):
        guest = self.start(append=f'cloister.run="{WORK}"', cpus=cpus, deterministic=7, stress=stress, flags=["--verify"])
        guest.expect("^cloister: exit status 0", 3000)
        self.assertEqual(guest.wait(600), 0, guest.console[-2000:])

    def test_soft_tlbs_of_four_entries(self):
        self.verify("tlb", 1)

    def test_a_code_cache_that_is_always_full(self):
        self.verify("code", 1)

    def test_pages_that_are_shot_down_all_the_time(self):
        self.verify("shootdowns", 2)

    def test_turns_of_few_instructions(self):
        self.verify("slices", 2)

    def test_all_of_it(self):
        self.verify(EVERY, 2)


class Programs(support.GuestCase):
    """On a full Debian's disk, two harts, the translator beside the interpreter."""
    @classmethod
    def setUpClass(cls):
        cls.disk = str(support.harness.debian())

    def verify(self, work):
        mounts = "mkdir /d; mount -t ext4 /dev/vda /d; mount -t proc proc /d/proc; mount -t tmpfs tmp /d/tmp"
        guest = support.harness.Guest(support.ENGINE, ["--verify"], cpus=2, memory="512MiB", deterministic=7,
                                      kernel=self.disk + ".kernel", initrd=self.disk + ".initrd",
                                      disk=f"{self.disk},overlay={self.folder}/overlay",
                                      append=f'console=ttyS0 quiet cloister.run="{mounts}; {work}"')
        self.addCleanup(guest.kill)
        guest.expect("^cloister: exit status 0", 3000)
        self.assertEqual(guest.wait(600), 0, guest.console[-2000:])
        return guest.console

    def test_a_compiler(self):
        self.verify("echo 'int main(void) { int s = 0; for (int i = 0; i < 9; i++) s += i; return s - 36; }' >/d/tmp/a.c; "
                    "chroot /d gcc -O2 -o /tmp/a /tmp/a.c && chroot /d /tmp/a")

    def test_python(self):
        console = self.verify("chroot /d python3 -c 'import json, hashlib, decimal; decimal.getcontext().prec = 300; "
                              "print(json.dumps([len(str(7 ** 5000)), str(decimal.Decimal(2).sqrt())[-5:], "
                              "sum(i / 3 for i in range(50000))]))'")
        self.assertIn('[4226, "', console)


if __name__ == "__main__":
    support.main()
