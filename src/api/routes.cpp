// SPDX-License-Identifier: Apache-2.0
#include "api/routes.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "api/views.h"
#include "base/os/file.h"

namespace cloister::api {

using host::Host;
using host::Word;
using nlohmann::json;

namespace {

using Shared = std::shared_ptr<Exchange>;

Response fault(int status, std::string_view message) {
  return {status, "application/json", json{{"fault_message", message}}.dump() + "\n"};
}
Response answer_of(const json& body) { return {200, "application/json", body.dump() + "\n"}; }

// 404 for what is not there, 409 for what does not fit the state of things or the room there is.
int status_of(const Error& failure) {
  if (failure.message.starts_with("there is no machine")) return 404;
  return 409;
}

void answer_result(const Shared& exchange, const Result<void>& result) {
  exchange->answer(result.ok() ? Response{} : fault(status_of(result.failure()), result.failure().message));
}
Host::Answer answer_to(const Shared& exchange) {
  return [exchange](const Result<void>& result) { answer_result(exchange, result); };
}

Result<json> body_of(const Exchange& exchange) {
  json body = json::parse(exchange.request().body, nullptr, false);
  if (body.is_discarded()) return error("the body is not JSON");
  return body;
}

// "/api/v1/machines/NAME/…": NAME.
std::string machine_in(const Exchange& exchange) {
  constexpr std::string_view kBefore = "/api/v1/machines/";
  const std::string rest = exchange.request().path.substr(kBefore.size());
  return rest.substr(0, rest.find('/'));
}

bool asks(const Exchange& exchange, const char* key) {
  const auto found = exchange.request().query.find(key);
  return found != exchange.request().query.end() && found->second != "false" && found->second != "0";
}

Result<std::vector<Word>> words_in(const Exchange& exchange) {
  return host::words_of(TRY(body_of(exchange)));
}

// {"state": S}: S, or nothing.
std::string state_in(const Exchange& exchange) {
  const auto body = body_of(exchange);
  if (!body.ok() || !body->is_object() || !body->contains("state") || !(*body)["state"].is_string())
    return "";
  return (*body)["state"].get<std::string>();
}

bool matches(std::string_view pattern, std::string_view path) {
  while (!pattern.empty() && !path.empty()) {
    const std::string_view want = pattern.substr(0, pattern.find('/', 1));
    const std::string_view have = path.substr(0, path.find('/', 1));
    if (want != have && (want != "/{}" || have.size() < 2)) return false;
    pattern.remove_prefix(want.size());
    path.remove_prefix(have.size());
  }
  return pattern.empty() && path.empty();
}

}  // namespace

struct Routes::Route {
  std::string_view method;
  std::string_view path;  // {}: one segment
  void (Routes::*call)(const std::shared_ptr<Exchange>&);
};

const Routes::Route Routes::kRoutes[] = {
    {"GET", "/api/v1/host", &Routes::get_host},
    {"PATCH", "/api/v1/host", &Routes::patch_host},
    {"GET", "/api/v1/machines", &Routes::list},
    {"GET", "/api/v1/machines/{}", &Routes::get_machine},
    {"PUT", "/api/v1/machines/{}", &Routes::put_machine},
    {"PATCH", "/api/v1/machines/{}", &Routes::patch_machine},
    {"DELETE", "/api/v1/machines/{}", &Routes::delete_machine},
    {"PUT", "/api/v1/machines/{}/state", &Routes::put_state},
    {"GET", "/api/v1/machines/{}/explain", &Routes::get_explanation},
    {"GET", "/api/v1/machines/{}/log", &Routes::get_log},
    {"GET", "/api/v1/events", &Routes::get_events},
    {"GET", "/metrics", &Routes::get_metrics},
};

void Routes::handle(std::shared_ptr<Exchange> exchange) {
  const Request& request = exchange->request();
  bool path_known = false;
  for (const Route& route : kRoutes) {
    if (!matches(route.path, request.path)) continue;
    path_known = true;
    if (route.method == request.method) return (this->*route.call)(exchange);
  }
  exchange->answer(path_known
                       ? fault(405, fmt::format("{} cannot be done with {}", request.method, request.path))
                       : fault(404, fmt::format("there is no {}", request.path)));
}

void Routes::get_host(const Shared& exchange) { exchange->answer(answer_of(view_of(host_))); }

void Routes::patch_host(const Shared& exchange) {
  const auto words = words_in(*exchange);
  if (!words.ok()) return exchange->answer(fault(400, words.failure().message));
  host_.change_settings(*words, [exchange](const Result<void>& changed) {
    exchange->answer(changed.ok() ? Response{} : fault(400, changed.failure().message));
  });
}

void Routes::list(const Shared& exchange) {
  json all = json::array();
  for (const host::Cell* cell : host_.machines()) all.push_back(view_of(host_, *cell));
  exchange->answer(answer_of(all));
}

void Routes::get_machine(const Shared& exchange) {
  const auto cell = host_.machine(machine_in(*exchange));
  if (!cell.ok()) return exchange->answer(fault(404, cell.failure().message));
  exchange->answer(answer_of(view_of(host_, **cell)));
}

void Routes::put_machine(const Shared& exchange) {
  const std::string name = machine_in(*exchange);
  auto words = words_in(*exchange);
  if (!words.ok()) return exchange->answer(fault(400, words.failure().message));
  auto order = host::MachineOrder::read(name, words.take());
  if (!order.ok()) return exchange->answer(fault(400, order.failure().message));
  if (asks(*exchange, "dry-run")) {
    const auto verdict = host_.try_launch(*order);
    return exchange->answer(verdict.ok() ? answer_of(view_of(*verdict))
                                         : fault(409, verdict.failure().message));
  }
  host_.launch(order.take(), [this, exchange, name](const Result<void>& launched) {
    if (!launched.ok()) return exchange->answer(fault(409, launched.failure().message));
    answer_when_settled(exchange, name, IfNot::kRemove);
  });
}

// Once it runs, or has ended: a machine that ended before it ran is a fault, and one that was launched with
// it is as if it had never been.
void Routes::answer_when_settled(const Shared& exchange, const std::string& name, IfNot what) {
  host_.when_settled(name, [this, exchange, name, what] {
    const auto cell = host_.machine(name);
    if (!cell.ok()) return exchange->answer(fault(404, cell.failure().message));
    if ((*cell)->has_process()) return exchange->answer(answer_of(view_of(host_, **cell)));
    const Response failed = fault(409, fmt::format("'{}' did not start: {}", name, host_.last_end(name)));
    if (what == IfNot::kKeep) return exchange->answer(failed);
    host_.remove(name, [exchange, failed](const Result<void>&) { exchange->answer(failed); });
  });
}

void Routes::patch_machine(const Shared& exchange) {
  const auto words = words_in(*exchange);
  if (!words.ok()) return exchange->answer(fault(400, words.failure().message));
  host_.change(machine_in(*exchange), *words, answer_to(exchange));
}

void Routes::delete_machine(const Shared& exchange) {
  host_.remove(machine_in(*exchange), answer_to(exchange));
}

void Routes::put_state(const Shared& exchange) {
  const std::string name = machine_in(*exchange);
  const std::string wanted = state_in(*exchange);
  if (wanted == "paused" || wanted == "resumed") {
    const auto ordered = wanted == "paused" ? host_.pause(name) : host_.resume(name);
    if (!ordered.ok()) return answer_result(exchange, ordered);
    return host_.when_obeyed(name, [exchange] { exchange->answer({}); });
  }
  if (wanted == "running") {
    const auto started = host_.start(name);
    return started.ok() ? answer_when_settled(exchange, name, IfNot::kKeep)
                        : answer_result(exchange, started);
  }
  if (wanted == "stopped" || wanted == "killed") {
    const auto stopped = host_.stop(name, wanted == "killed" ? Host::Stop::kNow : Host::Stop::kOrderly);
    if (!stopped.ok()) return answer_result(exchange, stopped);
    return host_.when_settled(name, [exchange] { exchange->answer({}); });
  }
  exchange->answer(
      fault(400, "the body is {\"state\": S}, S one of running, stopped, killed, paused, resumed"));
}

void Routes::get_explanation(const Shared& exchange) {
  const auto text = host_.explain(machine_in(*exchange));
  if (!text.ok()) return exchange->answer(fault(404, text.failure().message));
  exchange->answer({200, "text/plain; charset=utf-8", *text});
}

// The console's last output, from two files that the cell fills in turn: the one changed last comes last.
void Routes::get_log(const Shared& exchange) {
  const std::string name = machine_in(*exchange);
  const auto cell = host_.machine(name);
  if (!cell.ok()) return exchange->answer(fault(404, cell.failure().message));
  const std::filesystem::path folder = host_.records().machine_folder(name);
  const bool of_cell = asks(*exchange, "cell");
  std::vector<std::filesystem::path> files{folder / "console.0", folder / "console.1"};
  if (of_cell) files = {folder / "cell.log"};
  std::error_code ignored;
  std::sort(files.begin(), files.end(), [&](const auto& a, const auto& b) {
    return std::filesystem::last_write_time(a, ignored) < std::filesystem::last_write_time(b, ignored);
  });
  std::string text;
  for (const auto& file : files) {
    const auto part = os::read_text_file(file, Bytes{64 * kMiB});
    if (part.ok()) text += *part;
  }
  exchange->answer({200, "text/plain", text.empty() ? "\n" : text});
}

namespace {

std::string event_text(const host::Event& event) {
  return fmt::format("id: {}\nevent: {}\ndata: {}\n\n", event.id, event.kind, view_of(event).dump());
}

}  // namespace

// First those since the asked-for one, then each as it comes.
void Routes::get_events(const Shared& exchange) {
  const auto& query = exchange->request().query;
  const auto since = query.find("since");
  exchange->begin_stream("text/event-stream");
  exchange->send(": events of cloisterd\n\n");
  if (since != query.end()) {
    for (const auto& event : host_.events().since(std::strtoull(since->second.c_str(), nullptr, 10))) {
      exchange->send(event_text(event));
    }
  }
  auto id = std::make_shared<host::Events::ListenerId>(0);
  *id = host_.events().listen([this, exchange, id](const host::Event& event) {
    if (exchange->closed()) return host_.events().forget(*id);
    exchange->send(event_text(event));
  });
}

void Routes::get_metrics(const Shared& exchange) {
  exchange->answer({200, "text/plain; version=0.0.4", metrics_of(host_)});
}

}  // namespace cloister::api
