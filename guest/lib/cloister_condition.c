/* SPDX-License-Identifier: Apache-2.0
 * cloister-condition [--watch] [--page]: the memory condition as lines `name value`. See
 * cloister-condition(1). */
#include <cloister/guest.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

enum { STATUS_FAILED = 1, STATUS_BAD_INPUT = 2, STATUS_NOT_HERE = 3 };

static const char* level_name(uint32_t level) {
  static const char* const names[] = {"ample", "soft", "hard", "critical"};
  return level < 4 ? names[level] : "unknown";
}

static void show(const struct cloister_condition* c) {
  const struct {
    const char* name;
    uint64_t value;
  } rows[] = {{"changes", c->changes},
              {"configured", c->configured},
              {"entitlement", c->entitlement},
              {"target", c->target},
              {"held", c->held},
              {"balloon", c->balloon},
              {"gap", c->gap},
              {"swapped", c->swapped},
              {"swap-in-rate", c->swap_in_rate},
              {"page-out-rate", c->page_out_rate},
              {"available", c->available},
              {"release", c->release}};
  printf("level %s\n", level_name(c->level));
  for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i)
    printf("%s %" PRIu64 "\n", rows[i].name, rows[i].value);
  fflush(stdout);
}

static int failed(int status) {
  fprintf(stderr, "cloister-condition: %s%s%s\n", cloister_status_text(status),
          status == CLOISTER_SYSTEM ? ": " : "", status == CLOISTER_SYSTEM ? strerror(errno) : "");
  return status == CLOISTER_NOT_HERE ? STATUS_NOT_HERE : STATUS_FAILED;
}

static int show_once(void) {
  struct cloister_condition condition;
  const int status = cloister_condition_read(&condition);
  if (status != CLOISTER_OK) return failed(status);
  show(&condition);
  return 0;
}

static int show_page(void) {
  struct cloister_condition condition;
  cloister_watch* watch;
  int status = cloister_watch_open(&watch);
  if (status != CLOISTER_OK) return failed(status);
  status = cloister_watch_read(watch, &condition);
  cloister_watch_close(watch);
  if (status != CLOISTER_OK) return failed(status);
  show(&condition);
  return 0;
}

static int keep_showing(void) {
  struct cloister_condition condition;
  cloister_waiter* waiter;
  const int status = cloister_waiter_open(&waiter);
  if (status != CLOISTER_OK) return failed(status);
  struct pollfd one = {.fd = cloister_waiter_fd(waiter), .events = POLLIN};
  while (poll(&one, 1, -1) >= 0 || errno == EINTR) {
    while (cloister_waiter_take(waiter, &condition) == CLOISTER_OK) {
      show(&condition);
      puts("");
      fflush(stdout);
    }
  }
  cloister_waiter_close(waiter);
  return failed(CLOISTER_SYSTEM);
}

int main(int argc, char** argv) {
  const char* word = argc == 2 ? argv[1] : "";
  if (argc == 1) return show_once();
  if (strcmp(word, "--page") == 0) return show_page();
  if (strcmp(word, "--watch") == 0) return keep_showing();
  fputs("usage: cloister-condition [--page | --watch]\n", strcmp(word, "--help") == 0 ? stdout : stderr);
  return strcmp(word, "--help") == 0 ? 0 : STATUS_BAD_INPUT;
}
