// SPDX-License-Identifier: Apache-2.0
#include "isa/csr.h"

namespace cloister::isa {

std::optional<std::string_view> csr_name(u32 number) {
  switch (number) {
#define CSR(name, value) \
  case value:            \
    return #name;
#include "isa/csr.inc"
#undef CSR
    default:
      return std::nullopt;
  }
}

}  // namespace cloister::isa
