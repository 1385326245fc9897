// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

// What guest tests ask of devices, as one small program inside the guest. Each function says on standard
// output what it saw, and returns the program's exit status.
namespace cloister::probe {

// Writes `mib` MiB of a pattern made from the seed to a disk in random order with several block sizes,
// flushes, drops what the kernel has cached, and reads all of it back.
int verify_blocks(const char* device, std::uint64_t seed, std::uint64_t mib);

// Appends numbered records to a file for ever; says `flushed N` once record N is on the disk.
int keep_flushing(const char* file);

// Fills `mib` MiB of its own memory with what cannot be packed, then visits pages at random: checks each,
// writes some anew. Says each second how many a second. At SIGTERM checks all of them, and says whether they
// hold.
int work_on_pages(std::uint64_t seed, std::uint64_t mib);

// Accepts one vsock connection on a port and sends back what comes until its end.
int vsock_echo(unsigned port);

// Connects to the host's port, sends a line and prints the answer.
int vsock_ask(unsigned port, const char* line);

// Gives up memory that is not to be given up, and sees that it is refused; what is its own is taken.
int balloon_refusals();
// Gives up memory that is then split, let go of in part, made read-only, or shared with a child.
int balloon_shapes();
// Gives up so much memory, says how much of it was taken, and keeps it until it is killed; or each second
// page of it, and lets go of those between, so that what is kept lies scattered; or all of it, but names no
// page to the host. At SIGUSR1 says whether what it keeps reads as it should.
enum class Hold { kWhole, kScattered, kUnnamed };
int balloon_hold(unsigned long long mib, Hold how);
// What a program does with libcloister-guest in C++, and in a child that it makes meanwhile.
int use_library();
// Writes to so much memory, no faster than that (0: as fast as it can), and reads it back.
int touch(unsigned long long mib, unsigned long long mib_a_second);
// What one look at the condition costs, by its page and by the call.
int condition_cost(unsigned long long times);
// Sleeps for a millisecond over and over, for so long; says what the longest took beyond that.
int watch_for_stillness(unsigned long long seconds);
// Waits for so many changes of the condition, and says how long after its making each was heard of.
int condition_wait(unsigned long long changes);
// Waits for so many records of the condition by epoll on the library's descriptor, and says what they tell.
int condition_epoll(unsigned long long records);
// Connects to a socket of the guest's, and prints what comes when poll says that it has.
int listen_to(const char* path);
// A connection to a port of the host; -1 with the reason on standard error.
int vsock_to_host(unsigned port);
// Prints the machine's memory condition, as called for and from its page.
int show_condition();

}  // namespace cloister::probe
