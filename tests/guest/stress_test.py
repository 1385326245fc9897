#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whole guests whose translator has it hard: soft TLBs of four entries, a code cache that is always full, pages shot
down after each slice, turns of few instructions; beside the interpreter, which must go the same way to the last bit. And
what people run, beside the interpreter too."""
import pathlib

import support

WORK = "for i in 1 2 3; do seq 200 | md5sum & done; wait; gzip -c /bin/busybox | gunzip | cmp - /bin/busybox"
EVERY = "tlb,code,shootdowns"
# Of stress-ng, with operations that the interpreter comes to the end of; each checks what it computes.
STRESSORS = ("cpu 1 --cpu-method int64 --cpu-ops 20", "cpu 1 --cpu-method double --cpu-ops 20",
             "cpu 1 --cpu-method float --cpu-ops 20", "vm 1 --vm-bytes 1m --vm-ops 300", "fork 1 --fork-ops 50",
             "pipe 1 --pipe-ops 2000", "futex 1 --futex-ops 1000", "atomic 2 --atomic-ops 20",
             "qsort 1 --qsort-size 20000 --qsort-ops 1", "matrix 1 --matrix-size 64 --matrix-ops 20", "str 1 --str-ops 200",
             "switch 1 --switch-ops 2000", "mmap 1 --mmap-bytes 1m --mmap-ops 10", "signal 1 --signal-ops 2000",
             "memcpy 1 --memcpy-ops 10", "crypt 1 --crypt-ops 10", "vecmath 1 --vecmath-ops 20", "hash 1 --hash-ops 50",
             "tree 1 --tree-size 5000 --tree-ops 1", "sigsegv 1 --sigsegv-ops 200", "bitops 1 --bitops-ops 50",
             "poll 1 --poll-ops 100", "clone 1 --clone-ops 20", "mprotect 1 --mprotect-ops 100", "exec 1 --exec-ops 10",
             "sock 1 --sock-ops 100", "icache 1 --icache-ops 20", "jpeg 1 --jpeg-ops 1", "zlib 1 --zlib-ops 1",
             "stackmmap 1 --stackmmap-ops 5")


class Brief(support.GuestCase):
    def test_two_harts_under_every_stress_at_once_compute_what_they_should(self):
        guest = self.start(append=f'cloister.run="{WORK}"', cpus=2, stress=EVERY)
        guest.expect("^cloister: exit status 0", 600)
        self.assertEqual(guest.wait(60), 0)


class Lockstep(support.GuestCase):
    def test_a_boot_goes_the_same_way_on_both_engines(self):
        guest = self.start(append='cloister.run="seq 50 | md5sum"', deterministic=7, flags=["--verify"])
        guest.expect("^cloister: exit status 0", 500)
        self.assertEqual(guest.wait(60), 0, guest.console[-2000:])


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

    def verify(self, work, files=(), **options):
        mounts = ("mkdir /d; mount -t ext4 /dev/vda /d; mount -t proc proc /d/proc; mount -t sysfs sys /d/sys; "
                  "mount -t devtmpfs dev /d/dev; mkdir /d/dev/shm; mount -t tmpfs shm /d/dev/shm; mount -t tmpfs tmp /d/tmp")
        guest = support.harness.Guest(support.ENGINE, ["--verify"], cpus=2, memory="512MiB", deterministic=7,
                                      kernel=self.disk + ".kernel", disk=f"{self.disk},overlay={self.folder}/overlay",
                                      initrd=support.harness.initrd_with(self.disk + ".initrd", dict(files), self.folder),
                                      append=f'console=ttyS0 quiet cloister.run="{mounts}; {work}"', **options)
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

    def run_stressors(self, stressors, **options):
        script = pathlib.Path(self.folder) / "stress"
        script.write_text("set -e\n" + "".join(f"stress-ng --verify --temp-path /tmp --{one}\n" for one in stressors))
        console = self.verify("cp /stress /d/tmp; chroot /d sh /tmp/stress 2>&1", {"stress": script}, **options)
        self.assertEqual(console.count("failed: 0"), len(stressors))

    def test_stressors(self):
        self.run_stressors(STRESSORS)

    def test_a_few_under_every_stress_at_once(self):
        self.run_stressors(STRESSORS[::5], stress=EVERY)


if __name__ == "__main__":
    support.main()
