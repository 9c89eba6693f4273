/* libFuzzer target of the safetensors header parser:
 *     clang -g -fsanitize=fuzzer,address,undefined -Ihost/cli tests/fuzz/safetensors.c \
 *         host/cli/safetensors_header.c host/cli/safetensors_entries.c host/cli/json_reader.c \
 *         host/cli/utf8.c host/cli/tensor_layout.c host/cli/error.c
 * The input is the file behind the length of its header, that length in its first two bytes; the
 * tensor looked for is "x". Beside memory errors it checks what callers rely on. */
#include "safetensors_header.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct tensor_layout *layout, size_t size)
{
    uint64_t bytes = layout->item_size;
    char text[SHAPE_TEXT];

    if (layout->rank > TENSOR_MAX_RANK || layout->item_size > 8 || layout->fortran)
        abort();
    for (uint32_t i = 0; i < layout->rank; i++)
        bytes *= layout->shape[i];
    if (bytes != layout->elements * layout->item_size || layout->data_offset > size ||
        bytes > size - layout->data_offset ||
        strlen(shape_text(layout->rank, layout->shape, text)) + 1 >= sizeof text)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tensor_layout layout;
    struct cli_error error = {.exit_status = CLI_DONE};
    uint8_t *file;

    if (size < 2)
        return 0;
    size += 6;
    file = calloc(1, size);
    if (!file)
        return 0;
    memcpy(file, data, 2);
    memcpy(file + 8, data + 2, size - 8);
    if (safetensors_header_parse("file", file, size, "x", &layout, &error)) {
        check(&layout, size);
    } else if (error.exit_status != CLI_USAGE || strncmp(error.text, "file: ", 6) != 0) {
        abort();
    }
    free(file);
    return 0;
}
