// SPDX-License-Identifier: Apache-2.0
#include "lockstep/elf.h"

#include <elf.h>

#include <algorithm>
#include <cstring>

namespace cloister::lockstep {
namespace {

Elf64_Ehdr file_header() {
  Elf64_Ehdr header = {};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_EXEC;
  header.e_machine = EM_RISCV;
  header.e_version = EV_CURRENT;
  header.e_entry = kImageBase;
  header.e_phoff = sizeof(Elf64_Ehdr);
  header.e_flags = EF_RISCV_RVC | EF_RISCV_FLOAT_ABI_DOUBLE;
  header.e_ehsize = sizeof(Elf64_Ehdr);
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 1;
  return header;
}

Elf64_Phdr segment(const Image& image) {
  Elf64_Phdr header = {};
  header.p_type = PT_LOAD;
  header.p_flags = PF_R | PF_W | PF_X;
  header.p_offset = kPageSize;
  header.p_vaddr = kImageBase;
  header.p_paddr = kImageBase;
  header.p_filesz = image.bytes.size();
  header.p_memsz = image.bytes.size();
  header.p_align = kPageSize;
  return header;
}

}  // namespace

std::vector<std::byte> elf_of(const Image& image) {
  const Elf64_Ehdr file = file_header();
  const Elf64_Phdr program = segment(image);
  std::vector<std::byte> bytes(kPageSize + image.bytes.size());
  std::memcpy(&bytes[0], &file, sizeof file);
  std::memcpy(&bytes[sizeof file], &program, sizeof program);
  std::copy(image.bytes.begin(), image.bytes.end(), bytes.begin() + kPageSize);
  return bytes;
}

}  // namespace cloister::lockstep
