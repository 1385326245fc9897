#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The daemon is killed at one system call after another while it starts, launches, changes and stops a machine; the next
one must find everything as it is. CLOISTER_SOAK_SEED and CLOISTER_SOAK_STEPS choose other moments, or more of them."""
import contextlib
import os
import pathlib
import random
import re
import time
import unittest

import support
from support import daemon, harness

STEPS = int(os.environ.get("CLOISTER_SOAK_STEPS", 30))
SEED = int(os.environ.get("CLOISTER_SOAK_SEED", 20260801))
# What can leave something half done: all that names a file, a descriptor or a process.
CALLS = "%file,%desc,%process"


class DyingDaemon(daemon.Daemon):
    """It gets SIGKILL at a chosen system call: (name, which one of that name in one of its threads)."""

    at = None
    tally = None

    def command(self, flags):
        # All threads, but no cell: a child is let go of when it runs its program.
        trace = ["strace", "-f", "-b", "execve", "-D", "-qq", "-o", self.tally or "/dev/null", "-e", f"trace={CALLS}"]
        if self.at:
            trace += ["-e", f"inject={self.at[0]}:signal=KILL:when={self.at[1]}"]
        return (trace if self.at or self.tally else []) + super().command(flags)

    def calls_of(self, job):
        """The system calls that an undisturbed daemon makes for `job`, in their order."""
        self.kill()
        self.tally = self.folder / "tally"
        self.start()
        job()
        self.process.terminate()
        self.process.wait(20)
        calls = re.findall(r"^(\d+) +(\w+)\(", self.tally.read_text(errors="replace"), re.MULTILINE)
        self.tally = None
        children = {thread for thread, name in calls if name == "execve"} - {calls[0][0]}
        steps = [(name, calls[:i + 1].count((thread, name))) for i, (thread, name) in enumerate(calls) if thread not in children]
        return list(dict.fromkeys(steps))


@unittest.skipIf(support.ENGINE == "qemu", "of our own daemon")
class Steps(unittest.TestCase):
    def setUp(self):
        self.image = harness.busybox()
        self.host = DyingDaemon("512MiB")
        self.addCleanup(self.host.end)

    def cells(self):
        """All cells that live, by process: whoever serves a socket of this daemon's folders."""
        found = set()
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                alive = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
            except OSError:
                continue
            if alive and words[0].endswith(b"cloister-cell") and any(os.fsencode(self.host.folder) in word for word in words):
                found.add(int(entry.name))
        return found

    def job(self):
        """What is asked of the daemon; what it said yes to, until it died."""
        done = []
        try:
            self.host.launch("one", self.image, memory="64MiB")
            done.append("launched")
            self.host.call("PATCH", "machines/one", {"shares": "high"})
            done.append("changed")
            self.host.state("one", "paused")
            self.host.state("one", "stopped")
            done.append("stopped")
            self.host.call("DELETE", "machines/one")
            done.append("deleted")
        except (OSError, ValueError, daemon.Fault, daemon.http.client.HTTPException):
            pass
        return done

    def until(self, condition, otherwise):
        limit = time.monotonic() + 60
        while not condition():
            self.assertLess(time.monotonic(), limit, otherwise)
            time.sleep(0.02)

    def look(self, done, told):
        machines = {machine["name"]: machine for machine in self.host.get("machines")}
        if "deleted" in done:
            self.assertEqual(machines, {}, told)
        elif "launched" in done:
            self.assertTrue("one" in machines or "stopped" in done, told)  # where deleting was begun
        if "one" in machines and "changed" in done:
            self.assertEqual(machines["one"]["order"]["shares"], "high", told)
        # A cell that nobody knows yet ends by itself, as soon as it sees that its daemon is gone.
        known = {machine["process"] for machine in machines.values() if "process" in machine}
        self.until(lambda: self.cells() <= known, f"{told}: a cell lives that nobody knows")
        memory = self.host.get("host")["memory"]
        self.assertEqual(memory["free"] + memory["held"] + memory["overhead"], memory["pool"] + memory["debt"], told)
        return machines

    def clear(self, machines, told):
        for name in machines:
            with contextlib.suppress(daemon.Fault):  # it may have ended by itself just now
                self.host.state(name, "killed")
            self.host.call("DELETE", f"machines/{name}")
        self.until(lambda: not self.cells(), f"{told}: a cell outlives its machine")
        self.assertEqual(self.host.get("host")["memory"]["held"], 0, told)

    def test_the_daemon_may_die_at_any_step(self):
        steps = self.host.calls_of(self.job)
        self.host.start()
        died = 0
        chosen = random.Random(SEED).sample(steps, min(STEPS, len(steps)))
        for at in chosen:
            told = f"killed at {at[0]} number {at[1]}"
            self.host.kill()
            self.host.at = at
            try:
                self.host.start()
                done = self.job()
            except RuntimeError:  # it died before it served anybody
                done = []
            died += self.host.process.poll() is not None
            self.host.kill()
            self.host.at = None
            self.host.start()
            self.clear(self.look(done, told), told)
        print(f"\ndied at {died} of {len(chosen)} steps chosen from {len(steps)}")
        # What comes by the clock comes at other numbers on a busy machine.
        self.assertGreater(died, len(chosen) / 4, "the daemon was not killed where it should have been")


if __name__ == "__main__":
    unittest.main(verbosity=2)
