# SPDX-License-Identifier: Apache-2.0
"""What the guest tests share: the small guest booted to a shell, and what a clean kernel log is."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "bench"))
import daemon  # noqa: E402
import harness  # noqa: E402

ENGINE = os.environ.get("CLOISTER_ENGINE", "cloister")
BOOT = 120  # seconds a boot may take on a busy machine
TROUBLE = re.compile(r"BUG|WARNING:|\b[Ss]tall|lockup|Oops|Call Trace|blocked for more than|Unable to handle|segfault")


class Watch:
    """Looks at what the host's kernel counts, ten times a second."""

    def __init__(self, host):
        self.host = host
        self.most = 0
        self.unbalanced = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._end.wait(0.1):
            pids = [machine["process"] for machine in self.host.get("machines") if "process" in machine]
            try:
                self.most = max(self.most, sum(daemon.guest_memory(pid)[0] for pid in pids))
            except (FileNotFoundError, ProcessLookupError):
                continue
            memory = self.host.get("host")["memory"]
            if memory["free"] + memory["held"] + memory["overhead"] != memory["pool"] + memory["debt"]:
                self.unbalanced.append(memory)

    def end(self):
        self._end.set()
        self._thread.join()


class GuestCase(unittest.TestCase):
    """Boots the small guest. Each test gets a folder that is gone afterwards."""

    @classmethod
    def setUpClass(cls):
        cls.image = harness.busybox()

    def setUp(self):
        holder = tempfile.TemporaryDirectory(dir=harness.CACHE)
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)

    def ramdisk(self, *programs):
        """The small guest's RAM disk with programs of build/guest/bin in /bin."""
        files = {f"bin/{name}": harness.GUEST_PROGRAMS / name for name in programs}
        return harness.initrd_with(self.image / "initrd", files, self.folder) if files else self.image / "initrd"

    def start(self, programs=(), append="", **options):
        """A machine that is starting; ended with the test at the latest."""
        options.setdefault("memory", "256MiB")
        guest = harness.Guest(ENGINE, kernel=self.image / "Image", initrd=self.ramdisk(*programs),
                              append=f"console=ttyS0 quiet {append}", **options)
        self.addCleanup(guest.kill)
        return guest

    def boot(self, programs=(), **options):
        """A machine whose shell is up, without echo and prompt."""
        guest = self.start(programs, **options)
        guest.expect(harness.SHELL_IS_UP, BOOT)
        guest.expect(r"# ", BOOT)
        guest.hush()
        return guest

    def run_in(self, guest, command, timeout=120):
        """Runs a command that must succeed; returns its output."""
        output, status = guest.shell(command, timeout)
        self.assertEqual(status, 0, f"{command}: {output}")
        return output

    def assert_log_is_clean(self, guest):
        log = self.run_in(guest, "dmesg")
        trouble = [line for line in log.splitlines() if TROUBLE.search(line)]
        self.assertEqual(trouble, [])

    def power_off(self, guest):
        guest.send("poweroff -f\n")
        self.assertEqual(guest.wait(60), 0)


def make_disk(path, mib, ext4=False):
    """A raw disk of zeroes, or of an empty ext4."""
    with open(path, "wb") as out:
        out.truncate(mib << 20)
    if ext4:
        subprocess.run(["/usr/sbin/mkfs.ext4", "-q", "-F", path], check=True)
    return path


def main():
    unittest.main(verbosity=2)
