#define _POSIX_C_SOURCE 200809L
#include "tensor_file.h"

#include "npy.h"
#include "safetensors.h"
#include "tensor_path.h"

#include <stdlib.h>
#include <string.h>

/* The type that is written behind the colon, if any: npy files cannot tell bf16 themselves. */
static bool parse_type(const char *path, const char *word, anynorm_dtype *type,
                       struct cli_error *error)
{
    static const anynorm_dtype types[] = {ANYNORM_BF16, ANYNORM_F16, ANYNORM_F32, ANYNORM_F64};

    for (size_t i = 0; word && i < sizeof types / sizeof *types; i++) {
        if (strcmp(word, anynorm_dtype_name(types[i])) == 0) {
            *type = types[i];
            return true;
        }
    }
    return !word || cli_fail(error, CLI_USAGE, path,
                             "there is no type '%.100s' of a npy file; give bf16, f16, f32 or f64, "
                             "or no colon",
                             word);
}

static bool check_type(const struct tensor_file *tensor, const char *word, anynorm_dtype type,
                       struct cli_error *error)
{
    return !word || tensor->type == type ||
           cli_fail(error, CLI_USAGE, tensor->path,
                    "its dtype is %s, which is no %s; leave ':%s' out, or name another file",
                    tensor->layout.type, word, word);
}

bool tensor_open(const char *path, bool two_bytes_are_bf16, struct tensor_file *tensor,
                 struct cli_error *error)
{
    struct tensor_path parts = tensor_path_split(path);
    struct tensor_layout *layout = &tensor->layout;
    anynorm_dtype type = ANYNORM_F32;
    char *file = strndup(path, parts.file);
    struct tensor_view view;
    bool done = false;

    *tensor = (struct tensor_file){.path = path};
    if (!file) {
        cli_fail(error, CLI_FAILED, path, "out of memory");
        goto out;
    }
    if (!parse_type(path, parts.type, &type, error) ||
        !mapped_file_open(file, &tensor->file, error))
        goto out;
    two_bytes_are_bf16 = two_bytes_are_bf16 || type == ANYNORM_BF16;
    if (!(parts.safetensors
              ? safetensors_locate(file, &tensor->file, parts.name, layout, &tensor->type, error)
              : npy_locate(file, &tensor->file, two_bytes_are_bf16, layout, &tensor->type,
                           error)) ||
        !check_type(tensor, parts.type, type, error))
        goto out;
    tensor->data = tensor->file.bytes + layout->data_offset;
    view = view_of(layout);
    tensor_set_view(tensor, &view);
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

void tensor_set_view(struct tensor_file *tensor, const struct tensor_view *view)
{
    tensor->view = *view;
    tensor->direct = !tensor->layout.swapped && view_is_dense(view);
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

    view_read(&tensor->view, tensor->data, size, first, count, out);
    if (tensor->layout.swapped)
        swap_bytes(out, size, count);
}

void tensor_read_as(const struct tensor_file *tensor, anynorm_dtype type, uint64_t first,
                    uint64_t count, void *out)
{
    uint8_t items[4096];
    uint64_t most = sizeof items / tensor->layout.item_size;
    uint64_t part;

    if (tensor->type == type) {
        tensor_read(tensor, first, count, out);
        return;
    }
    for (uint64_t done = 0; done < count; done += part) {
        part = count - done < most ? count - done : most;
        tensor_read(tensor, first + done, part, items);
        for (uint64_t i = 0; i < part; i++)
            anynorm_dtype_store(type, out, done + i, anynorm_dtype_load(tensor->type, items, i));
    }
}

const void *tensor_direct(const struct tensor_file *tensor, uint64_t first)
{
    return tensor->direct ? tensor->data + first * tensor->layout.item_size : NULL;
}
