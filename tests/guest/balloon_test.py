#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The balloon application and the memory condition in real guests: what is given up, what is refused, and what becomes of it
when its program ends, its machine restarts, or the daemon does."""
import hashlib
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

import support
from support import daemon, harness

MIB = 1 << 20
PAGE = 4096
WHOLE = 512


class BalloonCase(unittest.TestCase):
    """A machine under a daemon, with the probe and the agent in it."""

    @classmethod
    def setUpClass(cls):
        cls.image = harness.busybox()
        cls.files = tempfile.TemporaryDirectory(dir=harness.CACHE)
        cls.addClassCleanup(cls.files.cleanup)
        programs = ["cloister-probe", "cloister-agent", "cloister-condition"]
        cls.ramdisk = harness.initrd_with(cls.image / "initrd", {f"bin/{name}": harness.GUEST_PROGRAMS / name for name in programs},
                                          cls.files.name)
        # Cells may run as another user.
        pathlib.Path(cls.files.name).chmod(0o755)
        pathlib.Path(cls.ramdisk).chmod(0o644)

    def begin(self, pool="2GiB", memory=WHOLE, agent="", **options):
        self.host = daemon.Daemon(pool, period="1s", longest_period="2s")
        self.addCleanup(self.host.end)
        self.host.launch("m", self.image, initrd=self.ramdisk, memory=f"{memory}MiB", **options)
        self.shell = self.host.shell_of("m")
        self.addCleanup(self.shell.close)
        if agent is not None:
            self.start_agent(agent)

    def start_agent(self, flags=""):
        self.run_in(f"(cloister-agent {flags} >/tmp/agent.log 2>&1 &) ; sleep 1; pidof cloister-agent")
        self.wait(lambda: self.balloon()["applications"] > 0, "the agent registers")

    def guest(self, command, timeout=120):
        return self.shell.shell(command, timeout)

    def run_in(self, command, timeout=120):
        output, status = self.guest(command, timeout)
        self.assertEqual(status, 0, f"{command}: {output}")
        return output

    def memory(self):
        return self.host.memory("m")

    def balloon(self):
        return self.memory()["balloon"]

    def wait(self, condition, what, seconds=120):
        limit = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), limit, f"{what}: {self.memory()}")
            time.sleep(0.2)

    def limit(self, mib):
        self.host.call("PATCH", "machines/m", {"limit": f"{mib}MiB"})

    def fill(self, mib=380):
        """The guest holds so much at least, and most of it is free memory again."""
        self.run_in(f"cloister-probe touch {mib}")
        self.wait(lambda: self.memory()["held"] > mib * MIB, "it holds what it touched")

    def inflate(self, to=200):
        """Until the guest takes part: one that is slow, on a busy host, may be passed over."""
        for _ in range(6):
            self.fill()
            self.limit(to)
            self.wait(lambda: self.memory()["held"] <= to * MIB, "it gives back what is over its limit")
            for _ in range(20):
                if self.balloon()["pages"] > 10 * MIB:
                    return
                time.sleep(0.2)
            self.limit(WHOLE)
        self.fail(f"the guest never takes part: {self.memory()}")

    def assert_log_is_clean(self):
        log = self.run_in("dmesg")
        self.assertEqual([line for line in log.splitlines() if support.TROUBLE.search(line) or "Out of memory" in line], [])


class Calls(BalloonCase):
    def test_only_ones_own_memory_can_be_given_up(self):
        self.begin(agent=None)
        self.assertIn("as they should be", self.run_in("cloister-probe balloon-refusals"))
        self.assert_log_is_clean()

    def test_a_program_learns_the_condition(self):
        self.begin(agent=None)
        words = self.run_in("cloister-probe condition").split()
        figures = dict(zip(words[words.index("configured")::2], words[words.index("configured") + 1::2]))
        self.assertEqual(int(figures["configured"]), WHOLE * MIB)
        self.assertGreater(int(figures["held"]), 10 * MIB)
        self.assertEqual(words[4:6], ["0", "0"])

    def test_a_killed_program_leaves_free_memory_behind(self):
        self.begin(agent=None)
        self.run_in("(cloister-probe balloon-hold 200 >/tmp/held 2>&1 &); until grep -q holds /tmp/held; do sleep 0.1; done")
        self.wait(lambda: self.balloon()["pages"] > 190 * MIB, "the balloon is seen")
        before = self.memory()["held"]
        self.run_in("kill -9 $(pidof cloister-probe)")
        self.run_in("cloister-probe touch 350")
        self.assertGreater(self.memory()["used"], before)
        self.wait(lambda: self.balloon()["pages"] < 100 * MIB, "its pages are in use again")
        self.assert_log_is_clean()

    def test_a_restart_while_a_program_inflates(self):
        self.begin(agent=None)
        for _ in range(2):
            self.shell.send("cloister-probe balloon-hold 300 & sleep 0.3; reboot -f\n")
            log = self.host.get("machines/m/log")
            limit = time.monotonic() + 200
            seen = log.count(harness.SHELL_IS_UP)
            while self.host.get("machines/m/log").count(harness.SHELL_IS_UP) <= seen:
                self.assertLess(time.monotonic(), limit)
                time.sleep(0.3)
            self.assertEqual(self.balloon()["pages"] // (64 * MIB), 0, "power-on clears memory")
            self.shell.send("\nstty -echo; PS1=\n")
            self.run_in("cloister-probe touch 300", 200)
        self.assert_log_is_clean()


class Agent(BalloonCase):
    def test_the_agent_gives_what_is_free_and_gives_way(self):
        self.begin()
        self.inflate(200)
        self.wait(lambda: self.balloon()["pages"] > 100 * MIB, "the guest gives what it can spare, late or soon")
        self.limit(WHOLE)
        self.wait(lambda: self.balloon()["target"] == 0, "the order falls when the limit rises")
        self.run_in("cloister-probe touch 350", 200)
        self.assert_log_is_clean()

    def test_a_killed_agent_is_no_balloon(self):
        self.begin()
        self.inflate()
        self.run_in("kill -9 $(pidof cloister-agent)")
        self.wait(lambda: self.balloon()["applications"] == 0 and self.balloon()["told"] == 0, "its end is seen")
        self.limit(WHOLE)
        self.run_in("cloister-probe touch 350", 200)
        self.assert_log_is_clean()

    def test_a_stopped_agent_delays_nothing_for_long(self):
        self.begin()
        self.fill()
        self.run_in("kill -STOP $(pidof cloister-agent)")
        self.limit(250)
        self.wait(lambda: self.memory()["held"] <= 250 * MIB, "the rest is taken by other ways")
        self.run_in("kill -CONT $(pidof cloister-agent); cloister-probe touch 100", 200)

    def test_the_daemon_restarts_meanwhile(self):
        self.begin()
        self.fill()
        self.limit(250)
        self.host.restart()
        self.wait(lambda: self.host.get("machines/m")["state"] == "running", "the machine registers")
        self.wait(lambda: self.memory()["held"] <= 250 * MIB, "the order is given anew")
        self.wait(lambda: self.balloon()["pages"] > 10 * MIB, "and the guest takes part")
        self.assert_log_is_clean()

    def test_never_more_than_its_part_of_the_machine(self):
        self.begin()
        self.fill()
        self.limit(64)
        self.wait(lambda: self.memory()["held"] <= 64 * MIB, "all ways together get there", 120)
        self.assertLessEqual(self.balloon()["target"], WHOLE * MIB * 65 // 100)
        self.assertLessEqual(self.balloon()["told"], WHOLE * MIB * 65 // 100)
        self.limit(WHOLE)
        self.run_in("cloister-probe touch 300", 200)
        self.assert_log_is_clean()

    def test_compaction_moves_nothing_that_matters(self):
        self.begin()
        self.inflate(250)
        pages = self.balloon()["pages"]
        self.run_in("echo 1 > /proc/sys/vm/compact_memory", 200)
        self.wait(lambda: self.balloon()["pages"] >= pages // 2, "they are given again, or were not moved", 30)
        self.run_in("echo 3 > /proc/sys/vm/drop_caches; cloister-probe touch 100", 200)
        self.assert_log_is_clean()


    def test_two_applications_share_one_target(self):
        self.begin()
        self.run_in("(cloister-agent --parts balloon >/tmp/second.log 2>&1 &)")
        self.wait(lambda: self.balloon()["applications"] == 2, "the second registers")
        self.inflate(250)
        balloon = self.balloon()
        self.assertLessEqual(balloon["told"], balloon["target"] + 8 * MIB)
        self.run_in("kill -9 $(pidof cloister-agent | cut -d' ' -f1)")
        self.assert_log_is_clean()

    def test_a_burst_meets_no_oom_killer(self):
        self.begin()
        for _ in range(3):
            self.inflate(180)
            self.limit(WHOLE)
            # More than is free while the balloon holds what it does: the guest must get it back in time.
            self.run_in("cloister-probe touch 360", 200)
        self.assert_log_is_clean()

    def test_pages_that_the_guest_swaps_out_are_counted_and_come_to_no_harm(self):
        disk = support.make_disk(pathlib.Path(self.files.name) / "swap", 512)
        disk.chmod(0o666)
        self.begin(disk=str(disk))
        self.run_in("mkswap /dev/vda && swapon /dev/vda")
        self.run_in("(cloister-probe balloon-hold 150 >/tmp/held 2>&1 &); until grep -q holds /tmp/held; do sleep 0.1; done")
        # More than the guest has beside what is held: its kernel swaps, the balloon's pages among others.
        self.run_in("cloister-probe touch 420", 400)
        self.wait(lambda: self.balloon()["written"] > MIB, "they were seen on their way to the disk")
        self.run_in("kill -9 $(pidof cloister-probe); swapoff /dev/vda", 300)
        self.run_in("cloister-probe touch 300", 300)
        self.assert_log_is_clean()


class Exec(BalloonCase):
    def test_commands_run_inside_with_their_exit_status(self):
        self.begin()
        cli = self.host.cli
        self.assertEqual(cli("exec", "m", "--", "echo", "hello", "-t"), (0, "hello -t\n", ""))
        self.assertEqual(cli("exec", "m", "--", "sh", "-c", "echo no >&2; exit 7"), (7, "", "no\n"))
        self.assertEqual(cli("exec", "m", "--", "sh", "-c", "kill -9 $$")[0], 128 + 9)
        self.assertEqual(cli("exec", "-e", "COLOUR=green", "-w", "/bin", "m", "--", "sh", "-c", "echo $COLOUR; pwd"),
                         (0, "green\n/bin\n", ""))
        self.assertEqual(cli("exec", "m", "--", "/no/such/program")[0] in (125, 126, 127), True)
        status, _, said = cli("exec", "nobody", "--", "true")
        self.assertEqual(status, 125)
        self.assertIn("nobody", said)
        self.assertEqual(cli("exec", "m")[0], 2)

    def test_input_goes_in_and_a_signal_ends_the_command(self):
        self.begin()
        command = [daemon.BIN / "cloister", "--socket", self.host.socket, "exec", "m", "--"]
        text = bytes(range(256)) * 4096
        done = subprocess.run([*command, "md5sum"], input=text, capture_output=True, timeout=120)
        self.assertEqual(done.stdout.split()[0].decode(), hashlib.md5(text).hexdigest())
        running = subprocess.Popen([*command, "sh", "-c", "echo up; sleep 1000"], stdout=subprocess.PIPE)
        self.assertEqual(running.stdout.readline(), b"up\n")
        running.send_signal(signal.SIGTERM)
        self.assertEqual(running.wait(60), 128 + signal.SIGTERM)
        running.stdout.close()

    def test_files_are_copied_whole_both_ways(self):
        self.begin()
        folder = self.host.folder
        content = bytes(i * 7 % 251 for i in range(3_000_000))
        (folder / "a").write_bytes(content)
        self.assertEqual(self.host.cli("copy", folder / "a", "m:/tmp/a")[0], 0)
        self.assertEqual(self.host.cli("copy", "m:/tmp/a", folder / "b")[0], 0)
        self.assertEqual((folder / "b").read_bytes(), content)
        status, _, said = self.host.cli("copy", "m:/no/such/file", folder / "c")
        self.assertEqual(status, 125)
        self.assertIn("/no/such/file", said)
        self.assertFalse((folder / "c").exists())
        self.assertFalse((folder / "c.part").exists())
        self.assertEqual(self.host.cli("copy", "a", "b")[0], 2)

    def test_without_an_agent_it_says_so(self):
        self.begin(agent=None)
        status, _, said = self.host.cli("exec", "m", "--", "true")
        self.assertEqual(status, 125)
        self.assertIn("cloister-agent", said)


if __name__ == "__main__":
    support.main()
