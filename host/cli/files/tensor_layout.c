#include "tensor_layout.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool element_count_axis(struct element_count *count, uint64_t size)
{
    if (size == 0) {
        count->empty = true;
    } else if (count->product > (uint64_t)INT64_MAX / size) {
        return false;
    } else {
        count->product *= size;
    }
    return true;
}

bool tensor_layout_count(const char *subject, struct tensor_layout *layout)
{
    struct element_count bytes = {.product = layout->item_size};
    char text[SHAPE_TEXT];

    for (uint32_t i = 0; i < layout->rank; i++) {
        if (!element_count_axis(&bytes, layout->shape[i]))
            return cli_fail(CLI_USAGE, subject,
                            "its shape %s overflows; the bytes of an array must be below 2^63",
                            shape_text(layout->rank, layout->shape, text));
    }
    layout->elements = bytes.empty ? 0 : bytes.product / layout->item_size;
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
