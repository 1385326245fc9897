// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/os/event_loop.h"
#include "base/result.h"
#include "host/cell.h"
#include "host/clerk.h"
#include "host/events.h"
#include "host/governor.h"
#include "host/records.h"
#include "host/settings.h"
#include "host/sharing.h"
#include "host/starter.h"

namespace cloister::host {

// All that the daemon does, without its network: machines by name, their cells, the memory among them. What
// the API and the command line offer is here one call each. Errors are for the person who asked. On the event
// loop's thread; everything must outlive it but the machines, which live on without it.
class Host final : private Cell::Owner {
 public:
  Host(os::EventLoop& loop, Settings settings, Records records, CellStarter& starter);
  ~Host() override;
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  // Finds the machines that are defined, and the cells of an earlier daemon that run still. Once, first.
  Result<void> recover();

  // -- What people want. Refused: names that are not there, states that do not fit.
  //    What must be written down is answered once it is on the disk, or was refused: nothing waits for that
  //    but who asked.
  using Answer = std::function<void(const Result<void>&)>;

  // Would it start? Nothing is done.
  Result<policy::memory::Verdict> try_launch(const MachineOrder& order) const;
  // Defines a machine and starts it; where that is refused, nothing is left.
  void launch(MachineOrder order, Answer answer);
  Result<void> start(const std::string& name);
  // Takes the power away. kNow does not wait for the cell, which may hang.
  enum class Stop : u8 { kOrderly, kNow };
  Result<void> stop(const std::string& name, Stop how);
  Result<void> pause(const std::string& name);
  Result<void> resume(const std::string& name);
  void remove(const std::string& name, Answer answer);
  // Other terms for the memory, at once when it runs; and the host's settings. They hold also when they
  // cannot be written down, which is said.
  void change(const std::string& name, const std::vector<Word>& words, Answer answer);
  void change_settings(const std::vector<Word>& words, Answer answer);

  // Calls once, when the machine neither starts nor stops any more; maybe at once.
  void when_settled(const std::string& name, std::function<void()> call);
  // Calls once, when the machine's cell has done what it was told so far, or is gone; maybe at once.
  void when_obeyed(const std::string& name, std::function<void()> call);

  // -- What is known.
  std::vector<const Cell*> machines() const;  // by name
  Result<const Cell*> machine(const std::string& name) const;
  // Why the last run of a machine ended; empty: it did not.
  std::string last_end(const std::string& name) const;
  Result<std::string> explain(const std::string& name) const;
  const Governor& governor() const { return governor_; }
  const Sharing& sharing() const { return sharing_; }
  const Settings& settings() const { return settings_; }
  const Records& records() const { return records_; }
  Events& events() { return events_; }
  Clerk& clerk() { return clerk_; }

  void check_invariants() const {
    governor_.check_invariants();
    sharing_.check_invariants();
  }

 private:
  struct Entry {
    std::unique_ptr<Cell> cell;
    bool busy = false;  // being written down for the first time, or removed: neither can be undone meanwhile
    std::string last_end;
    std::string told_end;  // by the cell itself, before it went
    std::vector<std::function<void()>> waiting;
    std::deque<std::pair<u64, std::function<void()>>> pings;  // by serial: what to call when it is answered
  };

  Result<Entry*> find(const std::string& name);
  Entry& entry_of(const Cell& cell);
  Result<Entry*> find_stopped(const std::string& name);
  Result<void> refuse_unless_admitted(const MachineOrder& order) const;
  void start_defined(const std::string& name, const Result<void>& saved, const Answer& answer);
  Result<void> change_now(const std::string& name, const std::vector<Word>& words);
  Result<void> change_settings_now(const std::vector<Word>& words);
  std::unique_ptr<Cell> make_cell(MachineOrder order);
  Result<void> start_cell(Entry& entry);
  Result<void> attach(Cell& cell, std::unique_ptr<CellProcess> process, HeldFile file, CellState state);
  void adopt(Entry& entry);
  void settle(Entry& entry);
  void answered(Entry& entry, u64 serial);
  void tick();
  Bytes swap_for(const MachineOrder& order) const;

  void cell_registered(Cell& cell, const cell::control::Hello& hello) override;
  void cell_said(Cell& cell, const cell::control::Message& message) override;
  void cell_lost(Cell& cell, const std::string& why) override;
  void cell_ended(Cell& cell, const os::ProcessEnd& end) override;

  os::EventLoop& loop_;
  Settings settings_;
  std::vector<Word> changed_settings_;
  const Records records_;
  CellStarter& starter_;
  Events events_;
  Governor governor_;
  Sharing sharing_;
  std::map<std::string, Entry> entries_;
  os::EventLoop::TimerId timer_ = 0;
  u64 pings_ = 0;
  Clerk clerk_;
};

}  // namespace cloister::host
