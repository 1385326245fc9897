// SPDX-License-Identifier: Apache-2.0
#include "agent/signs.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "agent/loop.h"
#include "lib/figures.h"

namespace cloister::agent {
namespace {

using guest::figure_in;

constexpr std::uint64_t kPage = 4096;

std::uint64_t stalled_in(const std::string& pressure) {
  constexpr std::string_view kKey = "total=";
  const std::size_t line = pressure.find("some ");
  const std::size_t at = line == std::string::npos ? line : pressure.find(kKey, line);
  return at == std::string::npos ? 0 : std::strtoull(pressure.c_str() + at + kKey.size(), nullptr, 10);
}

int open_to_read(const char* path) { return open(path, O_RDONLY | O_CLOEXEC); }

// Files of /proc are made anew when they are read from the beginning.
std::string whole(int file) {
  std::string text(16384, '\0');
  const ssize_t got = file < 0 ? 0 : pread(file, text.data(), text.size(), 0);
  text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  return text;
}

}  // namespace

Signs signs_in(const std::string& meminfo, const std::string& vmstat, const std::string& pressure) {
  Signs signs;
  signs.total = figure_in(meminfo.c_str(), "MemTotal:") * 1024;
  signs.free = figure_in(meminfo.c_str(), "MemFree:") * 1024;
  signs.available = figure_in(meminfo.c_str(), "MemAvailable:") * 1024;
  signs.swap_total = figure_in(meminfo.c_str(), "SwapTotal:") * 1024;
  signs.swap_free = figure_in(meminfo.c_str(), "SwapFree:") * 1024;
  signs.stalled = stalled_in(pressure);
  signs.swapped_out = figure_in(vmstat.c_str(), "pswpout") * kPage;
  signs.refaulted = (figure_in(vmstat.c_str(), "workingset_refault_anon") +
                     figure_in(vmstat.c_str(), "workingset_refault_file")) *
                    kPage;
  return signs;
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

Signs SignReader::read() {
  Signs signs = signs_in(whole(meminfo_), whole(vmstat_), whole(pressure_));
  signs.time = milliseconds();
  return signs;
}

}  // namespace cloister::agent
