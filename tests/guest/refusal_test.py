#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bad input is refused before the guest starts, naming the thing, the value and the remedy."""
import fcntl
import os
import socket
import subprocess
import unittest

import support

REFUSED = 2


@unittest.skipIf(support.ENGINE == "qemu", "of our own command line")
class Refusal(support.GuestCase):
    def refused(self, *words, config=None, **options):
        """Runs with these options; it must end at once with the words in its message."""
        options = {"kernel": self.image / "Image", "initrd": self.image / "initrd", "memory": "128MiB",
                   "append": "console=ttyS0"} | options
        command = support.harness.ENGINES["cloister"] + ["run", "--batch"]
        if config is not None:
            (self.folder / "vm.toml").write_text(config)
            command.append(str(self.folder / "vm.toml"))
        for name, value in options.items():
            if value is not None:
                command += [f"--{name}", str(value)]
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               timeout=60, check=False)
        self.assertEqual(ended.returncode, REFUSED, ended.stdout[-500:] + ended.stderr)
        self.assertEqual(ended.stdout, "", "the guest was started")
        for word in words:
            self.assertIn(str(word), ended.stderr)

    def file(self, name, data=b""):
        path = self.folder / name
        path.write_bytes(data)
        return path

    def test_a_missing_kernel(self):
        self.refused("/no/such/Image", kernel="/no/such/Image")

    def test_no_kernel_at_all(self):
        self.refused("kernel", kernel=None)

    def test_a_truncated_kernel(self):
        path = self.file("short", (self.image / "Image").read_bytes()[:1 << 20])
        self.refused(path, kernel=path)

    def test_a_kernel_with_only_a_header(self):
        path = self.file("header", (self.image / "Image").read_bytes()[:64])
        self.refused(path, kernel=path)

    def test_a_foreign_kernel(self):
        path = self.file("foreign", b"\x7fELF" + b"x" * 100_000)
        self.refused(path, kernel=path)

    def test_an_empty_kernel(self):
        path = self.file("empty")
        self.refused(path, kernel=path)

    def test_a_kernel_that_is_a_folder(self):
        self.refused(self.folder, kernel=self.folder)

    def test_a_missing_initrd(self):
        self.refused("/no/such/initrd", initrd="/no/such/initrd")

    def test_a_truncated_initrd(self):
        path = self.file("short", (self.image / "initrd").read_bytes()[:5000])
        self.refused(path, initrd=path)

    def test_a_foreign_initrd(self):
        path = self.file("foreign", b"this is no archive" * 1000)
        self.refused(path, initrd=path)

    def test_an_empty_initrd(self):
        path = self.file("empty")
        self.refused(path, initrd=path)

    def test_too_little_memory(self):
        self.refused("memory", "1 MiB", memory="1MiB")

    def test_memory_that_is_no_multiple_of_a_page(self):
        self.refused("memory", memory=str((128 << 20) + 100))

    def test_memory_that_is_no_size(self):
        self.refused("size", "much", memory="much")

    def test_more_memory_than_addresses(self):
        self.refused("memory", memory="9999999TiB")

    def test_far_more_memory_than_the_host_has(self):
        self.refused("memory of 2048 TiB", "16 times", memory="2048TiB")

    def test_no_hart(self):
        self.refused("cpus", "0", "64", cpus=0)

    def test_sixty_five_harts(self):
        self.refused("cpus", "65", "64", cpus=65)

    def test_a_number_of_harts_that_is_none(self):
        self.refused("cpus", "two", cpus="two")

    def test_a_missing_disk(self):
        self.refused("/no/such/disk", disk="/no/such/disk")

    def test_a_disk_shorter_than_a_sector(self):
        path = self.file("short", b"x" * 100)
        self.refused(path, disk=path)

    def test_a_disk_of_broken_sectors(self):
        path = self.file("odd", b"x" * 5000)
        self.refused(path, disk=path)

    def test_a_locked_disk(self):
        path = support.make_disk(self.folder / "disk", 8)
        with open(path, "r+b") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            fcntl.lockf(held, fcntl.LOCK_EX)
            self.refused(path, disk=path)

    @unittest.skipIf(os.geteuid() == 0, "root may write everything")
    def test_a_disk_that_may_only_be_read(self):
        path = support.make_disk(self.folder / "disk", 8)
        path.chmod(0o444)
        self.refused(path, "readonly", disk=path)

    def test_a_disk_with_an_unknown_word(self):
        path = support.make_disk(self.folder / "disk", 8)
        self.refused("sharing", disk=f"{path},sharing=yes")

    def test_an_overlay_in_a_missing_folder(self):
        path = support.make_disk(self.folder / "disk", 8)
        self.refused("/no/such", disk=f"{path},overlay=/no/such/overlay")

    def test_an_overlay_of_another_disk(self):
        path = support.make_disk(self.folder / "disk", 8)
        other = self.file("overlay", b"something else" * 1000)
        self.refused(other, disk=f"{path},overlay={other}")

    def test_a_taken_port(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen(1)
            port = taken.getsockname()[1]
            self.refused(port, net=f"user,forward=tcp:127.0.0.1:{port}:22")

    def test_a_port_beyond_all_ports(self):
        self.refused("70000", net="user,forward=tcp:127.0.0.1:70000:22")

    def test_a_missing_shared_folder(self):
        self.refused("/no/such/folder", share="tag=box,path=/no/such/folder")

    def test_a_share_without_a_tag(self):
        self.refused("tag", share=f"path={self.folder}")

    def test_an_unknown_console(self):
        self.refused("telex", "uart", console="telex")

    def test_an_unknown_flag(self):
        self.refused("--harts", harts=2)

    def test_an_unknown_key_is_named_with_its_line(self):
        self.refused("vm.toml", "2", "harts", config="cpus = 1\nharts = 2\n")

    def test_a_key_of_another_type(self):
        self.refused("vm.toml", "cpus", config="cpus = [1]\n")

    def test_a_file_that_is_no_toml(self):
        self.refused("vm.toml", "1", config="cpus = = 1\n")

    def test_a_kernel_line_too_long_for_the_device_tree(self):
        self.refused("command line", "100000", append="x" * 100_000)


if __name__ == "__main__":
    support.main()
