#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The guest's programs where there is no Cloister: on this machine, and as RISC-V programs under another emulator."""
import ctypes
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
GUEST_PROGRAMS = ROOT / "build/guest/bin"
QEMU = shutil.which("qemu-riscv64")
sys.path.insert(0, str(ROOT / "guest/python"))


class Python(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        import cloister_guest
        cls.module = cloister_guest

    def test_it_knows_that_it_is_elsewhere(self):
        self.assertFalse(self.module.is_here())
        self.assertIsNone(self.module.discover())

    def test_everything_else_raises_not_here(self):
        for act in (self.module.condition, self.module.Watch, self.module.Waiter, lambda: self.module.Balloon(1 << 20),
                    lambda: self.module.Orders("test", 1 << 20)):
            with self.assertRaises(self.module.NotHere) as caught:
                act()
            self.assertIn("not here", str(caught.exception))

    def test_its_records_are_those_of_the_header(self):
        header = (ROOT / "src/base/guest_abi.h").read_text()
        for name, kind in (("cloister_condition", self.module.Condition), ("cloister_balloon_order", self.module.Order)):
            body = re.search(rf"struct {name} {{(.*?)\n}};", header, re.DOTALL).group(1)
            fields = re.findall(r"(uint\d+)_t (\w+);", re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL))
            sizes = {"uint32": 4, "uint64": 8}
            self.assertEqual([(name, ctypes.sizeof(type)) for name, type in kind._fields_],
                             [(name, sizes[type]) for type, name in fields])


@unittest.skipUnless(QEMU, "qemu-riscv64 is not installed")
class Emulated(unittest.TestCase):
    def run_program(self, *words):
        return subprocess.run([QEMU, GUEST_PROGRAMS / words[0], *words[1:]], capture_output=True, text=True, timeout=300)

    def test_an_illegal_instruction_means_not_here(self):
        for flag in ([], ["--page"], ["--watch"]):
            done = self.run_program("cloister-condition", *flag)
            self.assertEqual((done.returncode, done.stdout), (3, ""))
            self.assertIn("not here", done.stderr)

    def test_the_agent_says_what_it_is(self):
        self.assertRegex(self.run_program("cloister-agent", "--version").stdout, r"^cloister-agent \d+\.\d+\.\d+\n$")
        self.assertIn("--parts", self.run_program("cloister-agent", "--help").stdout)

    def test_the_agent_names_what_it_does_not_understand(self):
        for words in (["--no-such-flag=1"], ["--most", "66"], ["--most", "x"], ["--sessions", "0"], ["--parts", "cellar"],
                      ["--config"], ["word"]):
            done = self.run_program("cloister-agent", *words)
            self.assertEqual(done.returncode, 2, words)
            self.assertIn(words[-1].split("=")[0], done.stderr)


class Package(unittest.TestCase):
    def test_it_has_all_that_a_guest_needs(self):
        with tempfile.TemporaryDirectory() as folder:
            made = subprocess.run([ROOT / "packaging/guest/deb.sh", ROOT / "build/guest", folder], capture_output=True, text=True,
                                  timeout=300)
            self.assertEqual(made.returncode, 0, made.stderr)
            listed = subprocess.run(["dpkg-deb", "-c", made.stdout.strip()], capture_output=True, text=True, check=True).stdout
        paths = {line.split()[5].lstrip(".") for line in listed.splitlines()}
        self.assertLessEqual({
            "/etc/cloister/agent.conf", "/usr/bin/cloister-agent", "/usr/bin/cloister-condition", "/usr/include/cloister/guest.h",
            "/usr/include/cloister/guest.hpp", "/usr/include/cloister/guest_abi.h", "/usr/lib/libcloister-guest.a",
            "/usr/lib/libcloister-guest.so.1", "/usr/lib/python3/dist-packages/cloister_guest.py",
            "/usr/lib/systemd/system/cloister-agent.service", "/usr/share/man/man1/cloister-agent.1.gz",
            "/usr/share/man/man3/cloister-guest.3.gz", "/usr/share/man/man5/cloister-agent.conf.5.gz"}, paths)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    unittest.main(verbosity=2)
