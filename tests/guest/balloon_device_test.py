#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""virtio's balloon under a daemon: its orders while the guest has no application for them."""
import balloon_test
import support

MIB = 1 << 20


class Device(balloon_test.BalloonCase):
    OPTIONS = {"balloon_device": "yes"}

    def order_of_the_device(self, mib):
        self.fill()
        self.limit(mib)
        self.wait(lambda: self.memory()["held"] <= mib * MIB, "it gives back what is over its limit")
        self.wait(lambda: self.balloon()["told"] > 50 * MIB, "the device's balloon is told of")
        self.assertEqual(self.balloon()["applications"], 0)

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


if __name__ == "__main__":
    support.main()
