/* A disk that is full from the k-th time on that something new is to be kept in a folder.

   Loaded before the C library (LD_PRELOAD). Writes, files and folders that are made, renames and syncs below the folder
   are counted; the k-th and all later ones fail with ENOSPC, a write after it has taken half of its bytes, as disks do.
   Reading, removing and cutting off need no room. What the tests themselves show goes to other files. A line for each
   call that counts, with the file, is added to a list. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char folder[PATH_MAX], last[PATH_MAX];
static long first, counted;
static int list = -1;

void full_disk_arm(const char *path, long k, int descriptor) {
    snprintf(folder, sizeof folder, "%s/", path);
    first = k;
    counted = 0;
    list = descriptor;
}

static int inside(const char *path) {
    snprintf(last, sizeof last, "%s", path);
    const char *end = path + strlen(path), *shown = "/shown.txt", *errors = "/errors.txt";
    if (!folder[0] || strncmp(path, folder, strlen(folder))) return 0;
    return strcmp(end - strlen(shown) < path ? path : end - strlen(shown), shown) &&
           strcmp(end - strlen(errors) < path ? path : end - strlen(errors), errors);
}

static int inside_descriptor(int descriptor) {
    char link[64], path[PATH_MAX];
    if (!folder[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return inside(path);
}

static int inside_name(const char *name) {
    char here[PATH_MAX], path[2 * PATH_MAX];
    if (!folder[0]) return 0;
    if (name[0] == '/') return inside(name);
    if (!getcwd(here, sizeof here)) return 0;
    snprintf(path, sizeof path, "%s/%s", here, name);
    return inside(path);
}

/* 0: there is room; 1: this one is the k-th; 2: the disk has been full before. */
static int full(const char *call) {
    counted++;
    if (list >= 0) dprintf(list, "%s %s\n", call, last + strlen(folder));
    return first <= 0 || counted < first ? 0 : counted == first ? 1 : 2;
}

#define REAL(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))
#define REFUSE return errno = ENOSPC, -1

#define WRITE(name, place_type)                                                       \
    ssize_t name(int descriptor, const void *bytes, size_t size, place_type place) {  \
        int state = inside_descriptor(descriptor) ? full("write") : 0;                \
        if (state == 2 || (state == 1 && size < 2)) REFUSE;                           \
        return REAL(name)(descriptor, bytes, state ? size / 2 : size, place);         \
    }
WRITE(pwrite, off_t)
WRITE(pwrite64, off64_t)

ssize_t write(int descriptor, const void *bytes, size_t size) {
    int state = inside_descriptor(descriptor) ? full("write") : 0;
    if (state == 2 || (state == 1 && size < 2)) REFUSE;
    return REAL(write)(descriptor, bytes, state ? size / 2 : size);
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    if (inside_descriptor(descriptor) && full("write")) REFUSE;
    return REAL(writev)(descriptor, parts, count);
}

ssize_t sendfile(int out, int in, off_t *place, size_t size) {
    if (inside_descriptor(out) && full("write")) REFUSE;
    return REAL(sendfile)(out, in, place, size);
}

ssize_t sendfile64(int out, int in, off64_t *place, size_t size) {
    if (inside_descriptor(out) && full("write")) REFUSE;
    return REAL(sendfile64)(out, in, place, size);
}

#define SYNC(name)                                                \
    int name(int descriptor) {                                    \
        if (inside_descriptor(descriptor) && full("sync")) REFUSE; \
        return REAL(name)(descriptor);                            \
    }
SYNC(fsync)
SYNC(fdatasync)

static int makes(const char *name, int flags) {
    return (flags & O_CREAT) && inside_name(name) && access(name, F_OK) && full("make");
}

#define OPEN(name)                                                                    \
    int name(const char *path, int flags, ...) {                                      \
        va_list rest;                                                                 \
        va_start(rest, flags);                                                        \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;       \
        va_end(rest);                                                                 \
        if (makes(path, flags)) REFUSE;                                               \
        return REAL(name)(path, flags, mode);                                         \
    }
OPEN(open)
OPEN(open64)

int mkdir(const char *path, mode_t mode) {
    if (inside_name(path) && access(path, F_OK) && full("make")) REFUSE;
    return REAL(mkdir)(path, mode);
}

int rename(const char *from, const char *to) {
    if (inside_name(to) && full("rename")) REFUSE;
    return REAL(rename)(from, to);
}
