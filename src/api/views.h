// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "host/host.h"

// What a Host knows, as the API shows it. Amounts of memory are bytes, times seconds, parts from 0 to 1.
namespace cloister::api {

nlohmann::json view_of(const host::Host& host, const host::Cell& cell);
nlohmann::json view_of(const host::Host& host);
nlohmann::json view_of(const host::Event& event);
nlohmann::json view_of(const policy::memory::Verdict& verdict);
// Prometheus' text format.
std::string metrics_of(const host::Host& host);

}  // namespace cloister::api
