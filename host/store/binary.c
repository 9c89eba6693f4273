#include "binary.h"

#include <string.h>

/* The layout, numbers little-endian:
 *      0  8 bytes   magic; its last character is the layout's version
 *      8  u64       checksum of everything after it
 *     16  u64       bytes of the key
 *     24  u64       bytes of the program
 *     32  label, then the key, then the program
 * The key is its parts one after another, each a u64 size and the bytes. */
static const unsigned char magic[8] = {'a', 'n', 'y', 'n', 'o', 'r', 'm', '1'};

enum { CHECKSUM_AT = 8, KEY_SIZE_AT = 16, PROGRAM_SIZE_AT = 24, LABEL_AT = 32 };
enum { HEADER = LABEL_AT + AN_BINARY_LABEL, SIZE_BYTES = 8 };

/* FNV-1a (Fowler, Noll, Vo), 64 bits: each step can be undone, so one changed byte always shows. */
#define HASH_START UINT64_C(14695981039346656037)
#define HASH_PRIME UINT64_C(1099511628211)

static uint64_t hash(uint64_t state, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < size; i++)
        state = (state ^ at[i]) * HASH_PRIME;
    return state;
}

static void put_u64(unsigned char *at, uint64_t value)
{
    for (int i = 0; i < SIZE_BYTES; i++)
        at[i] = (unsigned char)(value >> 8 * i);
}

static uint64_t get_u64(const unsigned char *at)
{
    uint64_t value = 0;
    for (int i = SIZE_BYTES - 1; i >= 0; i--)
        value = value << 8 | at[i];
    return value;
}

static size_t key_size(const struct an_key *key)
{
    size_t size = 0;
    for (size_t i = 0; i < key->count; i++)
        size += SIZE_BYTES + key->parts[i].size;
    return size;
}

uint64_t an_key_hash(const struct an_key *key)
{
    uint64_t state = HASH_START;
    for (size_t i = 0; i < key->count; i++) {
        unsigned char size[SIZE_BYTES];
        put_u64(size, key->parts[i].size);
        state = hash(state, size, sizeof(size));
        state = hash(state, key->parts[i].bytes, key->parts[i].size);
    }
    return state;
}

size_t an_binary_size(const struct an_key *key, size_t program_size)
{
    return HEADER + key_size(key) + program_size;
}

void an_binary_pack(const struct an_key *key, const char *label, const void *program,
                    size_t program_size, void *packed)
{
    unsigned char *bytes = packed, *at = bytes + HEADER;
    size_t label_size = strlen(label);
    if (label_size > AN_BINARY_LABEL - 1)
        label_size = AN_BINARY_LABEL - 1;
    memcpy(bytes, magic, sizeof(magic));
    put_u64(bytes + KEY_SIZE_AT, key_size(key));
    put_u64(bytes + PROGRAM_SIZE_AT, program_size);
    memset(bytes + LABEL_AT, 0, AN_BINARY_LABEL);
    memcpy(bytes + LABEL_AT, label, label_size);
    for (size_t i = 0; i < key->count; i++) {
        put_u64(at, key->parts[i].size);
        memcpy(at + SIZE_BYTES, key->parts[i].bytes, key->parts[i].size);
        at += SIZE_BYTES + key->parts[i].size;
    }
    memcpy(at, program, program_size);
    at += program_size;
    put_u64(bytes + CHECKSUM_AT,
            hash(HASH_START, bytes + KEY_SIZE_AT, (size_t)(at - bytes) - KEY_SIZE_AT));
}

bool an_binary_intact(const void *packed, size_t size)
{
    const unsigned char *bytes = packed;
    if (size < HEADER || memcmp(bytes, magic, sizeof(magic)) != 0)
        return false;
    uint64_t room = size - HEADER, key = get_u64(bytes + KEY_SIZE_AT);
    if (key > room || get_u64(bytes + PROGRAM_SIZE_AT) != room - key)
        return false;
    return get_u64(bytes + CHECKSUM_AT) ==
               hash(HASH_START, bytes + KEY_SIZE_AT, size - KEY_SIZE_AT) &&
           bytes[HEADER - 1] == 0;
}

const char *an_binary_label(const void *packed)
{
    return (const char *)packed + LABEL_AT;
}

const void *an_binary_program(const void *packed, size_t *size)
{
    const unsigned char *bytes = packed;
    *size = (size_t)get_u64(bytes + PROGRAM_SIZE_AT);
    return bytes + HEADER + get_u64(bytes + KEY_SIZE_AT);
}

const char *an_binary_mismatch(const void *packed, const struct an_key *key)
{
    const unsigned char *bytes = packed, *at = bytes + HEADER;
    size_t left = (size_t)get_u64(bytes + KEY_SIZE_AT);
    for (size_t i = 0; i < key->count; i++) {
        const struct an_key_part *part = &key->parts[i];
        if (left < SIZE_BYTES || left - SIZE_BYTES < part->size || get_u64(at) != part->size ||
            memcmp(at + SIZE_BYTES, part->bytes, part->size) != 0)
            return part->name;
        at += SIZE_BYTES + part->size;
        left -= SIZE_BYTES + part->size;
    }
    return left > 0 ? "layout" : NULL;
}
