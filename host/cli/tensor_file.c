#define _POSIX_C_SOURCE 200809L
#include "tensor_file.h"

#include "npy.h"
#include "safetensors.h"

#include <stdlib.h>
#include <string.h>

/* With at most one axis longer than 1, both orders are the same. */
static bool orders_differ(const struct tensor_layout *layout)
{
    uint32_t long_axes = 0;

    for (uint32_t i = 0; i < layout->rank; i++)
        long_axes += layout->shape[i] > 1;
    return long_axes > 1;
}

static const char safetensors[] = ".safetensors";

/* How much of the path names the file, and in *name the tensor behind the colon, or NULL. */
static size_t split_path(const char *path, bool *is_safetensors, const char **name)
{
    size_t suffix = strlen(safetensors);
    size_t length = strlen(path);

    *name = NULL;
    *is_safetensors = true;
    for (const char *at = path; (at = strstr(at, safetensors)); at++) {
        if (at[suffix] == ':') {
            *name = at + suffix + 1;
            return (size_t)(at - path) + suffix;
        }
    }
    *is_safetensors = length > suffix && strcmp(path + length - suffix, safetensors) == 0;
    return length;
}

bool tensor_open(const char *path, bool two_bytes_are_bf16, struct tensor_file *tensor,
                 struct cli_error *error)
{
    struct tensor_layout *layout = &tensor->layout;
    bool is_safetensors;
    const char *name;
    char *file = strndup(path, split_path(path, &is_safetensors, &name));
    bool done = false;

    *tensor = (struct tensor_file){.path = path};
    if (!file) {
        cli_fail(error, CLI_FAILED, path, "out of memory");
        goto out;
    }
    if (!mapped_file_open(file, &tensor->file, error) ||
        !(is_safetensors
              ? safetensors_locate(file, &tensor->file, name, layout, &tensor->type, error)
              : npy_locate(file, &tensor->file, two_bytes_are_bf16, layout, &tensor->type, error)))
        goto out;
    tensor->data = tensor->file.bytes + layout->data_offset;
    tensor->direct = !layout->swapped && !(layout->fortran && orders_differ(layout));
    done = true;
out:
    free(file);
    if (!done)
        tensor_close(tensor);
    return done;
}

void tensor_close(struct tensor_file *tensor)
{
    mapped_file_close(&tensor->file);
    *tensor = (struct tensor_file){0};
}

/* The place of an element in an array of Fortran order. */
struct walk {
    uint64_t index[TENSOR_MAX_RANK];
    uint64_t stride[TENSOR_MAX_RANK];
    uint64_t offset;
};

static void walk_start(struct walk *walk, const struct tensor_layout *layout, uint64_t first)
{
    uint64_t stride = 1;

    walk->offset = 0;
    for (uint32_t i = 0; i < layout->rank; i++) {
        walk->stride[i] = stride;
        stride *= layout->shape[i];
    }
    for (uint32_t i = layout->rank; i-- > 0;) {
        walk->index[i] = first % layout->shape[i];
        walk->offset += walk->index[i] * walk->stride[i];
        first /= layout->shape[i];
    }
}

/* After the index of the last axis grew: carries what is full into the axis before. */
static void walk_carry(struct walk *walk, const struct tensor_layout *layout)
{
    for (uint32_t i = layout->rank; i-- > 0;) {
        if (walk->index[i] < layout->shape[i])
            return;
        walk->offset -= walk->index[i] * walk->stride[i];
        walk->index[i] = 0;
        if (i > 0) {
            walk->index[i - 1]++;
            walk->offset += walk->stride[i - 1];
        }
    }
}

static void copy_strided(const uint8_t *from, uint64_t stride, uint32_t size, uint64_t count,
                         uint8_t *to)
{
    uint64_t step = stride * size;

    switch (size) {
    case 2:
        for (uint64_t i = 0; i < count; i++)
            memcpy(to + i * 2, from + i * step, 2);
        break;
    case 4:
        for (uint64_t i = 0; i < count; i++)
            memcpy(to + i * 4, from + i * step, 4);
        break;
    default:
        for (uint64_t i = 0; i < count; i++)
            memcpy(to + i * 8, from + i * step, 8);
        break;
    }
}

static void gather(const struct tensor_file *tensor, uint64_t first, uint64_t count, uint8_t *out)
{
    const struct tensor_layout *layout = &tensor->layout;
    uint32_t last = layout->rank - 1;
    uint32_t size = layout->item_size;
    struct walk walk;

    walk_start(&walk, layout, first);
    while (count > 0) {
        uint64_t run = layout->shape[last] - walk.index[last];

        if (run > count)
            run = count;
        copy_strided(tensor->data + walk.offset * size, walk.stride[last], size, run, out);
        out += run * size;
        count -= run;
        walk.index[last] += run;
        walk.offset += run * walk.stride[last];
        walk_carry(&walk, layout);
    }
}

static void swap_bytes(uint8_t *data, uint32_t size, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint8_t *item = data + i * size;

        for (uint32_t b = 0; b < size / 2; b++) {
            uint8_t other = item[b];

            item[b] = item[size - 1 - b];
            item[size - 1 - b] = other;
        }
    }
}

void tensor_read(const struct tensor_file *tensor, uint64_t first, uint64_t count, void *out)
{
    uint32_t size = tensor->layout.item_size;

    if (count == 0)
        return;
    if (tensor->layout.fortran && orders_differ(&tensor->layout)) {
        gather(tensor, first, count, out);
    } else {
        memcpy(out, tensor->data + first * size, count * size);
    }
    if (tensor->layout.swapped)
        swap_bytes(out, size, count);
}

const void *tensor_direct(const struct tensor_file *tensor, uint64_t first)
{
    return tensor->direct ? tensor->data + first * tensor->layout.item_size : NULL;
}
