// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "base/lock.h"
#include "base/os/thread.h"
#include "jit/order.h"
#include "jit/shelf.h"

namespace cloister::jit {

// A thread that makes what the harts of a machine order, while these go on: one for all of them.
//
// It shares nothing with a hart but orders, products and the hart's attention word. A product is immutable,
// so who holds a pointer to it needs no lock. Outlives its clients.
//
// Where the host has no CPU to spare the thread only takes the hart's, and a machine's only hart had better
// do it: what it waits for it interprets meanwhile. That shows when the thread has had nothing to do: it
// comes late, or where the hart was. Then orders are refused for a while, longer each time. Of several harts
// others have work meanwhile, so there nobody looks.
class Workshop {
 public:
  // A hart's translator.
  class Client {
   private:
    friend class Workshop;
    std::atomic<u32>* attention = nullptr;
    std::vector<std::shared_ptr<const Product>> ready, collected;
  };

  // Of a machine with one hart.
  Workshop() : Workshop(Bytes{0}) {}
  // Of one with several: about `kept` bytes of what was made are there for others than who ordered it.
  explicit Workshop(Bytes kept) : is_for_one_(kept.raw == 0), shelf_(kept) {}
  ~Workshop();
  Workshop(const Workshop&) = delete;
  Workshop& operator=(const Workshop&) = delete;

  // Takes the order, unless there is no thread, no CPU for it or too much to do: then the caller has it
  // still, and makes it himself. Else he has an old one, to be used again, or none. When something is ready,
  // attention::kCode is set in the client's word.
  bool take(Client& client, std::unique_ptr<Order>& order, std::atomic<u32>& attention);
  // What was made for whichever hart: as Shelf's.
  std::shared_ptr<const Product> find(GuestPhys address, Tier tier) const {
    return shelf_.find(address, tier);
  }
  // Of who made it himself.
  void keep(std::shared_ptr<const Product> product) { shelf_.put(std::move(product)); }
  // What is ready, in the order of making. Valid until the client's next call.
  const std::vector<std::shared_ptr<const Product>>& collect(Client& client);
  // All that the client ordered is forgotten, and its word touched no more.
  void forget(Client& client);

 private:
  struct Job {
    Client* client;
    std::unique_ptr<Order> order;
    Nanos since;
    u32 cpu;
  };
  // Bound: of so many, the last waits for two milliseconds.
  static constexpr std::size_t kMostJobs = 32;
  // Bound: of old orders, which take five kilobytes at least; rarely are more under way.
  static constexpr std::size_t kMostOld = 4;
  // Bound: who finds no CPU for so long finds none that is idle.
  static constexpr Nanos kPrompt{500'000};
  static constexpr u32 kFewestRefused = 16, kMostRefused = 1024;

  // So long the thread looks out for the next order before it sleeps, while nobody else wants its CPU.
  static constexpr Nanos kLookOut{100'000};

  // The thread's heap grows by so much at once, each time that it has made so many.
  static constexpr u64 kPrepareEach = 64;
  static constexpr Bytes kPrepared{256 * kKiB};

  // After so many orders, or with more on the shelf than is to lie there, and a rest, the heap's free memory
  // goes back: some megabytes, half of all. Before that the shelf becomes small: whoever ran what others run
  // too has it by now.
  static constexpr u32 kTidyAfter = 128;
  static constexpr std::chrono::milliseconds kRest{100};
  static constexpr Bytes kShelfAtRest{kMiB};

  bool add(Client& client, std::unique_ptr<Order>& order, std::atomic<u32>& attention) REQUIRES(mutex_);
  void work();
  void do_next() REQUIRES(mutex_);
  void look_out() REQUIRES(mutex_);
  void sleep() REQUIRES(mutex_);
  void judge(const Job& first) REQUIRES(mutex_);
  void finish(Client& client, std::shared_ptr<const Product> product) REQUIRES(mutex_);

  const bool is_for_one_;
  Shelf shelf_;
  Mutex mutex_{LockRank::kWorkshop};
  Condition changed_;   // there are jobs, or the end is near
  Condition finished_;  // a job
  std::deque<Job> jobs_ GUARDED_BY(mutex_);
  std::atomic<bool> has_jobs_{false};  // or may have
  // A heap has threads wait for each other where one frees what another allocated. So each frees its own:
  std::vector<std::unique_ptr<Order>> old_ GUARDED_BY(mutex_);                // for the harts to use again,
  std::vector<std::shared_ptr<const Product>> collected_ GUARDED_BY(mutex_);  // and for the thread to free
  std::vector<std::shared_ptr<const Product>> freed_;                         // the thread's own, as is:
  u64 made_ = 0;
  const Client* served_ GUARDED_BY(mutex_) = nullptr;  // whose job is being done
  bool sleeps_ GUARDED_BY(mutex_) = false;
  bool closes_ GUARDED_BY(mutex_) = false;
  u32 asked_ GUARDED_BY(mutex_) = 0;                     // orders since the heap was tidied, refused ones too
  u32 refuse_ GUARDED_BY(mutex_) = 0;                    // so many orders from now on,
  u32 refuse_next_ GUARDED_BY(mutex_) = kFewestRefused;  // and when the thread is late again
  os::Thread thread_ GUARDED_BY(mutex_);                 // from the first order on
};

}  // namespace cloister::jit
