// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "sim/series.h"

namespace cloister::sim {
namespace {

namespace pm = policy::memory;

u64 bytes(pm::Units units) { return bytes_of(pm::pages_of(units)).raw; }

std::string_view state_at(const Series& series, Nanos when) {
  const auto earlier = [](const HostSample& sample, Nanos time) { return sample.when < time; };
  const auto found = std::lower_bound(series.host_samples.begin(), series.host_samples.end(), when, earlier);
  return found == series.host_samples.end() ? "" : pm::name_of(found->state);
}

}  // namespace

std::string csv_head() { return "host,seconds,vm,size,min,held,target,estimate,working,price,speed,state\n"; }

std::string to_csv(const Series& series) {
  std::string text;
  for (const GuestSeries& guest : series.guests) {
    for (const Sample& sample : guest.samples) {
      fmt::format_to(std::back_inserter(text), "{},{},{},{},{},{},{},{},{},{}.{:03},{}.{:06},{}\n",
                     series.host, sample.when.raw / seconds(1).raw, guest.name, bytes(guest.size),
                     bytes(guest.min), bytes(sample.held), bytes(sample.target), bytes(sample.estimate),
                     bytes(sample.working), sample.price / 1000, sample.price % 1000,
                     sample.speed.raw / pm::Fraction::kWhole, sample.speed.raw % pm::Fraction::kWhole,
                     state_at(series, sample.when));
    }
  }
  return text;
}

}  // namespace cloister::sim
