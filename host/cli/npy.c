#define _POSIX_C_SOURCE 200809L
#include "npy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static bool map_file(struct npy *npy, struct cli_error *error)
{
    struct stat status;
    /* Not blocking: a named pipe without a writer is refused below instead of waited for. */
    int file = open(npy->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool done = false;

    if (file < 0)
        return cli_fail(error, CLI_USAGE, npy->path,
                        "cannot be opened: %s; name a readable .npy file", strerror(errno));
    if (fstat(file, &status) != 0) {
        cli_fail(error, CLI_USAGE, npy->path, "cannot be examined: %s", strerror(errno));
        goto out;
    }
    if (!S_ISREG(status.st_mode)) {
        cli_fail(error, CLI_USAGE, npy->path, "is %s; name a .npy file",
                 S_ISDIR(status.st_mode) ? "a folder" : "no regular file");
        goto out;
    }
    if (status.st_size == 0) {
        cli_fail(error, CLI_USAGE, npy->path, "is empty; write it with numpy.save");
        goto out;
    }
    if ((uintmax_t)status.st_size > SIZE_MAX) {
        cli_fail(error, CLI_USAGE, npy->path, "is too large for this machine's address space");
        goto out;
    }
    npy->mapping_size = (size_t)status.st_size;
    npy->mapping = mmap(NULL, npy->mapping_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (npy->mapping == MAP_FAILED) {
        npy->mapping = NULL;
        cli_fail(error, CLI_FAILED, npy->path, "cannot be mapped into memory: %s", strerror(errno));
        goto out;
    }
    done = true;
out:
    close(file);
    return done;
}

static bool find_type(struct npy *npy, bool two_bytes_are_bf16, struct cli_error *error)
{
    const char *type = npy->header.type;

    if (*type == 'f') {
        npy->type = type[1] == '2' ? ANYNORM_F16 : type[1] == '4' ? ANYNORM_F32 : ANYNORM_F64;
        return true;
    }
    if (!two_bytes_are_bf16)
        return cli_fail(error, CLI_USAGE, npy->path,
                        "its dtype is %s; give f2, f4 or f8, or --dtype bf16 if this is bf16",
                        type);
    npy->type = ANYNORM_BF16;
    return true;
}

static bool check_size(const struct npy *npy, struct cli_error *error)
{
    uint64_t there = npy->mapping_size - npy->header.data_offset;
    uint64_t needed = npy->header.elements * npy->header.item_size;
    char text[NPY_SHAPE_TEXT];

    if (there == needed)
        return true;
    return cli_fail(
        error, CLI_USAGE, npy->path,
        "its shape %s of %s needs %" PRIu64 " bytes of data and there are %" PRIu64 "; %s",
        npy_shape_text(npy->header.rank, npy->header.shape, text), npy->header.type, needed, there,
        there < needed ? "the file is cut, copy it again"
                       : "something was added to the file, write it again");
}

/* With at most one axis longer than 1, both orders are the same. */
static bool orders_differ(const struct npy_header *header)
{
    uint32_t long_axes = 0;

    for (uint32_t i = 0; i < header->rank; i++)
        long_axes += header->shape[i] > 1;
    return long_axes > 1;
}

bool npy_open(const char *path, bool two_bytes_are_bf16, struct npy *npy, struct cli_error *error)
{
    *npy = (struct npy){.path = path};
    if (!map_file(npy, error) ||
        !npy_header_parse(path, npy->mapping, npy->mapping_size, &npy->header, error) ||
        !find_type(npy, two_bytes_are_bf16, error) || !check_size(npy, error)) {
        npy_close(npy);
        return false;
    }
    npy->data = (const uint8_t *)npy->mapping + npy->header.data_offset;
    npy->direct = !npy->header.swapped && !(npy->header.fortran && orders_differ(&npy->header));
    return true;
}

void npy_close(struct npy *npy)
{
    if (npy->mapping)
        munmap(npy->mapping, npy->mapping_size);
    *npy = (struct npy){0};
}

/* The place of an element in an array of Fortran order. */
struct walk {
    uint64_t index[NPY_MAX_RANK];
    uint64_t stride[NPY_MAX_RANK];
    uint64_t offset;
};

static void walk_start(struct walk *walk, const struct npy_header *header, uint64_t first)
{
    uint64_t stride = 1;

    walk->offset = 0;
    for (uint32_t i = 0; i < header->rank; i++) {
        walk->stride[i] = stride;
        stride *= header->shape[i];
    }
    for (uint32_t i = header->rank; i-- > 0;) {
        walk->index[i] = first % header->shape[i];
        walk->offset += walk->index[i] * walk->stride[i];
        first /= header->shape[i];
    }
}

/* After the index of the last axis grew: carries what is full into the axis before. */
static void walk_carry(struct walk *walk, const struct npy_header *header)
{
    for (uint32_t i = header->rank; i-- > 0;) {
        if (walk->index[i] < header->shape[i])
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

static void gather(const struct npy *npy, uint64_t first, uint64_t count, uint8_t *out)
{
    const struct npy_header *header = &npy->header;
    uint32_t last = header->rank - 1;
    uint32_t size = header->item_size;
    struct walk walk;

    walk_start(&walk, header, first);
    while (count > 0) {
        uint64_t run = header->shape[last] - walk.index[last];

        if (run > count)
            run = count;
        copy_strided(npy->data + walk.offset * size, walk.stride[last], size, run, out);
        out += run * size;
        count -= run;
        walk.index[last] += run;
        walk.offset += run * walk.stride[last];
        walk_carry(&walk, header);
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

void npy_read(const struct npy *npy, uint64_t first, uint64_t count, void *out)
{
    uint32_t size = npy->header.item_size;

    if (count == 0)
        return;
    if (npy->header.fortran && orders_differ(&npy->header)) {
        gather(npy, first, count, out);
    } else {
        memcpy(out, npy->data + first * size, count * size);
    }
    if (npy->header.swapped)
        swap_bytes(out, size, count);
}

const void *npy_direct(const struct npy *npy, uint64_t first)
{
    return npy->direct ? npy->data + first * npy->header.item_size : NULL;
}

size_t npy_head(anynorm_dtype type, uint32_t rank, const uint64_t *shape,
                uint8_t head[NPY_HEAD_MAX])
{
    static const char *const names[] = {
        [ANYNORM_F32] = "f4", [ANYNORM_F16] = "f2", [ANYNORM_BF16] = "u2", [ANYNORM_F64] = "f8"};
    char text[NPY_SHAPE_TEXT];
    size_t used;
    size_t size;

    memcpy(head, "\x93NUMPY\x01\x00", 8);
    used = 10 + (size_t)snprintf((char *)head + 10, NPY_HEAD_MAX - 10,
                                 "{'descr': '%c%s', 'fortran_order': False, 'shape': %s, }",
                                 npy_host_is_big_endian() ? '>' : '<', names[type],
                                 npy_shape_text(rank, shape, text));
    size = (used + 1 + 63) / 64 * 64;
    memset(head + used, ' ', size - used);
    head[size - 1] = '\n';
    head[8] = (uint8_t)((size - 10) & 0xff);
    head[9] = (uint8_t)((size - 10) >> 8);
    return size;
}
