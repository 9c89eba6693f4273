/* A compiled program and the key it belongs to, packed into one run of bytes: what a file of the
 * cache holds, and what a caller may keep of a plan.
 *
 * A driver that is handed damaged bytes may crash, or compute wrong results: nothing of a packed
 * binary may be used before an_binary_intact has said yes to it. */
#ifndef AN_BINARY_H
#define AN_BINARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One of the things that change what a compiler makes. */
struct an_key_part {
    const char *name; /* for a person: "driver version" */
    const void *bytes;
    size_t size;
};

struct an_key {
    const struct an_key_part *parts;
    size_t count;
};

/* 64 bits of the whole key, for a file's name. */
uint64_t an_key_hash(const struct an_key *key);

/* Room for a line of the packer's own, with its closing zero. */
#define AN_BINARY_LABEL 128

/* The size of `program_size` bytes packed with a key. */
size_t an_binary_size(const struct an_key *key, size_t program_size);

/* Writes an_binary_size bytes to `packed`. `label` is cut to its room. */
void an_binary_pack(const struct an_key *key, const char *label, const void *program,
                    size_t program_size, void *packed);

/* Whether the bytes are a packed binary, whole and unchanged since it was packed. */
bool an_binary_intact(const void *packed, size_t size);

/* Of an intact binary: its label, its program, and the name of the first part of `key` in which its
 * own key differs (NULL: it is of this key). */
const char *an_binary_label(const void *packed);
const void *an_binary_program(const void *packed, size_t *size);
const char *an_binary_mismatch(const void *packed, const struct an_key *key);

#endif
