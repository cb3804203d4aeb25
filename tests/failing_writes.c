/* Lets the n-th write of this process to a file below a folder fail, and all after it.
 *
 * Loaded by LD_PRELOAD. FAIL_BELOW is the folder, FAIL_AT counts from 1 (0 only counts),
 * FAIL_WITH is the errno (28 = ENOSPC), FAIL_COUNT a file that gets a byte for each write.
 * Covers Python, Arrow, safetensors and torch (write), SQLite (pwrite64), and GDAL (fwrite, whose
 * own write is not seen from here). What is written through a memory map is not seen.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static long written;
static int counting = -2;

static int is_below(int file)
{
    const char *folder = getenv("FAIL_BELOW");
    char link[64], path[4096];
    ssize_t size;
    if (!folder)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    size = readlink(link, path, sizeof path - 1);
    if (size < 0)
        return 0;
    path[size] = 0;
    return strncmp(path, folder, strlen(folder)) == 0;
}

static int fails(int file)
{
    const char *at = getenv("FAIL_AT"), *with = getenv("FAIL_WITH"), *count = getenv("FAIL_COUNT");
    int saved = errno;
    long number;
    if (!is_below(file)) {
        errno = saved;
        return 0;
    }
    number = __sync_add_and_fetch(&written, 1);
    if (counting == -2)
        counting = count ? open(count, O_WRONLY | O_CREAT | O_APPEND, 0666) : -1;
    errno = saved;
    if (counting >= 0) {
        static ssize_t (*real)(int, const void *, size_t);
        if (!real)
            real = dlsym(RTLD_NEXT, "write");
        real(counting, ".", 1);
    }
    if (!at || !atol(at) || number < atol(at))
        return 0;
    errno = with ? atoi(with) : ENOSPC;
    return 1;
}

#define WRAP(name, parameters, arguments)                   \
    ssize_t name parameters                                 \
    {                                                       \
        static ssize_t(*real) parameters;                   \
        if (!real)                                          \
            real = dlsym(RTLD_NEXT, #name);                 \
        return fails(file) ? -1 : real arguments;           \
    }

WRAP(write, (int file, const void *data, size_t size), (file, data, size))
WRAP(pwrite, (int file, const void *data, size_t size, off_t at), (file, data, size, at))
WRAP(pwrite64, (int file, const void *data, size_t size, off64_t at), (file, data, size, at))
WRAP(writev, (int file, const struct iovec *parts, int count), (file, parts, count))
WRAP(pwritev, (int file, const struct iovec *parts, int count, off_t at), (file, parts, count, at))

size_t fwrite(const void *data, size_t size, size_t count, FILE *stream)
{
    static size_t (*real)(const void *, size_t, size_t, FILE *);
    if (!real)
        real = dlsym(RTLD_NEXT, "fwrite");
    return fails(fileno(stream)) ? 0 : real(data, size, count, stream);
}
