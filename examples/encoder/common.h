/* What every file of this example needs. Whatever goes wrong ends the program, with one line. */
#ifndef ENCODER_COMMON_H
#define ENCODER_COMMON_H

#include <stddef.h>
#include <stdio.h>

/* Prints "encoder: " and the line, and exits with status 1. */
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...);

/* `count` elements of `size` bytes, all zero; for free(). */
void *take_memory(size_t count, size_t size);

/* `count` elements, `old` and its contents among them; takes the place of `old`. */
void *grow_memory(void *old, size_t count, size_t size);

/* FOLDER/NAME, opened to be read; its path and size are told. free(*path), fclose. */
FILE *open_file(const char *folder, const char *name, char **path, size_t *size);

void read_bytes(FILE *file, const char *path, void *bytes, size_t count);

/* All of FOLDER/NAME, a zero behind it. */
char *read_text(const char *folder, const char *name, size_t *size);

#endif
