#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each device does its work under Linux's own driver."""
import functools
import hashlib
import http.server
import socket
import threading
import time
import unittest

import support


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Disk(support.GuestCase):
    def test_what_is_written_is_read_back(self):
        disk = support.make_disk(self.folder / "disk", 32)
        guest = self.boot(["cloister-probe"], disk=disk, cpus=2)
        self.assertIn(" 0 wrong", self.run_in(guest, "cloister-probe blocks /dev/vda 7 32", 300))
        self.assert_log_is_clean(guest)
        self.power_off(guest)

    @unittest.skipIf(support.ENGINE == "qemu", "the peer is given a passing overlay only")
    def test_an_overlay_takes_the_writes_and_the_base_stays(self):
        disk = support.make_disk(self.folder / "disk", 8)
        before = hashlib.sha256(disk.read_bytes()).hexdigest()
        overlay = f"{disk},overlay={self.folder}/overlay"
        guest = self.boot(disk=overlay)
        self.run_in(guest, "echo kept | dd of=/dev/vda bs=512 seek=5 conv=fsync 2>/dev/null")
        self.power_off(guest)
        self.assertEqual(hashlib.sha256(disk.read_bytes()).hexdigest(), before)
        guest = self.boot(disk=overlay)
        self.assertIn("kept", self.run_in(guest, "dd if=/dev/vda bs=512 skip=5 count=1 2>/dev/null | head -n 1"))
        self.power_off(guest)

    def test_a_read_only_disk_refuses_writes(self):
        disk = support.make_disk(self.folder / "disk", 8)
        guest = self.boot(disk=f"{disk},readonly")
        self.assertEqual(self.run_in(guest, "cat /sys/block/vda/ro").split()[-1], "1")
        self.assertNotEqual(guest.shell("dd if=/dev/zero of=/dev/vda bs=512 count=1 2>/dev/null")[1], 0)
        self.power_off(guest)

    def test_two_disks_keep_their_order_and_their_data(self):
        first, second = (support.make_disk(self.folder / name, size) for name, size in (("a", 4), ("b", 8)))
        guest = self.boot(disk=[first, second])
        self.assertEqual(self.run_in(guest, "cat /sys/block/vda/size /sys/block/vdb/size").split()[-2:], ["8192", "16384"])
        self.power_off(guest)


class Share(support.GuestCase):
    MOUNT = "mount -t 9p -o trans=virtio,version=9p2000.L,msize=65536 box /mnt"

    def test_a_folder_is_shared_both_ways(self):
        shared = self.folder / "shared"
        shared.mkdir()
        (shared / "from-host").write_text("hello guest\n")
        guest = self.boot(share=f"tag=box,path={shared}")
        self.run_in(guest, self.MOUNT)
        self.assertIn("hello guest", self.run_in(guest, "cat /mnt/from-host"))
        self.run_in(guest, "mkdir /mnt/new && seq 20000 > /tmp/numbers && cp /tmp/numbers /mnt/new/numbers && mv /mnt/new/numbers /mnt/new/renamed && "
                           "ln -s renamed /mnt/new/link && umount /mnt", 180)
        self.assertEqual((shared / "new/renamed").read_text(), "".join(f"{n}\n" for n in range(1, 20001)))
        self.assertEqual((shared / "new/link").readlink().name, "renamed")
        self.assert_log_is_clean(guest)
        self.power_off(guest)

    def test_a_read_only_folder_refuses_writes(self):
        shared = self.folder / "shared"
        shared.mkdir()
        (shared / "file").write_text("same\n")
        guest = self.boot(share=f"tag=box,path={shared},readonly")
        self.run_in(guest, self.MOUNT)
        self.assertNotEqual(guest.shell("echo other > /mnt/file")[1], 0)
        self.assertNotEqual(guest.shell("rm /mnt/file")[1], 0)
        self.assertEqual((shared / "file").read_text(), "same\n")
        self.power_off(guest)

    @unittest.skipIf(support.ENGINE == "qemu", "how the peer guards its folder is its own affair")
    def test_a_link_does_not_lead_out_of_the_folder(self):
        shared = self.folder / "shared"
        shared.mkdir()
        (self.folder / "secret").write_text("not for guests\n")
        (shared / "out").symlink_to("../secret")
        guest = self.boot(share=f"tag=box,path={shared}")
        self.run_in(guest, self.MOUNT)
        self.assertNotIn("not for guests", guest.shell("cat /mnt/out")[0])
        self.power_off(guest)


class Network(support.GuestCase):
    UP = "ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2"

    def test_the_guest_reaches_the_host_and_fetches_from_it(self):
        (self.folder / "file").write_bytes(bytes(range(256)) * 4096)
        handler = functools.partial(Quiet, directory=str(self.folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        guest = self.boot(net="user", cpus=2)
        self.run_in(guest, self.UP)
        digest = self.run_in(guest, f"wget -q -O - http://10.0.2.2:{server.server_port}/file | sha256sum", 180)
        self.assertIn(hashlib.sha256((self.folder / "file").read_bytes()).hexdigest(), digest)
        self.assert_log_is_clean(guest)
        self.power_off(guest)

    def test_a_forwarded_port_leads_into_the_guest(self):
        port = free_port()
        guest = self.boot(net=f"user,forward=tcp:127.0.0.1:{port}:7000")
        self.run_in(guest, self.UP)
        self.run_in(guest, "(echo from the guest | nc -l -p 7000 >/tmp/heard) & sleep 1")
        with socket.create_connection(("127.0.0.1", port), timeout=30) as talk:
            talk.settimeout(60)
            talk.sendall(b"from the host\n")
            self.assertEqual(talk.recv(100), b"from the guest\n")
        self.assertIn("from the host", self.run_in(guest, "sleep 1; cat /tmp/heard"))
        self.power_off(guest)

    def test_dhcp_gives_an_address(self):
        guest = self.boot(net="user")
        # Without a script busybox's client would set nothing: this one says what it was given.
        self.run_in(guest, "printf '#!/bin/sh\\necho lease $1 $ip $router\\n' > /tmp/script; chmod 755 /tmp/script; ip link set eth0 up")
        self.assertIn("lease bound 10.0.2.15 10.0.2.2", self.run_in(guest, "udhcpc -f -q -n -i eth0 -s /tmp/script"))
        self.power_off(guest)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@unittest.skipIf(support.ENGINE == "qemu", "the peer has vsock only through the host's kernel")
class Vsock(support.GuestCase):
    def test_the_host_reaches_a_port_of_the_guest(self):
        door = self.folder / "vsock"
        guest = self.boot(["cloister-probe"], vsock=door)
        start = len(guest.console)
        guest.send("cloister-probe vsock-echo 1234 &\n")
        guest.expect("listening on 1234", 30, start)
        data = bytes(i * 7 & 0xFF for i in range(300_000))
        with socket.socket(socket.AF_UNIX) as talk:
            talk.settimeout(120)
            talk.connect(str(door))
            talk.sendall(b"CONNECT 1234\n")
            stream = talk.makefile("rb")
            self.assertTrue(stream.readline().startswith(b"OK "))
            threading.Thread(target=lambda: (talk.sendall(data), talk.shutdown(socket.SHUT_WR)), daemon=True).start()
            self.assertEqual(stream.read(len(data)), data)
        guest.expect("echoed 300000 bytes", 30, start)
        self.power_off(guest)

    def test_the_guest_reaches_a_port_of_the_host(self):
        door = self.folder / "vsock"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{door}_5000")
            listener.listen(1)
            guest = self.boot(["cloister-probe"], vsock=door)
            threading.Thread(target=self.answer, args=[listener], daemon=True).start()
            self.assertIn("answer: heard hello", self.run_in(guest, "cloister-probe vsock-ask 5000 hello"))
            self.power_off(guest)

    @staticmethod
    def answer(listener):
        talk, _ = listener.accept()
        with talk:
            line = talk.makefile("rb").readline()
            talk.sendall(b"heard " + line)

    def test_a_port_nobody_listens_on_is_refused(self):
        guest = self.boot(["cloister-probe"], vsock=self.folder / "vsock")
        self.assertNotEqual(guest.shell("cloister-probe vsock-ask 5001 hello 2>&1")[1], 0)
        self.power_off(guest)


class Others(support.GuestCase):
    def test_there_is_entropy(self):
        guest = self.boot()
        first, second = (self.run_in(guest, "head -c 32 /dev/hwrng | md5sum").split()[-2] for _ in range(2))
        self.assertNotEqual(first, second)
        self.power_off(guest)

    def test_the_clock_shows_the_hosts_time(self):
        guest = self.boot()
        told = int(self.run_in(guest, "date +%s").split()[-1])
        self.assertLess(abs(told - time.time()), 30)
        self.power_off(guest)


if __name__ == "__main__":
    support.main()
