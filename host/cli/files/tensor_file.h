/* Reading one tensor of a file through a mapping, so that files larger than memory work. */
#ifndef ANYNORM_CLI_TENSOR_FILE_H
#define ANYNORM_CLI_TENSOR_FILE_H

#include "common/cli.h"
#include "tensor_layout.h"

#include <anynorm/anynorm.h>

#include <stdbool.h>
#include <stdint.h>

/* ---- Paths ---- */

/* What a user writes to name a tensor: FILE.npy, FILE.npy:TYPE or FILE.safetensors:NAME. */
struct tensor_path {
    size_t file; /* how many characters name the file */
    bool safetensors;
    const char *name; /* behind the colon of a safetensors file; or NULL */
    const char *type; /* behind the colon of a npy file; or NULL */
};

struct tensor_path tensor_path_split(const char *path);

/* ---- Views ---- */

/* In which order the elements of a tensor are read: as those of axes, the last of them the fastest,
 * each with the step from one of its elements to the next. */

/* An axis or two may be cut in parts. */
enum { VIEW_MAX_RANK = TENSOR_MAX_RANK + 2 };

struct tensor_view {
    uint32_t rank;
    uint64_t sizes[VIEW_MAX_RANK];
    uint64_t steps[VIEW_MAX_RANK]; /* in elements; 0: what is behind the axis comes again */
};

/* Appends an axis, which becomes the fastest. */
void view_axis(struct tensor_view *view, uint64_t size, uint64_t step);

/* Stretches a view to a shape as numpy's broadcast_to does; false: numpy refuses. */
bool view_stretch(const struct tensor_view *view, const uint64_t *sizes, uint32_t rank,
                  struct tensor_view *stretched);

/* How often pieces of `unit` elements come again, one right after the other, counted from any
 * multiple of so many: 1 if each may be another. `unit` is the product of the last axes. */
uint64_t view_repeats(const struct tensor_view *view, uint64_t unit);

/* ---- Files ---- */

struct tensor_file {
    const char *path; /* the caller's string */
    anynorm_dtype type;
    struct tensor_layout layout;
    const uint8_t *data;     /* the first element in the file; any byte alignment */
    struct tensor_view view; /* the order in which it is read, as it lies there at first */
    bool direct;             /* that is the order of data, which has this machine's byte order */
    const uint8_t *bytes;    /* the whole file; NULL: not open, or an empty file */
    size_t size;
};

/* Opens and checks the whole file. With `two_bytes_are_bf16`, or
 * as its TYPE says, u2 and i2 of a npy file are bf16 (else they are refused); V2 always is. `path`
 * must outlive *tensor. Close with tensor_close; a zeroed one is fine. */
bool tensor_open(const char *path, bool two_bytes_are_bf16, struct tensor_file *tensor);
void tensor_close(struct tensor_file *tensor);

/* From now on it is read in another order. */
void tensor_set_view(struct tensor_file *tensor, const struct tensor_view *view);

/* Copies `count` elements from `first` on, counted in the order of the view, each as `type`:
 * rounded, where that is narrower. */
void tensor_read_as(const struct tensor_file *tensor, anynorm_dtype type, uint64_t first,
                    uint64_t count, void *out);

/* The elements from `first` on where they lie in the file as tensor_read_as would deliver those of
 * its type, at any byte alignment; else NULL. */
const void *tensor_direct(const struct tensor_file *tensor, uint64_t first);

#endif
