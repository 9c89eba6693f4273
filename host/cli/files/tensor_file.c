#include "tensor_file.h"

#include "platform/files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Paths ---- */

static bool ends_with(const char *text, size_t length, const char *end)
{
    size_t size = strlen(end);

    return length > size && memcmp(text + length - size, end, size) == 0;
}

struct tensor_path tensor_path_split(const char *path)
{
    static const char safetensors[] = ".safetensors:";
    struct tensor_path parts = {.file = strlen(path)};
    const char *at = strstr(path, safetensors);
    const char *colon = strrchr(path, ':');

    if (at) { /* the first, as a tensor's name may hold anything */
        parts.file = (size_t)(at - path) + sizeof safetensors - 2;
        parts.name = path + parts.file + 1;
        parts.safetensors = true;
    } else if (ends_with(path, parts.file, ".safetensors")) {
        parts.safetensors = true;
    } else if (colon && !strchr(colon, '/') && ends_with(path, (size_t)(colon - path), ".npy")) {
        parts.file = (size_t)(colon - path);
        parts.type = colon + 1;
    }
    return parts;
}

/* ---- Views ---- */

void view_axis(struct tensor_view *view, uint64_t size, uint64_t step)
{
    view->sizes[view->rank] = size;
    view->steps[view->rank] = size == 1 ? 0 : step;
    view->rank++;
}

/* A tensor as it lies in its file, in C order. */
static struct tensor_view view_of(const struct tensor_layout *layout)
{
    struct tensor_view view = {.rank = layout->rank};
    uint64_t step = 1;

    for (uint32_t i = 0; i < layout->rank; i++) {
        uint32_t axis = layout->fortran ? i : layout->rank - 1 - i;

        view.sizes[axis] = layout->shape[axis];
        view.steps[axis] = layout->shape[axis] == 1 ? 0 : step;
        step *= layout->shape[axis];
    }
    return view;
}

bool view_stretch(const struct tensor_view *view, const uint64_t *sizes, uint32_t rank,
                  struct tensor_view *stretched)
{
    struct tensor_view out = {0};
    uint32_t missing;

    if (view->rank > rank)
        return false;
    missing = rank - view->rank;
    for (uint32_t i = 0; i < rank; i++) {
        uint64_t own = i < missing ? 1 : view->sizes[i - missing];

        if (own != 1 && own != sizes[i])
            return false;
        view_axis(&out, sizes[i], own == 1 ? 0 : view->steps[i - missing]);
    }
    *stretched = out;
    return true;
}

/* Whether its elements, in order, lie one behind the other. */
static bool view_is_dense(const struct tensor_view *view)
{
    uint64_t step = 1;

    for (uint32_t i = view->rank; i-- > 0;) {
        if (view->sizes[i] == 1)
            continue;
        if (view->steps[i] != step)
            return false;
        step *= view->sizes[i];
    }
    return true;
}

uint64_t view_repeats(const struct tensor_view *view, uint64_t unit)
{
    uint32_t axis = view->rank;
    uint64_t repeats = 1;

    for (uint64_t covered = 1; covered < unit; axis--)
        covered *= view->sizes[axis - 1];
    for (; axis > 0 && view->steps[axis - 1] == 0; axis--)
        repeats *= view->sizes[axis - 1];
    return repeats;
}

/* Elements that lie `step` apart; a size that the compiler knows makes each a load and a store. */
static void copy_run(const uint8_t *from, uint64_t step, uint32_t size, uint64_t count, uint8_t *to)
{
    uint64_t bytes = step * size;

    if (step == 1) {
        memcpy(to, from, count * size);
    } else if (size == 2) {
        for (uint64_t i = 0; i < count; i++)
            memcpy(to + i * 2, from + i * bytes, 2);
    } else if (size == 4) {
        for (uint64_t i = 0; i < count; i++)
            memcpy(to + i * 4, from + i * bytes, 4);
    } else {
        for (uint64_t i = 0; i < count; i++)
            memcpy(to + i * 8, from + i * bytes, 8);
    }
}

/* Copies `count` elements of `size` bytes from number `first` on, run by run of the last axis. */
static void view_read(const struct tensor_view *view, const uint8_t *data, uint32_t size,
                      uint64_t first, uint64_t count, uint8_t *out)
{
    bool dense = view_is_dense(view);
    uint64_t run;

    for (; count > 0; first += run, count -= run, out += run * size) {
        uint64_t place = first, offset = 0, left = count, step = 1;

        for (uint32_t i = view->rank; i-- > 0 && !dense;) {
            uint64_t index = place % view->sizes[i];

            offset += index * view->steps[i];
            place /= view->sizes[i];
            if (i == view->rank - 1) {
                left = view->sizes[i] - index;
                step = view->steps[i];
            }
        }
        run = left < count ? left : count;
        copy_run(data + (dense ? first : offset) * size, step, size, run, out);
    }
}

/* ---- Files ---- */

/* Maps the file, a regular one only; an empty one stays NULL. */
static bool map(struct tensor_file *tensor, const char *path)
{
    struct an_status status;
    int descriptor = an_file_open(path, AN_OPEN_READ, 0);
    void *mapping;
    bool done = false;

    if (descriptor < 0)
        return cli_fail(cli_exit_of(errno), path,
                        "cannot be opened: %s; name a readable .npy or .safetensors file",
                        strerror(errno));
    if (!an_file_status(descriptor, &status)) {
        cli_fail(cli_exit_of(errno), path, "cannot be examined: %s", strerror(errno));
        goto out;
    }
    if (status.kind != AN_KIND_FILE) {
        cli_fail(CLI_USAGE, path, "is %s; name a .npy or .safetensors file",
                 status.kind == AN_KIND_FOLDER ? "a folder" : "no regular file");
        goto out;
    }
    if (status.size == 0) {
        done = true;
        goto out;
    }
    if (status.size > SIZE_MAX) {
        cli_fail(CLI_USAGE, path, "is too large for this machine's address space");
        goto out;
    }
    mapping = an_file_map(descriptor, (size_t)status.size);
    if (!mapping) {
        cli_fail(CLI_FAILED, path, "cannot be mapped into memory: %s", strerror(errno));
        goto out;
    }
    tensor->bytes = mapping;
    tensor->size = (size_t)status.size;
    done = true;
out:
    an_file_close(descriptor);
    return done;
}

/* The type that is written behind the colon, if any: npy files cannot tell bf16 themselves. */
static bool parse_type(const char *path, const char *word, anynorm_dtype *type)
{
    static const anynorm_dtype types[] = {ANYNORM_BF16, ANYNORM_F16, ANYNORM_F32, ANYNORM_F64};

    for (size_t i = 0; word && i < sizeof types / sizeof *types; i++) {
        if (strcmp(word, anynorm_dtype_name(types[i])) == 0) {
            *type = types[i];
            return true;
        }
    }
    return !word || cli_fail(CLI_USAGE, path,
                             "there is no type '%.100s' of a npy file; give bf16, f16, f32 or f64, "
                             "or no colon",
                             word);
}

static bool check_type(const struct tensor_file *tensor, const char *word, anynorm_dtype type)
{
    return !word || tensor->type == type ||
           cli_fail(CLI_USAGE, tensor->path,
                    "its dtype is %s, which is no %s; leave ':%s' out, or name another file",
                    tensor->layout.type, word, word);
}

bool tensor_open(const char *path, bool two_bytes_are_bf16, struct tensor_file *tensor)
{
    struct tensor_path parts = tensor_path_split(path);
    struct tensor_layout *layout = &tensor->layout;
    anynorm_dtype type = ANYNORM_F32;
    char *file = malloc(parts.file + 1);
    struct tensor_view view;
    bool done = false;

    *tensor = (struct tensor_file){.path = path};
    if (!file) {
        cli_fail(CLI_FAILED, path, "out of memory");
        goto out;
    }
    snprintf(file, parts.file + 1, "%s", path);
    if (!parse_type(path, parts.type, &type) || !map(tensor, file))
        goto out;
    if (!(parts.safetensors
              ? safetensors_locate(file, tensor->bytes, tensor->size, parts.name, layout)
              : npy_locate(file, tensor->bytes, tensor->size,
                           two_bytes_are_bf16 || type == ANYNORM_BF16, layout)))
        goto out;
    tensor->type = layout->dtype;
    if (!check_type(tensor, parts.type, type))
        goto out;
    tensor->data = tensor->bytes + layout->data_offset;
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
    if (tensor->bytes)
        an_file_unmap((void *)(uintptr_t)tensor->bytes, tensor->size);
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

/* Copies `count` elements from `first` on, counted in the order of the view, in native byte order.
 */
static void tensor_read(const struct tensor_file *tensor, uint64_t first, uint64_t count, void *out)
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
