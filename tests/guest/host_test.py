#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The daemon over real cells: life and death, its own restart, many at once, what it refuses."""
import concurrent.futures
import csv
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

import support
from support import daemon, harness

MIB = 1 << 20


def wait_for(condition, seconds, what):
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


class HostCase(unittest.TestCase):
    pool = "768MiB"

    @classmethod
    def setUpClass(cls):
        cls.image = harness.busybox()

    def setUp(self):
        self.host = daemon.Daemon(self.pool)
        self.addCleanup(self.host.end)

    def launch(self, name, **options):
        options.setdefault("memory", "128MiB")
        return self.host.launch(name, self.image, **options)

    def pid(self, name):
        return self.host.get(f"machines/{name}")["process"]


@unittest.skipIf(support.ENGINE == "qemu", "of our own daemon")
class Life(HostCase):
    def test_a_machine_is_launched_used_stopped_started_and_deleted(self):
        machine = self.launch("one")
        self.assertEqual(machine["state"], "running")
        shell = self.host.shell_of("one")
        self.assertEqual(shell.shell("echo hello $((6 * 7))")[0].strip(), "hello 42")
        self.host.state("one", "paused")
        self.assertEqual(self.host.get("machines/one")["state"], "paused")
        shell.send("echo still''here\n")
        time.sleep(1)
        self.assertNotIn("stillhere", shell.console)
        self.host.state("one", "resumed")
        shell.expect("^stillhere$", 60)
        self.host.state("one", "stopped")
        stopped = self.host.get("machines/one")
        self.assertEqual(stopped["state"], "stopped")
        self.assertIn("stopped from outside", stopped["ended"])
        self.assertEqual(self.host.get("host")["memory"]["held"], 0)
        self.host.state("one", "running")
        self.host.shell_of("one").send("poweroff -f\n")
        wait_for(lambda: self.host.get("machines/one")["state"] == "stopped", 60, "power-off")
        self.assertIn("switched", self.host.get("machines/one")["ended"])
        self.host.call("DELETE", "machines/one")
        self.assertEqual(self.host.get("machines"), [])

    def test_a_cell_killed_gives_back_within_a_second(self):
        self.launch("one")
        self.host.shell_of("one")
        before = self.host.get("host")["memory"]
        self.assertGreater(before["held"], 16 * MIB)
        killed = time.monotonic()
        os.kill(self.pid("one"), signal.SIGKILL)
        wait_for(lambda: self.host.get("host")["memory"]["free"] == before["pool"], 1, "all free")
        print(f"\nall free {1000 * (time.monotonic() - killed):.0f} ms after SIGKILL")
        self.assertIn("signal 9", self.host.get("machines/one")["ended"])

    def test_cells_live_on_without_the_daemon_and_register_with_the_next(self):
        for name in ("one", "two"):
            self.launch(name)
        shell = self.host.shell_of("one")
        shell.shell("echo kept > /tmp/file")
        pids = {name: self.pid(name) for name in ("one", "two")}
        held = self.host.memory("one")["held"]
        self.host.kill()
        self.assertEqual(shell.shell("cat /tmp/file")[0].strip(), "kept")
        os.kill(pids["two"], signal.SIGKILL)
        self.host.start()
        wait_for(lambda: self.host.get("machines/one")["state"] == "running", 10, "registered again")
        self.assertEqual(self.pid("one"), pids["one"])
        wait_for(lambda: self.host.get("machines/two")["state"] == "stopped", 2, "the dead one's end")
        self.assertLessEqual(abs(self.host.memory("one")["held"] - held), 32 * MIB)
        self.assertEqual(shell.shell("cat /tmp/file")[0].strip(), "kept")
        for _ in range(3):
            self.host.restart()
        wait_for(lambda: self.host.get("machines/one")["state"] == "running", 10, "registered again")
        memory = self.host.get("host")["memory"]
        self.assertEqual(memory["free"] + memory["held"] + memory["overhead"], memory["pool"] + memory["debt"])

    def test_a_killed_test_leaves_nothing_behind(self):
        program = ("import daemon, harness, time; image = harness.busybox(); host = daemon.Daemon('768MiB'); host.launch('m', image); "
                   "alone = harness.Guest(kernel=image / 'Image', initrd=image / 'initrd', memory='128MiB'); "
                   "print(host.process.pid, host.machines()['m']['process'], alone.process.pid, host.folder, flush=True); time.sleep(600)")
        folder = pathlib.Path(harness.__file__).parent
        with subprocess.Popen([sys.executable, "-c", program], cwd=folder, stdout=subprocess.PIPE, text=True) as running:
            *pids, state = running.stdout.readline().split()
            self.assertTrue(all(pathlib.Path(f"/proc/{pid}").exists() for pid in pids))
            running.kill()
        wait_for(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in pids), 10, "what it started ends with it")
        wait_for(lambda: not pathlib.Path(state).exists(), 10, "the daemon's folder goes")

    def test_the_cell_is_shut_in(self):
        self.launch("one")
        status = pathlib.Path(f"/proc/{self.pid('one')}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        self.assertEqual(fields["Seccomp"].strip(), "2")
        self.assertEqual(fields["NoNewPrivs"].strip(), "1")
        self.assertEqual(int(fields["CapEff"], 16), 0)
        if os.getuid() == 0 and self.host.settings.get("cell-user") != "root":
            self.assertNotEqual(fields["Uid"].split()[0], "0")


@unittest.skipIf(support.ENGINE == "qemu", "of our own daemon")
class Many(HostCase):
    pool = "8GiB"

    def test_a_hundred_launches_at_once_all_run_and_all_go(self):
        with concurrent.futures.ThreadPoolExecutor(100) as threads:
            for machine in threads.map(lambda i: self.launch(f"vm{i}", memory="64MiB"), range(100)):
                self.assertEqual(machine["state"], "running")
        machines = self.host.get("machines")
        self.assertEqual(len({machine["process"] for machine in machines}), 100)
        memory = self.host.get("host")["memory"]
        self.assertEqual(memory["free"] + memory["held"] + memory["overhead"], memory["pool"] + memory["debt"])
        for machine in machines:
            os.kill(machine["process"], signal.SIGKILL)
        wait_for(lambda: self.host.get("host")["memory"]["held"] == 0, 60, "all gone")


@unittest.skipIf(support.ENGINE == "qemu", "of our own daemon")
class Refusals(HostCase):
    def refused(self, status, method, path, body=None):
        with self.assertRaises(daemon.Fault) as caught:
            self.host.call(method, path, body)
        self.assertEqual(caught.exception.args[0], status, caught.exception.args[1])
        return caught.exception.args[1]

    def order(self, **words):
        return {"kernel": str(self.image / "Image"), **words}

    def test_every_fault_has_a_status_and_a_message(self):
        self.assertIn("no machine", self.refused(404, "GET", "machines/none"))
        self.assertIn("no machine", self.refused(404, "DELETE", "machines/none"))
        self.assertIn("no machine", self.refused(404, "PUT", "machines/none/state", {"state": "running"}))
        self.refused(404, "GET", "nothing")
        self.refused(405, "DELETE", "host")
        self.assertIn("'/nowhere/Image'", self.refused(409, "PUT", "machines/a", {"kernel": "/nowhere/Image"}))
        self.assertIn("colour", self.refused(400, "PUT", "machines/a", self.order(colour="red")))
        self.assertIn("'0'", self.refused(400, "PUT", "machines/a", self.order(shares="0")))
        self.assertIn("'18446744073709551616TiB'", self.refused(400, "PUT", "machines/a", self.order(memory="18446744073709551616TiB")))
        self.refused(400, "PUT", "machines/a", self.order(min="512MiB", memory="256MiB"))
        self.assertIn("lacking", self.refused(409, "PUT", "machines/a", self.order(min="1GiB", memory="1GiB")))
        self.refused(400, "PUT", "machines/a", ["no", "object"])
        self.assertIn("larger than the machine", self.refused(400, "PATCH", "host", {"pool": "9999TiB"}))
        self.assertIn("no setting", self.refused(400, "PATCH", "host", {"weather": "fine"}))
        self.assertEqual(self.host.get("machines"), [])

    def test_names_are_taken_once(self):
        self.launch("one")
        self.assertIn("already", self.refused(409, "PUT", "machines/one", self.order()))

    def test_a_dry_run_tells_the_shortfall_in_bytes(self):
        verdict = self.host.call("PUT", "machines/a?dry-run=true", self.order(min="2GiB", memory="2GiB"))
        self.assertFalse(verdict["admitted"])
        self.assertGreater(verdict["memory"]["shortfall"], 1 << 30)
        self.assertEqual(self.host.get("machines"), [])


@unittest.skipIf(support.ENGINE == "qemu", "of our own daemon")
class CommandLine(HostCase):
    def test_the_verbs_say_what_they_did_and_end_as_documented(self):
        image = [f"--kernel={self.image / 'Image'}", f"--initrd={self.image / 'initrd'}", "--append=console=ttyS0 quiet"]
        self.assertEqual(self.host.cli("launch", "--name=one", "--memory=4GiB", "--min=4GiB", *image, "--dry-run")[0], 1)
        status, out, err = self.host.cli("launch", "--name=one", "--memory=128MiB", "--shares=high", *image)
        self.assertEqual((status, out, err), (0, "one runs\n", ""))
        self.assertIn("one", self.host.cli("list")[1])
        self.assertEqual(json.loads(self.host.cli("list", "--format=json")[1])[0]["name"], "one")
        rows = list(csv.DictReader(io.StringIO(self.host.cli("list", "--format", "csv")[1])))
        self.assertEqual(int(rows[0]["MEMORY"]), 128 * MIB)
        self.assertIn('name: "one"', self.host.cli("info", "one", "--format=yaml")[1])
        self.assertIn("high", self.host.cli("memtune", "one")[1])
        self.assertEqual(self.host.cli("memtune", "one", "--shares=low", "--min=32MiB")[0], 0)
        self.assertEqual(self.host.memory("one")["min"], 32 * MIB)
        self.assertIn("one", self.host.cli("explain", "one")[1])
        self.assertEqual(self.host.cli("host", "idle-tax=0.5")[0], 0)
        self.assertEqual(self.host.get("host")["settings"]["idle-tax"], "0.5")
        self.assertEqual(self.host.cli("stop", "two")[0], 1)
        self.assertEqual(self.host.cli("stop", "one")[0], 0)
        self.assertIn("stopped", self.host.cli("list")[1])
        self.assertEqual(self.host.cli("delete", "one")[0], 0)
        self.assertEqual(self.host.cli("exec", "one", "ls")[0], 125)  # no agent runs in it
        self.assertEqual(self.host.cli("list", "--colour")[0], 2)
        self.host.kill()
        self.assertEqual(self.host.cli("list")[0], 3)
        self.host.start()

    def test_two_hundred_listeners_hear_of_everything(self):
        listeners = []
        for _ in range(200):
            connection = daemon.UnixConnection(self.host.socket, 60)
            connection.request("GET", "/api/v1/events")
            listeners.append((connection, connection.getresponse()))
        self.launch("one")
        for connection, answer in listeners:
            text = b""
            while b'"registered"' not in text:
                piece = answer.read1(65536)
                self.assertTrue(piece, "the stream ended")
                text += piece
            connection.close()


if __name__ == "__main__":
    support.main()
