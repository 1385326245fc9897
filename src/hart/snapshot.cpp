// SPDX-License-Identifier: Apache-2.0
#include "hart/snapshot.h"

#include <fmt/format.h>

#include "base/check.h"
#include "hart/core.h"
#include "hart/fp.h"

namespace cloister::hart {

Snapshot Hart::snapshot() const {
  const State& s = core_->state;
  const CsrFile& csr = s.csr;
  Snapshot all = {{"pc", s.pc}, {"supervisor", s.supervisor}, {"instructions", instructions()}};
  for (u32 i = 1; i < 32; ++i) all.push_back({fmt::format("x{}", i), s.x[i]});
  for (u32 i = 0; i < 32; ++i) all.push_back({fmt::format("f{}", i), s.f[i]});
  const NamedValue rest[] = {
      {"sstatus", csr.sstatus}, {"sstatus.FS", s.fs},       {"frm", s.frm},
      {"fflags", s.fflags},     {"stvec", csr.stvec},       {"scounteren", csr.scounteren},
      {"senvcfg", csr.senvcfg}, {"sscratch", csr.sscratch}, {"sepc", csr.sepc},
      {"scause", csr.scause},   {"stval", csr.stval},       {"satp", csr.satp},
      {"sie", csr.sie},         {"stimecmp", csr.stimecmp}};
  all.insert(all.end(), std::begin(rest), std::end(rest));
  return all;
}

std::string differences(const Snapshot& tested, const Snapshot& reference) {
  CHECK(tested.size() == reference.size());
  std::string text;
  for (std::size_t i = 0; i < tested.size(); ++i) {
    if (tested[i] == reference[i]) continue;
    text += fmt::format("{:>14} {:#018x}  reference {:#018x}\n", tested[i].name, tested[i].value,
                        reference[i].value);
  }
  return text;
}

}  // namespace cloister::hart
