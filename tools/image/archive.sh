# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Reading Debian's archive for riscv64 from a machine of any kind, without root. To be sourced.
#
# apt itself does the work, with lists, packages and status of its own below $CLOISTER_CACHE/archive; whatever the
# machine's apt is told in apt.conf.d (proxies, retries, dates) holds here as well: our own settings come as the last
# of its parts, for apt reads the file that APT_CONFIG names before them. Where the archive is, the
# machine's own sources say; Debian's archive keyring vouches for what comes.

readonly archive_keyring=/usr/share/keyrings/debian-archive-keyring.gpg

archive_say() { printf 'cloister image: %s\n' "$*" >&2; }
archive_fail() {
  archive_say "$@"
  exit 1
}

# Every archive that the machine's apt reads, one per line: URI SUITE COMPONENTS.
archive_sources() {
  local file
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [[ -r $file ]] || continue
    sed -n -E 's/^deb[ \t]+(\[[^]]*\][ \t]*)?//p' "$file"
  done
  for file in /etc/apt/sources.list.d/*.sources; do
    [[ -r $file ]] || continue
    awk '
      function flush(  i, j) {
        if (types ~ /(^| )deb( |$)/ && enabled != "no")
          for (i in uris) for (j in suites) print uris[i], suites[j], components
        types = components = enabled = ""; split("", uris); split("", suites)
      }
      /^#/ { next }
      /^[ \t]*$/ { flush(); next }
      { key = tolower($1); $1 = ""; sub(/^ /, "") }
      key == "types:" { types = $0 }
      key == "uris:" { split($0, uris, " ") }
      key == "suites:" { split($0, suites, " ") }
      key == "components:" { components = $0 }
      key == "enabled:" { enabled = $0 }
      END { flush() }' "$file"
  done
}

# The URI of Debian's main archive: the one from which this machine's own release comes.
archive_mirror() {
  local release
  release=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-stable}")
  archive_sources | awk -v release="$release" '
    $0 !~ /(^| )main( |$)/ { next }
    $2 == release || $2 ~ /^(stable|testing|trixie)$/ { found[$1 ~ /\/debian\/?$/ ? 1 : 2] = $1 }
    END { if (1 in found) print found[1]; else if (2 in found) print found[2] }'
}

# archive_open CACHE SUITE MIRROR: makes the configuration, and APT_CONFIG name it. MIRROR may be `auto`. Whoever opens it
# too waits for archive_close.
archive_open() {
  archive_dir=$1/archive
  archive_suite=$2
  archive_uri=$3
  [[ -r $archive_keyring ]] || archive_fail "$archive_keyring is missing: install debian-archive-keyring"
  if [[ $archive_uri == auto ]]; then
    archive_uri=$(archive_mirror)
    [[ -n $archive_uri ]] || archive_fail "no Debian archive in this machine's apt sources: name one by --mirror URI"
  fi
  mkdir -p "$archive_dir"
  exec {archive_lock}>"$archive_dir/lock" && flock "$archive_lock" # one at a time works here
  [[ -e $archive_dir/status ]] || : >"$archive_dir/status"
  rm -rf "$archive_dir/etc/parts"
  mkdir -p "$archive_dir"/{lists/partial,packages/partial,etc/parts}
  local part
  for part in /etc/apt/apt.conf.d/* /etc/apt/apt.conf; do
    [[ -r $part ]] && ln -s "$part" "$archive_dir/etc/parts/"
  done
  printf 'Dir::Etc::Parts "%s";\nDir::Etc::Main "/dev/null";\n' "$archive_dir/etc/parts" >"$archive_dir/etc/apt.conf"
  archive_settings >"$archive_dir/etc/parts/zz-cloister.conf"
  export APT_CONFIG=$archive_dir/etc/apt.conf
}

# Lets others work with the archive: what was fetched stays.
archive_close() { exec {archive_lock}>&-; }

archive_settings() {
  cat <<CONF
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Install-Pkgs;
#clear DPkg::Post-Invoke;
#clear APT::Architectures;
APT::Architecture "riscv64";
APT::Architectures { "riscv64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
APT::Get::Assume-Yes "true";
Acquire::Languages "none";
Acquire::Retries "3";
Dir::State "$archive_dir";
Dir::State::lists "$archive_dir/lists";
Dir::State::status "$archive_dir/status";
Dir::State::extended_states "$archive_dir/extended_states";
Dir::Cache "$archive_dir";
Dir::Cache::archives "$archive_dir/packages";
Dir::Cache::pkgcache "packages.bin";
Dir::Cache::srcpkgcache "sources.bin";
Dir::Etc::SourceList "$archive_dir/etc/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::Log "$archive_dir";
CONF
}

archive_write_source() {
  printf 'deb [arch=riscv64 signed-by=%s] %s %s main\n' "$archive_keyring" "$archive_uri" "$1" \
    >"$archive_dir/etc/sources.list"
}

# Reads the lists again. A mirror in the middle of its own update may show a release file and lists that do not belong
# together, which apt rightly refuses. The same release under its alias (`stable`) is then often whole.
archive_update() {
  local name log=$archive_dir/update.log
  for name in "$archive_suite" stable testing; do
    archive_write_source "$name"
    if apt-get -q update >"$log" 2>&1 && archive_codenames | grep -qx "$archive_suite"; then
      printf '%s %s\n' "$archive_uri" "$name" >"$archive_dir/opened"
      return 0
    fi
    [[ $name == "$archive_suite" ]] && cp "$log" "$log.first"
  done
  cat "$log.first" >&2
  archive_fail "cannot read the lists of $archive_suite for riscv64: is the network up? (--mirror URI names another archive)"
}

archive_codenames() { apt-get indextargets --format '$(CODENAME)' 'Created-By: Packages' | sort -u; }

# Makes sure that there are lists; those that are there already are kept (`--refresh` reads them anew).
archive_lists() {
  local uri name
  if [[ -r $archive_dir/opened ]]; then
    read -r uri name <"$archive_dir/opened"
    if [[ $uri == "$archive_uri" ]]; then
      archive_write_source "$name"
      archive_codenames | grep -qx "$archive_suite" && return 0
    fi
  fi
  archive_update
}

# The name under which the mirror gave us the release.
archive_suite_name() { cut -d ' ' -f 2 "$archive_dir/opened"; }

# archive_download PACKAGE…: fetches these packages alone, and prints their files, one path a line.
archive_download() {
  local log=$archive_dir/fetch.log
  (cd "$archive_dir/packages" && apt-get -q download "$@" >"$log" 2>&1) ||
    { cat "$log" >&2; archive_fail "cannot fetch $* (--refresh reads the archive's lists anew)"; }
  apt-get -qq --print-uris download "$@" | sed -n -E "s|^'[^']*' ([^ ]+\.deb) .*|$archive_dir/packages/\1|p"
}

# The real kernel package behind the meta package.
archive_kernel() {
  local kernel
  kernel=$(apt-cache depends linux-image-riscv64 | awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }')
  [[ -n $kernel ]] || archive_fail "the archive has no linux-image-riscv64 in $archive_suite"
  printf '%s\n' "$kernel"
}

# archive_fetch PACKAGE…: fetches what archive_resolve names into $archive_dir/packages.
archive_fetch() {
  local log=$archive_dir/fetch.log
  apt-get -q -d install "$@" >"$log" 2>&1 && return 0
  archive_update # the lists were older than the archive
  apt-get -q -d install "$@" >"$log" 2>&1 && return 0
  cat "$log" >&2
  archive_fail "cannot fetch packages from the archive (see above)"
}
