// A file server that does nothing but copy: about the least that a server costs which has the bytes go through its own
// memory, as every program does that cannot call sendfile(2). What it does not reach, hardly any of them will.
//
// copying PROCESSES FOLDER [PATH]...
//
// The files of the PATHs are held in memory and copied once, into the socket. Any other file below FOLDER is copied
// twice, as it is read in pieces first. It answers what the client of this benchmark asks, GET of a plain path without
// pipelining, and closes the connection on anything else. The port is the first line that it prints.
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
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

// Of the pieces from 32 KiB to 2 MiB that were tried, smaller and larger ones cost more CPU for a gigabyte. After a
// turn another connection has its own.
enum { pieceBytes = 512 << 10, turnBytes = 1 << 20, requestRoom = 2048, headRoom = 128, pathRoom = 4096, events = 256 };

struct held {
  const char *path;
  char *bytes;
  long size;
};

struct connection {
  int fd, requestLength, headLength, isWaitingToSend;
  char request[requestRoom + 1], head[headRoom];
  // Of the answer: where its body comes from, the memory or else the file.
  const char *bytes;
  int file;
  // Position counts the head too.
  long size, position;
};

static const char *folder;
static struct held *held;
static int heldCount, poller;
static char piece[pieceBytes];

static void fail(const char *what) {
  perror(what);
  exit(2);
}

static int openBelow(const char *path, struct stat *status) {
  char whole[pathRoom];
  if (snprintf(whole, sizeof whole, "%s%s", folder, path) >= (int)sizeof whole) return -1;
  int file = open(whole, O_RDONLY | O_CLOEXEC);
  if (file < 0) return -1;
  if (fstat(file, status) == 0 && S_ISREG(status->st_mode)) return file;
  close(file);
  return -1;
}

static struct held hold(const char *path) {
  struct stat status;
  int file = openBelow(path, &status);
  if (file < 0) fail(path);
  char *bytes = malloc(status.st_size);
  long filled = 0;
  while (bytes != NULL && filled < status.st_size) {
    long got = read(file, bytes + filled, status.st_size - filled);
    if (got <= 0) fail(path);
    filled += got;
  }
  if (bytes == NULL) fail("malloc");
  close(file);
  return (struct held){.path = path, .bytes = bytes, .size = status.st_size};
}

static int comparePaths(const void *a, const void *b) {
  return strcmp(((const struct held *)a)->path, ((const struct held *)b)->path);
}

static void hangUp(struct connection *c) {
  if (c->file >= 0) close(c->file);
  close(c->fd);
  free(c);
}

// Only what does not go out at once costs a call of epoll_ctl(2).
static void waitToSend(struct connection *c, int isWaiting) {
  if (c->isWaitingToSend == isWaiting) return;
  c->isWaitingToSend = isWaiting;
  struct epoll_event event = {.events = isWaiting ? EPOLLOUT : EPOLLIN, .data.ptr = c};
  if (epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event) < 0) fail("epoll_ctl");
}

// Sends what is left of the head and the next part of the body in one call. What the socket does not take of a piece is
// read again in the next turn: a buffer for each connection would be memory instead. Returns what was sent, -1 on an
// error.
static long sendPart(struct connection *c, long most) {
  long headLeft = c->position < c->headLength ? c->headLength - c->position : 0;
  long offset = c->position + headLeft - c->headLength;
  long length = c->size - offset < most ? c->size - offset : most;
  const char *body = c->bytes == NULL ? piece : c->bytes + offset;
  if (c->bytes == NULL) {
    length = pread(c->file, piece, length, offset);
    if (length < 0 || (length == 0 && offset < c->size)) return -1;
  }
  struct iovec parts[] = {{c->head + c->headLength - headLeft, headLeft}, {(char *)body, length}};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
  long sent = sendmsg(c->fd, &message, MSG_NOSIGNAL);
  if (sent < 0) return errno == EAGAIN ? 0 : -1;
  c->position += sent;
  return sent;
}

static void answer(struct connection *c) {
  long most = c->bytes == NULL ? pieceBytes : turnBytes;
  long end = c->position + turnBytes, whole = c->headLength + c->size;
  while (c->position < whole && c->position < end) {
    long sent = sendPart(c, most);
    if (sent < 0) return hangUp(c);
    // The socket is full.
    if (sent < most) break;
  }
  if (c->position == whole && c->file >= 0) {
    close(c->file);
    c->file = -1;
  }
  waitToSend(c, c->position < whole);
}

// Whether there is such a file.
static int find(struct connection *c, const char *path) {
  struct held wanted = {.path = path}, *found = bsearch(&wanted, held, heldCount, sizeof *held, comparePaths);
  c->bytes = found == NULL ? NULL : found->bytes;
  if (found != NULL) {
    c->size = found->size;
    return 1;
  }
  struct stat status;
  if (strstr(path, "..") != NULL) return 0;
  c->file = openBelow(path, &status);
  if (c->file >= 0) c->size = status.st_size;
  return c->file >= 0;
}

static void readRequest(struct connection *c) {
  long got = recv(c->fd, c->request + c->requestLength, requestRoom - c->requestLength, 0);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) return hangUp(c);
  c->requestLength += got;
  c->request[c->requestLength] = 0;
  if (strstr(c->request, "\r\n\r\n") == NULL) return;
  char *path = c->request + 4, *pathEnd = strchr(path, ' ');
  if (strncmp(c->request, "GET /", 5) != 0 || pathEnd == NULL) return hangUp(c);
  *pathEnd = 0;
  if (!find(c, path)) return hangUp(c);
  c->headLength = snprintf(c->head, headRoom, "HTTP/1.1 200 OK\r\nContent-Length: %ld\r\n\r\n", c->size);
  c->requestLength = 0;
  c->position = 0;
  answer(c);
}

static void acceptAll(int listener) {
  int one = 1, fd;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct connection *c = malloc(sizeof *c);
    if (c == NULL) fail("malloc");
    c->fd = fd;
    c->file = -1;
    c->requestLength = c->isWaitingToSend = 0;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0) fail("epoll_ctl");
  }
}

static void serve(int listener) {
  struct epoll_event ready[events], event = {.events = EPOLLIN, .data.ptr = NULL};
  poller = epoll_create1(EPOLL_CLOEXEC);
  if (poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event) < 0) fail("epoll");
  for (;;) {
    int count = epoll_wait(poller, ready, events, -1);
    if (count < 0 && errno != EINTR) fail("epoll_wait");
    for (int i = 0; i < count; i++) {
      struct connection *c = ready[i].data.ptr;
      if (c == NULL) acceptAll(listener);
      else if (c->isWaitingToSend) answer(c);
      else readRequest(c);
    }
  }
}

// Each process has a queue of its own: with a common one the first to wake would take most of the connections.
static int listenOn(struct sockaddr_in *address) {
  int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  socklen_t length = sizeof *address;
  if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) < 0) fail("socket");
  if (bind(listener, (struct sockaddr *)address, length) < 0 || listen(listener, 4096) < 0) fail("listen");
  getsockname(listener, (struct sockaddr *)address, &length);
  return listener;
}

int main(int argc, char **argv) {
  int processes = argc < 3 ? 0 : atoi(argv[1]);
  if (processes < 1) {
    fprintf(stderr, "usage: copying PROCESSES FOLDER [PATH]...\n");
    return 2;
  }
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  folder = argv[2];
  heldCount = argc - 3;
  held = calloc(heldCount + 1, sizeof *held);
  if (held == NULL) fail("calloc");
  // Before the processes part, so that they share the memory.
  for (int i = 0; i < heldCount; i++) held[i] = hold(argv[3 + i]);
  qsort(held, heldCount, sizeof *held, comparePaths);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  pid_t parent = getpid();
  for (int i = 0; i < processes; i++) {
    int listener = listenOn(&address);
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() == parent) serve(listener);
      return 0;
    }
    close(listener);
  }
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  // One that ended would have left the work to the others.
  wait(NULL);
  return 2;
}
