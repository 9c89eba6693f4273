/* libFuzzer target of the npy header parser; ci/fuzz builds and runs it. Beside memory errors it
 * checks what callers rely on. */
#include "cli/files/tensor_layout.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tensor_layout layout;
    char text[SHAPE_TEXT];
    uint64_t bytes;

    cli_error.exit_status = CLI_DONE;
    if (!npy_header_parse("file", data, size, &layout)) {
        if (cli_error.exit_status != CLI_USAGE || strncmp(cli_error.text, "file: ", 6) != 0)
            abort();
        return 0;
    }
    if (layout.rank > TENSOR_MAX_RANK || layout.data_offset > size ||
        (layout.item_size != 2 && layout.item_size != 4 && layout.item_size != 8))
        abort();
    bytes = layout.item_size;
    for (uint32_t i = 0; i < layout.rank; i++)
        bytes *= layout.shape[i];
    if (bytes > INT64_MAX || bytes != layout.elements * layout.item_size ||
        strlen(shape_text(layout.rank, layout.shape, text)) + 1 >= sizeof text)
        abort();
    return 0;
}
