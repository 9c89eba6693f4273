/* The arguments of a kernel: the number that each has for a spec, and the value it has now. */
#ifndef AN_OPENCL_ARGUMENTS_H
#define AN_OPENCL_ARGUMENTS_H

#include "opencl/library.h"
#include "spec/gradient.h"
#include "spec/tensors.h"

/* All that there are, from the list that the kernels' parameters come from. */
enum an_argument {
#define HAS_RESIDUAL 1
#define HAS_SUM 1
#define HAS_PRE_BIAS 1
#define HAS_GATE 1
#define HAS_SCALE 1
#define HAS_SHIFT 1
#define GATE_APART 1
#define SCALE_APART 1
#define SHIFT_APART 1
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
#define BACKWARD 1
#define HAS_DX 1
#define HAS_DRESIDUAL 1
#define HAS_DSUM 1
#define HAS_DWEIGHT 1
#define HAS_DBIAS 1
#define HAS_DPRE_BIAS 1
#define HAS_DGATE 1
#define HAS_DSCALE 1
#define HAS_DSHIFT 1
#define AN_INPUT(id, offset_id, name, offset) id, offset_id,
#define AN_OUTPUT(id, offset_id, name, offset) id, offset_id,
#define AN_SCALAR(id, type, name) id,
#define AN_LAST_SCALAR(id, type, name) id
#define AN_MORE_INPUT(id, offset_id, name, offset) , id, offset_id
#define AN_MORE_OUTPUT(id, offset_id, name, offset) , id, offset_id
#define AN_MORE_SCALAR(id, type, name) , id
#include "params.def"
    ,
    AN_ARG_MOMENTS, /* of row_split.cl only */
    AN_ARG_STAGE,   /* of that, and of backward.cl */
    AN_ARG_COUNT
};

/* What a launch of row_split.cl does. */
enum an_opencl_stage { AN_CL_WHOLE, AN_CL_PARTIALS, AN_CL_FINISH };

/* And of backward.cl. */
enum { AN_CL_ROWS_OF_PARTS, AN_CL_SUMS_OF_PARTS };

struct an_arguments {
    const struct an_cl *cl;
    cl_kernel kernel;
    cl_uint numbers[AN_ARG_COUNT];
    /* What the kernel has now: a launch that repeats it need not set it. */
    cl_ulong rows;
    struct an_stretch stretch; /* of gradients; of_rows UINT64_MAX: not known */
    cl_uint stage;
    cl_mem moments;
    cl_ulong offsets[AN_TENSOR_COUNT];
};

/* numbers[] of a kernel for the resolved spec: those that it does not have are AN_NO_ARGUMENT.
 * `split`: it is that of row_split.cl. */
#define AN_NO_ARGUMENT CL_UINT_MAX
void an_opencl_number_arguments(const anynorm_spec *spec, bool split,
                                cl_uint numbers[AN_ARG_COUNT]);

/* The argument that is the tensor; the one after it is its offset. */
enum an_argument an_opencl_tensor_argument(enum an_tensor tensor);

/* Numbers the kernel's arguments and sets all that no launch changes; of the others, none. */
anynorm_status an_opencl_set_constants(struct an_arguments *arguments, const anynorm_spec *spec,
                                       bool split);
/* What changes from launch to launch; `tensors` NULL: none of them. */
anynorm_status an_opencl_set_tensors(struct an_arguments *arguments, const anynorm_tensors *tensors,
                                     uint64_t rows);
/* Of gradients; nothing where the kernel has them for this stretch already. */
anynorm_status an_opencl_set_parts(struct an_arguments *arguments, const struct an_parts *parts,
                                   const struct an_stretch *stretch);
/* For a launch that walks no rows. */
anynorm_status an_opencl_set_no_parts(struct an_arguments *arguments);
/* `moments` NULL: as they are. */
anynorm_status an_opencl_set_stage(struct an_arguments *arguments, cl_uint stage, cl_mem moments);

#endif
