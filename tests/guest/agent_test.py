#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The agent and the library in real guests. The test itself is the host's side of the balloon and of the agent's port."""
import pathlib
import re
import time

import agent_host
import daemon
import support

MIB = 1 << 20
MET, WORKING, PRESSURE, LIMIT, REFUSED = range(5)
PROGRAMS = ["cloister-agent", "cloister-condition", "cloister-probe"]


class AgentCase(support.GuestCase):
    def boot_with_agent(self, flags="", **options):
        self.door = self.folder / "vsock"
        guest = self.boot(PROGRAMS, vsock=self.door, **options)
        if flags is not None:
            self.start_agent(guest, flags)
        return guest

    def start_agent(self, guest, flags):
        self.run_in(guest, f"(cloister-agent {flags} >/tmp/agent.log 2>&1 &)")

    def await_agent(self, guest):
        """Until it serves the host; a guest's start takes its time."""
        limit = time.monotonic() + support.BOOT
        while True:
            try:
                return agent_host.run(self.door, "true")
            except OSError:
                if time.monotonic() > limit:
                    self.fail(f"the agent does not answer: {guest.shell('cat /tmp/agent.log')[0]}")
                time.sleep(0.2)


class Exec(AgentCase):
    def test_the_host_runs_programs_and_copies_files(self):
        guest = self.boot_with_agent("--parts exec", cpus=2)
        self.await_agent(guest)
        for step in (self.statuses, self.input_and_output, self.a_terminal, self.faults, self.files, self.many_at_once):
            with self.subTest(step.__name__):
                step(guest)
        self.assert_log_is_clean(guest)
        self.power_off(guest)

    def statuses(self, _):
        done = agent_host.run(self.door, "sh", "-c", "echo out; echo err >&2; exit 7")
        self.assertEqual((done.output, done.errors, done.status, done.signal), (b"out\n", b"err\n", 7, 0))
        call = agent_host.Call(self.door, agent_host.EXEC, agent_host.exec_body(["sh", "-c", "echo up; exec sleep 1000"]))
        call.until(b"up\n")
        call.records.say(agent_host.SIGNAL, (15).to_bytes(4, "little"))
        self.assertEqual(call.finish().signal, 15)

    def input_and_output(self, _):
        data = bytes(i * 7 & 0xFF for i in range(300_000))
        self.assertEqual(agent_host.run(self.door, "cat", stdin=data).output, data)
        done = agent_host.run(self.door, "sh", "-c", "echo $COLOUR; pwd", settings=["COLOUR=green"], folder="/proc")
        self.assertEqual(done.output, b"green\n/proc\n")

    def a_terminal(self, _):
        call = agent_host.Call(self.door, agent_host.EXEC,
                               agent_host.exec_body(["sh", "-c", "test -t 0 && stty size; read w; echo got $w"], terminal=True))
        call.until(b"24 80")
        call.records.say(agent_host.STDIN, b"word\n")
        call.finish()
        self.assertIn(b"got word", call.output)
        self.assertEqual(call.status, 0)

    def faults(self, _):
        self.assertIn("no-such-program", agent_host.run(self.door, "no-such-program").fault)
        self.assertIn("no ordinary file", agent_host.get(self.door, "/dev").fault)
        self.assertIn("not understood", agent_host.Call(self.door, 99, b"x").finish().fault)

    def files(self, guest):
        content = bytes(i * 13 & 0xFF for i in range(500_000))
        self.assertEqual(agent_host.put(self.door, "/tmp/copied", content, 0o600).status, 0)
        self.assertIn("-rw-------", self.run_in(guest, "ls -l /tmp/copied"))
        self.assertEqual(agent_host.get(self.door, "/tmp/copied").output, content)

    def many_at_once(self, _):
        calls = [agent_host.Call(self.door, agent_host.EXEC, agent_host.exec_body(["sh", "-c", f"read w; echo {i} $w"]))
                 for i in range(20)]
        for call in calls:
            call.records.say(agent_host.STDIN, b"on\n")
        for i, call in enumerate(calls):
            self.assertEqual(call.finish().output, f"{i} on\n".encode())


class Balloon(AgentCase):
    """A host of the test's own gives orders; what the cell really holds is the host's kernel's figure."""

    def setUp(self):
        super().setUp()
        self.host = agent_host.BalloonHost(self.folder / "vsock")
        self.addCleanup(self.host.close)

    def frames_of(self, guest):
        pids = [guest.process.pid]
        pids += [int(one) for one in pathlib.Path(f"/proc/{pids[0]}/task/{pids[0]}/children").read_text().split()]
        return sum(daemon.guest_memory(pid)[0] for pid in pids)

    def accept(self):
        application = self.host.accept()
        self.addCleanup(application.records.close)
        return application

    # Without memory that was never touched nothing could be seen to go.
    def touch_all(self, guest, mib):
        self.run_in(guest, f"mkdir -p /fill && mount -t tmpfs -o size={mib}m fill /fill; "
                           f"head -c {mib}m /dev/zero | tr '\\0' x > /fill/x; rm /fill/x", 240)

    def test_memory_goes_to_the_host_and_comes_back(self):
        guest = self.boot_with_agent("--parts balloon", memory="512MiB", cpus=2)
        application = self.accept()
        self.assertEqual((application.version, application.name), (1, "cloister-agent"))
        self.assertLessEqual(application.most, 512 * MIB * 65 // 100 + 2 * MIB)
        self.touch_all(guest, 350)
        before = self.frames_of(guest)
        application.order(200 * MIB)
        state = application.until(lambda state: state["reason"] == MET)
        self.assertGreaterEqual(state["held"], 198 * MIB)
        self.assertLess(self.frames_of(guest), before - 190 * MIB)
        self.assertGreater(state["available"], 32 * MIB)
        application.order(0)
        application.until(lambda state: state["held"] == 0 and state["reason"] == MET)
        self.touch_all(guest, 350)
        self.assert_log_is_clean(guest)
        self.power_off(guest)

    def test_more_than_its_part_is_refused_with_the_reason(self):
        guest = self.boot_with_agent("--parts balloon --most 30")
        application = self.accept()
        application.order(200 * MIB)
        state = application.until(lambda state: state["reason"] == LIMIT)
        self.assertLessEqual(state["held"], 256 * MIB * 30 // 100 + 2 * MIB)
        self.power_off(guest)

    def test_a_guest_that_needs_its_memory_gets_it(self):
        guest = self.boot_with_agent("--parts balloon", memory="512MiB", cpus=2)
        application = self.accept()
        application.order(300 * MIB)
        application.until(lambda state: state["held"] >= 250 * MIB)
        # More than is left outside the balloon, in one go, a few times.
        for _ in range(3):
            self.touch_all(guest, 300)
            self.run_in(guest, "umount /fill")
        self.assertNotIn("Out of memory", self.run_in(guest, "dmesg"))
        state = application.until(lambda state: True)
        self.assertLess(state["held"], 300 * MIB)
        self.power_off(guest)

    def test_a_balloon_that_is_killed_gives_all_back_and_begins_again(self):
        guest = self.boot_with_agent("--parts 'balloon exec'", memory="512MiB")
        first = self.accept()
        first.order(200 * MIB)
        first.until(lambda state: state["reason"] == MET)
        self.run_in(guest, f"kill -9 {first.pid}")
        first.until_gone()
        self.touch_all(guest, 300)
        self.assertEqual(agent_host.run(self.door, "echo", "the rest lives").output, b"the rest lives\n")
        second = self.accept()
        self.assertNotEqual(second.pid, first.pid)
        second.order(50 * MIB)
        second.until(lambda state: state["reason"] == MET)
        self.power_off(guest)

    def test_a_stopped_balloon_goes_on_where_it_was(self):
        guest = self.boot_with_agent("--parts balloon", memory="512MiB")
        application = self.accept()
        application.order(60 * MIB)
        application.until(lambda state: state["reason"] == MET)
        self.run_in(guest, f"kill -STOP {application.pid}")
        application.order(100 * MIB)
        self.run_in(guest, "sleep 2")
        self.assertLess(application.state["held"], 100 * MIB)
        self.run_in(guest, f"kill -CONT {application.pid}")
        application.until(lambda state: state["reason"] == MET and state["held"] >= 98 * MIB)
        self.power_off(guest)

    def test_two_balloons_share_a_guest(self):
        guest = self.boot_with_agent("--parts balloon")
        self.run_in(guest, "(cloister-agent --parts balloon >/tmp/second.log 2>&1 &)")
        both = [self.accept(), self.accept()]
        for one in both:
            one.order(40 * MIB)
        for one in both:
            one.until(lambda state: state["reason"] == MET)
        both[0].order(0)
        both[0].until(lambda state: state["held"] == 0)
        self.assertGreaterEqual(both[1].state["held"], 38 * MIB)
        self.power_off(guest)

    def test_limits_of_all_kinds_bound_it_and_do_not_end_it(self):
        guest = self.boot_with_agent(None)
        limits = [("ulimit -v 200000;", ""), ("ulimit -d 60000;", ""), ("ulimit -l 0;", MET), ("", "group"), ("", "strict")]
        self.run_in(guest, "mkdir -p /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && mkdir /sys/fs/cgroup/small && "
                           "echo +memory > /sys/fs/cgroup/cgroup.subtree_control; echo 60M > /sys/fs/cgroup/small/memory.max", 60)
        for prefix, kind in limits:
            with self.subTest(prefix + str(kind)):
                if kind == "group":
                    prefix = "echo $$ > /sys/fs/cgroup/small/cgroup.procs;"
                if kind == "strict":
                    prefix = "echo 2 > /proc/sys/vm/overcommit_memory; echo 40 > /proc/sys/vm/overcommit_ratio;"
                self.run_in(guest, f"(sh -c '{prefix} exec cloister-agent --parts balloon' >/tmp/log 2>&1 &)")
                application = self.accept()
                application.order(150 * MIB)
                state = application.until(lambda state: state["reason"] in (MET, LIMIT))
                if kind != MET:
                    self.assertEqual(state["reason"], LIMIT)
                    self.assertLess(state["held"], 150 * MIB)
                application.order(0)
                application.until(lambda state: state["held"] == 0)
                self.run_in(guest, f"kill {application.pid}; echo 0 > /proc/sys/vm/overcommit_memory")
                application.until_gone()
        self.assertNotIn("oom", self.run_in(guest, "dmesg").lower())
        self.power_off(guest)


class Condition(AgentCase):
    def test_the_call_and_the_page_agree(self):
        guest = self.boot(PROGRAMS)
        call, page = (self.run_in(guest, f"cloister-condition {flag}") for flag in ("", "--page"))
        for text in (call, page):
            self.assertIn("level ample", text)
            self.assertEqual(int(re.search(r"^configured (\d+)$", text, re.MULTILINE).group(1)), 256 * MIB)
        self.power_off(guest)


if __name__ == "__main__":
    support.main()
