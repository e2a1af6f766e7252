/* A library that is preloaded into the server: it counts the calls that change files below one directory, over all
 * threads, and at the n-th one kills the process or lets the call fail.
 *
 * What it is to do stands in a file that the test writes and this maps (struct plan, faults.rs knows its layout), so that
 * counting can begin when the server is ready. FAULTS_PLAN names that file, FAULTS_DIR the directory (absolute), and
 * FAULTS_LOG, where it is set, a file that gets a line a call. Calls are the kernel's own (syscall), so that nothing here
 * is counted itself.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum action { NOTHING, KILL_BEFORE, KILL_AFTER, KILL_HALF, FAIL };
enum kind { WRITE = 1, SYNC = 2, RENAME = 4, CREATE = 8, UNLINK = 16, SIZE = 32, MKDIR = 64, ADVICE = 128 };

struct plan {
  _Atomic uint64_t armed, at, action, error, for_ever, kinds; /* set by the test */
  _Atomic uint64_t count, fired, synced_again;                /* told to the test */
};

static struct plan *plan;
static char dir[4096];
static size_t dir_len;
static int log_fd = -1;
/* Files whose sync was made to fail. Directories are not among them: what is synced of them is their entries, and another
 * one is none of the failed ones. */
static char failed[256][300];
static _Atomic unsigned failed_count;

__attribute__((constructor)) static void begin(void) {
  const char *file = getenv("FAULTS_PLAN"), *below = getenv("FAULTS_DIR"), *log = getenv("FAULTS_LOG");
  if (!file || !below) return;
  int fd = syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC);
  void *at = mmap(0, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (fd < 0 || at == MAP_FAILED) abort();
  snprintf(dir, sizeof dir, "%s", below);
  dir_len = strlen(dir);
  if (log) log_fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  plan = at;
}

static void note(const char *what, uint64_t n, const char *call, const char *path) {
  char line[5000];
  int len = snprintf(line, sizeof line, "%s %llu %s %s\n", what, (unsigned long long)n, call, path + dir_len);
  if (log_fd >= 0) syscall(SYS_write, log_fd, line, len);
}

static void die(void) {
  syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
  for (;;) pause();
}

/* Counts a call, if it is one of those that count. Returns KILL_AFTER, KILL_HALF or FAIL where the caller has to do
 * that. */
static enum action step(enum kind kind, const char *call, const char *path) {
  if (!plan || !plan->armed || strncmp(path, dir, dir_len) || !(plan->kinds & kind)) return NOTHING;
  uint64_t n = atomic_fetch_add(&plan->count, 1) + 1, at = plan->at;
  note("call", n, call, path);
  if (kind == SYNC)
    for (unsigned i = 0; i < failed_count && i < 256; i++)
      if (!strcmp(failed[i], path)) note("again", n, call, path), atomic_fetch_add(&plan->synced_again, 1);
  if (!at || n < at || (n > at && !plan->for_ever)) return NOTHING;
  enum action action = plan->action;
  atomic_fetch_add(&plan->fired, 1);
  note("fired", n, call, path);
  if (action == KILL_BEFORE || (action == KILL_HALF && kind != WRITE)) die();
  struct stat stat;
  if (action == FAIL && kind == SYNC && !lstat(path, &stat) && S_ISREG(stat.st_mode)) {
    unsigned i = atomic_fetch_add(&failed_count, 1);
    if (i < 256) snprintf(failed[i], sizeof failed[i], "%s", path);
  }
  if (action == FAIL) errno = plan->error;
  return action;
}

/* The path behind a descriptor. */
static const char *path_of(int fd, char *into, size_t size) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  long len = plan && plan->armed ? syscall(SYS_readlinkat, AT_FDCWD, link, into, size - 1) : -1;
  into[len < 0 ? 0 : len] = 0;
  return into;
}

/* A path that may be relative to a directory's descriptor. */
static const char *path_at(int at, const char *path, char *into, size_t size) {
  if (path[0] == '/' || at == AT_FDCWD) return path;
  path_of(at, into, size);
  size_t len = strlen(into);
  snprintf(into + len, size - len, "/%s", path);
  return into;
}

#define REAL(name) ({ static __typeof__(name) *real; if (!real) real = dlsym(RTLD_NEXT, #name); real; })
/* Does `real` around what the plan says; `half` is what KILL_HALF does before the end. */
#define AROUND(kind, name, path, real, half)          \
  char buffer[4200];                                  \
  (void)buffer;                                       \
  enum action action = step(kind, name, path);        \
  if (action == FAIL) return -1;                      \
  if (action == KILL_HALF) { half; die(); }           \
  __typeof__(real) result = real;                     \
  if (action == KILL_AFTER) die();                    \
  return result;
#define ON_FD(kind, name, real, half) AROUND(kind, name, path_of(fd, buffer, sizeof buffer), real, half)
#define ON_PATH(kind, name, real) AROUND(kind, name, path, real, (void)0)
#define ON_PATH_AT(kind, name, real) AROUND(kind, name, path_at(at, path, buffer, sizeof buffer), real, (void)0)

ssize_t write(int fd, const void *b, size_t n) { ON_FD(WRITE, "write", REAL(write)(fd, b, n), syscall(SYS_write, fd, b, n / 2)) }
ssize_t pwrite(int fd, const void *b, size_t n, off_t o) { ON_FD(WRITE, "pwrite", REAL(pwrite)(fd, b, n, o), syscall(SYS_pwrite64, fd, b, n / 2, o)) }
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t o) { ON_FD(WRITE, "pwrite", REAL(pwrite64)(fd, b, n, o), syscall(SYS_pwrite64, fd, b, n / 2, o)) }
ssize_t writev(int fd, const struct iovec *v, int n) { ON_FD(WRITE, "writev", REAL(writev)(fd, v, n), syscall(SYS_write, fd, v->iov_base, v->iov_len / 2)) }
ssize_t pwritev(int fd, const struct iovec *v, int n, off_t o) { ON_FD(WRITE, "pwritev", REAL(pwritev)(fd, v, n, o), syscall(SYS_pwrite64, fd, v->iov_base, v->iov_len / 2, o)) }
ssize_t pwritev64(int fd, const struct iovec *v, int n, off64_t o) { ON_FD(WRITE, "pwritev", REAL(pwritev64)(fd, v, n, o), syscall(SYS_pwrite64, fd, v->iov_base, v->iov_len / 2, o)) }

int fsync(int fd) { ON_FD(SYNC, "fsync", REAL(fsync)(fd), (void)0) }
int fdatasync(int fd) { ON_FD(SYNC, "fdatasync", REAL(fdatasync)(fd), (void)0) }
int sync_file_range(int fd, off64_t o, off64_t n, unsigned f) { ON_FD(ADVICE, "sync_file_range", REAL(sync_file_range)(fd, o, n, f), (void)0) }

int ftruncate(int fd, off_t n) { ON_FD(SIZE, "ftruncate", REAL(ftruncate)(fd, n), (void)0) }
int ftruncate64(int fd, off64_t n) { ON_FD(SIZE, "ftruncate", REAL(ftruncate64)(fd, n), (void)0) }
int fallocate(int fd, int m, off_t o, off_t n) { ON_FD(SIZE, "fallocate", REAL(fallocate)(fd, m, o, n), (void)0) }
int fallocate64(int fd, int m, off64_t o, off64_t n) { ON_FD(SIZE, "fallocate", REAL(fallocate64)(fd, m, o, n), (void)0) }

int rename(const char *from, const char *path) { ON_PATH(RENAME, "rename", REAL(rename)(from, path)) }
int renameat(int f, const char *from, int at, const char *path) { ON_PATH_AT(RENAME, "rename", REAL(renameat)(f, from, at, path)) }
int link(const char *from, const char *path) { ON_PATH(CREATE, "link", REAL(link)(from, path)) }
int unlink(const char *path) { ON_PATH(UNLINK, "unlink", REAL(unlink)(path)) }
int unlinkat(int at, const char *path, int f) { ON_PATH_AT(UNLINK, "unlink", REAL(unlinkat)(at, path, f)) }
int rmdir(const char *path) { ON_PATH(UNLINK, "rmdir", REAL(rmdir)(path)) }
int mkdir(const char *path, mode_t m) { ON_PATH(MKDIR, "mkdir", REAL(mkdir)(path, m)) }
int mkdirat(int at, const char *path, mode_t m) { ON_PATH_AT(MKDIR, "mkdir", REAL(mkdirat)(at, path, m)) }

/* Only opening that may create counts. */
#define OPEN(real, path_, ...)                                                                \
  va_list more;                                                                               \
  va_start(more, flags);                                                                      \
  mode_t mode = va_arg(more, mode_t);                                                         \
  va_end(more);                                                                               \
  if (!(flags & O_CREAT)) return REAL(real)(__VA_ARGS__, flags, mode);                        \
  AROUND(CREATE, "open", path_, REAL(real)(__VA_ARGS__, flags, mode), (void)0)
int open(const char *path, int flags, ...) { OPEN(open, path, path) }
int open64(const char *path, int flags, ...) { OPEN(open64, path, path) }
int openat(int at, const char *path, int flags, ...) { OPEN(openat, path_at(at, path, buffer, sizeof buffer), at, path) }
int openat64(int at, const char *path, int flags, ...) { OPEN(openat64, path_at(at, path, buffer, sizeof buffer), at, path) }
