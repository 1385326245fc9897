// SPDX-License-Identifier: Apache-2.0
#include "lockstep/qemu.h"

#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "base/check.h"
#include "lockstep/elf.h"

namespace cloister::lockstep {
namespace {

namespace fs = std::filesystem;

void write_file(const fs::path& path, std::span<const std::byte> bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

std::vector<std::byte> read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(file), {}};
  const auto* bytes = reinterpret_cast<const std::byte*>(content.data());
  return {bytes, bytes + content.size()};
}

int run_command(const std::string& cpu, const fs::path& program, const fs::path& output) {
  const std::string command = fmt::format("timeout 900 qemu-riscv64 -cpu {} {} > {} 2> /dev/null", cpu,
                                          program.string(), output.string());
  return std::system(command.c_str());
}

}  // namespace

Result<std::unique_ptr<Qemu>> Qemu::create() {
  std::string name = (fs::temp_directory_path() / "cloister-lockstep-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr)
    return error("{}: cannot make a folder there; set TMPDIR to one that allows it", name);
  std::unique_ptr<Qemu> qemu(new Qemu(name));
  if (!qemu->runs_with(qemu->cpu_))
    return error(
        "qemu-riscv64 is missing or too old for -cpu {}: install the package qemu-user (7.2 or newer)",
        qemu->cpu_);
  qemu->features_.zicond = qemu->runs_with(qemu->cpu_ + ",zicond=true");
  if (qemu->features_.zicond) qemu->cpu_ += ",zicond=true";
  return qemu;
}

Qemu::Qemu(fs::path folder) : folder_(std::move(folder)) {}

Qemu::~Qemu() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

bool Qemu::runs_with(const std::string& cpu) {
  const Image image = link({});
  write_file(folder_ / "program", elf_of(image));
  fs::permissions(folder_ / "program", fs::perms::owner_all);
  return run_command(cpu, folder_ / "program", folder_ / "states") == 0;
}

Result<std::vector<State>> Qemu::run(const Program&, const Image& image) {
  write_file(folder_ / "program", elf_of(image));
  const int status = run_command(cpu_, folder_ / "program", folder_ / "states");
  const std::vector<std::byte> states = read_file(folder_ / "states");
  if (status != 0 || states.size() != area_bytes(image))
    return error("qemu-riscv64 ended with status {:#x} after {} of {} bytes", status, states.size(),
                 area_bytes(image));
  return states_in(states, image.states);
}

}  // namespace cloister::lockstep
