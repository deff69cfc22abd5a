/* Calls that do their work and then report an error, or do half of it: what strace cannot inject.

   Preloaded into an interpreter; `fault_arm` chooses the call, which one of them, and what becomes of it. Only calls
   that change something below the folder given are counted. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static char folder[PATH_MAX];
static char armed[32];
static long left;
static int error_number; /* 0: do half of a write */
static int from_then_on;
static long fired;
static FILE *seen; /* where every counted call is listed */

void fault_arm(const char *where, const char *call, long nth, int error, int onwards, const char *list) {
    snprintf(folder, sizeof folder, "%s", where);
    snprintf(armed, sizeof armed, "%s", call);
    left = nth;
    error_number = error;
    from_then_on = onwards;
    seen = list ? fopen(list, "we") : NULL;
}

long fault_fired(void) { return fired; }

static int below(const char *path) {
    size_t length = strlen(folder);
    return length && !strncmp(path, folder, length);
}

static int open_below(int descriptor) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return below(path);
}

static int named_below(int directory, const char *path) {
    return path[0] == '/' ? below(path) : directory == AT_FDCWD ? 0 : open_below(directory);
}

static int is_due(const char *call, int counts) {
    if (!counts || !folder[0]) return 0;
    if (seen) {
        fprintf(seen, "%s\n", call);
        fflush(seen);
    }
    if (strcmp(call, armed)) return 0;
    long now = __atomic_sub_fetch(&left, 1, __ATOMIC_SEQ_CST);
    if (now > 0 || (now < 0 && !from_then_on)) return 0;
    fired++;
    return 1;
}

static int report(void) {
    errno = error_number;
    return -1;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define DO(name, counts, ...)                                                                                          \
    REAL(name);                                                                                                        \
    int counted = (counts);                                                                                            \
    int done = real(__VA_ARGS__);                                                                                      \
    return done >= 0 && is_due(#name, counted) ? report() : done

int fsync(int fd) { DO(fsync, open_below(fd), fd); }
int fdatasync(int fd) { DO(fdatasync, open_below(fd), fd); }
int close(int fd) { DO(close, folder[0] && open_below(fd), fd); }
int rename(const char *a, const char *b) { DO(rename, below(b), a, b); }
int renameat(int d, const char *a, int e, const char *b) { DO(renameat, named_below(e, b), d, a, e, b); }
int link(const char *a, const char *b) { DO(link, below(b), a, b); }
int linkat(int d, const char *a, int e, const char *b, int f) { DO(linkat, named_below(e, b), d, a, e, b, f); }
int unlink(const char *a) { DO(unlink, below(a), a); }
int unlinkat(int d, const char *a, int f) { DO(unlinkat, named_below(d, a), d, a, f); }
int rmdir(const char *a) { DO(rmdir, below(a), a); }
int mkdir(const char *a, mode_t m) { DO(mkdir, below(a), a, m); }
int mkdirat(int d, const char *a, mode_t m) { DO(mkdirat, named_below(d, a), d, a, m); }
int ftruncate(int fd, off_t n) { DO(ftruncate, open_below(fd), fd, n); }
int ftruncate64(int fd, off64_t n) { DO(ftruncate64, open_below(fd), fd, n); }
int futimens(int fd, const struct timespec t[2]) { DO(futimens, open_below(fd), fd, t); }

static ssize_t written(const char *call, ssize_t done, int counted, size_t wanted) {
    return done >= 0 && wanted && is_due(call, counted) ? report() : done;
}

ssize_t write(int fd, const void *data, size_t n) {
    REAL(write);
    int counted = folder[0] && open_below(fd);
    if (!error_number) return real(fd, data, counted && n > 1 && is_due("write", 1) ? n / 2 : n);
    return written("write", real(fd, data, n), counted, n);
}

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) {
    REAL(pwrite64);
    int counted = folder[0] && open_below(fd);
    if (!error_number) return real(fd, data, counted && n > 1 && is_due("pwrite64", 1) ? n / 2 : n, at);
    return written("pwrite64", real(fd, data, n, at), counted, n);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at) { return pwrite64(fd, data, n, at); }

static int opened(int done, int counted) { return done >= 0 && is_due("open", counted) ? report() : done; }

int open(const char *a, int f, ...) {
    REAL(open);
    va_list rest;
    va_start(rest, f);
    mode_t m = va_arg(rest, mode_t);
    va_end(rest);
    return opened(real(a, f, m), (f & O_CREAT) && below(a));
}

int open64(const char *a, int f, ...) {
    REAL(open64);
    va_list rest;
    va_start(rest, f);
    mode_t m = va_arg(rest, mode_t);
    va_end(rest);
    return opened(real(a, f, m), (f & O_CREAT) && below(a));
}
