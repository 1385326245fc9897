#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random starts, stops, kills, loads and changes of real guests in a pool that is too small for them, and of their daemon.
Every guest works on pages that it can tell from all others and checks each time it comes by; the books must balance, and
the host's kernel must agree with them, all along. CLOISTER_SOAK_SEED and CLOISTER_SOAK_SECONDS choose another, or longer."""
import os
import random
import signal
import time
import unittest

import support
from support import daemon

SECONDS = int(os.environ.get("CLOISTER_SOAK_SECONDS", 30))
SEED = int(os.environ.get("CLOISTER_SOAK_SEED", 20260801))
NAMES = [f"vm{i}" for i in range(6)]


class Soak:
    def __init__(self, case, host, ramdisk, image):
        self.case, self.host, self.ramdisk, self.image = case, host, ramdisk, image
        self.random = random.Random(SEED)
        self.shells = {}  # of the machines that work
        self.paused = set()
        self.finished = 0

    def start(self, name):
        if name in self.host.machines():
            self.host.state(name, "running")
        else:
            self.host.launch(name, self.image, initrd=str(self.ramdisk), memory="192MiB", min=f"{self.random.randrange(0, 48)}MiB",
                             shares=str(self.random.choice(["low", "normal", "high"])))
        shell = self.host.shell_of(name)
        shell.send(f"cloister-probe pages {self.random.randrange(1 << 30)} {self.random.randrange(16, 80)} &\n")
        match = shell.expect(r"^filled in|Killed", 600)
        self.case.assertNotEqual(match.group(), "Killed", "the guest has too little memory for its pages")
        self.shells[name] = shell

    def finish(self, name):
        """Its worker looks at all of its pages once more, then the machine goes."""
        self.resume(name)
        shell = self.shells.pop(name)
        shell.send("kill $!\n")
        shell.expect("^all pages hold$", 600)
        self.case.assertNotIn("a page is wrong", shell.console)
        shell.close()
        self.finished += 1
        self.host.state(name, "stopped")

    def kill(self, name):
        self.paused.discard(name)
        self.shells.pop(name).close()
        process = self.host.get(f"machines/{name}")["process"]
        os.kill(process, signal.SIGKILL)
        limit = time.monotonic() + 60
        while self.host.get(f"machines/{name}")["state"] != "stopped":
            self.case.assertLess(time.monotonic(), limit, f"{name} was killed and is not gone")
            time.sleep(0.02)

    def pause(self, name):
        if name not in self.paused:
            self.host.state(name, "paused")
            self.paused.add(name)

    def resume(self, name):
        if name in self.paused:
            self.host.state(name, "resumed")
            self.paused.discard(name)

    def change_terms(self, name):
        self.host.call("PATCH", f"machines/{name}", {"shares": str(self.random.randrange(1, 4000)),
                                                    "min": f"{self.random.randrange(0, 48)}MiB"})

    def change_host(self):
        self.host.set(**self.random.choice([
            {"pool": f"{self.random.randrange(560, 900)}MiB"}, {"idle-tax": self.random.choice(["0", "0.5", "0.9"])},
            {"targets": "worth"}, {"targets": "activity"}, {"scan-share": self.random.choice(["0", "5"])}]))

    def restart(self):
        self.host.restart()
        limit = time.monotonic() + 60
        while any(machine["state"] in ("away", "starting") for machine in self.host.get("machines")):
            self.case.assertLess(time.monotonic(), limit, "a cell does not come back to the daemon")
            time.sleep(0.05)

    def step(self):
        name = self.random.choice(NAMES)
        if name not in self.shells:
            return self.start(name)
        act = self.random.choices([self.finish, self.kill, self.pause, self.resume, self.change_terms, None, self.restart, time.sleep],
                                  [2, 2, 2, 4, 3, 3, 2, 4])[0]
        if act is time.sleep:
            return act(1)
        if act == self.restart:
            return act()
        return self.change_host() if act is None else act(name)


@unittest.skipIf(support.ENGINE == "qemu", "of our own daemon")
class Guests(support.GuestCase):
    def test_nothing_is_lost_whatever_happens(self):
        host = daemon.Daemon("700MiB", period="1s", longest_period="2s", cell_overhead="16MiB", swap="4GiB", swap_folder=self.folder)
        self.addCleanup(host.end)
        self.folder.chmod(0o755)  # the cells run as another user
        ramdisk = self.ramdisk("cloister-probe")
        soak = Soak(self, host, ramdisk, self.image)
        print(f"\nCLOISTER_SOAK_SEED={SEED}")
        limit, steps = time.monotonic() + SECONDS, 0
        while time.monotonic() < limit:
            soak.step()
            steps += 1
            memory = host.get("host")["memory"]
            self.assertEqual(memory["free"] + memory["held"] + memory["overhead"], memory["pool"] + memory["debt"])
        for name in list(soak.shells):
            soak.finish(name)
        lies = [event for event in host.said().splitlines() if "not to be believed" in event]
        self.assertEqual(lies, [])
        self.assertGreater(soak.finished, 0)
        print(f"{steps} steps, {soak.finished} machines checked all of their pages")


if __name__ == "__main__":
    support.main()
