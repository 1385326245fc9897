// SPDX-License-Identifier: Apache-2.0
//
// Which system calls a running machine needs
//
// The list was made by reading what this program and its libraries (the C library, libslirp, OpenSSL's none)
// call once a machine is made, and by running guests that use every device. A call that is not on it is
// answered ENOSYS and not with the process's end: the C library has an older way for most newer calls
// (clone3, for instance), and a guest is not to lose its machine for a call that a library tried out. What
// would let an intruder out is not there: no execve, ptrace, mount, bpf, no opening of namespaces, no kernel
// keys; threads can be made and processes cannot; signals go to this process alone.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <vector>

#include "base/os/confinement.h"
#include "base/os/os_error.h"
#include "base/os/this_process.h"

namespace cloister::os {
namespace {

constexpr u32 kAlways[] = {
    // memory
    SYS_brk,
    SYS_mmap,
    SYS_munmap,
    SYS_mprotect,
    SYS_madvise,
    SYS_mremap,
    SYS_memfd_create,
    SYS_msync,
    SYS_membarrier,
    SYS_mincore,
    // threads and time
    SYS_futex,
    SYS_sched_yield,
    SYS_sched_getaffinity,
    SYS_sched_setaffinity,
    SYS_set_robust_list,
    SYS_get_robust_list,
    SYS_rseq,
    SYS_exit,
    SYS_exit_group,
    SYS_gettid,
    SYS_getpid,
    SYS_nanosleep,
    SYS_clock_nanosleep,
    SYS_clock_gettime,
    SYS_clock_getres,
    SYS_gettimeofday,
    SYS_time,
    SYS_prctl,
    SYS_getrusage,
    SYS_restart_syscall,
    SYS_getcpu,
    SYS_sched_getparam,
    SYS_sched_setscheduler,
    SYS_sched_getscheduler,
    SYS_setpriority,
    SYS_getpriority,
    SYS_arch_prctl,
    // signals of its own
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_sigaltstack,
    SYS_signalfd4,
    // waiting
    SYS_epoll_create1,
    SYS_epoll_ctl,
    SYS_epoll_wait,
    SYS_epoll_pwait,
    SYS_poll,
    SYS_ppoll,
    SYS_select,
    SYS_pselect6,
    SYS_eventfd2,
    SYS_timerfd_create,
    SYS_timerfd_settime,
    SYS_timerfd_gettime,
    SYS_pipe2,
    // descriptors and files: which files is another fence's matter
    SYS_read,
    SYS_write,
    SYS_readv,
    SYS_writev,
    SYS_pread64,
    SYS_pwrite64,
    SYS_preadv,
    SYS_pwritev,
    SYS_preadv2,
    SYS_pwritev2,
    SYS_close,
    SYS_close_range,
    SYS_dup,
    SYS_dup2,
    SYS_dup3,
    SYS_fcntl,
    SYS_lseek,
    SYS_fstat,
    SYS_newfstatat,
    SYS_stat,
    SYS_lstat,
    SYS_statx,
    SYS_statfs,
    SYS_fstatfs,
    SYS_fsync,
    SYS_fdatasync,
    SYS_ftruncate,
    SYS_fallocate,
    SYS_copy_file_range,
    SYS_sendfile,
    SYS_open,
    SYS_openat,
    SYS_access,
    SYS_faccessat,
    SYS_readlink,
    SYS_readlinkat,
    SYS_getdents64,
    SYS_getcwd,
    SYS_unlink,
    SYS_unlinkat,
    SYS_mkdirat,
    SYS_mknodat,
    SYS_symlinkat,
    SYS_linkat,
    SYS_rename,
    SYS_renameat,
    SYS_renameat2,
    SYS_fchmod,
    SYS_fchmodat,
    SYS_utimensat,
    SYS_flock,
    SYS_ioctl,
    SYS_umask,
    SYS_fadvise64,
    SYS_sync_file_range,
    // sockets that are there
    SYS_connect,
    SYS_accept,
    SYS_accept4,
    SYS_bind,
    SYS_listen,
    SYS_getsockname,
    SYS_getpeername,
    SYS_sendto,
    SYS_recvfrom,
    SYS_sendmsg,
    SYS_recvmsg,
    SYS_sendmmsg,
    SYS_recvmmsg,
    SYS_shutdown,
    SYS_setsockopt,
    SYS_getsockopt,
    SYS_socketpair,
    // who and how much
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
    SYS_getrandom,
    SYS_sysinfo,
    SYS_uname,
    SYS_getrlimit,
    SYS_prlimit64,
    SYS_getppid,
};

constexpr sock_filter statement(u32 code, u32 k) { return {static_cast<u16>(code), 0, 0, k}; }
constexpr sock_filter jump(u32 code, u32 k, u32 if_true, u32 if_false) {
  return {static_cast<u16>(code), static_cast<u8>(if_true), static_cast<u8>(if_false), k};
}
constexpr sock_filter load(std::size_t offset) {
  return statement(BPF_LD | BPF_W | BPF_ABS, static_cast<u32>(offset));
}
constexpr sock_filter give(u32 verdict) { return statement(BPF_RET | BPF_K, verdict); }

constexpr u32 kDeny = SECCOMP_RET_ERRNO | ENOSYS;
constexpr std::size_t kFirstArgument = offsetof(seccomp_data, args);  // its lower half
constexpr u32 kOtherTable = 0x40000000;  // numbers of the x32 interface begin here

class Filter {
 public:
  void add(sock_filter one) { program_.push_back(one); }

  void begin() {
    add(load(offsetof(seccomp_data, arch)));
    add(jump(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0));
    add(give(SECCOMP_RET_KILL_PROCESS));
    add(load(offsetof(seccomp_data, nr)));
    add(jump(BPF_JMP | BPF_JGE | BPF_K, kOtherTable, 0, 1));
    add(give(SECCOMP_RET_KILL_PROCESS));
  }
  void allow(u32 call) {
    add(jump(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1));
    add(give(SECCOMP_RET_ALLOW));
  }
  // Where the first argument has all of `bits`.
  void allow_with_bits(u32 call, u32 bits) {
    add(jump(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 5));
    add(load(kFirstArgument));
    add(statement(BPF_ALU | BPF_AND | BPF_K, bits));
    add(jump(BPF_JMP | BPF_JEQ | BPF_K, bits, 0, 1));
    add(give(SECCOMP_RET_ALLOW));
    add(give(kDeny));
  }
  // Where the first argument is one of `values`.
  void allow_with(u32 call, const std::vector<u32>& values) {
    add(jump(BPF_JMP | BPF_JEQ | BPF_K, call, 0, static_cast<u32>(2 * values.size() + 2)));
    add(load(kFirstArgument));
    for (const u32 value : values) {
      add(jump(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1));
      add(give(SECCOMP_RET_ALLOW));
    }
    add(give(kDeny));
  }
  Result<void> install() {
    add(give(kDeny));
    const sock_fprog program{static_cast<unsigned short>(program_.size()), program_.data()};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
        ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0) {
      return {};
    }
    return os_error("cannot restrict this process's system calls");
  }

 private:
  std::vector<sock_filter> program_;
};

}  // namespace

Result<void> restrict_calls(Network network) {
  Filter filter;
  filter.begin();
  for (const u32 call : kAlways) filter.allow(call);
  filter.allow_with_bits(SYS_clone, CLONE_THREAD | CLONE_VM);
  const auto self = static_cast<u32>(::getpid());
  for (const u32 call : {u32{SYS_tgkill}, u32{SYS_kill}}) filter.allow_with(call, {self});
  filter.allow_with(SYS_process_madvise, {static_cast<u32>(kThisProcess)});
  filter.allow_with(SYS_socket, network == Network::kNone ? std::vector<u32>{AF_UNIX}
                                                          : std::vector<u32>{AF_UNIX, AF_INET, AF_INET6});
  return filter.install();
}

}  // namespace cloister::os
