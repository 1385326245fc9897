// SPDX-License-Identifier: Apache-2.0
#include "agent/signs.h"

#include <fcntl.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "agent/loop.h"
#include "lib/figures.h"

namespace cloister::agent {
namespace {

using guest::figure_in;

constexpr std::uint64_t kPage = 4096;

int open_to_read(const char* path) { return open(path, O_RDONLY | O_CLOEXEC); }

}  // namespace

// Available is what is free, less what the kernel keeps, and the file cache and reclaimable slabs but for a
// part of them: so what is missing to the sum of these is no less than what it keeps.
void read_memory(const char* meminfo, Signs& signs) {
  const auto bytes = [&](const char* key) { return figure_in(meminfo, key) * 1024; };
  signs.total = bytes("MemTotal:");
  signs.free = bytes("MemFree:");
  signs.available = bytes("MemAvailable:");
  const std::uint64_t sum =
      signs.free + bytes("Active(file):") + bytes("Inactive(file):") + bytes("KReclaimable:");
  signs.kept = sum > signs.available ? sum - signs.available : 0;
  signs.swap_total = bytes("SwapTotal:");
  signs.swap_free = bytes("SwapFree:");
}

void read_traffic(const char* vmstat, Signs& signs) {
  const auto bytes = [&](const char* key) { return figure_in(vmstat, key) * kPage; };
  signs.swapped_out = bytes("pswpout");
  signs.refaulted = bytes("workingset_refault_anon") + bytes("workingset_refault_file");
  signs.missed = bytes("workingset_activate_anon") + bytes("workingset_activate_file");
}

void read_stalls(const char* pressure, Signs& signs) {
  constexpr char kKey[] = "total=";
  const char* line = std::strstr(pressure, "some ");
  const char* at = line == nullptr ? nullptr : std::strstr(line, kKey);
  signs.stalled = at == nullptr ? 0 : std::strtoull(at + sizeof kKey - 1, nullptr, 10);
}

std::uint64_t free_memory() {
  struct sysinfo all = {};
  return sysinfo(&all) == 0 ? std::uint64_t{all.freeram} * all.mem_unit : 0;
}

SignReader::SignReader()
    : meminfo_(open_to_read("/proc/meminfo")),
      vmstat_(open_to_read("/proc/vmstat")),
      pressure_(open_to_read("/proc/pressure/memory")) {}

SignReader::~SignReader() {
  for (const int file : {meminfo_, vmstat_, pressure_}) {
    if (file >= 0) close(file);
  }
}

// Files of /proc are made anew when they are read from the beginning.
const char* SignReader::whole(int file) {
  const ssize_t got = file < 0 ? 0 : pread(file, text_, sizeof text_ - 1, 0);
  text_[got < 0 ? 0 : got] = '\0';
  return text_;
}

Signs SignReader::read(Extent extent) {
  signs_.time = milliseconds();
  read_memory(whole(meminfo_), signs_);
  if (extent == Extent::kMemory) return signs_;
  read_traffic(whole(vmstat_), signs_);
  read_stalls(whole(pressure_), signs_);
  signs_.counted = signs_.time;
  return signs_;
}

}  // namespace cloister::agent
