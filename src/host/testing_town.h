// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "host/testing_cells.h"

namespace cloister::host::testing {

// A daemon over fake cells in a folder of its own.
class Town {
 public:
  explicit Town(Bytes pool) {
    char name[] = "/tmp/cloister-town-XXXXXX";
    folder_ = ::mkdtemp(name);
    settings.pool = pool;
    settings.swap = Bytes{64 * kGiB};
    settings.cell_overhead = Bytes{8 * kMiB};
    settings.state_folder = folder_ + "/state";
    settings.runtime_folder = folder_ + "/run";
    loop = os::EventLoop::create().take();
    records = std::make_unique<Records>(Records::open(settings.state_folder, settings.runtime_folder).take());
    cells = std::make_unique<FakeCells>(*loop, *records);
    restart();
  }
  ~Town() {
    host.reset();
    cells.reset();
    std::filesystem::remove_all(folder_);
  }

  // The daemon is gone from one moment to the next, and another comes.
  void restart() {
    host.reset();
    host = std::make_unique<Host>(*loop, settings, *records, *cells);
    const auto recovered = host->recover();
    CHECK(recovered.ok());
  }
  void run_for(std::chrono::milliseconds time) {
    loop->after(time, [this] { loop->stop(); });
    loop->run();
  }
  template <typename Condition>
  bool run_until(Condition condition, int milliseconds = 10'000) {
    for (int i = 0; i < milliseconds && !condition(); ++i) run_for(std::chrono::milliseconds(1));
    return condition();
  }

  static Result<MachineOrder> order(const std::string& name, std::vector<Word> words = {}) {
    words.push_back({"kernel", "Image"});
    return MachineOrder::read(name, std::move(words));
  }
  Result<void> launch(const std::string& name, std::vector<Word> words = {}) {
    auto made = order(name, std::move(words));
    if (!made.ok()) return made.failure();
    return answer_of([&](Host::Answer answer) { host->launch(made.take(), std::move(answer)); });
  }
  Result<void> remove(const std::string& name) {
    return answer_of([&](Host::Answer answer) { host->remove(name, std::move(answer)); });
  }
  Result<void> change(const std::string& name, const std::vector<Word>& words) {
    return answer_of([&](Host::Answer answer) { host->change(name, words, std::move(answer)); });
  }
  Result<void> change_settings(const std::vector<Word>& words) {
    return answer_of([&](Host::Answer answer) { host->change_settings(words, std::move(answer)); });
  }
  FakeCell& cell(const std::string& name) { return *cells->cells.at(name); }
  Pages held(const std::string& name) const {
    const Member* member = host->governor().find(**host->machine(name));
    return member == nullptr ? Pages{} : host->governor().ledger().account(member->account).held;
  }
  Pages free() const { return host->governor().ledger().free(); }

  Settings settings;
  std::unique_ptr<os::EventLoop> loop;
  std::unique_ptr<Records> records;
  std::unique_ptr<FakeCells> cells;
  std::unique_ptr<Host> host;

 private:
  // What the host says in the end.
  template <typename Ask>
  Result<void> answer_of(Ask ask) {
    std::optional<Result<void>> answer;
    ask([&](const Result<void>& given) { answer = given; });
    CHECK(run_until([&] { return answer.has_value(); }, 60'000));
    return *answer;
  }

  std::string folder_;
};

}  // namespace cloister::host::testing
