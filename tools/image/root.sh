#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Makes the root file system of an image; to be run below fakeroot, which remembers owners and devices until mkfs.ext4
# has read them.
#
#   root.sh WORK DISK BYTES HOSTNAME SLIM URI SUITE
#
# WORK/packages lists the packages' files, WORK/boot holds the kernel's, unpacked.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$1 disk=$2 bytes=$3 hostname=$4 slim=$5 uri=$6 suite=$7
root=$work/root

# The kernel's modules, and their index, which a guest would take minutes to make.
install_kernel() {
  local version
  mkdir -p "$root/usr/lib/modules" "$root/boot"
  cp -a "$work"/boot/boot/. "$root/boot/"
  cp -a "$work"/boot/usr/lib/modules/. "$root/usr/lib/modules/"
  for version in "$root"/usr/lib/modules/*; do depmod -b "$root" "${version##*/}"; done
}

# The settings of this machine's apt that say how to reach archives hold in the guest as well; there, this machine
# itself is 10.0.2.2.
apt_settings() {
  env -u APT_CONFIG apt-config dump --format '%F "%v";%n' | grep -E '^Acquire::(https?::(Proxy|Timeout)|Check-|Retries)' |
    grep -v '""' | sed -E 's#//(127\.0\.0\.1|localhost)\b#//10.0.2.2#'
}

write_settings() {
  printf '%s\n' "$hostname" >"$root/etc/hostname"
  printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$hostname" >"$root/etc/hosts"
  printf '/dev/vda / ext4 defaults,noatime 0 1\n' >"$root/etc/fstab"
  printf 'nameserver 10.0.2.3\n' >"$root/etc/resolv.conf"
  mkdir -p "$root"/etc/{systemd/network,systemd/system.conf.d,network,apt/sources.list.d,apt/apt.conf.d}
  ln -sf /dev/null "$root/etc/systemd/network/99-default.link" # the card stays eth0
  # On a busy host a guest's boot may take minutes: no reason to give up on its console.
  printf '[Manager]\nDefaultTimeoutStartSec=15min\nDefaultDeviceTimeoutSec=15min\n' >"$root/etc/systemd/system.conf.d/patience.conf"
  printf 'auto lo\niface lo inet loopback\nallow-hotplug eth0\niface eth0 inet dhcp\n' >"$root/etc/network/interfaces"
  printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' "$uri" "$suite" \
    /usr/share/keyrings/debian-archive-keyring.gpg >"$root/etc/apt/sources.list.d/debian.sources"
  apt_settings >"$root/etc/apt/apt.conf.d/90cloister" || true
  install -D -m 755 "$here/second-stage" "$root/usr/lib/cloister/second-stage"
}

if [[ $slim == yes ]]; then
  python3 "$here/unpack.py" "$root" "$work/packages" --slim
  mkdir -p "$root/usr/share/man/man1" # packages' scripts make links there
else
  python3 "$here/unpack.py" "$root" "$work/packages"
fi
install_kernel
write_settings
rm -f "$disk"
truncate -s "$bytes" "$disk"
mkfs.ext4 -q -F -L cloister -d "$root" -E lazy_itable_init=0,lazy_journal_init=0 "$disk" ||
  { echo "cloister image: a disk of $bytes bytes is too small for these packages ($(du -sm "$root" | cut -f 1) MiB): give a larger --size" >&2; exit 1; }
