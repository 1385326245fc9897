#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The agent and the library in real guests. For commands the test itself is the host; for balloons it is a daemon."""
import json
import re
import time

import agent_host
import balloon_test
import support

MIB = 1 << 20
WHOLE = balloon_test.WHOLE
PROGRAMS = ["cloister-agent", "cloister-condition", "cloister-probe"]

# Of the bridge's test.
WORK, SHORT = 150, 100  # MiB: what a program uses all the time, and all that the machine may hold meanwhile
HIGH, FLOOR = 160, 110
SHORTAGE = ("hard", "critical")  # which of them, the speed of the host's disk decides
GROUP = "/sys/fs/cgroup/batch"
SETTINGS = f"""[bridge]
repeat = 1s
spread = 20ms
[cgroup batch]
path = {GROUP}
floor = {FLOOR}MiB
[hook note]
command = /bin/hook first second
"""
HOOK = "#!/bin/sh\necho $1 $2 $CLOISTER_LEVEL $CLOISTER_RELEASE $CLOISTER_GAP $CLOISTER_TARGET $CLOISTER_HELD >> /tmp/hooked\n"
LISTENERS = {"pressure": "cloister-probe listen /run/cloister/pressure", "lines": "cloister-probe listen /run/cloister/condition",
             "watch": "cloister-condition --watch", "epoll": "cloister-probe condition-epoll 1000"}


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
        for step in (self.statuses, self.input_and_output, self.a_terminal, self.faults, self.files, self.many_at_once,
                     self.the_condition):
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
        for program, status in (("no-such-program", 127), ("/etc/none/such", 127), ("/proc/version", 126), ("/dev", 126)):
            done = agent_host.run(self.door, program)
            self.assertEqual((done.status, done.signal, done.fault), (status, 0, None))
            self.assertIn(program, done.errors.decode())
        self.assertIn("/no/folder", agent_host.run(self.door, "true", folder="/no/folder").fault)
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


    def the_condition(self, guest):
        call, page = (self.run_in(guest, f"cloister-condition {flag}") for flag in ("", "--page"))
        for text in (call, page):
            self.assertIn("level ample", text)
            self.assertEqual(int(re.search(r"^configured (\d+)$", text, re.MULTILINE).group(1)), 256 * MIB)


class Balloon(balloon_test.BalloonCase):
    """What the agent's balloon does by itself, under a daemon: limits, a swap storm, more than one of it."""

    def balloon_process(self):
        """Its number, in a list; empty while there is none."""
        return self.guest("ps -o pid,args | grep '[p]arts balloon --most'")[0].split()[:1]

    def squeeze(self, to=128):
        """Asks for memory piece by piece: what the guest does not give in time is taken by other ways, and never asked again."""
        for limit in range(WHOLE - 44, to - 1, -44):
            self.limit(limit)
            self.wait(lambda: self.memory()["held"] <= limit * MIB, "it gives back what is over its limit")

    def await_balloon(self):
        """A guest on a busy host may be late: other ways met the limit then, and its balloon grows all the same."""
        self.wait(lambda: self.balloon()["told"] > 4 * MIB, "it gives what it can, late or soon")

    def test_limits_of_all_kinds_bound_it_and_do_not_end_it(self):
        self.begin(agent=None)
        self.fill()
        self.run_in("mount -t cgroup2 none /sys/fs/cgroup && echo +memory > /sys/fs/cgroup/cgroup.subtree_control && "
                    "mkdir /sys/fs/cgroup/small && echo 40M > /sys/fs/cgroup/small/memory.max", 60)
        for limit, most in (("ulimit -v 60000", 60), ("ulimit -d 30000", 30), ("ulimit -l 0", WHOLE),
                            ("echo 0 > /sys/fs/cgroup/small/cgroup.procs", 40),
                            ("echo 2 > /proc/sys/vm/overcommit_memory; echo 20 > /proc/sys/vm/overcommit_ratio", WHOLE // 5)):
            with self.subTest(limit):
                self.run_in(f"(sh -c '{limit}; exec cloister-agent --parts balloon' >/tmp/agent.log 2>&1 &)")
                self.wait(lambda: self.balloon()["applications"] == 1, "it registers")
                self.squeeze()
                self.await_balloon()
                self.assertLess(self.balloon()["told"], most * MIB)
                self.run_in("pidof cloister-agent")
                self.limit(WHOLE)
                self.run_in("echo 0 > /proc/sys/vm/overcommit_memory; kill $(pidof cloister-agent)")
                self.wait(lambda: self.balloon()["applications"] == 0, "it ends when it is told to")
                self.fill()
        self.assert_log_is_clean()

    def test_the_balloon_comes_back_and_the_rest_of_the_agent_stays(self):
        self.begin(agent="--parts 'balloon exec'")
        self.inflate()
        agent, process = self.run_in("pidof cloister-agent"), self.balloon_process()
        self.run_in(f"kill -9 {process[0]}")
        self.wait(lambda: self.host.cli("exec", "m", "--", "echo", "still here")[1] == "still here\n", "the rest serves")
        self.wait(lambda: self.balloon()["applications"] == 1 and self.balloon_process() not in ([], process),
                  "a new one is there")
        now = self.run_in("pidof cloister-agent")
        self.assertEqual(len(set(agent.split()) & set(now.split())), 1)
        self.limit(WHOLE)
        self.fill()
        self.squeeze()
        self.await_balloon()
        self.assert_log_is_clean()

    def test_two_balloons_share_a_guest(self):
        self.begin(agent="--parts balloon")
        self.run_in("(cloister-agent --parts balloon >/tmp/second.log 2>&1 &)")
        self.wait(lambda: self.balloon()["applications"] == 2, "both register")
        self.fill()
        self.squeeze(110)
        sizes = [int(one) for one in self.run_in(
            "for p in $(pidof cloister-agent); do grep RssAnon /proc/$p/status; done").split() if one.isdigit()]
        self.assertEqual(len([one for one in sizes if one > 2000]), 2, sizes)
        self.run_in("kill -9 $(pidof cloister-agent | cut -d ' ' -f 1)")
        self.wait(lambda: self.balloon()["applications"] == 1, "the end of one is seen")
        self.limit(WHOLE)
        self.run_in("cloister-probe touch 150", 200)
        self.assert_log_is_clean()

    def test_a_swap_storm_of_the_guests_own(self):
        self.begin(agent="--parts balloon")
        self.run_in("mkswap /dev/vda && swapon /dev/vda")
        self.run_in("((cloister-probe touch 300; echo over) >/tmp/storm 2>&1 &)")
        self.limit(150)
        self.wait(lambda: self.memory()["held"] <= 150 * MIB, "all ways together get there", 200)
        self.limit(WHOLE)
        self.run_in("until grep -q over /tmp/storm; do sleep 0.2; done; ! grep -qi kill /tmp/storm", 300)
        self.assert_log_is_clean()


class Bridge(balloon_test.BalloonCase):
    """Whoever can be told of the condition is, when it changes; a program with a knob makes room and has its memory back."""

    FILES = {"etc/bridge.conf": SETTINGS.encode(), "bin/hook": HOOK.encode()}

    def heard(self, name):
        return self.run_in(f"cat /tmp/{name}.out")

    def await_heard(self, name, pattern, seconds=200):
        limit = time.monotonic() + seconds
        while not re.search(pattern, self.heard(name), re.MULTILINE):
            self.assertLess(time.monotonic(), limit, f"{name} does not hear {pattern!r}, but: {self.heard(name)}\n{self.memory()}")
            time.sleep(0.2)

    def start_all(self):
        self.run_in("mount -t cgroup2 none /sys/fs/cgroup && echo +memory > /sys/fs/cgroup/cgroup.subtree_control && "
                    f"mkdir {GROUP} && echo {HIGH}M > {GROUP}/memory.high")
        self.run_in("(cloister-agent --parts 'balloon bridge' --config /etc/bridge.conf >/tmp/agent.log 2>&1 &); "
                    "until [ -S /run/cloister/condition ]; do sleep 0.1; done")
        for name, command in LISTENERS.items():
            self.run_in(f"({command} >/tmp/{name}.out 2>&1 &)")
        for name, first in (("pressure", "listens"), ("lines", "ample"), ("watch", "level ample"), ("epoll", "level 0")):
            self.await_heard(name, first)
        self.wait(lambda: self.balloon()["applications"] == 1, "the balloon registers")

    def make_it_short(self):
        """A program goes over more memory than the machine may hold, so the host has to read back what it took."""
        self.run_in(f"(sh -c 'echo 0 > {GROUP}/cgroup.procs; exec cloister-probe pages 7 {WORK}' >/tmp/work.out 2>&1 &); "
                    "until grep -q filled /tmp/work.out; do sleep 0.1; done")
        self.limit(SHORT)

    def high(self):
        text = self.run_in(f"cat {GROUP}/memory.high").strip()
        return None if text == "max" else int(text)

    def test_the_condition_reaches_programs_and_they_make_room(self):
        self.begin(agent=None)
        self.start_all()
        self.make_it_short()
        self.await_heard("pressure", r"^(hard|critical) \d+$")
        for step in (self.lines_of_json, self.the_programs_of_the_library, self.the_hook, self.the_group, self.the_end):
            with self.subTest(step.__name__):
                step()
        self.assert_log_is_clean()

    def lines_of_json(self):
        lines = [json.loads(line) for line in self.heard("lines").splitlines() if line.startswith("{")]
        self.assertEqual(lines[0]["level"], "ample")
        short = next(line for line in lines if line["level"] in SHORTAGE)
        self.assertGreater(short["release"], 0)
        self.assertEqual(short["configured"], WHOLE * MIB)
        self.assertLessEqual(short["target"], SHORT * MIB)

    def the_programs_of_the_library(self):
        self.await_heard("watch", "^level (hard|critical)$")
        self.await_heard("epoll", "^level [23]$")

    def the_hook(self):
        def runs():
            said = [line.split() for line in self.guest("cat /tmp/hooked")[0].splitlines()]
            return [words for words in said if len(words) == 7 and words[2] in SHORTAGE]
        self.wait(runs, "the hook runs")
        first, second, _, release, gap, target, held = runs()[0]
        self.assertEqual((first, second), ("first", "second"))
        self.assertGreater(int(release), 0)
        self.assertLessEqual(int(gap), int(held))
        self.assertLessEqual(int(target), SHORT * MIB)

    def the_group(self):
        self.wait(lambda: self.high() < HIGH * MIB, "the group's limit falls")
        self.assertGreaterEqual(self.high(), FLOOR * MIB)
        self.assertIn("cgroup batch", self.run_in("cat /run/cloister/ceilings"))

    def the_end(self):
        """Nothing is wanted any more: the group has what it had, and nothing in memory has suffered."""
        self.limit(WHOLE)
        self.run_in("kill -TERM $(pidof cloister-probe | tr ' ' '\\n' | while read p; do grep -q pages /proc/$p/cmdline && echo $p; done)")
        self.wait(lambda: "all pages hold" in self.run_in("cat /tmp/work.out"), "the program's memory is as it was")
        self.await_heard("epoll", r"level 0\n\Z")
        self.wait(lambda: self.high() == HIGH * MIB, "the group gets its limit back")
        self.assertEqual(self.run_in("cat /tmp/agent.log").count("cannot"), 0)


if __name__ == "__main__":
    support.main()
