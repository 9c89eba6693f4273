#include "tensor_layout.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The sizes multiplied without the zeros: a reader that multiplies in another order, or drops an
 * axis, must not wrap either. */
bool tensor_layout_count(const char *subject, struct tensor_layout *layout, struct cli_error *error)
{
    uint64_t bytes = layout->item_size;
    bool empty = false;
    char text[SHAPE_TEXT];

    for (uint32_t i = 0; i < layout->rank; i++) {
        if (layout->shape[i] == 0) {
            empty = true;
        } else if (bytes > (uint64_t)INT64_MAX / layout->shape[i]) {
            return cli_fail(error, CLI_USAGE, subject,
                            "its shape %s overflows; the bytes of an array must be below 2^63",
                            shape_text(layout->rank, layout->shape, text));
        } else {
            bytes *= layout->shape[i];
        }
    }
    layout->elements = empty ? 0 : bytes / layout->item_size;
    return true;
}

const char *shape_text(uint32_t rank, const uint64_t *shape, char *text)
{
    int used = snprintf(text, SHAPE_TEXT, "(");

    for (uint32_t i = 0; i < rank; i++)
        used +=
            snprintf(text + used, SHAPE_TEXT - (size_t)used, "%s%" PRIu64, i ? ", " : "", shape[i]);
    snprintf(text + used, SHAPE_TEXT - (size_t)used, rank == 1 ? ",)" : ")");
    return text;
}

uint64_t little_endian(const uint8_t *bytes, size_t count)
{
    uint64_t value = 0;

    while (count-- > 0)
        value = value << 8 | bytes[count];
    return value;
}

bool host_is_big_endian(void)
{
    const uint16_t one = 1;
    uint8_t first;

    memcpy(&first, &one, 1);
    return first == 0;
}
