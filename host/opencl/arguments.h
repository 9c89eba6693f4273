/* The arguments of a kernel and the number that each has for a spec. */
#ifndef AN_OPENCL_ARGUMENTS_H
#define AN_OPENCL_ARGUMENTS_H

#include "opencl/library.h"
#include "spec/tensors.h"

/* All that there are, from the list that the kernels' parameters come from. */
enum an_argument {
#define HAS_RESIDUAL 1
#define HAS_SUM 1
#define HAS_PRE_BIAS 1
#define HAS_GATE 1
#define HAS_SCALE 1
#define HAS_SHIFT 1
#define HAS_SAMPLES 1
#define PARAMETER_ROWS 1
#define PARAMETER_RUN 1
#define PARAMETER_CYCLE 1
#define HAS_WEIGHT_PLUS 1
#define PARTIALS_OUTPUT 1
#define PARTIALS_INPUT 1
#define COLUMN_RUN 1
#define HAS_Y_SCALE 1
#define HAS_Y_BOUND 1
#define AN_INPUT(id, offset_id, name, offset) id, offset_id,
#define AN_OUTPUT(id, offset_id, name, offset) id, offset_id,
#define AN_SCALAR(id, type, name) id,
#define AN_LAST_SCALAR(id, type, name) id
#define AN_MORE_INPUT(id, offset_id, name, offset) , id, offset_id
#define AN_MORE_OUTPUT(id, offset_id, name, offset) , id, offset_id
#define AN_MORE_SCALAR(id, type, name) , id
#include "params.def"
    ,
    /* Of row_split.cl only. */
    AN_ARG_MOMENTS,
    AN_ARG_STAGE,
    AN_ARG_COUNT
};

/* numbers[] of a kernel for the resolved spec: those that it does not have are AN_NO_ARGUMENT.
 * `split`: it is that of row_split.cl. */
#define AN_NO_ARGUMENT CL_UINT_MAX
void an_opencl_number_arguments(const anynorm_spec *spec, bool split,
                                cl_uint numbers[AN_ARG_COUNT]);

/* The argument that is the tensor; the one after it is its offset. */
enum an_argument an_opencl_tensor_argument(enum an_tensor tensor);

#endif
