#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The balloon application and the memory condition in real guests: what is given up, what is refused, and what becomes of it
when its program ends, its machine restarts, or the daemon does."""
import fcntl
import hashlib
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import tempfile
import termios
import time
import unittest

import support
from support import daemon, harness

MIB = 1 << 20
PAGE = 4096
WHOLE = 320


class BalloonCase(unittest.TestCase):
    """A machine under a daemon, with the probe and the agent in it. The tests of a class share it: each begins with all of its
    memory and without the programs of the one before. What a failed test leaves behind is thrown away."""

    PROGRAMS = ["cloister-probe", "cloister-agent", "cloister-condition"]
    FILES = {}  # others in the guest: their content by their path
    OPTIONS = {}  # of the machine
    WHOLE = WHOLE  # MiB of it
    host = None

    @classmethod
    def setUpClass(cls):
        cls.image = harness.busybox()
        # Cells may run as another user.
        cls.files = tempfile.TemporaryDirectory(dir="/tmp")
        cls.addClassCleanup(cls.files.cleanup)
        cls.addClassCleanup(cls.end_machine)
        pathlib.Path(cls.files.name).chmod(0o777)
        programs = {f"bin/{name}": harness.GUEST_PROGRAMS / name for name in cls.PROGRAMS}
        cls.ramdisk = harness.initrd_with(cls.image / "initrd", {**programs, **cls.FILES}, cls.files.name)

    @classmethod
    def start_machine(cls):
        disk = support.make_disk(pathlib.Path(cls.files.name) / "swap", cls.WHOLE)
        disk.chmod(0o666)
        cls.host = daemon.Daemon("2GiB", period="1s", longest_period="2s", scan_share=0)  # like pages would leave less to give
        overlay = disk.with_name("overlay")
        overlay.unlink(missing_ok=True)
        cls.host.launch("m", cls.image, initrd=cls.ramdisk, memory=f"{cls.WHOLE}MiB", disk=f"{disk},overlay={overlay}", **cls.OPTIONS)
        cls.shell = cls.host.shell_of("m")

    @classmethod
    def end_machine(cls):
        if cls.host is not None:
            cls.shell.close()
            cls.host.end()
        cls.host = None

    def run(self, result=None):
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) != before:
            self.end_machine()

    def begin(self, agent=""):
        if self.host is None:
            self.start_machine()
        self.limit(self.WHOLE)
        self.run_in("for one in $(pidof cloister-agent cloister-probe); do kill -CONT $one; kill -9 $one; done; swapoff -a; true", 300)
        self.wait(lambda: self.balloon()["applications"] == 0, "no balloon is left")
        if agent is not None:
            self.start_agent(agent)

    def start_agent(self, flags=""):
        self.run_in(f"(cloister-agent {flags} >/tmp/agent.log 2>&1 &)")
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

    def fill(self, mib=185):
        """The guest holds so much at least, and most of it is free memory again."""
        self.run_in(f"cloister-probe touch {mib}")
        self.wait(lambda: self.memory()["held"] > mib * MIB, "it holds what it touched")

    def inflate(self, to=110):
        """Until the guest takes part: one that is slow, on a busy host, may be passed over."""
        for _ in range(6):
            self.fill()
            self.limit(to)
            self.wait(lambda: self.memory()["held"] <= to * MIB, "it gives back what is over its limit")
            for _ in range(20):
                if self.balloon()["told"] > 10 * MIB:
                    return
                time.sleep(0.2)
            self.limit(WHOLE)
        self.fail(f"the guest never takes part: {self.memory()}")

    def hold(self, mib, how="hold"):
        """A program that gives up so much and keeps it; returns how many pages it keeps."""
        self.run_in(f"(cloister-probe balloon-{how} {mib} >/tmp/held 2>&1 &); until grep -q holds /tmp/held; do sleep 0.1; done")
        return mib * MIB // PAGE // (2 if how == "scatter" else 1)

    def assert_held(self, pages):
        """What that program keeps still reads as the balloon value, to the last byte."""
        self.run_in("echo > /tmp/held; kill -USR1 $(pidof cloister-probe); until grep -q wrong /tmp/held; do sleep 0.1; done", 300)
        self.assertIn(f"{pages} pages hold, 0 are wrong", self.run_in("cat /tmp/held"))

    def assert_log_is_clean(self):
        log = self.run_in("dmesg")
        self.assertEqual([line for line in log.splitlines() if support.TROUBLE.search(line) or "Out of memory" in line], [])


class Calls(BalloonCase):
    def test_only_ones_own_memory_can_be_given_up(self):
        self.begin(agent=None)
        # A kernel with little memory makes no huge pages by itself.
        self.run_in("echo madvise > /sys/kernel/mm/transparent_hugepage/enabled")
        for verb in ("balloon-refusals", "balloon-shapes", "library"):
            self.assertIn("should be", self.run_in(f"cloister-probe {verb}"))
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
        self.hold(90)
        self.wait(lambda: self.balloon()["pages"] > 85 * MIB, "the balloon is seen")
        self.run_in("kill -9 $(pidof cloister-probe)")
        self.run_in("cloister-probe touch 150")
        self.wait(lambda: self.balloon()["pages"] < 50 * MIB, "its pages are in use again")
        self.assert_log_is_clean()

    def test_pages_that_nobody_names_are_found_by_looking(self):
        self.begin(agent=None)
        pages = self.hold(90, "unnamed")
        held = self.memory()["held"]
        self.limit(held // MIB - 110)  # what is free in the guest does not suffice
        self.wait(lambda: self.memory()["held"] <= held - 109 * MIB, "they are taken where memory is wanted")
        self.wait(lambda: self.balloon()["pages"] > 20 * MIB, "and known for what they are")  # which idle pages it meets is chance
        self.assert_held(pages)
        self.assert_log_is_clean()

    def test_a_restart_while_a_program_inflates(self):
        self.begin(agent=None)
        self.shell.send("cloister-probe balloon-hold 140 & sleep 0.3; reboot -f\n")
        seen = self.host.get("machines/m/log").count(harness.SHELL_IS_UP)
        self.wait(lambda: self.host.get("machines/m/log").count(harness.SHELL_IS_UP) > seen, "it boots again", 200)
        self.assertLess(self.balloon()["pages"], 32 * MIB, "power-on clears memory")
        self.shell.hush()
        self.run_in("cloister-probe touch 140", 200)
        self.assert_log_is_clean()

    def test_the_power_goes_while_a_program_inflates(self):
        self.begin(agent=None)
        self.shell.send("cloister-probe balloon-hold 140 &\n")
        self.wait(lambda: self.balloon()["pages"] > 10 * MIB, "it has begun")
        self.host.state("m", "stopped")
        self.wait(lambda: self.host.get("machines/m")["state"] == "stopped", "it stands")
        self.assertEqual(self.host.get("host")["memory"]["held"], 0, "nothing is held by a machine that is off")
        self.host.state("m", "running")
        self.shell.close()
        type(self).shell = self.host.shell_of("m")
        self.assertLess(self.balloon()["pages"], 32 * MIB, "power-on clears memory")
        self.run_in("cloister-probe touch 140", 200)
        self.assert_log_is_clean()


class Agent(BalloonCase):
    def test_the_agent_gives_what_is_free_and_gives_way(self):
        self.begin()
        self.inflate(110)
        self.wait(lambda: self.balloon()["pages"] > 50 * MIB, "the guest gives what it can spare, late or soon")
        self.limit(WHOLE)
        self.wait(lambda: self.balloon()["target"] == 0, "the order falls when the limit rises")
        self.run_in("cloister-probe touch 150", 200)
        self.assert_log_is_clean()

    def test_a_killed_agent_is_no_balloon(self):
        self.begin()
        self.inflate()
        self.run_in("kill -9 $(pidof cloister-agent)")
        self.wait(lambda: self.balloon()["applications"] == 0 and self.balloon()["told"] == 0, "its end is seen")
        self.limit(WHOLE)
        self.run_in("cloister-probe touch 150", 200)
        self.assert_log_is_clean()

    def test_a_stopped_agent_delays_nothing_for_long(self):
        self.begin()
        self.fill()
        self.run_in("kill -STOP $(pidof cloister-agent)")
        self.limit(130)
        self.wait(lambda: self.memory()["held"] <= 130 * MIB, "the rest is taken by other ways")
        self.run_in("kill -CONT $(pidof cloister-agent); cloister-probe touch 50", 200)

    def test_the_daemon_restarts_meanwhile(self):
        self.begin()
        self.fill()
        self.limit(130)
        self.host.restart()
        self.wait(lambda: self.host.get("machines/m")["state"] == "running", "the machine registers")
        self.wait(lambda: self.memory()["held"] <= 130 * MIB, "the order is given anew")
        self.wait(lambda: self.balloon()["told"] > 10 * MIB, "and the guest takes part")
        self.assert_log_is_clean()

    def test_compaction_moves_pages_and_they_hold(self):
        self.begin(agent=None)
        held = self.hold(80, "scatter")  # free and given pages by turns: there is something to move together
        moved = "awk '/pgmigrate_success/ {print $2}' /proc/vmstat"
        before = int(self.run_in(moved))
        self.run_in("echo 1 > /proc/sys/vm/compact_memory", 200)
        self.assertGreater(int(self.run_in(moved)), before + 256)
        self.assert_held(held)
        self.run_in("kill -9 $(pidof cloister-probe)")
        self.start_agent()
        self.inflate(130)
        pages = self.balloon()["pages"]
        self.run_in("echo 1 > /proc/sys/vm/compact_memory", 200)
        self.wait(lambda: self.balloon()["pages"] >= pages // 2, "they are given again, or were not moved", 30)
        self.run_in("echo 3 > /proc/sys/vm/drop_caches; cloister-probe touch 50", 200)
        self.assert_log_is_clean()

    def begin_to_inflate(self, moment):
        """Until the guest's agent has begun with what it is asked for; `moment` tells, as soon as it has."""
        for _ in range(6):
            self.fill()
            self.limit(110)
            limit = time.monotonic() + 8
            while time.monotonic() < limit or (self.balloon()["told"] > 0 and time.monotonic() < limit + 60):
                if moment():
                    return
            self.limit(WHOLE)
        self.fail(f"the guest never takes part: {self.memory()}")

    def assert_it_begins_anew(self):
        self.assertLess(self.balloon()["pages"], 32 * MIB, "power-on clears memory")
        self.wait(lambda: self.balloon()["applications"] == 0, "no agent is there yet")
        self.limit(WHOLE)
        self.start_agent()
        self.inflate()
        self.limit(WHOLE)
        self.run_in("cloister-probe touch 140", 200)
        self.assert_log_is_clean()

    def test_a_restart_while_the_agent_inflates(self):
        self.begin("--parts balloon")
        log = self.host.get("machines/m/log")

        def again(what):
            return self.host.get("machines/m/log").count(what) > log.count(what)
        self.run_in("((p=$(pidof cloister-agent); until [ $(sed -n 's/RssAnon:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/$p/status) -gt 8000 ]; "
                    "do sleep 0.01; done; reboot -f) >/dev/null 2>&1 &)")
        self.begin_to_inflate(lambda: again("reboot: Restarting system"))
        self.wait(lambda: again(harness.SHELL_IS_UP), "it is up again")
        self.shell.hush()
        self.assert_it_begins_anew()

    def test_the_power_goes_while_the_agent_inflates(self):
        self.begin()
        self.begin_to_inflate(lambda: self.balloon()["told"] > 0)
        self.host.state("m", "stopped")
        self.wait(lambda: self.host.get("machines/m")["state"] == "stopped", "it stands")
        self.host.state("m", "running")
        self.shell.close()
        type(self).shell = self.host.shell_of("m")
        self.assert_it_begins_anew()

    def test_two_applications_share_one_target(self):
        self.begin()
        self.run_in("(cloister-agent --parts balloon >/tmp/second.log 2>&1 &)")
        self.wait(lambda: self.balloon()["applications"] == 2, "the second registers")
        self.inflate(130)
        balloon = self.balloon()
        self.assertLessEqual(balloon["told"], balloon["target"] + 8 * MIB)
        self.run_in("kill -9 $(pidof cloister-agent | cut -d' ' -f1)")
        self.assert_log_is_clean()

    def test_a_burst_meets_no_oom_killer(self):
        self.begin()
        for _ in range(2):
            self.inflate(100)
            self.limit(WHOLE)
            # More than is free while the balloon holds what it does: the guest must get it back in time.
            self.run_in("cloister-probe touch 150", 200)
        self.assert_log_is_clean()

    def test_pages_that_the_guest_swaps_out_are_counted_take_no_space_and_come_to_no_harm(self):
        self.begin()
        overlay = pathlib.Path(self.files.name) / "overlay"
        before = overlay.stat().st_blocks * 512
        self.run_in("mkswap /dev/vda && swapon /dev/vda")
        held = self.hold(70)
        # More than the guest has beside what is held: its kernel swaps, the balloon's pages among others.
        self.run_in("cloister-probe touch 200", 400)
        self.wait(lambda: self.balloon()["elided"] > 16 * MIB, "they were seen on their way to the disk")
        written, elided = (self.balloon()[name] for name in ("written", "elided"))
        self.assertEqual(written, elided, "a page of swap is one of the disk")
        used = 1024 * int(self.run_in("awk 'NR > 1 {print $4}' /proc/swaps").split()[-1])
        # What else was swapped out takes its clusters, of which the balloon's pages are a part.
        self.assertLess(overlay.stat().st_blocks * 512 - before, max(used - elided, 0) + elided // 2 + 16 * MIB)
        swapped = self.run_in("grep VmSwap /proc/$(pidof cloister-probe)/status").split()
        self.assertGreater(int(swapped[1]), 1024, "they are in the guest's swap")
        self.assert_held(held)
        self.run_in("kill -9 $(pidof cloister-probe); swapoff /dev/vda", 300)
        self.run_in("cloister-probe touch 140", 300)
        self.assert_log_is_clean()


class Bound(BalloonCase):
    WHOLE = 512  # so that a guest can do without what the host takes at most

    def test_the_balloon_takes_its_part_of_the_machine_and_never_more(self):
        self.begin()
        self.fill(330)
        self.limit(64)
        most, found = self.WHOLE * MIB * 65 // 100, []

        def is_close():
            balloon = self.balloon()
            found.extend((balloon["told"], balloon["target"]))
            return balloon["told"] > most - 8 * MIB

        self.wait(is_close, "it takes its part")
        self.wait(lambda: is_close() and self.memory()["held"] <= 64 * MIB, "all ways together get there")
        self.assertLessEqual(max(found), most)
        self.limit(self.WHOLE)
        self.run_in("cloister-probe touch 250", 200)
        self.assert_log_is_clean()


class Terminal:
    """`cloister exec -t` at a terminal of its own."""

    def __init__(self, host, rows=24, columns=80):
        self.host = host
        self.keyboard, self.screen = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.screen)
        self.text = ""
        self.process = None

    def resize(self, rows, columns):
        fcntl.ioctl(self.screen, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def run(self, *words):
        command = [daemon.BIN / "cloister", "--socket", self.host.socket, "exec", "-t", "m", "--", *words]
        self.process = subprocess.Popen(command, stdin=self.screen, stdout=self.screen, stderr=self.screen, start_new_session=True,
                                        env={**os.environ, "TERM": "vt220"})

    def write(self, keys):
        os.write(self.keyboard, keys)

    def expect(self, pattern, seconds=60):
        """Waits for what the screen is to show, behind what was waited for before."""
        limit = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.text, re.MULTILINE)
            if found:
                self.text = self.text[found.end():]
                return
            if time.monotonic() > limit or not select.select([self.keyboard], [], [], 1)[0] and self.process.poll() is not None:
                raise AssertionError(f"no {pattern!r} on the screen: {self.text!r}")
            if select.select([self.keyboard], [], [], 0)[0]:
                self.text += os.read(self.keyboard, 4096).decode().replace("\r", "")

    def wait(self):
        return self.process.wait(60)

    def is_as_before(self):
        return termios.tcgetattr(self.screen) == self.before

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.keyboard)
        os.close(self.screen)


class Exec(BalloonCase):
    def test_commands_run_inside_with_their_exit_status(self):
        self.begin()
        cli = self.host.cli
        self.assertEqual(cli("exec", "m", "--", "echo", "hello", "-t"), (0, "hello -t\n", ""))
        self.assertEqual(cli("exec", "m", "--", "sh", "-c", "echo no >&2; exit 7"), (7, "", "no\n"))
        self.assertEqual(cli("exec", "m", "--", "sh", "-c", "kill -9 $$")[0], 128 + 9)
        self.assertEqual(cli("exec", "-e", "COLOUR=green", "-w", "/bin", "m", "--", "sh", "-c", "echo $COLOUR; pwd"),
                         (0, "green\n/bin\n", ""))
        for program, status in (("no-such-program", 127), ("/no/such/program", 127), ("/proc/version", 126), ("/tmp", 126)):
            done, _, said = cli("exec", "m", "--", program)
            self.assertEqual(done, status, said)
            self.assertIn(program, said)
        status, _, said = cli("exec", "-w", "/no/folder", "m", "--", "true")
        self.assertEqual(status, 125)
        self.assertIn("/no/folder", said)
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
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            # No shell: one that is about to become another program may catch the signal, and nobody hears of it.
            with subprocess.Popen([*command, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
                running.stdin.write(b"up\n")
                running.stdin.flush()
                self.assertEqual(running.stdout.readline(), b"up\n")
                running.send_signal(number)
                self.assertEqual(running.wait(60), 128 + number)

    def test_a_signal_may_be_heard_and_outlived(self):
        self.begin()
        script = "for one in QUIT USR1 USR2; do trap \"echo $one\" $one; done; echo up; while :; do sleep 0.05; done"
        running = subprocess.Popen([daemon.BIN / "cloister", "--socket", self.host.socket, "exec", "m", "--", "sh", "-c", script],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.addCleanup(running.stdout.close)
        self.assertEqual(running.stdout.readline(), b"up\n")
        for number in (signal.SIGUSR2, signal.SIGQUIT, signal.SIGUSR1):
            running.send_signal(number)
            self.assertEqual(running.stdout.readline().decode().strip(), number.name.removeprefix("SIG"))
        running.send_signal(signal.SIGTERM)
        self.assertEqual(running.wait(60), 128 + signal.SIGTERM)

    def test_a_terminal_is_handed_on(self):
        self.begin()
        for step in (self.its_size_and_its_change, self.its_keys, self.its_end):
            with self.subTest(step.__name__):
                step()

    def its_size_and_its_change(self):
        terminal = Terminal(self.host, 40, 100)
        self.addCleanup(terminal.close)
        terminal.run("sh", "-c", "trap 'stty size' WINCH; stty size; echo $TERM; while ! [ -e /tmp/over ]; do sleep 0.1; done; exit 3")
        terminal.expect(r"^40 100\n")
        terminal.expect(r"^vt220\n")
        terminal.resize(50, 132)
        terminal.expect(r"^50 132\n")
        self.run_in("touch /tmp/over")
        self.assertEqual(terminal.wait(), 3)

    def its_keys(self):
        # Ctrl-C is for what runs inside, and not for cloister itself; Ctrl-D is the end of input.
        terminal = Terminal(self.host)
        self.addCleanup(terminal.close)
        terminal.run("sh", "-c", "trap 'echo it was heard; touch /tmp/heard' INT; echo ready; while ! [ -e /tmp/heard ]; do sleep 0.1; "
                     "done; read word; echo got $word; test -t 2 && echo all three are; exit 9")
        terminal.expect(r"ready\n")
        terminal.write(b"\x03")
        terminal.expect(r"it was heard\n")
        terminal.write(b"a word\r")
        terminal.expect(r"^got a word\n")
        terminal.expect(r"^all three are\n")
        self.assertEqual(terminal.wait(), 9)
        terminal = Terminal(self.host)
        self.addCleanup(terminal.close)
        terminal.run("cat")
        terminal.write(b"typed\r")
        terminal.expect(r"^typed\n^typed\n")
        terminal.write(b"\x04")
        self.assertEqual(terminal.wait(), 0)

    def its_end(self):
        # No shell: one that is about to become another program may catch the key, and nobody hears of it.
        for keys, status in ((b"\x03", 128 + signal.SIGINT), (b"\x1c", 128 + signal.SIGQUIT)):
            terminal = Terminal(self.host)
            self.addCleanup(terminal.close)
            terminal.run("cat")
            terminal.write(b"typed\r")
            terminal.expect(r"^typed\n^typed\n")
            terminal.write(keys)
            self.assertEqual(terminal.wait(), status)
            self.assertTrue(terminal.is_as_before(), "the terminal is given back as it was")

    def test_files_are_copied_whole_both_ways(self):
        self.begin()
        folder, copy = self.host.folder, lambda *words: self.host.cli("copy", *words)
        content = bytes(i * 7 % 251 for i in range(3_000_000))
        (folder / "a").write_bytes(content)
        (folder / "a").chmod(0o750)
        self.assertEqual(copy(folder / "a", "m:/tmp/a"), (0, "", ""))
        self.assertIn("-rwxr-x---", self.run_in("ls -l /tmp/a"))
        self.assertEqual(copy("m:/tmp/a", folder / "b"), (0, "", ""))
        self.assertEqual((folder / "b").read_bytes(), content)
        command = [daemon.BIN / "cloister", "--socket", self.host.socket, "copy"]
        self.assertEqual(subprocess.run([*command, "-", "m:/tmp/piped"], input=content, timeout=120).returncode, 0)
        self.assertEqual(subprocess.run([*command, "m:/tmp/piped", "-"], stdout=subprocess.PIPE, timeout=120).stdout, content)

    def test_a_copy_that_fails_says_why_and_leaves_nothing(self):
        self.begin()
        folder, copy = self.host.folder, lambda *words: self.host.cli("copy", *words)
        (folder / "a").write_bytes(bytes(3_000_000))
        self.run_in("mkdir -p /tmp/small; mount -t tmpfs -o size=1M small /tmp/small; echo old > /tmp/small/kept")
        for words, why in ((("m:/no/such/file", folder / "c"), "/no/such/file"), (("m:/tmp", folder / "c"), "no ordinary file"),
                           (("m:/dev/zero", folder / "c"), "no ordinary file"), ((folder / "none", "m:/tmp/c"), "none"),
                           ((folder / "a", "m:/no/folder/c"), "/no/folder/c"), ((folder / "a", "m:/tmp/small/kept"), "No space"),
                           ((folder, "m:/tmp/c"), str(folder)), (("m:/tmp/small/kept", "/no/folder/c"), "/no/folder/c"),
                           ((folder / "a", "nobody:/tmp/c"), "nobody")):
            with self.subTest(why):
                status, _, said = copy(*words)
                self.assertEqual(status, 125, said)
                self.assertIn(why, said)
        self.assertEqual([one.name for one in folder.iterdir() if one.name.startswith(("c", "kept"))], [])
        self.assertEqual(self.run_in("ls -A /tmp/small; cat /tmp/small/kept").split(), ["kept", "old"])
        self.assertEqual(copy("a", "b")[0], 2)
        self.run_in("umount /tmp/small")

    def test_without_an_agent_it_says_so(self):
        self.begin(agent=None)
        status, _, said = self.host.cli("exec", "m", "--", "true")
        self.assertEqual(status, 125)
        self.assertIn("cloister-agent", said)


if __name__ == "__main__":
    support.main()
