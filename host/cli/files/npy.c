#include "npy.h"

#include "npy_header.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool find_type(const char *subject, const struct tensor_layout *layout,
                      bool two_bytes_are_bf16, anynorm_dtype *dtype, struct cli_error *error)
{
    const char *type = layout->type;

    if (*type == 'f') {
        *dtype = type[1] == '2' ? ANYNORM_F16 : type[1] == '4' ? ANYNORM_F32 : ANYNORM_F64;
        return true;
    }
    if (*type != 'V' && !two_bytes_are_bf16)
        return cli_fail(
            error, CLI_USAGE, subject,
            "its dtype is %s; give f2, f4 or f8, or say that it is bf16: FILE.npy:bf16, "
            "or --dtype bf16 for all files",
            type);
    *dtype = ANYNORM_BF16;
    return true;
}

static bool check_size(const char *subject, const struct mapped_file *file,
                       const struct tensor_layout *layout, struct cli_error *error)
{
    uint64_t there = file->size - layout->data_offset;
    uint64_t needed = layout->elements * layout->item_size;
    char text[SHAPE_TEXT];

    if (there == needed)
        return true;
    return cli_fail(error, CLI_USAGE, subject,
                    "its shape %s of %s needs %" PRIu64 " bytes of data and there are %" PRIu64
                    "; %s",
                    shape_text(layout->rank, layout->shape, text), layout->type, needed, there,
                    there < needed ? "the file is cut, copy it again"
                                   : "something was added to the file, write it again");
}

bool npy_locate(const char *subject, const struct mapped_file *file, bool two_bytes_are_bf16,
                struct tensor_layout *layout, anynorm_dtype *dtype, struct cli_error *error)
{
    return npy_header_parse(subject, file->bytes, file->size, layout, error) &&
           find_type(subject, layout, two_bytes_are_bf16, dtype, error) &&
           check_size(subject, file, layout, error);
}

size_t npy_head(anynorm_dtype type, uint32_t rank, const uint64_t *shape,
                uint8_t head[NPY_HEAD_MAX])
{
    static const char *const names[] = {
        [ANYNORM_F32] = "f4", [ANYNORM_F16] = "f2", [ANYNORM_BF16] = "u2",
        [ANYNORM_F64] = "f8", [ANYNORM_I8] = "i1",  [ANYNORM_F8E4M3] = "u1"};
    char order = anynorm_dtype_size(type) == 1 ? '|' : host_is_big_endian() ? '>' : '<';
    char text[SHAPE_TEXT];
    size_t used;
    size_t size;

    memcpy(head, "\x93NUMPY\x01\x00", 8);
    used = 10 + (size_t)snprintf((char *)head + 10, NPY_HEAD_MAX - 10,
                                 "{'descr': '%c%s', 'fortran_order': False, 'shape': %s, }", order,
                                 names[type], shape_text(rank, shape, text));
    size = (used + 1 + 63) / 64 * 64;
    memset(head + used, ' ', size - used);
    head[size - 1] = '\n';
    head[8] = (uint8_t)((size - 10) & 0xff);
    head[9] = (uint8_t)((size - 10) >> 8);
    return size;
}
