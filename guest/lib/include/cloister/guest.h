/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* libcloister-guest: what a program inside a Cloister machine can ask of the host and do for it.
 * cloister-guest(3) has the whole story, docs/guest-abi.md what lies below.
 *
 * Every function may be called anywhere: outside Cloister each that opens or asks says CLOISTER_NOT_HERE. A
 * function returns CLOISTER_OK (0), a status of guest_abi.h, or one of those below. Functions without a
 * handle are thread safe. A handle belongs to one thread at a time, but for cloister_watch_read, which any
 * number may call at once. */

#include <cloister/guest_abi.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

enum {
  CLOISTER_NOT_HERE = 64, /* this is no Cloister machine, or one without this part */
  CLOISTER_SYSTEM = 65,   /* the guest's own kernel refused; errno says why */
  CLOISTER_NOTHING = 66,  /* nothing has come since */
  CLOISTER_NO_ROOM = 67   /* the program may not have more memory: its limits, or the balloon's own */
};

/* A status in words, never null. */
const char* cloister_status_text(int status);

/* -- Where am I?  Either pointer may be null. The first call finds out by trying the call's instruction under
 * a handler for SIGILL that passes on what is not its own; the answer is kept. */
int cloister_discover(uint32_t* version, uint64_t* features);

/* -- The condition, asked anew: one call to the host. */
int cloister_condition_read(struct cloister_condition* out);

/* -- The condition, cheaply: from a page that the host keeps up to date. Reading it costs some ten loads.
 * When the guest's kernel has moved the page, the record is up to 2 seconds old before that is seen and put
 * right. After a fork the child may go on with the handle. */
typedef struct cloister_watch cloister_watch;
int cloister_watch_open(cloister_watch** out);
int cloister_watch_read(cloister_watch* watch, struct cloister_condition* out);
void cloister_watch_close(cloister_watch* watch);

/* -- Waiting for a change of level or target. The descriptor stays the same for the handle's life, is for
 * poll, select and epoll, and is readable when cloister_waiter_take should be called: until that says
 * CLOISTER_NOTHING. It connects again by itself. */
typedef struct cloister_waiter cloister_waiter;
int cloister_waiter_open(cloister_waiter** out);
int cloister_waiter_fd(const cloister_waiter* waiter);
int cloister_waiter_take(cloister_waiter* waiter, struct cloister_condition* out);
void cloister_waiter_close(cloister_waiter* waiter);

/* -- A balloon: memory of this program that the host may use. Sizes are in bytes, cut down to whole pages.
 *
 * `most` bounds it; address space is reserved for so much, or for what the program's limits allow, which
 * cloister_balloon_most tells. grow gives pages to the host, which fills them itself where it can
 * (CLOISTER_FEATURE_FILL), so that they need no memory of it first; `grown` (may be null) says how far it
 * got, also when it fails. shrink lets go of the pages that were taken first; it cannot fail. Nothing is
 * locked, a fork's child has none of it, and the end of the program gives all back. */
typedef struct cloister_balloon cloister_balloon;
int cloister_balloon_open(uint64_t most, cloister_balloon** out);
uint64_t cloister_balloon_size(const cloister_balloon* balloon);
uint64_t cloister_balloon_most(const cloister_balloon* balloon);
int cloister_balloon_grow(cloister_balloon* balloon, uint64_t bytes, uint64_t* grown);
uint64_t cloister_balloon_shrink(cloister_balloon* balloon, uint64_t bytes);
void cloister_balloon_close(cloister_balloon* balloon);

/* -- Orders to a balloon, or to a program that holds memory it could do without.
 *
 * `name` is for people, `most` what the program could ever give. The descriptor is as that of a waiter. Each
 * order replaces the one before. Answer it by cloister_orders_report with the bytes now given up and a
 * CLOISTER_BALLOON_* reason: CLOISTER_BALLOON_LIMIT says that no more can be released. Reports may be made as
 * often as one likes: at most 20 a second are sent, always the last. The guest's own figures are added to
 * them. */
typedef struct cloister_orders cloister_orders;
int cloister_orders_open(const char* name, uint64_t most, cloister_orders** out);
int cloister_orders_fd(const cloister_orders* orders);
int cloister_orders_next(cloister_orders* orders, struct cloister_balloon_order* out);
int cloister_orders_report(cloister_orders* orders, uint64_t held, uint32_t reason);
int cloister_orders_connected(const cloister_orders* orders); /* 1: somebody hears the reports */
void cloister_orders_close(cloister_orders* orders);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
