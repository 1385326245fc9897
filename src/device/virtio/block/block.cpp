// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/block/block.h"

#include <cstddef>
#include <utility>

#include "base/check.h"
#include "device/virtio/drain.h"

namespace cloister::device::virtio {
namespace {

// virtio 1.2, 5.2.3
constexpr u64 kSegmentsMax = u64{1} << 2;
constexpr u64 kReadOnly = u64{1} << 5;
constexpr u64 kBlockSize = u64{1} << 6;
constexpr u64 kFlush = u64{1} << 9;
constexpr u64 kTopology = u64{1} << 10;
constexpr u64 kConfigWriteCache = u64{1} << 11;
constexpr u64 kDiscard = u64{1} << 13;
constexpr u64 kWriteZeroes = u64{1} << 14;

// virtio 1.2, 5.2.4
struct BlockConfig {
  u64 capacity;  // sectors
  u32 size_max;
  u32 seg_max;
  u16 cylinders;
  u8 heads;
  u8 sectors;
  u32 blk_size;
  u8 physical_block_exp;
  u8 alignment_offset;
  u16 min_io_size;
  u32 opt_io_size;
  u8 writeback;
  u8 unused0;
  u16 num_queues;
  u32 max_discard_sectors;
  u32 max_discard_seg;
  u32 discard_sector_alignment;
  u32 max_write_zeroes_sectors;
  u32 max_write_zeroes_seg;
  u8 write_zeroes_may_unmap;
  u8 unused1[3];
};
static_assert(offsetof(BlockConfig, writeback) == 32 && offsetof(BlockConfig, write_zeroes_may_unmap) == 56);

// The host's page is what it reads and writes at least; an overlay's cluster is what it copies at first.
constexpr u32 kPageSectors = kPageSize >> kSectorShift;
constexpr u32 kClusterSectors = 64 * kKiB >> kSectorShift;

BlockConfig config_of(const DiskImage& image, bool write_back) {
  BlockConfig config{};
  config.capacity = image.size().raw >> kSectorShift;
  config.seg_max = Block::kMaxSegments;
  config.blk_size = kSectorSize;
  config.physical_block_exp = 3;  // 2^3 sectors are a page
  config.min_io_size = kPageSectors;
  config.opt_io_size = kClusterSectors;
  config.writeback = write_back ? 1 : 0;
  config.num_queues = 1;
  config.max_discard_sectors = config.max_write_zeroes_sectors = RequestServer::kMaxDiscardSectors;
  config.max_discard_seg = config.max_write_zeroes_seg = RequestServer::kMaxDiscardSegments;
  config.discard_sector_alignment = kPageSectors;
  config.write_zeroes_may_unmap = 1;
  return config;
}

}  // namespace

Result<std::unique_ptr<Block>> Block::create(std::unique_ptr<DiskImage> image, std::string name,
                                             BlockExecution execution) {
  std::unique_ptr<Block> block(new Block(std::move(image), std::move(name), execution));
  const u32 workers = execution == BlockExecution::kThreads ? kWorkers : 0;
  for (u32 i = 0; i < workers; ++i) {
    const std::string title = fmt::format("{}-{}", block->name(), i);
    block->workers_.push_back(TRY(os::Thread::start(title, [raw = block.get()] { raw->work(); })));
  }
  return block;
}

Block::Block(std::unique_ptr<DiskImage> image, std::string name, BlockExecution execution)
    : server_(std::move(image), std::move(name)), execution_(execution) {}

Block::~Block() {
  {
    MutexLock lock(mutex_);
    CHECK(port_ == nullptr);
    closing_ = true;
    work_.notify_all();
  }
  workers_.clear();
}

u64 Block::features() const {
  constexpr u64 kAlways = kSegmentsMax | kBlockSize | kFlush | kTopology | kConfigWriteCache;
  return kAlways | (server_.image().read_only() ? kReadOnly : kDiscard | kWriteZeroes);
}

void Block::read_config(u32 offset, std::span<std::byte> to) {
  MutexLock lock(mutex_);
  copy_config(config_of(server_.image(), write_back_), offset, to);
}

void Block::write_config(u32 offset, std::span<const std::byte> from) {
  MutexLock lock(mutex_);
  if (cache_choice_ && offset == offsetof(BlockConfig, writeback) && from.size() == 1) {
    set_cache(from[0] != std::byte{0});
  }
}

void Block::set_cache(bool write_back) {
  write_back_ = write_back;
  server_.set_write_through(!write_back);
}

// 5.2.6.2: a driver that cannot flush must find its writes on the disk.
void Block::activate(Port& port, u64 negotiated) {
  MutexLock lock(mutex_);
  CHECK(port_ == nullptr && busy_ == 0);
  port_ = &port;
  cache_choice_ = (negotiated & kConfigWriteCache) != 0;
  if ((negotiated & kFlush) == 0) set_cache(false);
}

void Block::reset() {
  MutexLock lock(mutex_);
  port_ = nullptr;
  while (busy_ > 0) idle_.wait(mutex_);
  set_cache(true);
}

void Block::notify(u32) {
  MutexLock lock(mutex_);
  if (execution_ == BlockExecution::kInline) return serve_inline();
  work_.notify_one();
}

// -- In the caller ------------------------------------------------------------------------------------

void Block::serve_inline() {
  Port& port = *port_;
  drain(port, 0, [&](Chain& chain) {
    if (!server_.serve(chain)) port.fail("a block request has no room for its status");
  });
}

// -- By workers ---------------------------------------------------------------------------------------

void Block::work() {
  MutexLock lock(mutex_);
  while (auto chain = wait_for_request()) {
    Port& port = *port_;  // stays until busy_ is 0
    ++busy_;
    serve(*chain, port);
    if (--busy_ == 0) idle_.notify_all();
  }
}

void Block::serve(Chain& chain, Port& port) {
  if (!port.queue(0).empty()) work_.notify_one();  // that one is for another worker
  mutex_.unlock();
  const bool served = server_.serve(chain);
  mutex_.lock();
  port.queue(0).push(chain);
  port.signal_used(0);
  if (!served) port.fail("a block request has no room for its status");
}

std::optional<Chain> Block::wait_for_request() {
  while (!closing_) {
    if (auto chain = take()) return chain;
    work_.wait(mutex_);
  }
  return std::nullopt;
}

// With all workers busy nobody wants to be told: who is done looks here. Else, what came just before the
// asking is seen by the second look.
std::optional<Chain> Block::take() {
  if (port_ == nullptr) return std::nullopt;
  Queue& queue = port_->queue(0);
  auto chain = queue.pop();
  queue.enable_notification(!chain || busy_ + 1 < kWorkers);
  return chain ? std::move(chain) : queue.pop();
}

}  // namespace cloister::device::virtio
