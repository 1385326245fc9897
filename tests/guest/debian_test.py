#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A full Debian with four harts does what people use one for."""
import support

C_PROGRAM = """#include <stdio.h>
int main(void) { long s = 0; for (long i = 0; i < 1000; i++) s += i * i; printf("sum %ld", s); }
"""
STRESS_SECONDS = 120


class Debian(support.GuestCase):
    @classmethod
    def setUpClass(cls):
        cls.disk = str(support.harness.debian())

    def log_in(self, guest):
        guest.expect("login:", 600)
        guest.send("root\n")
        guest.expect(r"[#$] $", 180)
        # A shell without line editing, whose escapes would stand before each answer.
        guest.send("exec env PS1= TERM=dumb DEBIAN_FRONTEND=noninteractive sh\n")
        guest.send("stty -echo; echo\n")  # the line that the last escape stands on ends here
        guest.shell("dmesg -n 1", 120)

    def test_it_boots_and_works(self):
        guest = support.harness.Guest(support.ENGINE, cpus=4, memory="1GiB", kernel=self.disk + ".kernel",
                                      initrd=self.disk + ".initrd", disk=f"{self.disk},overlay={self.folder}/overlay",
                                      net="user", append="console=ttyS0 quiet root=/dev/vda")
        self.addCleanup(guest.kill)
        self.log_in(guest)
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


if __name__ == "__main__":
    support.main()
