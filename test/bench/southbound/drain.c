// A client whose own cost is next to nothing, so that what is measured is the server: every body is thrown away in the
// kernel (MSG_TRUNC of tcp(7)), and no byte of it is copied.
//
// drain [OPTION]... HOST PORT PATH...
//   -c N  connections (1)                     -n N  requests on each (1)
//   -b N  bytes a second that each reads      -r A-B  ask for these bytes of the file
//   -f    a new connection for each request   -w N  milliseconds between the requests of a connection
//   -t N  stop after so many seconds          -i N  when all are answered, hold the connections for so many seconds
//                                                   without a request, then send one more on each
// The requests ask for the paths in turn. The result is one line of JSON, with times in seconds.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { headBytes = 8192, events = 256, mostAtOnce = 1 << 20, tickMilliseconds = 20, silenceSeconds = 30 };
enum state { closed, inHead, inBody, waiting, idle };

struct connection {
  int fd, requests;
  enum state state;
  // Of the body that is arriving.
  long left, received;
  double asked, began, due;
};

static struct sockaddr_in address;
static const char *host, *port, *range;
static char **paths;
static long pathCount, nextPath, connectionCount = 1, requestsEach = 1, rate, pauseMilliseconds, holdSeconds, stopSeconds;
static int fresh, poller;
static long bytes, answers, errors, live;
static double *firstBytes;
static long firstByteRoom;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static void fail(const char *what) {
  perror(what);
  exit(2);
}

static void finish(struct connection *c, int isError) {
  if (isError) errors++;
  if (c->fd >= 0) close(c->fd);
  c->fd = -1;
  c->state = closed;
  live--;
}

static int dial(struct connection *c) {
  int one = 1, small = 65536;
  c->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (c->fd < 0) return -1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  // A slow machine has no megabytes of buffer that would take the place of the server's.
  if (rate > 0) setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0) return -1;
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  return epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
}

static void ask(struct connection *c) {
  char request[4096];
  c->asked = now();
  if (c->fd < 0 && dial(c) < 0) {
    finish(c, 1);
    return;
  }
  int length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s:%s\r\n%s%s%s\r\n",
                        paths[nextPath++ % pathCount], host, port, range ? "Range: bytes=" : "", range ? range : "",
                        range ? "\r\n" : "");
  c->state = inHead;
  if (length >= (int)sizeof request || send(c->fd, request, length, MSG_NOSIGNAL) != length) finish(c, 1);
}

static void noteFirstByte(double time) {
  if (answers == firstByteRoom) {
    firstByteRoom = firstByteRoom ? firstByteRoom * 2 : 1024;
    firstBytes = realloc(firstBytes, firstByteRoom * sizeof *firstBytes);
    if (firstBytes == NULL) fail("realloc");
  }
  firstBytes[answers++] = time;
}

static void answered(struct connection *c) {
  if (fresh) {
    close(c->fd);
    c->fd = -1;
  }
  if (--c->requests > 0) {
    c->state = waiting;
    c->due = now() + pauseMilliseconds / 1e3;
    if (pauseMilliseconds == 0) ask(c);
  } else if (holdSeconds > 0) {
    c->state = idle;
  } else {
    finish(c, 0);
  }
}

// Throws away what there is of the head and the body in one call, and no more, so that all connections get their turn.
static void discard(struct connection *c, long head) {
  long want = head + (c->left < mostAtOnce ? c->left : mostAtOnce);
  if (rate > 0 && head == 0) {
    long allowed = (now() - c->began) * rate - c->received;
    // In large steps: each is a call.
    if (allowed < 8192 && allowed < c->left) return;
    if (allowed < want) want = allowed;
  } else if (rate > 0) {
    want = head;
  }
  char nowhere;
  long got = recv(c->fd, &nowhere, want, MSG_TRUNC);
  if (got < 0 && errno == EAGAIN) return;
  if (got < head || (got == 0 && want > 0)) {
    finish(c, 1);
    return;
  }
  got -= head;
  bytes += got;
  c->received += got;
  c->left -= got;
  if (c->left == 0) answered(c);
}

static void readHead(struct connection *c) {
  char head[headBytes + 1];
  long got = recv(c->fd, head, headBytes, MSG_PEEK);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) {
    finish(c, 1);
    return;
  }
  head[got] = 0;
  char *end = strstr(head, "\r\n\r\n");
  if (end == NULL) {
    if (got == headBytes) finish(c, 1);
    return;
  }
  double time = now();
  noteFirstByte(time - c->asked);
  end[2] = 0;
  int status = 0;
  sscanf(head, "HTTP/1.%*c %d", &status);
  char *length = strcasestr(head, "\r\ncontent-length:");
  if ((status != 200 && status != 206) || length == NULL) {
    finish(c, 1);
    return;
  }
  c->left = atol(length + 17);
  c->received = 0;
  c->began = time;
  c->state = inBody;
  discard(c, end + 4 - head);
}

static void progress(struct connection *c) {
  if (c->state == inHead) readHead(c);
  else if (c->state == inBody) discard(c, 0);
  // The server closes a connection that is to be held.
  else if (c->state == idle) finish(c, 1);
  else if (c->state == waiting) {
    char byte;
    if (recv(c->fd, &byte, 1, MSG_PEEK) <= 0) finish(c, 1);
  }
}

static void askDue(struct connection *all) {
  double time = now();
  for (long i = 0; i < connectionCount; i++)
    if (all[i].state == waiting && all[i].due <= time) ask(&all[i]);
}

static long idleOnes(const struct connection *all) {
  long count = 0;
  for (long i = 0; i < connectionCount; i++) count += all[i].state == idle;
  return count;
}

// Until all is done, or all that is left is idle, or the time is over.
static void work(struct connection *all, double until, int isHolding) {
  struct epoll_event ready[events];
  double heard = now();
  while (live > 0 && now() < until) {
    if (!isHolding && holdSeconds > 0 && idleOnes(all) == live) return;
    int timeout = rate > 0 ? 0 : pauseMilliseconds > 0 ? 1 : 100;
    int count = epoll_wait(poller, ready, events, timeout);
    if (count < 0 && errno != EINTR) fail("epoll_wait");
    for (int i = 0; i < count; i++) progress(ready[i].data.ptr);
    // With a rate most connections are ready at any time: they are looked at in ticks.
    if (rate > 0) {
      for (long i = 0; i < connectionCount; i++) if (all[i].state != closed) progress(&all[i]);
      usleep(tickMilliseconds * 1000);
    }
    if (pauseMilliseconds > 0) askDue(all);
    if (count > 0 || rate > 0 || isHolding) heard = now();
    if (now() - heard > silenceSeconds) {
      fprintf(stderr, "Nothing came for %d s\n", silenceSeconds);
      errors += live;
      return;
    }
  }
}

// Returns how many connections still answer.
static long hold(struct connection *all) {
  printf("holding %ld\n", live);
  fflush(stdout);
  work(all, now() + holdSeconds, 1);
  long failed = errors;
  long asked = live;
  holdSeconds = 0;
  for (long i = 0; i < connectionCount; i++) {
    all[i].requests = 1;
    if (all[i].state == idle) ask(&all[i]);
  }
  work(all, 1e18, 0);
  return asked - (errors - failed);
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static double share(double part) {
  return answers == 0 ? 0 : firstBytes[(long)((answers - 1) * part)];
}

static void readOptions(int argc, char **argv) {
  int option;
  while ((option = getopt(argc, argv, "c:n:b:r:fw:t:i:")) != -1) {
    if (option == 'c') connectionCount = atol(optarg);
    else if (option == 'n') requestsEach = atol(optarg);
    else if (option == 'b') rate = atol(optarg);
    else if (option == 'r') range = optarg;
    else if (option == 'f') fresh = 1;
    else if (option == 'w') pauseMilliseconds = atol(optarg);
    else if (option == 't') stopSeconds = atol(optarg);
    else if (option == 'i') holdSeconds = atol(optarg);
    else exit(2);
  }
  if (argc - optind < 3) {
    fprintf(stderr, "usage: drain [OPTION]... HOST PORT PATH...\n");
    exit(2);
  }
  host = argv[optind];
  port = argv[optind + 1];
  paths = argv + optind + 2;
  pathCount = argc - optind - 2;
}

static void raiseLimit(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  readOptions(argc, argv);
  raiseLimit();
  address.sin_family = AF_INET;
  address.sin_port = htons(atoi(port));
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1) fail(host);
  poller = epoll_create1(0);
  struct connection *all = calloc(connectionCount, sizeof *all);
  if (poller < 0 || all == NULL) fail("start");
  live = connectionCount;
  double start = now();
  for (long i = 0; i < connectionCount; i++) {
    all[i] = (struct connection){.fd = -1, .requests = requestsEach};
    // All are there before the first one asks: otherwise the first would be served alone. A new one's time begins here.
    if (!fresh && dial(&all[i]) < 0) finish(&all[i], 1);
    else all[i].state = waiting;
  }
  for (long i = 0; i < connectionCount; i++) if (all[i].state == waiting) ask(&all[i]);
  work(all, stopSeconds > 0 ? start + stopSeconds : 1e18, 0);
  double seconds = now() - start;
  long held = holdSeconds > 0 ? hold(all) : 0;
  if (answers > 0) qsort(firstBytes, answers, sizeof *firstBytes, compare);
  printf("{\"bytes\":%ld,\"seconds\":%.6f,\"answers\":%ld,\"errors\":%ld,\"held\":%ld,"
         "\"firstByte\":{\"median\":%.6f,\"p99\":%.6f,\"worst\":%.6f}}\n",
         bytes, seconds, answers, errors, held, share(0.5), share(0.99), share(1));
  return 0;
}
