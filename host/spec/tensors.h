/* The tensors of one enqueue against the spec: the one validation that every backend shares. */
#ifndef AN_TENSORS_H
#define AN_TENSORS_H

#include <anynorm/anynorm.h>

#include "spec.h"

/* In the order of anynorm_tensors. */
enum an_tensor {
    AN_X = 0,
    AN_Y,
    AN_WEIGHT,
    AN_BIAS,
    AN_MEAN,
    AN_RSTD,
    AN_RESIDUAL,
    AN_SUM,
    AN_PRE_BIAS,
    AN_GATE,
    AN_SCALE,
    AN_SHIFT,
    AN_PARTIALS,
    AN_Y_SCALE,
    /* Of plans that find gradients alone. */
    AN_FORWARD_COUNT,
    AN_DY = AN_FORWARD_COUNT,
    AN_DSUM,
    AN_DX,
    AN_DRESIDUAL,
    AN_DWEIGHT,
    AN_DBIAS,
    AN_DPRE_BIAS,
    AN_DGATE,
    AN_DSCALE,
    AN_DSHIFT,
    AN_WORKSPACE,
    AN_TENSOR_COUNT
};

/* What a tensor has for each row of x. */
enum an_shape {
    AN_OF_ROWS,       /* a row with the spec's strides */
    AN_OF_PARAMETERS, /* a row of parameters, shared by every parameters.rows-th row */
    AN_OF_STATISTICS, /* one element; y_scale as an input one for all rows */
    AN_OF_SAMPLES,    /* a row with strides of its own, shared by sample_rows rows */
    AN_OF_SHARDS,     /* AN_PARTIAL_NUMBERS elements; again for all rows in each of the shards */
    AN_OF_CALL        /* nothing: it is there for all rows together */
};
enum an_shape an_tensor_shape(enum an_tensor tensor);

/* Of a row, or of a shard of it: count, mean, sum of squares; or count, and the two sums that its
 * gradient takes. */
#define AN_PARTIAL_NUMBERS 3

/* What a buffer's handle is; an_buffer_kind 0 is "no tensor". */
enum an_buffer_kind {
    AN_BUFFER_NONE = 0,
    AN_BUFFER_HOST,     /* a host pointer of the reference backend */
    AN_BUFFER_CL_MEM,   /* the caller's, or wrapped host memory */
    AN_BUFFER_CL_OWNED, /* a cl_mem of ours */
    AN_BUFFER_CL_SVM,   /* a shared pointer */
    AN_BUFFER_VK_OWNED, /* memory of ours on a Vulkan device */
    AN_BUFFER_VK,       /* the caller's VkBuffer */
};

/* True if the kind's handle is an address, so that all of the kind lie in one address space. */
bool an_buffer_is_pointer(const anynorm_buffer *buffer);

/* What the resolved spec expects of one tensor. */
struct an_expectation {
    bool present;
    bool output;
    anynorm_dtype type;
};
struct an_expectation an_tensor_expect(const anynorm_spec *spec, enum an_tensor tensor);

/* The buffer of a tensor, and its name for a message. */
const anynorm_buffer *an_tensor_buffer(const anynorm_tensors *tensors, enum an_tensor tensor);
anynorm_buffer *an_tensor_slot(anynorm_tensors *tensors, enum an_tensor tensor);
const char *an_tensor_name(enum an_tensor tensor);

/* Bytes of an element of the narrowest tensor AN_OF_ROWS that the spec names. */
uint64_t an_tensor_narrowest(const anynorm_spec *spec);

/* Where the rows of a tensor AN_OF_ROWS lie, or those of one AN_OF_SAMPLES. */
struct an_layout an_tensor_layout(const anynorm_spec *spec, enum an_tensor tensor);

/* How many rows `rows` rows of x, 1 or more, have in such a tensor. */
uint64_t an_tensor_rows(const anynorm_spec *spec, enum an_tensor tensor, uint64_t rows);

/* Bytes from the tensor's first element to what it has for `row`, in its first shard. The caller
 * knows that the extent does not overflow. */
uint64_t an_tensor_start(const anynorm_spec *spec, enum an_tensor tensor, uint64_t row);

/* Bytes from the tensor's first element to the end of its last, for `rows` rows (1 or more). False
 * where that needs more than 64 bits. */
bool an_tensor_extent(const anynorm_spec *spec, enum an_tensor tensor, uint64_t rows,
                      uint64_t *bytes);

/* Presence, owner, size, alignment and overlap of all tensors, for 1 row or more of a resolved
 * spec. INVALID_ARGUMENT. Allocates nothing. */
anynorm_status an_tensors_check(const anynorm_spec *spec, const anynorm_tensors *tensors,
                                uint64_t rows, const void *owner);

#endif
