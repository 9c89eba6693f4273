/* model.safetensors: a size, a header in JSON, and the data. */
#include "weights.h"

#include "common.h"
#include "json.h"

#include <stdlib.h>
#include <string.h>

enum { HEADER_MOST = 100000000 }; /* the format's own bound */

/* What the header says of one tensor. */
struct entry {
    struct tensor tensor;
    char type[8];
    size_t rank;
    uint64_t begin, end; /* bytes */
};

static void read_shape(struct json *json, struct entry *entry)
{
    bool first = true;

    entry->tensor.rows = entry->tensor.columns = 1;
    json_need(json, '[');
    while (json_more(json, ']', &first)) {
        entry->tensor.rows = entry->tensor.columns;
        entry->tensor.columns = json_count(json);
        entry->rank++;
    }
}

static void read_entry(struct json *json, struct entry *entry)
{
    bool first = true;

    json_need(json, '{');
    while (json_more(json, '}', &first)) {
        char key[16];

        json_string(json, key, sizeof key);
        json_need(json, ':');
        if (strcmp(key, "dtype") == 0) {
            json_string(json, entry->type, sizeof entry->type);
        } else if (strcmp(key, "shape") == 0) {
            read_shape(json, entry);
        } else if (strcmp(key, "data_offsets") == 0) {
            json_need(json, '[');
            entry->begin = json_count(json);
            json_need(json, ',');
            entry->end = json_count(json);
            json_need(json, ']');
        } else {
            json_skip(json);
        }
    }
}

/* Keeps it if it is of use; its bytes must then be there. */
static void keep(struct weights *weights, const char *path, struct entry *entry, uint64_t bytes)
{
    struct tensor *tensor = &entry->tensor;

    if (strcmp(entry->type, "F32") != 0 || entry->rank < 1 || entry->rank > 2)
        return;
    /* Sizes are at most 2^53, so a quotient tells what a product could not hold. */
    if (entry->end > bytes || entry->begin > entry->end || entry->begin % sizeof(float) ||
        (tensor->columns && tensor->rows > bytes / sizeof(float) / tensor->columns) ||
        tensor->rows * tensor->columns * sizeof(float) != entry->end - entry->begin)
        fail("%s: its tensor %s does not lie in the %llu bytes of data as its shape says", path,
             tensor->name, (unsigned long long)bytes);
    tensor->at = entry->begin / sizeof(float);
    weights->tensors = grow_memory(weights->tensors, weights->count + 1, sizeof *tensor);
    weights->tensors[weights->count++] = *tensor;
}

static void read_header(struct weights *weights, const char *path, const char *text, size_t length,
                        uint64_t bytes)
{
    struct json json = {text, text + length, path};
    bool first = true;

    json_need(&json, '{');
    while (json_more(&json, '}', &first)) {
        struct entry entry = {.rank = 0};

        json_string(&json, entry.tensor.name, sizeof entry.tensor.name);
        json_need(&json, ':');
        if (strcmp(entry.tensor.name, "__metadata__") == 0) {
            json_skip(&json);
            continue;
        }
        read_entry(&json, &entry);
        keep(weights, path, &entry, bytes);
    }
}

struct weights weights_read(const struct device *device, const char *folder)
{
    struct weights weights = {0};
    unsigned char prefix[8];
    uint64_t length = 0;
    size_t size;
    char *path, *header;
    FILE *file = open_file(folder, "model.safetensors", &path, &size);
    void *mapped;
    cl_int code;

    read_bytes(file, path, prefix, sizeof prefix);
    for (int i = 7; i >= 0; i--)
        length = length << 8 | prefix[i];
    if (length > HEADER_MOST || length > size - sizeof prefix)
        fail("%s: no safetensors file: its header would have %llu bytes", path,
             (unsigned long long)length);
    header = take_memory((size_t)length, 1);
    read_bytes(file, path, header, (size_t)length);
    size -= sizeof prefix + (size_t)length;
    read_header(&weights, path, header, (size_t)length, size);
    free(header);
    if (size / sizeof(float) > INT32_MAX || size == 0)
        fail("%s: %zu bytes of data, and CLBlast's kernels count elements to 2^31", path, size);

    weights.memory = device_memory(device, size);
    mapped = clEnqueueMapBuffer(device->queue, weights.memory, CL_TRUE, CL_MAP_WRITE, 0, size, 0,
                                NULL, NULL, &code);
    check_cl(code, "clEnqueueMapBuffer");
    read_bytes(file, path, mapped, size);
    check_cl(clEnqueueUnmapMemObject(device->queue, weights.memory, mapped, 0, NULL, NULL),
             "clEnqueueUnmapMemObject");
    fclose(file);
    free(path);
    return weights;
}

void weights_destroy(struct weights *weights)
{
    clReleaseMemObject(weights->memory);
    free(weights->tensors);
}

const struct tensor *weights_find(const struct weights *weights, const char *name, size_t rows,
                                  size_t columns)
{
    for (size_t i = 0; i < weights->count; i++) {
        const struct tensor *tensor = &weights->tensors[i];

        if (strcmp(tensor->name, name) != 0)
            continue;
        if ((rows && tensor->rows != rows) || tensor->columns != columns)
            fail("model.safetensors: %s is of %llu x %llu, and not as config.json has it", name,
                 (unsigned long long)tensor->rows, (unsigned long long)tensor->columns);
        return tensor;
    }
    fail("model.safetensors: it has no %s of F32", name);
}
