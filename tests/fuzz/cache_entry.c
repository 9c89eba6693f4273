/* libFuzzer target of a packed binary, which is what a file of the cache holds; ci/fuzz builds and
 * runs it. No input gets past the checksum by chance, so that each is tried a second time with the
 * checksum and the sizes that it should have. Beside memory errors it checks what callers rely on:
 * all that is handed on lies within the bytes. */
#include "store/binary.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHECKSUM_AT = 8, KEY_SIZE_AT = 16, PROGRAM_SIZE_AT = 24, LABEL_AT = 32 };
enum { HEADER = LABEL_AT + AN_BINARY_LABEL };

static const struct an_key_part parts[] = {{"device", "cpu", 3}, {"options", "-DX=1", 5}};
static const struct an_key key = {parts, 2};

static void put(uint8_t *at, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

/* Reads all that an intact one tells of. */
static void use(const uint8_t *packed, size_t size)
{
    size_t program_size;
    const uint8_t *program = an_binary_program(packed, &program_size);
    volatile uint8_t sum = 0;
    if (program < packed + HEADER || program > packed + size ||
        program_size != (size_t)(packed + size - program) ||
        strlen(an_binary_label(packed)) >= AN_BINARY_LABEL)
        abort();
    for (size_t i = 0; i < program_size; i++)
        sum = (uint8_t)(sum + program[i]);
    const char *mismatch = an_binary_mismatch(packed, &key);
    if (!mismatch) {
        /* Of this very key: packing its parts anew gives the same bytes. */
        uint8_t *again = malloc(an_binary_size(&key, program_size));
        if (!again || an_binary_size(&key, program_size) != size)
            abort();
        an_binary_pack(&key, an_binary_label(packed), program, program_size, again);
        if (memcmp(again + HEADER, packed + HEADER, size - HEADER) != 0)
            abort();
        free(again);
    } else if (strcmp(mismatch, "device") != 0 && strcmp(mismatch, "options") != 0 &&
               strcmp(mismatch, "layout") != 0) {
        abort();
    }
}

/* FNV-1a, as host/store/binary.c has it. */
static uint64_t checksum(const uint8_t *bytes, size_t size)
{
    uint64_t state = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < size; i++)
        state = (state ^ bytes[i]) * UINT64_C(1099511628211);
    return state;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (an_binary_intact(data, size))
        use(data, size);
    if (size <= HEADER)
        return 0;
    uint8_t *mended = malloc(size);
    if (!mended)
        return 0;
    memcpy(mended, data, size);
    memcpy(mended, "anynorm1", CHECKSUM_AT);
    /* Half of the inputs keep a size of the key that may be a wrong one. */
    if (data[0] % 2)
        put(mended + KEY_SIZE_AT, data[KEY_SIZE_AT] % (size - HEADER));
    uint64_t key_size = 0;
    for (int i = 7; i >= 0; i--)
        key_size = key_size << 8 | mended[KEY_SIZE_AT + i];
    put(mended + PROGRAM_SIZE_AT, size - HEADER - key_size);
    put(mended + CHECKSUM_AT, checksum(mended + KEY_SIZE_AT, size - KEY_SIZE_AT));
    bool whole = key_size <= size - HEADER && mended[HEADER - 1] == 0;
    if (an_binary_intact(mended, size) != whole)
        abort();
    if (whole)
        use(mended, size);
    free(mended);
    return 0;
}
