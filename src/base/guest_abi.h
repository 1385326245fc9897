/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a guest's programs and the host say to each other: the numbers of docs/guest-abi.md, for both sides.
 * This header is C as well as C++, and nothing but types and constants. All is little-endian, as RISC-V is;
 * structures have no padding of their own. Nothing here changes its meaning: what is new gets a new number.
 */

#include <stdint.h>

enum { CLOISTER_ABI_VERSION = 1 };

/* -- The call
 * ------------------------------------------------------------------------------------------------
 *
 * The instruction 0x0000000b (custom-0, all fields zero), from user or supervisor mode. a7: the function.
 * a0..a5: its arguments. It returns a status in a0 and results in a1..a4, leaves all other registers and
 * never traps where it exists; elsewhere it is an illegal instruction. */

#define CLOISTER_CALL_INSTRUCTION 0x0000000bu

enum {
  CLOISTER_CALL_DISCOVER = 0, /* -> a1 = version, a2 = features */
  CLOISTER_CALL_BALLOON_MARK =
      1, /* -> a1..a4 = the 32 bytes at the head of a balloon page; the rest is zero */
  CLOISTER_CALL_BALLOON_GIVE = 2, /* a0 = address of the first page, a1 = pages, 1 to CLOISTER_GIVE_MOST
                                     -> a1 = how many were taken, a2 = index of the first that was not (or
                                     a1), a3 = why that was not: a status */
  CLOISTER_CALL_CONDITION = 3,    /* a0 = address of a cloister_condition, aligned to 8, a1 = its size
                                     -> a1 = bytes written */
  CLOISTER_CALL_CONDITION_PAGE =
      4,                  /* a0 = address of a page: it reads as the condition, live, until it is written */
  CLOISTER_CALL_WAIT = 5, /* -> a1, a2 = vsock CID and port on which changes of the condition are told */
  CLOISTER_CALL_BALLOON_FILL = 6 /* as BALLOON_GIVE, and the host writes the value to the pages */
};

enum { CLOISTER_GIVE_MOST = 512 };

enum { /* features */
       CLOISTER_FEATURE_BALLOON = 1u << 0,
       CLOISTER_FEATURE_CONDITION = 1u << 1,
       CLOISTER_FEATURE_WAIT = 1u << 2, /* there is a vsock device with somebody at its end */
       CLOISTER_FEATURE_FILL = 1u << 3  /* CLOISTER_CALL_BALLOON_FILL */
};

enum { /* statuses */
       CLOISTER_OK = 0,
       CLOISTER_NO_FUNCTION = 1, /* this host knows no such function */
       CLOISTER_BAD_ARGUMENT =
           2, /* not aligned, a count of 0 or too large, a size too small, past the address space */
       CLOISTER_NOT_YOURS =
           3, /* the caller may not write there now: unmapped, read-only, the kernel's, a device's */
       CLOISTER_NOT_VALUE = 4, /* the page holds something else than the balloon value */
       CLOISTER_BUSY = 5,      /* a device uses the page, or it is being changed: try again later */
       CLOISTER_OFF = 6        /* the feature is switched off for this machine */
};

/* -- The condition
 * -------------------------------------------------------------------------------------------
 *
 * What a machine's memory is like in truth. In the condition page `sequence` is odd while the record is being
 * written: read it, then the rest, then it again. */

enum { /* levels */
       CLOISTER_AMPLE = 0,
       CLOISTER_SOFT = 1,    /* give what costs little: free memory, cold caches */
       CLOISTER_HARD = 2,    /* give what you can make again */
       CLOISTER_CRITICAL = 3 /* the machine stands still for want of memory, a quarter of its time at least */
};

struct cloister_condition {
  uint64_t sequence;
  uint32_t version; /* CLOISTER_ABI_VERSION */
  uint32_t level;
  uint64_t changes;    /* of the level, since the machine was switched on */
  uint64_t time;       /* of this record, in ticks of the time CSR (10 MHz); made anew each second at least */
  uint64_t configured; /* bytes, from here on: what the machine was made with */
  uint64_t entitlement;   /* what it would get if all others wanted all */
  uint64_t target;        /* what it should hold now */
  uint64_t held;          /* what it holds now */
  uint64_t balloon;       /* given up by balloon applications */
  uint64_t gap;           /* still to be given up: 0 when held <= target */
  uint64_t swapped;       /* in the host's swap or packed */
  uint64_t swap_in_rate;  /* bytes a second brought back from the host's swap; not those packed */
  uint64_t page_out_rate; /* bytes a second of balloon pages that the guest writes to its own swap */
  uint64_t available;     /* what its applications can use without making the host take from elsewhere */
  uint64_t release;  /* suggested to be released by the program that asks; in the page: by all together */
  uint64_t deadline; /* time CSR by which; 0: none. After it the host takes as much by force */
};

/* -- Over vsock
 * ----------------------------------------------------------------------------------------------
 *
 * Streams of records, each with a header. Who gets a record it does not know, or one of another size, closes.
 * The host is CID 2. */

enum {
  CLOISTER_PORT_CONDITION =
      5150, /* host: a cloister_condition at once, and at each change of level or target */
  CLOISTER_PORT_BALLOON = 5151, /* host: orders to a balloon application and its answers */
  CLOISTER_PORT_AGENT = 5152    /* guest: the agent's commands (exec, copy), docs/guest-abi.md */
};

enum {                                    /* kinds of record */
       CLOISTER_RECORD_CONDITION = 1,     /* cloister_condition */
       CLOISTER_RECORD_BALLOON_HELLO = 2, /* from the guest, first: cloister_balloon_hello */
       CLOISTER_RECORD_BALLOON_ORDER = 3, /* from the host: cloister_balloon_order */
       CLOISTER_RECORD_BALLOON_STATE =
           4 /* from the guest, whenever it has changed, each second at most 20: cloister_balloon_state */
};

struct cloister_record {
  uint32_t kind;
  uint32_t size; /* of what follows */
};

struct cloister_balloon_hello {
  uint32_t version;
  uint32_t pid;
  uint64_t most; /* bytes that this application could ever give */
  char name[32]; /* for people; zero-terminated */
};

struct cloister_balloon_order {
  uint64_t serial;
  uint64_t target;   /* bytes this application is to hold in its balloon */
  uint64_t rate;     /* bytes a second at most; 0: as fast as it can */
  uint64_t deadline; /* time CSR; 0: none */
};

enum { /* why the balloon is not larger */
       CLOISTER_BALLOON_MET = 0,
       CLOISTER_BALLOON_WORKING = 1,
       CLOISTER_BALLOON_PRESSURE = 2, /* the guest's own memory pressure */
       CLOISTER_BALLOON_LIMIT = 3,    /* its bound: part of the machine, rlimit, cgroup, overcommit */
       CLOISTER_BALLOON_REFUSED = 4   /* the host did not take the pages */
};

struct cloister_balloon_state {
  uint64_t serial; /* of the order it answers */
  uint64_t held;   /* bytes */
  uint32_t reason;
  uint32_t pressure;   /* the guest's memory pressure, some/avg10 in hundredths of a per cent */
  uint64_t available;  /* the guest's MemAvailable, bytes */
  uint64_t swap_total; /* of the guest; 0: none */
  uint64_t swap_free;
};

/* The agent's commands: the caller connects to CLOISTER_PORT_AGENT and sends one request. */
enum {
  CLOISTER_RECORD_EXEC = 16,   /* to the agent, first: cloister_exec, then the texts */
  CLOISTER_RECORD_STDIN = 17,  /* to the agent: bytes; none: the end */
  CLOISTER_RECORD_SIGNAL = 18, /* to the agent: uint32_t, the signal's number */
  CLOISTER_RECORD_WINDOW = 19, /* to the agent: two uint32_t, rows and columns of its terminal */
  CLOISTER_RECORD_STDOUT = 20, /* from the agent: bytes */
  CLOISTER_RECORD_STDERR = 21, /* from the agent: bytes */
  CLOISTER_RECORD_EXIT = 22,   /* from the agent, last: cloister_exit */
  CLOISTER_RECORD_FAULT = 23,  /* from the agent, last: text, why nothing was done */
  CLOISTER_RECORD_PUT =
      24, /* to the agent, first: cloister_put, then the path; STDIN has the content; EXIT answers */
  CLOISTER_RECORD_GET = 25 /* to the agent, first: the path; STDOUT has the content; EXIT answers */
};

enum { CLOISTER_RECORD_MOST = 65536 }; /* bytes behind a header */

struct cloister_exec { /* then `arguments` zero-terminated texts, then `settings` of the form NAME=VALUE, then
                          the folder ("": its own) */
  uint32_t arguments;
  uint32_t settings;
  uint32_t terminal; /* 1: its standard streams are a terminal */
  uint32_t rows, columns;
};

struct cloister_put {
  uint32_t mode; /* permissions of the file */
};

struct cloister_exit {
  uint32_t signal; /* that ended it; 0: none */
  uint32_t status;
};
