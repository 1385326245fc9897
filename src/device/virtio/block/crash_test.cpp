// SPDX-License-Identifier: Apache-2.0
// What a guest was told is flushed survives the cell's death at any moment.
//
// A child writes through the whole device (rings, workers, image) in batches of concurrent requests, flushes
// now and then, notes in a journal file what was begun and what was acknowledged, and is killed by SIGKILL at
// a random moment. The parent knows from the seed what each batch wrote. It opens the disk again and looks at
// every sector: it must hold one whole write of a batch that is not older than the last flushed one there,
// and not of a batch that was never begun. Then another child goes on with the same disk. Where the disk is
// an overlay, some writes are of pages of a balloon value, which it keeps as bits.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <random>
#include <thread>

#include "base/os/file.h"
#include "base/random.h"
#include "device/virtio/block/block.h"
#include "device/virtio/block/overlay_format.h"
#include "device/virtio/testing/guest.h"

namespace cloister::device::virtio {
namespace {

using testing::Guest;

constexpr u64 kSectors = 3000;
constexpr u64 kBatches = 300;  // more than a child lives to do
constexpr u64 kMaxSectors = 40;
constexpr u32 kTypeOut = 1, kTypeFlush = 4;

// What a sector holds: words of this, 0 for the base's zeros.
using Stamp = u64;

struct Write {
  u64 sector;
  u64 count;
  Stamp stamp;
  bool value = false;  // whole pages of it
};

struct Batch {
  std::vector<Write> writes;
  bool flush_after;
};

// Stamps tell the batch: they count upward in its hundred.
constexpr u64 batch_of(Stamp stamp) { return stamp / 100; }

constexpr u64 kPageSectors = kPageSize / kSectorSize;
constexpr u64 kSectorWords = kSectorSize / sizeof(Stamp);

// One page of the balloon value, and what a sector of such pages holds.
std::vector<Stamp> value_page() {
  std::vector<Stamp> words(kPageSize / sizeof(Stamp));
  std::fill_n(words.begin(), sizeof(OverlayMark) / sizeof(Stamp), 0x5ec'2e75);
  return words;
}
bool is_value_sector(u64 sector, std::span<const Stamp> words) {
  static const std::vector<Stamp> kPage = value_page();
  const u64 first = sector % kPageSectors * kSectorWords;
  return std::equal(words.begin(), words.end(), kPage.begin() + static_cast<std::ptrdiff_t>(first));
}

Write plan_write(Random& random, Stamp stamp, bool values) {
  if (values && random.one_in(2)) {
    const u64 pages = 1 + random.below(kMaxSectors / kPageSectors);
    return {random.below(kSectors / kPageSectors - pages) * kPageSectors, pages * kPageSectors, stamp, true};
  }
  const u64 count = 1 + random.below(kMaxSectors);
  return {random.below(kSectors - count), count, stamp};
}

std::vector<Batch> plan(u64 seed, bool values) {
  Random random(seed);
  std::vector<Batch> batches(kBatches);
  for (u64 number = 1; number < kBatches; ++number) {
    Batch& batch = batches[number];
    for (u64 i = 0; i <= random.below(8); ++i)
      batch.writes.push_back(plan_write(random, number * 100 + i, values));
    batch.flush_after = random.one_in(3);
  }
  return batches;
}

// Two numbers in a file: the page cache keeps them when their writer dies.
class Journal {
 public:
  explicit Journal(const std::string& path) : file_(os::File::open(path, os::Open::kCreate).take()) {}
  void note_begun(u64 batch) { put(0, batch); }
  void note_flushed(u64 batch) { put(8, batch); }
  u64 begun() const { return get(0); }
  u64 flushed() const { return get(8); }

 private:
  void put(u64 at, u64 value) { CHECK(file_.write_at(at, std::as_bytes(std::span(&value, 1))).ok()); }
  u64 get(u64 at) const {
    u64 value = 0;
    (void)file_.read_at(at, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  os::File file_;
};

class Writer {
 public:
  explicit Writer(const DiskPlace& place)
      : device_(Block::create(open_disk(place).take(), "disk0", BlockExecution::kThreads).take()),
        guest_(*device_) {
    device_->expect_value(std::as_bytes(std::span(value_)));
  }

  void run(const Batch& batch) {
    guest_.reset();
    guest_.start(kVersion1 | kPackedRing | kEventIndex | 1 << 9);
    for (const Write& write : batch.writes) {
      std::vector<Stamp> words(write.count * kSectorWords, write.stamp);
      for (std::size_t at = 0; write.value && at < words.size(); at += value_.size())
        std::copy(value_.begin(), value_.end(), words.begin() + static_cast<std::ptrdiff_t>(at));
      const auto bytes = std::as_bytes(std::span(words));
      submit(kTypeOut, write.sector, {{guest_.place(bytes), static_cast<u32>(bytes.size())}});
    }
    for (std::size_t i = 0; i < batch.writes.size(); ++i) guest_.wait_used(0);
  }
  void flush() {
    submit(kTypeFlush, 0, {});
    guest_.wait_used(0);
    CHECK(guest_.bytes_at(status_, 1)[0] == std::byte{0});
  }

 private:
  void submit(u32 type, u64 sector, std::vector<Segment> data) {
    const u64 header[2] = {type, sector};
    data.insert(data.begin(), {guest_.place(std::as_bytes(std::span(header))), sizeof(header)});
    status_ = guest_.place("?");
    guest_.submit(0, {std::move(data), {{status_, 1}}, {}});
  }

  const std::vector<Stamp> value_ = value_page();
  std::unique_ptr<Block> device_;
  Guest guest_;
  GuestPhys status_;
};

[[noreturn]] void live_and_die(const DiskPlace& place, Journal& journal, const std::vector<Batch>& batches,
                               std::chrono::microseconds life) {
  const u64 first = journal.begun() + 1;
  Writer writer(place);
  std::thread killer([life] {
    std::this_thread::sleep_for(life);
    std::raise(SIGKILL);
  });
  for (u64 number = first; number < kBatches; ++number) {
    journal.note_begun(number);
    writer.run(batches[number]);
    if (!batches[number].flush_after) continue;
    writer.flush();
    journal.note_flushed(number);
  }
  killer.join();
  std::abort();
}

// What must be on a disk after some lives: all batches up to the last flush, without those that an earlier
// life took with it.
class Expectation {
 public:
  explicit Expectation(const std::vector<Batch>& batches) : batches_(batches), lost_(batches.size()) {}

  // For each sector the newest batch that must be there.
  std::vector<u64> oldest_allowed(u64 flushed) const {
    std::vector<u64> floor(kSectors);
    for (u64 number = 1; number <= flushed; ++number) {
      if (!lost_[number]) mark(floor, number);
    }
    return floor;
  }
  void note_death(u64 flushed, u64 begun) {
    for (u64 number = flushed + 1; number <= begun; ++number) lost_[number] = true;
  }

 private:
  void mark(std::vector<u64>& floor, u64 number) const {
    for (const Write& write : batches_[number].writes) {
      std::fill_n(floor.begin() + static_cast<std::ptrdiff_t>(write.sector), write.count, number);
    }
  }

  const std::vector<Batch>& batches_;
  std::vector<bool> lost_;
};

bool wrote(const Batch& batch, u64 sector, Stamp stamp) {
  return std::any_of(batch.writes.begin(), batch.writes.end(), [&](const Write& write) {
    return !write.value && write.stamp == stamp && sector >= write.sector &&
           sector - write.sector < write.count;
  });
}

// Whether a batch from `floor` to `begun` wrote the value there.
bool wrote_value(const std::vector<Batch>& batches, u64 sector, u64 floor, u64 begun) {
  return std::any_of(batches.begin() + static_cast<std::ptrdiff_t>(floor),
                     batches.begin() + static_cast<std::ptrdiff_t>(begun + 1), [&](const Batch& batch) {
                       return std::any_of(batch.writes.begin(), batch.writes.end(), [&](const Write& write) {
                         return write.value && sector >= write.sector && sector - write.sector < write.count;
                       });
                     });
}

void check_disk(DiskImage& disk, const std::vector<Batch>& batches, const std::vector<u64>& floor,
                u64 begun) {
  for (u64 sector = 0; sector < kSectors; ++sector) {
    Stamp words[kSectorSize / 8];
    ASSERT_TRUE(disk.read(sector * kSectorSize, std::as_writable_bytes(std::span(words))).ok());
    if (is_value_sector(sector, words) && wrote_value(batches, sector, floor[sector], begun)) continue;
    const Stamp stamp = words[0];
    ASSERT_TRUE(std::all_of(std::begin(words), std::end(words), [&](Stamp word) { return word == stamp; }));
    ASSERT_GE(batch_of(stamp), floor[sector]) << "sector " << sector << " lost what was flushed";
    ASSERT_LE(batch_of(stamp), begun) << "sector " << sector;
    ASSERT_TRUE(stamp == 0 || wrote(batches[batch_of(stamp)], sector, stamp)) << "sector " << sector;
  }
}

class BlockCrash : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(RawAndOverlay, BlockCrash, ::testing::Bool());

TEST_P(BlockCrash, WhatWasFlushedIsThereAfterSigkill) {
  const std::string folder = ::testing::TempDir() + (GetParam() ? "crash_overlay" : "crash_raw");
  std::random_device entropy;
  for (int round = 0; round < 12; ++round) {
    const u64 seed = entropy();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::filesystem::remove_all(folder);
    std::filesystem::create_directory(folder);
    const DiskPlace place{folder + "/base", GetParam() ? folder + "/overlay" : "", false};
    ASSERT_TRUE(
        os::File::open(place.path, os::Open::kCreate).take().resize(Bytes{kSectors * kSectorSize}).ok());
    const auto batches = plan(seed, GetParam());
    Journal journal(folder + "/journal");
    Expectation expectation(batches);
    for (u64 life = 0; life < 3; ++life) {
      const std::chrono::microseconds length(500 + Random(seed + life).below(30'000));
      ASSERT_EXIT(live_and_die(place, journal, batches, length), ::testing::KilledBySignal(SIGKILL), "");
      const auto floor = expectation.oldest_allowed(journal.flushed());
      check_disk(*open_disk(place).take(), batches, floor, journal.begun());
      expectation.note_death(journal.flushed(), journal.begun());
      if (HasFatalFailure()) return;
    }
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace cloister::device::virtio
