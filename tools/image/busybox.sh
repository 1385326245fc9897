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

# The real kernel package behind the meta package.
kernel_package() {
  apt-cache depends linux-image-riscv64 | awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }'
}

key_of() {
  { apt-cache show --no-all-versions "$@" | grep -E '^(Package|Version):'
    cat "$here/init" "$here/initrd.py" "$here/busybox.sh"; } | sha256sum | cut -c 1-16
}

unpack() {
  local package
  mkdir -p "$1"
  for package in "${@:2}"; do
    dpkg-deb -x "$(ls "$archive_dir"/packages/"${package}"_*.deb | tail -n 1)" "$1"
  done
}

main() {
  archive_open "$cache" "$suite" "$mirror"
  if [[ $refresh == yes ]]; then archive_update; else archive_lists; fi
  local kernel out work
  kernel=$(kernel_package)
  [[ -n $kernel ]] || archive_fail "the archive has no linux-image-riscv64 in $suite"
  out=$cache/busybox-$(key_of "$kernel" busybox-static)
  if [[ ! -e $out/initrd ]]; then
    archive_say "making the busybox guest ($kernel)"
    (cd "$archive_dir/packages" && apt-get -q download "$kernel" busybox-static >"$archive_dir/fetch.log" 2>&1) ||
      { cat "$archive_dir/fetch.log" >&2; archive_fail "cannot fetch $kernel and busybox-static (--refresh reads new lists)"; }
    work=$(mktemp -d "$cache/busybox.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    unpack "$work/root" "$kernel" busybox-static
    cp "$work"/root/boot/vmlinu*-* "$work/Image"
    python3 "$here/initrd.py" "$work/initrd" --root "$work/root" --init "$here/init" "${modules[@]/#/--module=}"
    rm -rf "$work/root"
    chmod 755 "$work"
    mv -T "$work" "$out"
    trap - EXIT
  fi
  printf '%s\n' "$out"
}

main
