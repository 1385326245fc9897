// SPDX-License-Identifier: Apache-2.0
#include "jit/workshop.h"

#include <algorithm>
#include <iterator>

#include "base/os/clock.h"
#include "base/os/heap.h"
#include "base/os/look_out.h"
#include "hart/state.h"

// Blocks become hot in swarms: those of a loop all within one round. The first one's region has the others in
// it, but they are ordered before that is known. So when a region is ready, or one is ordered, what the one
// has is taken out of the other's order; an order whose own block is among it is none any more.
namespace cloister::jit {
namespace {

// False: nothing is left to do.
bool take_out(const Product& product, Order& order) {
  if (order.tier != Tier::kFirst || product.tier == Tier::kWide) return true;
  if (order.pages[0].number != product.materials[0].number) return true;
  if (product.has_entry(order.offset)) return false;
  for (const x64::Image::Entry& entry : product.image.entries)
    order.pages[0].wanted.reset(static_cast<u32>(entry.offset) / 2);
  return true;
}

}  // namespace

Workshop::~Workshop() {
  os::Thread thread;
  {
    const MutexLock lock(mutex_);
    closes_ = true;
    changed_.notify_all();
    thread = std::move(thread_);
  }
  thread.join();
}

bool Workshop::take(Client& client, std::unique_ptr<Order>& order, std::atomic<u32>& attention) {
  bool taken, wakes;
  {
    const MutexLock lock(mutex_);
    taken = add(client, order, attention);
    wakes = sleeps_ && (!jobs_.empty() || asked_ == kTidyAfter);
    if (wakes) sleeps_ = false;
  }
  if (wakes) changed_.notify_one();
  return taken;
}

bool Workshop::add(Client& client, std::unique_ptr<Order>& order, std::atomic<u32>& attention) {
  client.attention = &attention;
  ++asked_;
  if (jobs_.size() >= kMostJobs) return false;
  if (refuse_ > 0) return --refuse_, false;
  for (const auto& product : client.ready) {
    if (!take_out(*product, *order)) return true;
  }
  if (!thread_.running()) {
    auto started = os::Thread::start("translator", [this] { work(); });
    if (!started.ok()) return false;
    thread_ = started.take();
  }
  jobs_.push_back({&client, std::move(order), os::monotonic_now(), os::current_cpu()});
  has_jobs_ = true;
  if (!old_.empty()) {
    order = std::move(old_.back());
    old_.pop_back();
  }
  return true;
}

const std::vector<std::shared_ptr<const Product>>& Workshop::collect(Client& client) {
  const MutexLock lock(mutex_);
  std::move(client.collected.begin(), client.collected.end(), std::back_inserter(collected_));
  client.collected.clear();
  client.collected.swap(client.ready);
  return client.collected;
}

void Workshop::forget(Client& client) {
  const MutexLock lock(mutex_);
  std::erase_if(jobs_, [&](const Job& job) { return job.client == &client; });
  while (served_ == &client) finished_.wait(mutex_);
  client.ready.clear();
  client.collected.clear();
  client.attention = nullptr;
}

void Workshop::finish(Client& client, std::shared_ptr<const Product> product) {
  std::erase_if(jobs_, [&](Job& job) { return job.client == &client && !take_out(*product, *job.order); });
  client.ready.push_back(std::move(product));
  client.attention->fetch_or(hart::attention::kCode);
}

void Workshop::judge(const Job& first) {
  if (!is_for_one_) return;
  if (os::monotonic_now() - first.since < kPrompt && os::current_cpu() != first.cpu) {
    refuse_next_ = kFewestRefused;
    return;
  }
  refuse_ = refuse_next_;
  refuse_next_ = std::min(2 * refuse_next_, kMostRefused);
}

void Workshop::do_next() {
  Job job = std::move(jobs_.front());
  jobs_.pop_front();
  has_jobs_ = !jobs_.empty();
  served_ = job.client;
  freed_.swap(collected_);
  mutex_.unlock();
  freed_.clear();
  auto product = shelf_.find(job.order->address(), job.order->tier);
  if (product == nullptr || !product->is_of(*job.order)) {
    if (made_++ % kPrepareEach == 0) os::prepare_heap(kPrepared);
    product = make(*job.order);
    shelf_.put(product);
  }
  mutex_.lock();
  if (old_.size() < kMostOld) old_.push_back(std::move(job.order));
  finish(*job.client, std::move(product));
  served_ = nullptr;
  finished_.notify_all();
}

void Workshop::look_out() {
  mutex_.unlock();
  os::look_out(os::monotonic_now() + kLookOut, [this] { return has_jobs_.load(std::memory_order_relaxed); });
  mutex_.lock();
}

// What is kept of products lies between what was needed to make them.
void Workshop::sleep() {
  const bool is_untidy = asked_ >= kTidyAfter || shelf_.size() > kShelfAtRest;
  sleeps_ = true;
  const bool woken = is_untidy ? changed_.wait_for(mutex_, kRest) : (changed_.wait(mutex_), true);
  sleeps_ = false;
  if (!jobs_.empty() || woken || closes_) return;
  asked_ = 0;
  shelf_.shrink_to(kShelfAtRest);
  collected_.clear();
  mutex_.unlock();
  os::give_back_free_heap();
  mutex_.lock();
}

void Workshop::work() {
  mutex_.lock();
  while (!closes_) {
    if (!jobs_.empty()) {
      do_next();
      continue;
    }
    look_out();
    if (jobs_.empty() && !closes_) sleep();
    if (!jobs_.empty()) judge(jobs_.front());
  }
  mutex_.unlock();
}

}  // namespace cloister::jit
