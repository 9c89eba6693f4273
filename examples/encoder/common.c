/* Failing, memory and files. */
#include "common.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void fail(const char *format, ...)
{
    va_list arguments;

    fflush(stdout);
    fputs("encoder: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(EXIT_FAILURE);
}

void *take_memory(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);

    if (!memory)
        fail("out of memory");
    return memory;
}

void *grow_memory(void *old, size_t count, size_t size)
{
    void *memory = count > SIZE_MAX / size ? NULL : realloc(old, count * size);

    if (!memory)
        fail("out of memory");
    return memory;
}

FILE *open_file(const char *folder, const char *name, char **path, size_t *size)
{
    size_t length = strlen(folder) + strlen(name) + 2;
    FILE *file;
    long end;

    *path = take_memory(length, 1);
    snprintf(*path, length, "%s/%s", folder, name);
    file = fopen(*path, "rb");
    if (!file)
        fail("%s: %s", *path, strerror(errno));
    if (fseek(file, 0, SEEK_END) || (end = ftell(file)) < 0 || fseek(file, 0, SEEK_SET))
        fail("%s: its size cannot be told: %s", *path, strerror(errno));
    *size = (size_t)end;
    return file;
}

void read_bytes(FILE *file, const char *path, void *bytes, size_t count)
{
    if (fread(bytes, 1, count, file) != count)
        fail("%s: %s", path, ferror(file) ? strerror(errno) : "it ends too early");
}

char *read_text(const char *folder, const char *name, size_t *size)
{
    char *path;
    FILE *file = open_file(folder, name, &path, size);
    char *text = take_memory(*size + 1, 1);

    read_bytes(file, path, text, *size);
    fclose(file);
    free(path);
    return text;
}
