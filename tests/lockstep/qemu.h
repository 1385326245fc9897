// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "lockstep/executor.h"
#include "lockstep/generator.h"

namespace cloister::lockstep {

// The oracle: qemu-riscv64 in user mode, which runs the program as a Linux process.
class Qemu final : public Executor {
 public:
  // Refused: qemu-riscv64 is missing or does not run our programs.
  static Result<std::unique_ptr<Qemu>> create();
  ~Qemu() override;

  const char* name() const override { return "qemu-riscv64"; }
  Result<std::vector<State>> run(const Program& program, const Image& image) override;

  Features features() const { return features_; }

 private:
  explicit Qemu(std::filesystem::path folder);
  // True when the processor option is known and a trivial program ends well under it.
  bool runs_with(const std::string& cpu);

  const std::filesystem::path folder_;
  std::string cpu_ = "rv64,zba=true,zbb=true,zbs=true";
  Features features_;
};

}  // namespace cloister::lockstep
