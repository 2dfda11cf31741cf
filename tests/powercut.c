/* Keeps beside a folder what a power cut would leave of it: only what was synced.
 *
 * Loaded with LD_PRELOAD. POWERCUT_DATA names the folder, POWERCUT_SHADOW the copy (it must exist,
 * on the same file system, and so must POWERCUT_SHADOW.tmp). A file gets into the copy by fsync or
 * fdatasync, with the content that it had when the call began. What a disk may do at once, and a
 * careful program must therefore reckon with, is done at once: unlink, rename, link, truncation. A
 * file that was synced has its name, as journalling file systems see to it.
 *
 * Reading a file for the copy lets go of the process's record locks on it; no test here needs them.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void fail(const char *what, const char *path)
{
    fprintf(stderr, "powercut: %s %s: %s\n", what, path, strerror(errno));
    abort();
}

/* The place of a path in the copy, or NULL if it lies outside of the folder. */
static const char *shadow_of(const char *path, char *buffer)
{
    const char *data = getenv("POWERCUT_DATA"), *shadow = getenv("POWERCUT_SHADOW");
    char whole[PATH_MAX];

    if (!data || !shadow || !path)
        return NULL;
    if (path[0] != '/') {
        char here[PATH_MAX];
        if (!getcwd(here, sizeof here))
            return NULL;
        if (snprintf(whole, sizeof whole, "%s/%s", here, path) >= (int)sizeof whole)
            return NULL;
        path = whole;
    }
    size_t length = strlen(data);
    if (strncmp(path, data, length) || path[length] != '/')
        return NULL;
    snprintf(buffer, PATH_MAX, "%s%s", shadow, path + length);
    return buffer;
}

/* Parents are made as needed: an empty folder holds nothing that could be lost. */
static void make_parents(const char *path)
{
    char part[PATH_MAX];
    snprintf(part, sizeof part, "%s", path);
    for (char *slash = part + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        if (mkdir(part, 0700) && errno != EEXIST)
            fail("mkdir", part);
        *slash = '/';
    }
}

/* Copy what a file holds now to a place of its own; it counts only once the sync has succeeded. */
static int copy_aside(int fd, char *aside)
{
    char link[64], buffer[65536];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int from = REAL(open)(link, O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return 0;
    snprintf(aside, PATH_MAX, "%s.tmp/%d-%lx", getenv("POWERCUT_SHADOW"), getpid(), (long)pthread_self());
    int to = REAL(open)(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (to < 0)
        fail("open", aside);
    ssize_t got;
    while ((got = read(from, buffer, sizeof buffer)) > 0)
        if (write(to, buffer, got) != got)
            fail("write", aside);
    close(from);
    close(to);
    return 1;
}

static int synced(int fd, int (*sync)(int))
{
    char link[64], path[PATH_MAX], place[PATH_MAX], aside[PATH_MAX];
    struct stat is;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return sync(fd);
    path[length] = 0;
    if (!shadow_of(path, place) || fstat(fd, &is) || !S_ISREG(is.st_mode))
        return sync(fd);
    pthread_mutex_lock(&lock);
    int copied = copy_aside(fd, aside);
    int result = sync(fd);
    int error = errno;
    if (copied && result == 0 && REAL(access)(path, F_OK) == 0) {
        make_parents(place);
        if (REAL(rename)(aside, place))
            fail("rename", place);
    } else if (copied) {
        REAL(unlink)(aside);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int fsync(int fd) { return synced(fd, REAL(fsync)); }

int fdatasync(int fd) { return synced(fd, REAL(fdatasync)); }

int unlink(const char *path)
{
    char place[PATH_MAX];
    pthread_mutex_lock(&lock);
    int result = REAL(unlink)(path), error = errno;
    if (result == 0 && shadow_of(path, place))
        REAL(unlink)(place);
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int unlinkat(int folder, const char *path, int flags)
{
    char place[PATH_MAX];
    pthread_mutex_lock(&lock);
    int result = REAL(unlinkat)(folder, path, flags), error = errno;
    if (result == 0 && !(flags & AT_REMOVEDIR) && shadow_of(path, place))
        REAL(unlink)(place);
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int remove(const char *path) { return unlink(path); }

/* What never reached the disk leaves an empty file under its new name: the worst that may happen. */
static void moved(const char *from, const char *to, int keep)
{
    char old[PATH_MAX], new[PATH_MAX];
    if (!shadow_of(to, new))
        return;
    make_parents(new);
    if (shadow_of(from, old) && REAL(access)(old, F_OK) == 0) {
        if (keep ? REAL(link)(old, new) : REAL(rename)(old, new))
            fail("rename", new);
        return;
    }
    int fd = REAL(open)(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
}

int rename(const char *from, const char *to)
{
    pthread_mutex_lock(&lock);
    int result = REAL(rename)(from, to), error = errno;
    if (result == 0)
        moved(from, to, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int renameat(int here, const char *from, int there, const char *to)
{
    pthread_mutex_lock(&lock);
    int result = REAL(renameat)(here, from, there, to), error = errno;
    if (result == 0)
        moved(from, to, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int link(const char *from, const char *to)
{
    pthread_mutex_lock(&lock);
    int result = REAL(link)(from, to), error = errno;
    if (result == 0)
        moved(from, to, 1);
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int linkat(int here, const char *from, int there, const char *to, int flags)
{
    pthread_mutex_lock(&lock);
    int result = REAL(linkat)(here, from, there, to, flags), error = errno;
    if (result == 0)
        moved(from, to, 1);
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

static void cut_to(const char *path, off_t length)
{
    char place[PATH_MAX];
    struct stat is;
    if (shadow_of(path, place) && stat(place, &is) == 0 && is.st_size > length)
        if (REAL(truncate)(place, length))
            fail("truncate", place);
}

int ftruncate(int fd, off_t length)
{
    char link[64], path[PATH_MAX];
    pthread_mutex_lock(&lock);
    int result = REAL(ftruncate)(fd, length), error = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (result == 0 && size > 0) {
        path[size] = 0;
        cut_to(path, length);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }

/* Opening with O_TRUNC cuts a file off as well. */
static int opened(int folder, const char *path, int flags, mode_t mode)
{
    int fd = REAL(openat)(folder, path, flags, mode);
    if (fd >= 0 && flags & O_TRUNC) {
        int error = errno;
        pthread_mutex_lock(&lock);
        cut_to(path, 0);
        pthread_mutex_unlock(&lock);
        errno = error;
    }
    return fd;
}

#define MODE(flags, mode)                        \
    mode_t mode = 0;                             \
    if (flags & (O_CREAT | __O_TMPFILE)) {       \
        va_list rest;                            \
        va_start(rest, flags);                   \
        mode = va_arg(rest, mode_t);             \
        va_end(rest);                            \
    }

int open(const char *path, int flags, ...)
{
    MODE(flags, mode)
    return opened(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    MODE(flags, mode)
    return opened(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    MODE(flags, mode)
    return opened(folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...)
{
    MODE(flags, mode)
    return opened(folder, path, flags | O_LARGEFILE, mode);
}
