#include "allocations.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_LIVE = 8192, MOST_SITES = 512 };

static struct allocations now;
static bool inside;
static void *live[MOST_LIVE];
static size_t live_count;
static const void *sites[MOST_SITES];
static size_t site_count;
static unsigned long injected;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t length);
char *__real_realpath(const char *path, char *resolved);
FILE *__real_open_memstream(char **text, size_t *length);
FILE *__real_fopen64(const char *path, const char *mode);
FILE *__real_fdopen(int file, const char *mode);
DIR *__real_fdopendir(int file);
void __real_free(void *memory);
int __real_fclose(FILE *file);
int __real_closedir(DIR *folder);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t length);
char *__wrap_realpath(const char *path, char *resolved);
FILE *__wrap_open_memstream(char **text, size_t *length);
FILE *__wrap_fopen64(const char *path, const char *mode);
FILE *__wrap_fdopen(int file, const char *mode);
DIR *__wrap_fdopendir(int file);
void __wrap_free(void *memory);
int __wrap_fclose(FILE *file);
int __wrap_closedir(DIR *folder);

/* True where the present allocation, made at `site`, fails. */
static bool strike(const void *site)
{
    if (!inside)
        return false;
    now.calls++;
    if (now.at == 0 || now.calls < now.at || (now.calls > now.at && !now.sticky))
        return false;
    now.fired++;
    injected++;
    size_t i = 0;
    while (i < site_count && sites[i] != site)
        i++;
    if (i == site_count && site_count < MOST_SITES)
        sites[site_count++] = site;
    errno = ENOMEM;
    return true;
}

static void *made(void *memory)
{
    if (!inside || !memory)
        return memory;
    if (live_count == MOST_LIVE)
        abort(); /* nobody here holds as many */
    live[live_count++] = memory;
    return memory;
}

static void gone(const void *memory)
{
    for (size_t i = live_count; i > 0; i--) {
        if (live[i - 1] == memory) {
            live[i - 1] = live[--live_count];
            return;
        }
    }
}

#define SITE __builtin_return_address(0)

void *__wrap_malloc(size_t size)
{
    return strike(SITE) ? NULL : made(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return strike(SITE) ? NULL : made(__real_calloc(count, size));
}

void *__wrap_realloc(void *old, size_t size)
{
    if (strike(SITE))
        return NULL;
    gone(old);
    return made(__real_realloc(old, size));
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return strike(SITE) ? NULL : made(__real_aligned_alloc(alignment, size));
}

char *__wrap_strdup(const char *text)
{
    return strike(SITE) ? NULL : made(__real_strdup(text));
}

char *__wrap_strndup(const char *text, size_t length)
{
    return strike(SITE) ? NULL : made(__real_strndup(text, length));
}

char *__wrap_realpath(const char *path, char *resolved)
{
    if (resolved)
        return __real_realpath(path, resolved);
    return strike(SITE) ? NULL : made(__real_realpath(path, NULL));
}

FILE *__wrap_open_memstream(char **text, size_t *length)
{
    return strike(SITE) ? NULL : made(__real_open_memstream(text, length));
}

FILE *__wrap_fopen64(const char *path, const char *mode)
{
    return strike(SITE) ? NULL : made(__real_fopen64(path, mode));
}

FILE *__wrap_fdopen(int file, const char *mode)
{
    return strike(SITE) ? NULL : made(__real_fdopen(file, mode));
}

DIR *__wrap_fdopendir(int file)
{
    return strike(SITE) ? NULL : made(__real_fdopendir(file));
}

void __wrap_free(void *memory)
{
    gone(memory);
    __real_free(memory);
}

int __wrap_fclose(FILE *file)
{
    gone(file);
    return __real_fclose(file);
}

int __wrap_closedir(DIR *folder)
{
    gone(folder);
    return __real_closedir(folder);
}

void allocations_start(unsigned long at, bool sticky)
{
    now = (struct allocations){.at = at, .sticky = sticky};
}

void allocations_stop(void)
{
    now.at = 0;
}

const struct allocations *allocations_now(void)
{
    return &now;
}

void allocations_enter(void)
{
    inside = true;
}

void allocations_leave(void)
{
    inside = false;
}

size_t allocations_live(void)
{
    return live_count;
}

unsigned long allocations_injected(void)
{
    return injected;
}

size_t allocations_sites(void)
{
    return site_count;
}

const void *allocations_site(size_t index)
{
    return sites[index];
}
