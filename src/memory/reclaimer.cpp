// SPDX-License-Identifier: Apache-2.0
// Whom to take frames from, and how
//
// The guest's own kernel knows best what it needs least, but it is not asked here: this is what is done when
// its help (the balloon, free pages) is not enough, or does not come in time.
//
// Victims are idle pages, chosen at random among them. To follow an order of use, as a kernel does, would be
// to fight the guest's: its kernel is about to reuse the page that it used least recently, and that is the
// very page a host would have taken (Waldspurger, OSDI 2002, 3.1). What random choice costs against the best
// order is bounded, and there is no guest that it treats worst. A page is idle when nobody touched it since
// this walk last came by: the mark kRecent, which only the walk takes, in the way of a clock's hand, but in
// a random order of clusters. It has a second at least to be touched. A guest that waits for what is brought
// back touches little in less: whoever looked at it more often would take its last used pages for idle, and
// have it wait the more.
//
// A guest that goes over more memory than it may hold, as a collector of garbage does, would find each page
// gone just before it comes to it, whoever takes what lay idle longest. So a page has to prove itself: two
// walks must have found it used since it came. One that has is spared for a minute of idleness, and what came
// for one look goes first: of such a round only as much is read back as there is no room for.
//
// An order is carried out in rounds over all of memory. In each, idle pages go by the cheapest way that takes
// them: zeros and balloon pages for nothing; the rest are packed; what cannot be packed goes to the swap
// file. Used pages lose their mark. When a round was not enough, what is packed gives more: its oldest part
// is packed tighter, and what nobody wanted for ten seconds is swapped. Then proven pages that are idle go,
// and then all that is packed may be swapped. Then the order waits for pages to come of age, for a part of
// its time, unless a hart waits for it; after that it takes what was not touched for less, and in the end it
// stands above use, and takes all.
//
// An order that may not swap is a gentle one: it takes what is of age and no more. And it takes marks only
// that are some seconds old: where little can be packed it comes to all of memory for a few frames, and then
// all pages would have the age of the last order.
//
// Neighbours go together, by clusters of 2 MiB: a long hole costs the host's kernel a tenth of what it costs
// page by page (and up to 32 pages as much as page by page where forgetting a translation is slow, for only
// from 33 on does it forget all at once), and one of the host's huge pages goes as a whole.
//
// Nothing is chosen twice in a round, so a round ends; and an order ends when it has what it wants, when it
// is late, or when a round over everything found nothing.
#include "memory/reclaimer.h"

#include <algorithm>
#include <thread>

#include "base/os/clock.h"

namespace cloister::memory {
namespace {

// Victims at a time, after which order and clock are looked at: as many as are missing, within these bounds.
constexpr u64 kLeastBatch = 64, kMostBatch = 512;
constexpr u64 kMostClusters = 2;         // looked at for one batch
constexpr std::size_t kSwapBatch = 256;  // packed pages at a time
constexpr Pages kCondenseBatch{128};     // likewise: about 5 ms
// So many of a cluster's pages were touched since the walk last came by: it will not be taken soon.
constexpr std::size_t kUsedAsAWhole = PageTable::kBatch / 4 * 3;
constexpr Nanos kOfAge{1'000'000'000};    // a page has so long to show that it is used,
constexpr Nanos kOldMark{8'000'000'000};  // and until a gentle order takes its mark;
constexpr u64 kPatience = 4;              // an order waits for that for this part of its time, looking
constexpr Nanos kRoundTime{50'000'000};   // so often

// What is known of a page: how many walks found it used since it came, and once it is proven, with the
// seconds that it has been idle since. Of a packed one: the seconds that nobody wanted it. One that goes and
// comes back between two walks keeps what it had: it was taken by mistake.
constexpr u8 kNew = 0, kProven = 2, kForgotten = kProven + 60;
constexpr u8 kPacked = 100, kLongPacked = kPacked + 10;

constexpr u8 uses_after(u8 uses, bool is_recent, u64 seconds) {
  if (is_recent) return std::min<u8>(uses + 1, kProven);
  return uses < kProven ? uses : static_cast<u8>(std::min<u64>(uses + seconds, kForgotten));
}

constexpr u8 packed_after(u8 uses, u64 seconds) {
  return uses < kPacked ? kPacked : static_cast<u8>(std::min<u64>(uses + seconds, kLongPacked));
}

constexpr u64 clusters_in(Bytes size, u64 cluster) {
  return ((size.raw >> kPageShift) + cluster - 1) / cluster;
}

}  // namespace

struct Reclaimer::Order {
  const ReclaimOrder& wanted;
  ReclaimReport report{};
  Pages unused{};         // frames that lay in the stock
  Pages being_swapped{};  // submitted, not collected
  bool has_swap = false;
  SwapOut::Trouble trouble = SwapOut::Trouble::kNone;
  std::vector<Gpn> victims{};  // found, and not taken yet

  Pages got() const { return unused + report.frames.total(); }
  bool has_enough() const { return got() >= wanted.wanted; }
  bool is_late() const { return os::monotonic_now() >= wanted.deadline; }
  bool is_over() const { return has_enough() || is_late(); }
  bool is_gentle() const { return !wanted.allowed.allow(Way::kSwap); }
  Pages missing() const { return has_enough() ? Pages{0} : wanted.wanted - got(); }
  bool may_swap() const {
    return has_swap && wanted.allowed.allow(Way::kSwap) && trouble == SwapOut::Trouble::kNone;
  }
};

Reclaimer::Reclaimer(GuestMemory& memory, u64 seed)
    : memory_(memory),
      walk_(clusters_in(memory.size(), kCluster), seed),
      known_(walk_.count()),
      swap_(memory) {}

ReclaimReport Reclaimer::reclaim(const ReclaimOrder& wanted) {
  Order order{.wanted = wanted, .unused = memory_.begin_shrinking(), .has_swap = memory_.has_swap()};
  const Nanos begun = os::monotonic_now();
  const Nanos time = wanted.is_urgent ? Nanos{} : std::max(wanted.deadline, begun) - begun;
  const Nanos patient_until = begun + std::min(kOfAge + kRoundTime, Nanos{time.raw / kPatience});
  for (Victims which = Victims::kAged; !order.is_over();) {
    const Pages before = order.got();
    go_round(order, which);
    if (which == Victims::kAged) {
      go_deeper(order, kLongPacked);
      go_round(order, Victims::kProven);
    }
    go_deeper(order, kNew);
    if (order.is_over() || (which == Victims::kAll && order.got() == before)) break;
    if (const Nanos now = os::monotonic_now(); which == Victims::kAged && now < patient_until) {
      std::this_thread::sleep_for(std::chrono::nanoseconds(std::min(kRoundTime, patient_until - now).raw));
    } else if (order.is_gentle()) {
      break;
    } else {
      which = which == Victims::kAged ? Victims::kUntouched : Victims::kAll;
    }
  }
  collect(order);
  order.report.returned = memory_.end_shrinking();
  order.report.end = end_of(order);
  return order.report;
}

void Reclaimer::go_round(Order& order, Victims which) {
  order.victims.clear();
  for (u64 looked = 0; (looked < walk_.count() || !order.victims.empty()) && !order.is_over();) {
    if (order.victims.empty()) looked += find_victims(order, which);
    take_batch(order);
  }
  collect(order);
}

// Returns how many clusters it looked at.
u64 Reclaimer::find_victims(Order& order, Victims which) {
  u64 looked = 0;
  for (; looked < kMostClusters && order.victims.empty(); ++looked) {
    Cluster cluster = look_at_next_cluster(which, order.is_gentle() ? kOldMark : kOfAge);
    order.victims = std::move(cluster.victims);
  }
  return looked;
}

void Reclaimer::take_batch(Order& order) {
  const u64 most = std::clamp(order.missing().raw, kLeastBatch, kMostBatch);
  const auto end = order.victims.begin() + static_cast<i64>(std::min<u64>(most, order.victims.size()));
  std::vector<Gpn> left;
  order.report.frames += memory_.evict(std::span(order.victims.begin(), end), order.wanted.allowed, left);
  order.victims.erase(order.victims.begin(), end);
  if (!order.may_swap() || order.has_enough()) return;
  swap_.submit(left);
  order.being_swapped += Pages{left.size()};
  if (order.being_swapped >= order.missing()) collect(order);
}

// Of pages that were not touched, whether those with so many uses are victims.
bool Reclaimer::are_victims(Victims which, u8 uses) {
  const bool is_proven = uses >= kProven && uses < kForgotten;
  return which == Victims::kAged ? !is_proven : which != Victims::kProven || uses > kProven;
}

Reclaimer::Cluster Reclaimer::look_at_next_cluster(Victims which, Nanos age) {
  const u64 index = walk_.next();
  Known& known = known_[index];
  Cluster cluster{Gpn{memory_.base().page() + index * kCluster}};
  const Nanos now = os::monotonic_now();
  if (which == Victims::kAged && now - known.taken_at < kOfAge) return cluster;
  known.pages.resize(kCluster);
  const bool takes = (which == Victims::kAged || which == Victims::kUntouched) && now - known.taken_at >= age;
  const u64 seconds = std::min<u64>((now - known.taken_at).raw / 1'000'000'000, kForgotten);
  const u64 end = std::min(cluster.first.raw + kCluster, (memory_.base() + memory_.size().raw).page());
  for (Gpn page = cluster.first; page.raw < end; ++page.raw) {
    u8& uses = known.pages[page.raw - cluster.first.raw];
    const PageState state = memory_.state(page);
    if (state == PageState::kCompressed && takes) uses = packed_after(uses, seconds);
    if (state != PageState::kPrivate && state != PageState::kCompressed) uses = kNew;
    if (state != PageState::kPrivate) continue;
    if (uses >= kPacked) uses = kNew;
    ++cluster.frames;
    const bool is_recent = memory_.has_marks(page, PageWord::kRecent);
    if (takes) uses = uses_after(uses, is_recent, seconds);
    if (which == Victims::kAll || (!is_recent && are_victims(which, uses)))
      cluster.victims.push_back(page);
    else if (is_recent)
      cluster.recent.push_back(page);
  }
  if (takes) {
    memory_.take_marks(cluster.recent, PageWord::kRecent);
    known.taken_at = now;
  }
  return cluster;
}

void Reclaimer::go_deeper(Order& order, u8 least) {
  Pages& condensed = order.report.frames[Way::kCondense];
  while (order.wanted.allowed.allow(Way::kCondense) && !order.is_over()) {
    const auto [tried, freed] = memory_.condense(kCondenseBatch);
    if (tried.raw == 0) break;
    condensed += freed;
  }
  while (order.may_swap() && !order.is_over() && swap_packed(order, least)) continue;
}

// Returns whether it got any frames.
bool Reclaimer::swap_packed(Order& order, u8 least) {
  const Pages before = order.got();
  std::vector<Gpn> pages = memory_.longest_packed(kSwapBatch);
  std::erase_if(pages, [&](Gpn page) {
    const u64 index = page.raw - memory_.base().page();
    const std::vector<u8>& known = known_[index / kCluster].pages;
    return (known.empty() ? kNew : known[index % kCluster]) < least;
  });
  swap_.submit(pages);
  collect(order);
  return order.got() > before;
}

void Reclaimer::collect(Order& order) {
  const SwapOut::Done done = swap_.drain();
  order.report.frames[Way::kSwap] += done.freed;
  order.trouble = std::max(order.trouble, done.trouble);
  order.being_swapped = {};
}

ReclaimEnd Reclaimer::end_of(const Order& order) {
  if (order.has_enough()) return ReclaimEnd::kDone;
  if (order.is_late()) return ReclaimEnd::kDeadline;
  if (order.trouble == SwapOut::Trouble::kFailed) return ReclaimEnd::kSwapFailed;
  return order.trouble == SwapOut::Trouble::kFull ? ReclaimEnd::kSwapFull : ReclaimEnd::kNothingLeft;
}

void Reclaimer::age(Pages pages) {
  for (u64 looked = 0; looked < pages.raw; looked += kCluster) {
    const Cluster cluster = look_at_next_cluster(Victims::kAged, kOfAge);
    if (cluster.recent.size() >= kUsedAsAWhole && cluster.frames == kCluster)
      (void)memory_.collapse(cluster.first);
  }
}

}  // namespace cloister::memory
