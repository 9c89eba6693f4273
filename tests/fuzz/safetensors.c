/* libFuzzer target of the safetensors header parser; ci/fuzz builds and runs it. The tensor looked
 * for is "x". Each input is tried as it is, and with the length of a header that ends at its last
 * brace, which no mutation would keep right. Beside memory errors it checks what callers rely on.
 */
#include "cli/files/tensor_layout.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LENGTH = 8 }; /* bytes of it, before the header */

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

static void parse(const uint8_t *file, size_t size)
{
    struct tensor_layout layout;

    cli_error.exit_status = CLI_DONE;
    if (safetensors_locate("file", file, size, "x", &layout)) {
        check(&layout, size);
    } else if (cli_error.exit_status != CLI_USAGE || strncmp(cli_error.text, "file: ", 6) != 0) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *brace;
    uint8_t *file;

    parse(data, size);
    brace = size > LENGTH ? memrchr(data + LENGTH, '}', size - LENGTH) : NULL;
    file = brace ? malloc(size) : NULL;
    if (!file)
        return 0;
    memcpy(file, data, size);
    for (size_t i = 0; i < LENGTH; i++)
        file[i] = (uint8_t)((uint64_t)(brace + 1 - (data + LENGTH)) >> 8 * i);
    parse(file, size);
    free(file);
    return 0;
}
