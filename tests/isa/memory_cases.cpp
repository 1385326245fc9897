// SPDX-License-Identifier: Apache-2.0
#include "isa/cases.h"

namespace cloister::isa_tests {
namespace {

// kLoadBytes: 80 ff 7f 01 02 03 04 f5  11 22 33 44 55 66 77 88
constexpr LoadCase kLoads[] = {
    {Op::lb, 0, ~u64{0x7f}},
    {Op::lb, 2, 0x7f},
    {Op::lbu, 0, 0x80},
    {Op::lbu, 7, 0xf5},
    {Op::lh, 0, ~u64{0x7f}},
    {Op::lh, 2, 0x017f},
    {Op::lh, 6, 0xffffffff'fffff504},
    {Op::lh, 1, 0x7fff},
    {Op::lhu, 0, 0xff80},
    {Op::lhu, 7, 0x11f5},
    {Op::lw, 0, 0x017fff80},
    {Op::lw, 4, 0xffffffff'f5040302},
    {Op::lw, 1, 0x02017fff},
    {Op::lw, 6, 0x2211f504},
    {Op::lwu, 4, 0xf5040302},
    {Op::lwu, 5, 0x11f50403},
    {Op::ld, 0, 0xf5040302'017fff80},
    {Op::ld, 8, 0x88776655'44332211},
    {Op::ld, 3, 0x332211f5'04030201},
    {Op::flw, 0, 0xffffffff'017fff80},
    {Op::flw, 4, 0xffffffff'f5040302},
    {Op::fld, 0, 0xf5040302'017fff80},
    {Op::fld, 8, 0x88776655'44332211},
};

constexpr StoreCase kStores[] = {
    {Op::sb, 0, 0x1234, 0xeeeeeeee'eeeeee34},
    {Op::sb, 7, 0x1234, 0x34eeeeee'eeeeeeee},
    {Op::sh, 0, 0x123456, 0xeeeeeeee'eeee3456},
    {Op::sh, 6, 0x123456, 0x3456eeee'eeeeeeee},
    {Op::sh, 1, 0x3456, 0xeeeeeeee'ee3456ee},
    {Op::sw, 0, 0xaa'12345678, 0xeeeeeeee'12345678},
    {Op::sw, 4, 0xaa'12345678, 0x12345678'eeeeeeee},
    {Op::sw, 3, 0x12345678, 0xee123456'78eeeeee},
    {Op::sd, 0, 0x01234567'89abcdef, 0x01234567'89abcdef},
    {Op::fsw, 0, 0xffffffff'3f800000, 0xeeeeeeee'3f800000},
    {Op::fsw, 4, 0x00000000'3f800000, 0x3f800000'eeeeeeee},
    {Op::fsd, 0, 0x7ff00000'00000001, 0x7ff00000'00000001},
};

// Of a word, memory's upper half stays and the operand's upper half does not count; rd is the old word,
// signed.
constexpr u64 kUp = 0xaaaaaaaa'00000000;
constexpr u64 kSigns = 0xffffffff'00000000;
constexpr u64 kMin = u64{1} << 63;
constexpr u64 kOnes = ~u64{0};
constexpr AmoCase kAmos[] = {
    {Op::amoswap_w, kUp | 0x80000000, 0x7'00000005, kSigns | 0x80000000, kUp | 5},
    {Op::amoswap_w, kUp | 1, 2, 1, kUp | 2},
    {Op::amoadd_w, kUp | 0x7fffffff, 1, 0x7fffffff, kUp | 0x80000000},
    {Op::amoadd_w, kUp | 0xffffffff, 1, kOnes, kUp},
    {Op::amoxor_w, kUp | 0b1100, 0b1010, 0b1100, kUp | 0b0110},
    {Op::amoand_w, kUp | 0b1100, kSigns | 0b1010, 0b1100, kUp | 0b1000},
    {Op::amoor_w, kUp | 0b1100, kSigns | 0b1010, 0b1100, kUp | 0b1110},
    {Op::amomin_w, kUp | 0x80000000, 1, kSigns | 0x80000000, kUp | 0x80000000},
    {Op::amomin_w, kUp | 1, kOnes, 1, kUp | 0xffffffff},
    {Op::amomin_w, kUp | 5, kSigns | 3, 5, kUp | 3},
    {Op::amomax_w, kUp | 0x80000000, 1, kSigns | 0x80000000, kUp | 1},
    {Op::amomax_w, kUp | 1, kOnes, 1, kUp | 1},
    {Op::amominu_w, kUp | 0x80000000, 1, kSigns | 0x80000000, kUp | 1},
    {Op::amominu_w, kUp | 5, kSigns | 7, 5, kUp | 5},
    {Op::amomaxu_w, kUp | 0x7fffffff, 0x80000000, 0x7fffffff, kUp | 0x80000000},
    {Op::amomaxu_w, kUp | 5, kSigns | 3, 5, kUp | 5},
    {Op::amoswap_d, kMin, 5, kMin, 5},
    {Op::amoadd_d, kOnes, 1, kOnes, 0},
    {Op::amoadd_d, 0xffffffff, 1, 0xffffffff, 0x1'00000000},
    {Op::amoxor_d, kMin | 0b1100, 0b1010, kMin | 0b1100, kMin | 0b0110},
    {Op::amoand_d, kMin | 0b1100, 0b1010, kMin | 0b1100, 0b1000},
    {Op::amoor_d, 0b1100, kMin | 0b1010, 0b1100, kMin | 0b1110},
    {Op::amomin_d, kMin, 1, kMin, kMin},
    {Op::amomin_d, 1, kOnes, 1, kOnes},
    {Op::amomax_d, kMin, 1, kMin, 1},
    {Op::amomax_d, 1, kOnes, 1, 1},
    {Op::amominu_d, kMin, 1, kMin, 1},
    {Op::amomaxu_d, kMin - 1, kMin, kMin - 1, kMin},
};

}  // namespace

std::span<const LoadCase> load_cases() { return kLoads; }
std::span<const StoreCase> store_cases() { return kStores; }
std::span<const AmoCase> amo_cases() { return kAmos; }

}  // namespace cloister::isa_tests
