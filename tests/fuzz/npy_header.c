/* libFuzzer target of the npy header parser:
 *     clang -g -fsanitize=fuzzer,address,undefined -Ihost/cli tests/fuzz/npy_header.c \
 *         host/cli/npy_header.c host/cli/error.c
 * Beside memory errors it checks what callers rely on. */
#include "npy_header.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct npy_header header;
    struct cli_error error = {.exit_status = CLI_DONE};
    char text[NPY_SHAPE_TEXT];
    uint64_t bytes;

    if (!npy_header_parse("file", data, size, &header, &error)) {
        if (error.exit_status != CLI_USAGE || strncmp(error.text, "file: ", 6) != 0)
            abort();
        return 0;
    }
    if (header.rank > NPY_MAX_RANK || header.data_offset > size ||
        (header.item_size != 2 && header.item_size != 4 && header.item_size != 8))
        abort();
    bytes = header.item_size;
    for (uint32_t i = 0; i < header.rank; i++)
        bytes *= header.shape[i];
    if (bytes > INT64_MAX || bytes != header.elements * header.item_size ||
        strlen(npy_shape_text(header.rank, header.shape, text)) + 1 >= sizeof text)
        abort();
    return 0;
}
