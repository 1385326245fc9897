#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The small guest: Debian's riscv64 kernel as it is shipped, and an initial RAM file system of busybox and drivers.
#
#   busybox.sh CACHE [--suite S] [--mirror URI] [--refresh]
#
# Leaves Image and initrd in CACHE/busybox-<key>, and prints that folder. The key is made of the package versions and
# of the tools here, so a folder that is there is right and is used as it is.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/archive.sh"

readonly modules=(virtio_mmio virtio_net virtio_blk ext4 virtio_rng virtio_balloon 9pnet_virtio 9p
  vmw_vsock_virtio_transport)

suite=trixie mirror=auto refresh=no
cache=${1:?usage: busybox.sh CACHE [--suite S] [--mirror URI] [--refresh]}
shift
while (($#)); do
  case $1 in
    --suite) suite=$2; shift 2 ;;
    --mirror) mirror=$2; shift 2 ;;
    --refresh) refresh=yes; shift ;;
    *) archive_fail "unknown flag $1: busybox.sh knows --suite, --mirror and --refresh" ;;
  esac
done

key_of() {
  { apt-cache show --no-all-versions "$@" | grep -E '^(Package|Version):'
    cat "$here/init" "$here/initrd.py" "$here/busybox.sh"; } | sha256sum | cut -c 1-16
}

main() {
  archive_open "$cache" "$suite" "$mirror"
  if [[ $refresh == yes ]]; then archive_update; else archive_lists; fi
  local kernel out work package
  kernel=$(archive_kernel)
  out=$cache/busybox-$(key_of "$kernel" busybox-static)
  if [[ ! -e $out/initrd ]]; then
    archive_say "making the busybox guest ($kernel)"
    work=$(mktemp -d "$cache/busybox.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    archive_download "$kernel" busybox-static >"$work/packages"
    while read -r package; do dpkg-deb -x "$package" "$work/root"; done <"$work/packages"
    cp "$work"/root/boot/vmlinu*-* "$work/Image"
    python3 "$here/initrd.py" "$work/initrd" --root "$work/root" --init "$here/init" "${modules[@]/#/--module=}"
    rm -rf "$work/root" "$work/packages"
    chmod 755 "$work"
    mv -T "$work" "$out"
    trap - EXIT
  fi
  printf '%s\n' "$out"
}

main
