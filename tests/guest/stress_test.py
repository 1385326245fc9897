#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whole guests whose translator has it hard: soft TLBs of four entries, a code cache that is always full, pages shot
down after each slice, turns of few instructions; beside the interpreter, which must go the same way to the last bit."""
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


if __name__ == "__main__":
    support.main()
