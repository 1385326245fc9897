// SPDX-License-Identifier: Apache-2.0
//
// A machine's life
//
// A definition is on the disk before its machine is started for the first time. To start it: its folders and
// an allowance of 0 are written, the daemon listens where the cell will connect, the process is made, its
// number is noted, and only then is the cell greeted, before which it does nothing. If the daemon dies in
// between, the cell finds nobody to greet it and ends by itself; if it dies later, the note tells its
// successor whom to expect. So at no step can a cell run of which nobody knows.
//
// A process that ends takes its memory with it, and the host's kernel says so by its pidfd at once: that is
// when the books are cleared, whatever the cell said or did not say before.
#include "host/host.h"

#include "base/log.h"
#include "base/os/clock.h"
#include "base/os/machine_memory.h"
#include "base/size.h"

namespace cloister::host {
namespace {

std::string end_in_words(const os::ProcessEnd& end) {
  switch (end.how) {
    case os::ProcessEnd::How::kExit:
      return fmt::format("its cell ended with status {}", end.number);
    case os::ProcessEnd::How::kSignal:
      return fmt::format("its cell was killed by signal {}", end.number);
    case os::ProcessEnd::How::kUnknown:
      break;
  }
  return "its cell ended";
}

// What was changed holds, and a restart would lose it.
Result<void> unless_kept(const Result<void>& saved) {
  if (saved.ok()) return saved;
  return error("it holds until the daemon ends, but cannot be written down: {}", saved.failure().message);
}

bool settled(CellState state) { return state != CellState::kStarting && state != CellState::kStopping; }

}  // namespace

Host::Host(os::EventLoop& loop, Settings settings, Records records, CellStarter& starter)
    : loop_(loop),
      settings_(std::move(settings)),
      records_(std::move(records)),
      starter_(starter),
      governor_(settings_, events_),
      sharing_(settings_, events_, governor_),
      clerk_(loop) {
  timer_ = loop_.after(std::chrono::nanoseconds(governor_.tick_after().raw), [this] { tick(); });
}

Host::~Host() { loop_.cancel(timer_); }

void Host::tick() {
  const Nanos now = os::monotonic_now();
  governor_.tick(now);
  sharing_.tick(now);
  timer_ = loop_.after(std::chrono::nanoseconds(governor_.tick_after().raw), [this] { tick(); });
}

Result<Host::Entry*> Host::find(const std::string& name) {
  const auto found = entries_.find(name);
  if (found == entries_.end())
    return error("there is no machine '{}'; `cloister list` shows those there are", name);
  return &found->second;
}

std::unique_ptr<Cell> Host::make_cell(MachineOrder order) {
  Cell::Owner& owner = *this;
  return std::make_unique<Cell>(loop_, owner, std::move(order));
}

Host::Entry& Host::entry_of(const Cell& cell) {
  const auto found = entries_.find(cell.name());
  CHECK(found != entries_.end());
  return found->second;
}

// -- Recovery -------------------------------------------------------------------------------------------

Result<void> Host::recover() {
  std::vector<Error> problems;
  for (MachineOrder& order : records_.load(problems)) {
    const std::string name = order.name;
    Entry& entry = entries_[name];
    entry.cell = make_cell(std::move(order));
    adopt(entry);
  }
  for (const Error& problem : problems) events_.say(LogLevel::kError, "", "damaged", problem.message);
  changed_settings_ = TRY(records_.load_settings());
  for (const Word& word : changed_settings_) {
    const SettingOption* option = find_setting(word.key);
    if (option != nullptr) TRY(option->set(settings_, word.text));
    events_.say(LogLevel::kInfo, "", "setting",
                fmt::format("{} = {}, as it was changed earlier", word.key, word.text));
  }
  if (!changed_settings_.empty()) governor_.change_settings(os::monotonic_now());
  return {};
}

// Where what it holds cannot be read any more, it is taken to hold all that it could.
void Host::adopt(Entry& entry) {
  Cell& cell = *entry.cell;
  const auto id = records_.running(cell.name());
  auto process = id ? starter_.find(*id) : Result<std::unique_ptr<CellProcess>>(error("it does not run"));
  if (!process.ok()) return records_.forget_running(cell.name());
  auto file = HeldFile::open(records_.held_path(cell.name()));
  if (!file.ok()) {
    file = HeldFile::create(records_.held_path(cell.name()));
    if (file.ok()) (void)file->write(policy::memory::pages_of(cell.order().size()));
  }
  Result<void> done = file.ok() ? cell.listen(records_.control_path(cell.name())) : file.failure();
  if (done.ok()) done = attach(cell, process.take(), file.take(), CellState::kAway);
  if (!done.ok()) {
    events_.say(LogLevel::kError, cell.name(), "adopt",
                "its running cell cannot be taken over: " + done.failure().message);
  }
}

Result<void> Host::attach(Cell& cell, std::unique_ptr<CellProcess> process, HeldFile file, CellState state) {
  TRY(cell.attach(std::move(process), state));
  return governor_.join(cell, std::move(file), os::monotonic_now());
}

// -- What people want -----------------------------------------------------------------------------------

Result<policy::memory::Verdict> Host::try_launch(const MachineOrder& order) const {
  if (entries_.contains(order.name)) {
    return error("there is a machine '{}' already; choose another name, or delete that one first",
                 order.name);
  }
  return governor_.admit(order);
}

Result<void> Host::refuse_unless_admitted(const MachineOrder& order) const {
  const auto verdict = TRY(governor_.admit(order));
  if (!verdict.admitted) return error("'{}' cannot start: {}", order.name, verdict.reason);
  return {};
}

void Host::launch(MachineOrder order, Answer answer) {
  const auto verdict = try_launch(order);
  if (!verdict.ok()) return answer(verdict.failure());
  if (const auto fits = refuse_unless_admitted(order); !fits.ok()) return answer(fits);
  const std::string name = order.name;
  Entry& entry = entries_[name];
  entry.cell = make_cell(order);
  entry.busy = true;
  clerk_.write([this, order = std::move(order)] { return records_.save(order); },
               [this, name, answer](const Result<void>& saved) { start_defined(name, saved, answer); });
}

// Others may have started since it was looked at.
void Host::start_defined(const std::string& name, const Result<void>& saved, const Answer& answer) {
  Entry& entry = entries_.at(name);
  entry.busy = false;
  Result<void> started = saved;
  if (started.ok()) events_.say(LogLevel::kInfo, name, "defined", "the machine was defined");
  if (started.ok()) started = refuse_unless_admitted(entry.cell->order());
  if (started.ok()) started = start_cell(entry);
  if (started.ok()) return answer(started);
  entry.busy = true;
  clerk_.write([this, name] { return records_.remove(name); },
               [this, name, answer, started](const Result<void>&) {
                 entries_.erase(name);
                 answer(started);
               });
}

Result<Host::Entry*> Host::find_stopped(const std::string& name) {
  Entry* entry = TRY(find(name));
  if (!entry->busy) return entry;
  return error("'{}' is being defined or deleted just now; try again when that is done", name);
}

Result<void> Host::start(const std::string& name) {
  Entry& entry = *TRY(find_stopped(name));
  if (entry.cell->has_process()) return error("'{}' is {} already", name, name_of(entry.cell->state()));
  TRY(refuse_unless_admitted(entry.cell->order()));
  return start_cell(entry);
}

Bytes Host::swap_for(const MachineOrder& order) const {
  const auto cap = std::min(order.size(), order.terms.policy.limit.value_or(order.size()));
  // What it may hold above its min, and what a limit keeps out of memory altogether.
  return policy::memory::swap_needed(order.size(), std::min(order.terms.policy.min, cap), {});
}

Result<void> Host::start_cell(Entry& entry) {
  Cell& cell = *entry.cell;
  entry.last_end.clear();
  entry.told_end.clear();
  TRY(records_.make_folders(cell.name()));
  HeldFile file = TRY(HeldFile::create(records_.held_path(cell.name())));
  TRY(cell.listen(records_.control_path(cell.name())));
  auto process = TRY(starter_.start(cell.order(), swap_for(cell.order())));
  const auto noted = records_.note_running(cell.name(), process->id());
  if (!noted.ok()) {
    process->kill();
    return noted.failure();
  }
  TRY(attach(cell, std::move(process), std::move(file), CellState::kStarting));
  events_.say(LogLevel::kInfo, cell.name(), "starting", "its cell was started");
  return {};
}

Result<void> Host::stop(const std::string& name, Stop how) {
  Entry& entry = *TRY(find(name));
  Cell& cell = *entry.cell;
  if (!cell.has_process()) return error("'{}' is stopped already", name);
  if (how == Stop::kOrderly && !cell.connected()) {
    return error("'{}' is {}: its cell does not listen; stop it with --force", name, name_of(cell.state()));
  }
  cell.order_power(cell::control::PowerOrder::kStop);
  if (how == Stop::kNow) cell.kill();
  return {};
}

Result<void> Host::pause(const std::string& name) {
  Cell& cell = *(*TRY(find(name))).cell;
  if (cell.state() != CellState::kRunning)
    return error("'{}' is {} and cannot be paused", name, name_of(cell.state()));
  cell.order_power(cell::control::PowerOrder::kPause);
  events_.say(LogLevel::kInfo, name, "paused", "its harts stand still");
  return {};
}

Result<void> Host::resume(const std::string& name) {
  Cell& cell = *(*TRY(find(name))).cell;
  if (cell.state() != CellState::kPaused)
    return error("'{}' is {} and cannot be resumed", name, name_of(cell.state()));
  cell.order_power(cell::control::PowerOrder::kResume);
  events_.say(LogLevel::kInfo, name, "resumed", "its harts run again");
  return {};
}

void Host::remove(const std::string& name, Answer answer) {
  const auto found = find_stopped(name);
  if (!found.ok()) return answer(found.failure());
  Entry& entry = **found;
  if (entry.cell->has_process())
    return answer(error("'{}' is {}; stop it first", name, name_of(entry.cell->state())));
  entry.busy = true;
  clerk_.write([this, name] { return records_.remove(name); },
               [this, name, answer](const Result<void>& removed) {
                 entries_.at(name).busy = false;
                 if (removed.ok()) {
                   entries_.erase(name);
                   events_.say(LogLevel::kInfo, name, "deleted", "the machine was deleted");
                 }
                 answer(removed);
               });
}

void Host::change(const std::string& name, const std::vector<Word>& words, Answer answer) {
  if (const auto changed = change_now(name, words); !changed.ok()) return answer(changed);
  clerk_.write([this, order = entries_.at(name).cell->order()] { return records_.save(order); },
               [answer](const Result<void>& saved) { answer(unless_kept(saved)); });
}

Result<void> Host::change_now(const std::string& name, const std::vector<Word>& words) {
  Cell& cell = *(*TRY(find_stopped(name))).cell;
  MachineOrder changed = TRY(cell.order().with(words));
  if (cell.has_process()) {
    const auto verdict = TRY(governor_.admit_change(cell, changed));
    if (!verdict.admitted) return error("'{}' cannot have these terms: {}", name, verdict.reason);
  }
  cell.set_order(std::move(changed));
  events_.say(LogLevel::kInfo, name, "changed", "its terms for memory were changed");
  return cell.has_process() ? governor_.change_terms(cell, os::monotonic_now()) : Result<void>();
}

void Host::change_settings(const std::vector<Word>& words, Answer answer) {
  if (const auto changed = change_settings_now(words); !changed.ok()) return answer(changed);
  clerk_.write([this, words = changed_settings_] { return records_.save_settings(words); },
               [answer](const Result<void>& saved) { answer(unless_kept(saved)); });
}

Result<void> Host::change_settings_now(const std::vector<Word>& words) {
  Settings wanted = settings_;
  std::vector<Word> changed = changed_settings_;
  for (const Word& word : words) {
    const SettingOption* option = find_setting(word.key);
    if (option == nullptr) return error("there is no setting '{}'; cloisterd --help lists them", word.key);
    if (!option->live)
      return error("{} cannot be changed while the daemon runs; change its configuration", word.key);
    TRY(option->set(wanted, word.text));
    std::erase_if(changed, [&](const Word& old) { return old.key == word.key; });
    changed.push_back(word);
  }
  TRY(complete(wanted, os::machine_memory()));
  if (wanted.pool != settings_.pool) TRY(governor_.check_pool(wanted.pool));
  changed_settings_ = std::move(changed);
  settings_ = std::move(wanted);
  governor_.change_settings(os::monotonic_now());
  events_.say(LogLevel::kInfo, "", "setting", "the host's settings were changed");
  return {};
}

void Host::when_settled(const std::string& name, std::function<void()> call) {
  const auto found = entries_.find(name);
  if (found == entries_.end() || settled(found->second.cell->state())) return call();
  found->second.waiting.push_back(std::move(call));
}

void Host::settle(Entry& entry) {
  if (!settled(entry.cell->state())) return;
  for (auto& call : std::exchange(entry.waiting, {})) call();
}

// A cell does what it is told in the order in which it was told.
void Host::when_obeyed(const std::string& name, std::function<void()> call) {
  const auto found = entries_.find(name);
  if (found == entries_.end() || !found->second.cell->connected()) return call();
  found->second.pings.emplace_back(++pings_, std::move(call));
  found->second.cell->send(cell::control::Ping{pings_});
}

void Host::answered(Entry& entry, u64 serial) {
  while (!entry.pings.empty() && entry.pings.front().first <= serial) {
    const auto call = std::move(entry.pings.front().second);
    entry.pings.pop_front();
    call();
  }
}

// -- What is known --------------------------------------------------------------------------------------

std::vector<const Cell*> Host::machines() const {
  std::vector<const Cell*> cells;
  for (const auto& [name, entry] : entries_) cells.push_back(entry.cell.get());
  return cells;
}

Result<const Cell*> Host::machine(const std::string& name) const {
  Entry* entry = TRY(const_cast<Host*>(this)->find(name));
  return static_cast<const Cell*>(entry->cell.get());
}

std::string Host::last_end(const std::string& name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? "" : found->second.last_end;
}

Result<std::string> Host::explain(const std::string& name) const {
  return governor_.explain(*TRY(machine(name)));
}

// -- What cells do --------------------------------------------------------------------------------------

void Host::cell_registered(Cell& cell, const cell::control::Hello& hello) {
  governor_.registered(cell, hello, os::monotonic_now());
  events_.say(
      LogLevel::kInfo, cell.name(), "registered",
      fmt::format("its cell registered and holds {}", format_size(bytes_of(Pages{hello.held_pages}))));
  if (hello.has_vault == 0) sharing_.join(cell);
  settle(entry_of(cell));
}

void Host::cell_said(Cell& cell, const cell::control::Message& message) {
  if (const auto* ended = std::get_if<cell::control::Ended>(&message)) {
    entry_of(cell).told_end = cell::control::text_of(ended->reason);
    return;
  }
  if (const auto* pong = std::get_if<cell::control::Pong>(&message)) {
    return answered(entry_of(cell), pong->serial);
  }
  governor_.said(cell, message, os::monotonic_now());
  sharing_.said(cell, message);
}

void Host::cell_lost(Cell& cell, const std::string& why) {
  governor_.lost(cell);
  sharing_.lost(cell);
  answered(entry_of(cell), pings_);
  events_.say(LogLevel::kInfo, cell.name(), "away", "the channel to its cell is gone: " + why);
}

void Host::cell_ended(Cell& cell, const os::ProcessEnd& end) {
  Entry& entry = entry_of(cell);
  sharing_.leave(cell);
  governor_.leave(cell, os::monotonic_now());
  records_.forget_running(cell.name());
  entry.last_end = entry.told_end;
  if (entry.last_end.empty()) {
    const std::string words = starter_.last_words(cell.name());
    entry.last_end = end_in_words(end) + (words.empty() ? "" : ": " + words);
  }
  events_.say(LogLevel::kInfo, cell.name(), "stopped", entry.last_end);
  settle(entry);
  answered(entry, pings_);
}

}  // namespace cloister::host
