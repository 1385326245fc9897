// SPDX-License-Identifier: Apache-2.0
#include "cell/condition_port.h"

#include <utility>
#include <vector>

namespace cloister::cell {
namespace {

constexpr u32 kRecordBytes = sizeof(cloister_condition);

}  // namespace

ConditionPort::~ConditionPort() {
  for (const auto& [id, client] : clients_) loop_.forget(id);
}

void ConditionPort::accept(os::UnixStream stream) {
  if (clients_.size() >= kMostClients) return;
  const int id = stream.fd().get();
  clients_.emplace(id, Client{RecordStream(std::move(stream), kRecordBytes)});
  push(id);
}

void ConditionPort::tell(const cloister_condition& record) {
  newest_ = record;
  std::vector<int> ids;
  for (auto& [id, client] : clients_) {
    client.due = true;
    ids.push_back(id);
  }
  for (const int id : ids) push(id);
}

// What is to be released is asked of all together.
cloister_condition ConditionPort::share() const {
  cloister_condition record = newest_;
  record.release = record.release / clients_.size() & ~kPageMask;
  return record;
}

void ConditionPort::push(int id) {
  Client& client = clients_.at(id);
  bool sound = client.stream.flush();
  if (sound && client.stream.waiting() == 0 && std::exchange(client.due, false)) {
    client.stream.put_value(CLOISTER_RECORD_CONDITION, share());
    sound = client.stream.flush();
  }
  if (!sound) return drop(id);
  const os::Ready interest =
      client.stream.waiting() == 0 ? os::Ready::kRead : os::Ready::kRead | os::Ready::kWrite;
  if (!loop_.watch(id, interest, [this, id](os::Ready ready) { on_ready(id, ready); }).ok()) drop(id);
}

void ConditionPort::on_ready(int id, os::Ready ready) {
  Client& client = clients_.at(id);
  if (os::has(ready, os::Ready::kRead) || os::has(ready, os::Ready::kHangup)) {
    std::byte anything{};
    const auto got = client.stream.stream().read(std::span(&anything, 1));
    if (got.ok() || !os::would_block(got.failure())) return drop(id);
  }
  push(id);
}

void ConditionPort::drop(int id) {
  loop_.forget(id);
  clients_.erase(id);
}

}  // namespace cloister::cell
