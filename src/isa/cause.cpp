// SPDX-License-Identifier: Apache-2.0
#include "isa/cause.h"

namespace cloister::isa {
namespace {

const char* exception_name(Cause cause) {
  switch (cause) {
    case Cause::kFetchMisaligned:
      return "instruction address misaligned";
    case Cause::kFetchAccess:
      return "instruction access fault";
    case Cause::kIllegalInstruction:
      return "illegal instruction";
    case Cause::kBreakpoint:
      return "breakpoint";
    case Cause::kLoadMisaligned:
      return "load address misaligned";
    case Cause::kLoadAccess:
      return "load access fault";
    case Cause::kStoreMisaligned:
      return "store address misaligned";
    case Cause::kStoreAccess:
      return "store access fault";
    case Cause::kUserCall:
      return "environment call from U-mode";
    case Cause::kSupervisorCall:
      return "environment call from S-mode";
    case Cause::kFetchPage:
      return "instruction page fault";
    case Cause::kLoadPage:
      return "load page fault";
    case Cause::kStorePage:
      return "store page fault";
  }
  return "unknown";
}

const char* interrupt_name(InterruptCause cause) {
  switch (cause) {
    case InterruptCause::kSoftware:
      return "supervisor software interrupt";
    case InterruptCause::kTimer:
      return "supervisor timer interrupt";
    case InterruptCause::kExternal:
      return "supervisor external interrupt";
  }
  return "unknown";
}

}  // namespace

const char* cause_name(u64 scause) {
  const u64 number = scause & ~kInterruptBit;
  if (number > 255) return "unknown";
  return scause == number ? exception_name(static_cast<Cause>(number))
                          : interrupt_name(static_cast<InterruptCause>(number));
}

}  // namespace cloister::isa
