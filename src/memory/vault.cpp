// SPDX-License-Identifier: Apache-2.0
#include "memory/vault.h"

#include "base/os/mem_file.h"
#include "base/size.h"

namespace cloister::memory {

Result<Vault> Vault::map(os::Fd file, Pages capacity) {
  if (capacity.raw == 0 || capacity.raw > u64{1} << 32)
    return error("a vault of {} pages cannot be: from 1 to 2^32", capacity.raw);
  if (TRY(os::is_writable(file)))
    return error("the vault could be written through this descriptor: hand out a read-only one");
  const Bytes size = TRY(os::size_of(file));
  if (size < bytes_of(capacity)) {
    return error("the vault has {}, and {} are to be mapped: hand out the file of that size",
                 format_size(size), format_size(bytes_of(capacity)));
  }
  return Vault(TRY(os::Mapping::shared(file, 0, bytes_of(capacity), os::Protection::kRead)));
}

}  // namespace cloister::memory
