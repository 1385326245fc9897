#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""virtio's balloon under a daemon: its orders while the guest has no application for them."""
import time

import balloon_test
import support

MIB = 1 << 20


class Device(balloon_test.BalloonCase):
    OPTIONS = {"balloon_device": "yes"}

    def order_of_the_device(self, mib):
        """The kernel reports what is free by itself after 2 s: on a busy host the order may come too late, and is given again."""
        for _ in range(6):
            self.run_in("cloister-probe touch 185")
            self.limit(mib)
            self.wait(lambda: self.memory()["held"] <= mib * MIB, "it gives back what is over its limit")
            for _ in range(30):
                if self.balloon()["told"] > 40 * MIB:
                    return self.assertEqual(self.balloon()["applications"], 0)
                time.sleep(0.2)
            self.limit(balloon_test.WHOLE)
        self.fail(f"the device's balloon takes no part: {self.memory()}")

    def test_a_kernel_without_the_agent_tells_of_its_memory_and_reports_what_is_free(self):
        self.begin(agent=None)
        self.wait(lambda: {"free", "available", "total"} <= set(self.memory()["guest"]), "its kernel says what it has")
        told = self.memory()["guest"]
        kernel = 1024 * int(self.run_in("awk '/MemTotal/ {print $2}' /proc/meminfo").split()[-1])
        self.assertEqual(told["total"], kernel)
        self.assertLess(told["free"], told["total"])
        before = self.memory()["given_free"]
        self.run_in("cloister-probe touch 185")  # and it is free again
        self.wait(lambda: self.memory()["given_free"] > before + 150 * MIB, "it reports what is free")
        self.wait(lambda: self.memory()["used"] < 150 * MIB, "which is the host's again")
        self.assertLess(self.memory()["guest"]["free"], self.memory()["guest"]["total"])

    def test_it_stands_in_for_an_application_and_gives_way(self):
        self.begin(agent=None)
        self.order_of_the_device(130)
        told = self.balloon()["told"]
        self.limit(balloon_test.WHOLE)
        self.run_in("cloister-probe touch 185")  # more than the balloon leaves
        self.assertNotIn("Out of memory", self.run_in("dmesg"))
        self.wait(lambda: self.balloon()["told"] < told, "it is smaller")
        self.order_of_the_device(130)
        self.assert_log_is_clean()

    def test_an_agent_that_comes_takes_over(self):
        self.begin(agent=None)
        self.order_of_the_device(130)
        self.start_agent()
        self.wait(lambda: self.inflated() == 0, "the device's balloon is let go")
        self.wait(lambda: self.balloon()["told"] > 30 * MIB and self.balloon()["pages"] > 30 * MIB, "the agent's takes its place")
        self.wait(lambda: self.memory()["held"] <= 130 * MIB, "and holds the machine to its limit")
        self.assert_log_is_clean()

    def inflated(self):
        """Pages that the kernel's driver holds, by its own count."""
        counts = dict(line.split() for line in self.run_in("cat /proc/vmstat").splitlines() if line.startswith("balloon_"))
        return int(counts["balloon_inflate"]) - int(counts["balloon_deflate"])


if __name__ == "__main__":
    support.main()
