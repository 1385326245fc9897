#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# cloister image: a bootable disk with a complete Debian root for riscv64, made without root.
#
# The packages are fetched by apt, unpacked below fakeroot and registered with dpkg as unpacked; mkfs.ext4 makes the disk
# of that tree. What must run as riscv64 code, the packages' own scripts, runs afterwards inside a guest
# of ours, on that disk (second-stage). Beside the disk OUT lie OUT.kernel and OUT.initrd, to boot it with.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
neighbours=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/archive.sh"

readonly base_packages=(apt systemd-sysv udev dbus iproute2 iputils-ping netbase kmod ifupdown udhcpc busybox-static)

usage() {
  cat <<'TEXT'
usage: cloister image OUT [FLAGS]
Makes a bootable disk from the Debian archive: OUT, with OUT.kernel and OUT.initrd to boot it by.

  --size SIZE        of the disk, as 4GiB (default 4GiB)
  --include A,B,…    packages to have besides Debian's required ones
  --suite NAME       the release (default trixie)
  --mirror URI       the archive (default: the one this machine's apt uses)
  --hostname NAME    default debian
  --slim             leave out documentation, manual pages and translations
  --cache FOLDER     where fetched packages are kept (default $CLOISTER_CACHE or ~/.cache/cloister)
  --cpus N           harts for the configuration (default 2)
  --unconfigured     do not run the packages' configuration: the first boot must
  --refresh          read the archive's lists anew
TEXT
}

size=4GiB include='' suite=trixie mirror=auto hostname=debian slim=no cpus=2 configure=yes refresh=no out=''
cache=${CLOISTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cloister}

parse() {
  while (($#)); do
    case $1 in
      --size | --include | --suite | --mirror | --hostname | --cache | --cpus)
        (($# > 1)) || archive_fail "$1 needs a value: cloister image --help tells which"
        printf -v "${1#--}" '%s' "$2"
        shift
        ;;
      --slim) slim=yes ;;
      --unconfigured) configure=no ;;
      --refresh) refresh=yes ;;
      --help | -h) usage; exit 0 ;;
      -*) archive_fail "unknown flag $1: cloister image --help lists them" ;;
      *) [[ -z $out ]] || archive_fail "one disk at a time: $out or $1"; out=$1 ;;
    esac
    shift
  done
}

# SIZE in bytes.
bytes() {
  local number=${1%%[!0-9]*} unit=${1##*[0-9]}
  case $unit in
    MiB | M) echo $((number << 20)) ;;
    GiB | G) echo $((number << 30)) ;;
    TiB | T) echo $((number << 40)) ;;
    *) return 1 ;;
  esac
}

check() {
  local program
  [[ -n $out ]] || { usage >&2; exit 2; }
  size_bytes=$(bytes "$size") && ((size_bytes >= 512 << 20)) ||
    archive_fail "size $size: a Debian root needs a number with MiB or GiB, 512MiB or more"
  [[ $include =~ ^[a-z0-9.+,-]*$ ]] || archive_fail "include $include: package names with commas between are expected"
  [[ $hostname =~ ^[a-z0-9][a-z0-9-]*$ ]] || archive_fail "hostname $hostname: lower-case letters, digits and hyphens are expected"
  [[ -d $(dirname "$out") && -w $(dirname "$out") ]] || archive_fail "cannot write in $(dirname "$out"): choose another place for $out"
  for program in fakeroot mkfs.ext4 depmod dpkg-deb python3; do
    PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || archive_fail "$program is missing: install its package"
  done
  engine=${CLOISTER:-$neighbours/cloister}
  [[ $configure == no || -x $engine ]] || archive_fail "$engine is missing: build it, or name the program by \$CLOISTER"
}

# The archive files of these packages and of all they need, one path a line.
package_files() {
  apt-get -qq --print-uris -d install "$@" >/dev/null # names what is wrong before anything is fetched
  archive_fetch "$@"
  apt-get -qq -o Dir::Cache::archives=/nonexistent --print-uris -d install "$@" |
    sed -n -E "s|^'[^']*' ([^ ]+\.deb) .*|$archive_dir/packages/\1|p"
}

make_disk() {
  local kernel package suite_name packages=('?essential' '?priority(required)' "${base_packages[@]}")
  kernel=$(archive_kernel)
  [[ -z $include ]] || IFS=, read -r -a asked <<<"$include"
  archive_say "fetching packages"
  package_files "${packages[@]}" "${asked[@]}" >"$work/packages"
  archive_download "$kernel" busybox-static >"$work/kernel"
  while read -r package; do dpkg-deb -x "$package" "$work/boot"; done <"$work/kernel"
  cp "$work"/boot/boot/vmlinu*-* "$out.kernel"
  python3 "$here/initrd.py" "$out.initrd" --root "$work/boot" --init "$here/init" \
    --module={virtio_mmio,virtio_net,virtio_blk,ext4,virtio_rng,virtio_balloon,9pnet_virtio,9p,vmw_vsock_virtio_transport}
  archive_say "unpacking $(wc -l <"$work/packages") packages"
  rm -f "$out"
  suite_name=$(archive_suite_name)
  archive_close
  fakeroot -- "$here/root.sh" "$work" "$out" "$size_bytes" "$hostname" "$slim" "$archive_uri" "$suite_name"
}

# Runs the packages' own scripts in a guest of ours. The console is kept beside the disk when they fail.
configure_disk() {
  local log=$out.log
  archive_say "configuring the packages in a guest"
  "$engine" run --batch --cpus "$cpus" --memory 1GiB --kernel "$out.kernel" --initrd "$out.initrd" --disk "$out" \
    --append 'console=ttyS0 quiet cloister.run="mount /dev/vda /mnt && chroot /mnt /usr/lib/cloister/second-stage"' \
    </dev/null >"$log" 2>&1 || archive_fail "the guest ended with status $? (see $log)"
  grep -q '^cloister: exit status 0' "$log" || archive_fail "the packages could not be configured (see $log)"
  rm "$log"
}

main() {
  parse "$@"
  check
  PATH=$PATH:/usr/sbin:/sbin
  asked=()
  mkdir -p "$cache"
  archive_open "$cache" "$suite" "$mirror"
  if [[ $refresh == yes ]]; then archive_update; else archive_lists; fi
  work=$(mktemp -d "$cache/image.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  make_disk
  [[ $configure == no ]] || configure_disk
}

main "$@"
