// SPDX-License-Identifier: Apache-2.0
#include "machine/board.h"

#include <algorithm>

#include "base/check.h"
#include "base/os/entropy.h"
#include "base/os/heap.h"
#include "machine/address_map.h"
#include "machine/device_tree.h"

namespace cloister::machine {
namespace {

constexpr u64 kDiscardBatch = 64 * 1024;  // pages
constexpr u32 kA0 = 10;
constexpr u64 kHartsHeap = 5 * kMiB / 4;  // what a hart begins with: its TLB, and where blocks are found

// What guest programs may call for. Figures of the host differ from run to run, so not in deterministic mode.
u32 features_of(const MachineConfig& config) {
  if (config.deterministic) return 0;
  return (config.balloon_calls ? u32{CLOISTER_FEATURE_BALLOON | CLOISTER_FEATURE_FILL} : 0) |
         (config.condition_calls ? u32{CLOISTER_FEATURE_CONDITION} : 0);
}

// Until somebody tells more of it: a machine that has what it was made with.
cloister_condition condition_of(Bytes memory) {
  cloister_condition record{};
  record.version = CLOISTER_ABI_VERSION;
  record.level = CLOISTER_AMPLE;
  record.configured = record.entitlement = record.target = record.available = memory.raw;
  return record;
}

class HartsMemory final : public CallerMemory {
 public:
  explicit HartsMemory(hart::Hart& hart) : hart_(hart) {}
  void pages_to_write(GuestVirt va, std::span<std::optional<Gpn>> pages,
                      const std::function<void()>& then) override {
    hart_.pages_to_write(va, pages, then);
  }

 private:
  hart::Hart& hart_;
};

void fill_seed(std::span<std::byte> seed, std::optional<u64> deterministic) {
  if (!deterministic) return os::fill_random(seed);
  Random random(*deterministic);
  for (std::byte& byte : seed) byte = static_cast<std::byte>(random.below(256));
}

}  // namespace

Board::Board(const MachineConfig& config, Clock& clock, std::unique_ptr<memory::GuestMemory> memory,
             std::unique_ptr<os::EventLoop> loop, BootFiles files, Translators translators)
    : config_(config),
      clock_(clock),
      memory_(std::move(memory)),
      loop_(std::move(loop)),
      files_(std::move(files)),
      harts_(std::move(translators), *memory_, *this, hart_options(config)),
      sbi_(*this),
      hypercall_(*memory_, features_of(config)) {
  memory_->condition().write(condition_of(config.memory));
}

Result<std::unique_ptr<Board>> Board::create(const MachineConfig& config, device::ConsoleSink& console,
                                             Clock& clock) {
  TRY(check_config(config));
  BootFiles files = TRY(BootFiles::open(config.kernel, config.initrd));
  auto memory = TRY(memory::GuestMemory::create(kMemoryBase, config.memory));
  auto loop = TRY(os::EventLoop::create());
  auto translators = TRY(make_translators(config));
  os::prepare_heap({config.cpus * kHartsHeap});
  auto board = std::unique_ptr<Board>(
      new Board(config, clock, std::move(memory), std::move(loop), std::move(files), std::move(translators)));
  TRY(board->add_peripherals(console));
  TRY(board->prepare_boot());
  return board;
}

Result<void> Board::add_peripherals(device::ConsoleSink& console) {
  const auto interrupt = [this](u32 context, bool high) {
    harts_[context].hart.set_interrupt(hart::Interrupt::kExternal, high);
  };
  peripherals_ = TRY(Peripherals::create(config_, {*memory_, *loop_, console, *this, interrupt}));
  return {};
}

// Reads the boot files and sees that they fit, so that what is wrong is told before the guest starts.
Result<void> Board::prepare_boot() {
  content_ = TRY(files_.read());
  placement_ = TRY(place(*content_, config_.memory));
  TRY(device_tree());
  return {};
}

Result<std::vector<std::byte>> Board::device_tree() {
  BoardPlan plan;
  plan.harts = config_.cpus;
  plan.memory = config_.memory;
  plan.uart = config_.console == ConsoleKind::kUart;
  plan.virtio_devices = peripherals_->virtio_devices();
  plan.bootargs = config_.append;
  plan.initrd = placement_.initrd;
  plan.initrd_size = Bytes{content_->initrd.size()};
  fill_seed(plan.seed, config_.deterministic);
  return make_device_tree(plan);
}

Result<void> Board::power_on() {
  if (!content_) {  // not for the first time
    TRY(prepare_boot());
    clear_memory();
  }
  TRY(load(*content_, placement_, TRY(device_tree()), *memory_));
  content_.reset();
  power_.power_on();
  clock_.power_on();
  sbi_.reset();
  harts_.reset();
  CHECK(harts_.start(0, placement_.kernel, placement_.tree.raw));
  return {};
}

void Board::power_off() {
  peripherals_->bus().reset();
  alarm_ = kNever;
}

// Gives the frames back first; what somebody still held then is cleared.
void Board::clear_memory() {
  const u64 first = gpn_of(memory_->base()).raw;
  const u64 end = first + memory_->size().raw / kPageSize;
  std::vector<Gpn> batch;
  for (u64 page = first; page < end; page += kDiscardBatch) {
    batch.clear();
    for (u64 each = page; each < std::min(end, page + kDiscardBatch); ++each) batch.push_back(Gpn{each});
    (void)memory_->discard(batch);
  }
  CHECK(memory_->fill_zero(memory_->base(), memory_->size()));
}

// As samplers and reclaimers do it, but much more often. Low addresses are more likely: the kernel is there.
void Board::shoot_down_some() {
  constexpr u64 kSome = 32, kMoreThanAreNamed = 600;
  Random random(shots_.fetch_add(1));
  const u64 count = memory_->size().raw / kPageSize;
  std::vector<Gpn> pages(random.one_in(8) ? kMoreThanAreNamed : kSome);
  for (Gpn& page : pages) page = Gpn{gpn_of(memory_->base()).raw + random.below(random.below(count) + 1)};
  (void)memory_->take_touched(pages);
}

void Board::end(PowerEvent event) {
  power_.request(event);
  harts_.request_exit();
}

void Board::stop() {
  power_.stop();
  harts_.request_exit();
}

// -- What harts ask for

bool Board::device_load(GuestPhys address, u32 size, u64& value) {
  return peripherals_->bus().load(address, size, value);
}

bool Board::device_store(GuestPhys address, u32 size, u64 value) {
  return peripherals_->bus().store(address, size, value);
}

void Board::supervisor_call(hart::Hart& hart) {
  SbiCall call;
  call.hart = static_cast<u32>(hart.id());
  call.extension = hart.reg(kA0 + 7);
  call.function = hart.reg(kA0 + 6);
  for (u32 i = 0; i < call.arguments.size(); ++i) call.arguments[i] = hart.reg(kA0 + i);
  const SbiResult result = sbi_.call(call);
  hart.set_reg(kA0, result.a0);
  if (!result.keeps_a1) hart.set_reg(kA0 + 1, result.a1);
}

bool Board::guest_call(hart::Hart& hart) {
  GuestCall call;
  call.function = hart.reg(kA0 + 7);
  for (u32 i = 0; i < call.arguments.size(); ++i) call.arguments[i] = hart.reg(kA0 + i);
  call.space = hart.address_space();
  HartsMemory memory(hart);
  const GuestReply reply = hypercall_.call(call, memory);
  hart.set_reg(kA0, reply.status);
  for (u32 i = 0; i < reply.count; ++i) hart.set_reg(kA0 + 1 + i, reply.results[i]);
  return true;
}

void Board::set_timer(u32 hart, u64 deadline) { harts_[hart].hart.set_timer(deadline); }

void Board::set_counter(u32 hart, Counter counter, u64 value) {
  harts_[hart].hart.set_counter(counter == Counter::kCycles ? hart::Counter::kCycle : hart::Counter::kInstret,
                                value);
}

void Board::set_software_interrupt(HartMask harts, bool pending) {
  harts_.set_software_interrupt(harts, pending);
}

void Board::remote_fence(u32 caller, HartMask harts, const RemoteFence& fence) {
  harts_.fence(caller, harts, fence);
}

// Harts that have all stopped can start each other no more.
void Board::stop_hart(u32 hart) {
  if (harts_.stop(hart)) end(PowerEvent::kHalted);
}

void Board::reset_system(u32 caller, ResetType type, ResetReason reason) {
  DCHECK(caller < hart_count());
  const bool failure = reason == ResetReason::kSystemFailure;
  if (type == ResetType::kShutdown) return end(failure ? PowerEvent::kFailure : PowerEvent::kPowerOff);
  end(failure ? PowerEvent::kFailureReboot : PowerEvent::kReboot);
}

void Board::console_write(std::span<const std::byte> bytes) {
  peripherals_->flush_console();
  console().output(bytes);
}

// -- The real-time clock's alarm

// The deterministic runner looks at the deadline itself; otherwise the event loop waits for it. However often
// a guest sets its alarm, there is one call posted and one timer.
void Board::wake_at(Nanos time) {
  const u64 delay = time.raw - std::min(time.raw, clock_.realtime().raw);
  const u64 now = clock_.since_power_on().raw;
  alarm_ = now + std::min(delay, kNever - now);
  if (config_.deterministic || alarm_posted_.exchange(true)) return;
  loop_->post([this] { start_alarm_timer(); });
}

// On the loop's thread. A far alarm is looked at again each hour.
void Board::start_alarm_timer() {
  alarm_posted_ = false;
  if (alarm_timer_) loop_->cancel(*alarm_timer_);
  constexpr u64 kLongest = 3'600'000'000'000;
  const u64 now = clock_.since_power_on().raw;
  const u64 delay = std::min(alarm_ - std::min(alarm_.load(), now), kLongest);
  alarm_timer_ = loop_->after(std::chrono::nanoseconds(delay), [this] {
    alarm_timer_.reset();
    check_alarm();
  });
}

void Board::check_alarm() {
  alarm_ = kNever;
  peripherals_->check_alarm();  // which may set it again
}

}  // namespace cloister::machine
