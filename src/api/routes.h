// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "api/http.h"
#include "host/host.h"

namespace cloister::api {

// /api/v1 (openapi.yaml has it whole): turns requests into calls of a Host and what it knows into JSON. On
// the Host's thread.
class Routes {
 public:
  explicit Routes(host::Host& host) : host_(host) {}

  void handle(std::shared_ptr<Exchange> exchange);

 private:
  struct Route;
  static const Route kRoutes[];

  // Answers at once, or keeps the exchange until it can.
  void list(const std::shared_ptr<Exchange>& exchange);
  void get_host(const std::shared_ptr<Exchange>& exchange);
  void patch_host(const std::shared_ptr<Exchange>& exchange);
  void get_machine(const std::shared_ptr<Exchange>& exchange);
  void put_machine(const std::shared_ptr<Exchange>& exchange);
  void patch_machine(const std::shared_ptr<Exchange>& exchange);
  void delete_machine(const std::shared_ptr<Exchange>& exchange);
  void put_state(const std::shared_ptr<Exchange>& exchange);
  void get_explanation(const std::shared_ptr<Exchange>& exchange);
  void get_log(const std::shared_ptr<Exchange>& exchange);
  void get_events(const std::shared_ptr<Exchange>& exchange);
  void get_metrics(const std::shared_ptr<Exchange>& exchange);
  enum class IfNot : bool { kKeep, kRemove };
  void answer_when_settled(const std::shared_ptr<Exchange>& exchange, const std::string& name, IfNot what);

  host::Host& host_;
};

}  // namespace cloister::api
