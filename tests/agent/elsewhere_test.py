#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The guest's programs where there is no Cloister: on this machine, and as RISC-V programs under another emulator."""
import ctypes
import gzip
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
    @classmethod
    def setUpClass(cls):
        holder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(holder.cleanup)
        made = subprocess.run([ROOT / "packaging/guest/deb.sh", ROOT / "build/guest", holder.name], capture_output=True, text=True,
                              timeout=300, check=True)
        cls.tree = pathlib.Path(holder.name) / "tree"
        subprocess.run(["dpkg-deb", "-x", made.stdout.strip(), cls.tree], check=True)
        cls.functions = set(re.findall(r"^[a-z].*?[ *](cloister_[a-z_]+)\(", (ROOT / "guest/lib/include/cloister/guest.h").read_text(),
                                       re.MULTILINE))

    def pages(self):
        """The manual's pages unpacked, in a folder for each section."""
        manual = self.tree / "usr/share/man"
        for packed in manual.rglob("*.gz"):
            packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
            packed.unlink()
        return manual

    def test_it_has_all_that_a_guest_needs(self):
        for path in ("etc/cloister/agent.conf", "usr/bin/cloister-agent", "usr/bin/cloister-condition", "usr/include/cloister/guest.h",
                     "usr/include/cloister/guest.hpp", "usr/include/cloister/guest_abi.h", "usr/lib/libcloister-guest.a",
                     "usr/lib/libcloister-guest.so.1", "usr/lib/python3/dist-packages/cloister_guest.py",
                     "usr/lib/systemd/system/cloister-agent.service", "usr/lib/systemd/system/cloister-exec.service"):
            self.assertTrue((self.tree / path).exists(), path)

    def test_each_page_renders_without_a_warning(self):
        manual = self.pages()
        names = set()
        for page in manual.rglob("*.[1-9]"):
            done = subprocess.run(["groff", "-man", "-Tascii", "-P-cbou", "-ww", page], cwd=manual, capture_output=True, text=True, check=True)
            self.assertEqual(done.stderr, "", page)
            self.assertIn("DESCRIPTION", done.stdout, page)
            names.add(page.name)
        self.assertLessEqual({"cloister-agent.1", "cloister-condition.1", "cloister-guest.3", "cloister-agent.conf.5", "cloister-guest.7"},
                             names)

    def test_each_function_has_a_page_that_names_it(self):
        manual = self.pages()
        self.assertGreater(len(self.functions), 20)
        synopsis = (manual / "man3/cloister-guest.3").read_text().split(".SH DESCRIPTION")[0]
        self.assertEqual(set(re.findall(r"\b(cloister_[a-z_]+)\(", synopsis)), self.functions)
        for name in self.functions:
            self.assertEqual((manual / f"man3/{name}.3").read_text(), ".so man3/cloister-guest.3\n")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    unittest.main(verbosity=2)
