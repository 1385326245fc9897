// SPDX-License-Identifier: Apache-2.0
// What cells report of themselves, what the host's kernel says to that, and the reasons in words.
#include <algorithm>
#include <bit>

#include "base/size.h"
#include "host/governor.h"
#include "policy/memory/condition.h"
#include "policy/memory/explain.h"

namespace cloister::host {

using cell::control::Report;
using policy::memory::pages_of;
using policy::memory::units_of;

namespace {

// A report is a moment older than the books.
constexpr Pages kReportSlack{2048};
// Bound: a cell that takes so much for itself, and so much for each hart's translations, is no cell of ours.
constexpr Pages kMostForItself{32'768};
constexpr Pages kMostForAHart{32'768};
// What `explain` says of more and of less.
constexpr policy::memory::Units kStep{16 * kMiB >> kPageShift};
constexpr Nanos kMeasureEvery{8'000'000'000};
// Bound: how long a cell may say that it will be silent.
constexpr Nanos kLongestRest{15'000'000'000};
// What is mapped more than once is counted in parts at the 1st, 2nd, 4th ... measure, and each of so many.
constexpr u64 kCountInPartsEvery = 128;

Pages pages_up(Bytes bytes) { return {(bytes.raw + kPageSize - 1) >> kPageShift}; }

// A count of `touched` out of `sampled`, as one out of `of`. What cannot be is cut to what can.
u32 scaled(u32 touched, u32 sampled, u32 of) {
  if (sampled == 0) return 0;
  return static_cast<u32>(u64{std::min(touched, sampled)} * of / sampled);
}

std::string_view level_in_words(u32 level) {
  return policy::memory::name_of(static_cast<policy::memory::ConditionLevel>(std::min(level, 3u)));
}

std::string balloon_in_words(const Report& report) {
  const auto size = [](u64 pages) { return format_size(bytes_of(Pages{pages})); };
  std::string text = fmt::format("Its guest is told that memory is {}.\n", level_in_words(report.level));
  if (report.applications == 0 && report.balloon_pages == 0 && report.balloon_told_pages == 0) return text;
  text +=
      fmt::format("{} balloon application(s) of its guest hold {} and are asked for {}", report.applications,
                  size(report.balloon_told_pages), size(report.balloon_target_pages));
  if (report.yields != 0) text += ", which its own memory pressure keeps from more";
  return text +
         fmt::format("; {} a second of it goes to the guest's own swap.\n", size(report.page_out_rate));
}

}  // namespace

cell::control::Settings sampling_of(const Settings& settings) {
  cell::control::Settings sampling;
  sampling.samples = settings.activity.samples;
  sampling.period_nanos = settings.activity.period.raw;
  sampling.period_ceiling = settings.activity.longest_period.raw;
  sampling.curve_samples = settings.curve_samples;
  return sampling;
}

void Governor::on_report(Member& member, const Report& report, Nanos now) {
  const u64 most = member.cell.order().size().raw;
  if (report.used_pages > held(member).raw + kReportSlack.raw) {
    lie(member, fmt::format("it uses {} pages and holds {}", report.used_pages, held(member).raw));
  }
  if (report.touched > report.sampled || report.last_touched > report.last_sampled ||
      report.zero_pages > most || report.swapped_pages > most || report.shared_pages > most ||
      report.compressed_pages > most || report.balloon_pages > most) {
    return lie(member, "its report counts more pages than it has");
  }
  estimate(member, report, now);
  learn_worth(member, report);
  if (report.swap_failed != 0 && member.report.swap_failed == 0) {
    events_.say(LogLevel::kError, member.cell.name(), "swap",
                "its swap file takes no more pages; they stay in memory");
  }
  member.report = report;
  member.silent = false;
  // At a moment when nothing is under way between its books and ours, if there is one.
  const bool agrees = report.used_pages + report.spare_pages == held(member).raw;
  const Nanos since = now - member.measured;
  if (since < kMeasureEvery || (!agrees && since < kMeasureEvery + kMeasureEvery)) return;
  member.measured = now;
  measure(member, agrees);
}

void Governor::estimate(Member& member, const Report& report, Nanos now) {
  auto& estimator = member.estimator;
  const u32 samples = estimator.settings().samples;
  if (report.period > member.report.period) {
    estimator.end(scaled(report.last_touched, report.last_sampled, samples));
    estimator.begin(Nanos{report.run_nanos}, now);
    stale_ = true;
  }
  estimator.note(scaled(report.touched, report.sampled, samples));
}

// What is no curve is cut to one: it falls with size, and nothing misses more than all.
void Governor::learn_worth(Member& member, const Report& report) {
  using policy::memory::Fraction;
  member.worth = {member.client, {{{{}, Fraction::whole()}}, report.curve.references}, 0};
  member.worth.references_per_second = report.curve.references / 1000;
  const u64 size = member.cell.order().size().raw;
  Fraction last = Fraction::whole();
  for (std::size_t i = 0; i < cell::control::kBuckets; ++i) {
    last = std::min(last, Fraction{report.curve.misses[i]});
    member.worth.curve.points.push_back({{size * (i + 1) / cell::control::kBuckets}, last});
  }
}

// The cell's own memory is counted and never reclaimed: all that the kernel counts for the process, but for
// the guest's frames, which are in the books as held, and the vault's, which are the daemon's. A cell that
// takes more frames than it was given has them counted here, so that what is free is really free whatever a
// cell does. Frames of a vault whose daemon is gone are nobody's: they count for the cells that still map
// them.
void Governor::measure(Member& member, bool agrees) {
  const CellProcess& process = *member.cell.process();
  const auto memory = process.memory();
  if (!memory) return;
  const VaultUse vault = vault_use_ ? vault_use_(member.cell) : VaultUse{};
  const Pages all = pages_up(memory->mapped), mapped = all - std::min(all, vault.frames);
  if (const u64 nth = ++member.measures; std::has_single_bit(nth) || nth % kCountInPartsEvery == 0) {
    const Pages of_vault = Pages{vault.frames.raw / (vault.cells + 1)};  // the daemon maps it too
    const Pages once = pages_up(process.mapped_in_parts().value_or(memory->mapped));
    member.counted_twice = mapped - std::min(mapped, once - std::min(once, of_vault));
  }
  const Pages taken = pages_up(memory->own) + mapped - std::min(mapped, member.counted_twice);
  // A guest that takes or gives frames while we look uses more or less by now than it said: then only what is
  // more than it was given is surely its cell's.
  const Pages used = agrees ? Pages{member.report.used_pages} : held(member);
  const Pages guests = std::min({taken, used, held(member)});
  const Pages before = agrees ? Pages{} : ledger_.account(member.account).overhead;
  ledger_.measure(member.account, std::max(before, taken - guests));
  const Pages most = kMostForItself + Pages{kMostForAHart.raw * member.cell.order().machine.cpus};
  if (taken - guests > most) {
    lie(member, fmt::format("the kernel counts {} for it, and its guest was given {}",
                            format_size(bytes_of(taken)), format_size(bytes_of(held(member)))));
  }
}

void Governor::look_for_silence(Member& member, Nanos now) {
  const Nanos next = std::min(Nanos{member.report.next_nanos}, kLongestRest);
  if (member.silent || now - member.cell.heard() < settings_.silent_after + next) return;
  member.silent = true;
  events_.say(LogLevel::kError, member.cell.name(), "silent",
              fmt::format("nothing was heard of its cell for {}; it keeps {} and is asked for nothing",
                          format_duration(settings_.silent_after), format_size(bytes_of(held(member)))));
}

std::string Governor::explain(const Cell& cell) const {
  const Member* member = find(cell);
  if (member == nullptr) return fmt::format("{} does not run and holds nothing.\n", cell.name());
  std::string text = policy::memory::explain(tree_, member->decision);
  if (!text.ends_with('\n')) text += '\n';
  const auto& estimator = member->estimator;
  text += fmt::format(
      "Its activity is estimated from {} of its pages, watched for {} of its run time: {} of its memory in "
      "use "
      "(slowly averaged {}, fast {}, in the running period {}), standard error {}.\n",
      estimator.settings().samples, format_duration(estimator.settings().period),
      format_fraction(estimator.estimate()), format_fraction(estimator.slow()),
      format_fraction(estimator.fast()), format_fraction(estimator.running()),
      format_fraction(estimator.error()));
  if (member->has_worth()) {
    text += policy::memory::explain(member->worth.curve, units_of(held(*member)), kStep);
    if (!text.ends_with('\n')) text += '\n';
  }
  text += fmt::format("Its cell takes {} beside the guest's memory.\n",
                      format_size(bytes_of(ledger_.account(member->account).overhead)));
  if (member->order) {
    text += fmt::format("It was ordered to give back {}.\n",
                        format_size(bytes_of(pages_of(member->order->demand.asked_for()))));
  }
  text += balloon_in_words(member->report);
  if (member->want != Pages{})
    text += fmt::format("It waits for {} more.\n", format_size(bytes_of(member->want)));
  if (member->still) text += "Its harts stand still until it holds no more than its target.\n";
  if (member->silent) text += "Nothing was heard of its cell for some time.\n";
  text += policy::memory::explain(tracker_.state(), tracker_.thresholds(), ledger_.free());
  if (!text.ends_with('\n')) text += '\n';
  return text;
}

}  // namespace cloister::host
