/* What the host gives to every kernel: constants, what changes from launch to launch, and buffers.
 *
 * A launch has at most 65535 work-groups and fewer than 2^31 rows; kernels loop over the rows
 * beyond their groups. Its rows count from 0, and where there are two levels, row 0 begins an outer
 * row or all rows are of one. No buffer reaches further than 2^32 bytes. */
#extension GL_EXT_control_flow_attributes : enable
#if STORAGE16
#extension GL_EXT_shader_16bit_storage : require
#endif
#if SUBGROUPS
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#endif

#define AN_CONSTANT(id, name) layout(constant_id = id) const uint name = 1;
#include "constants.def"

layout(local_size_x_id = 0) in;

/* As many tensors as a spec can name; host/vulkan/interface.h has it, too. */
#define MOST_SLOTS 22

layout(push_constant) uniform launch_t {
    uint rows;
    uint parameter_first; /* the row of parameters of row 0 */
    uint sample_first;    /* how many rows of its sample came before row 0 */
    uint stage;           /* of row_split and of gradients */
    uint shard_rows;      /* of each shard in partials that are an input */
    uint parts;           /* of gradients, as what follows: host/spec/gradient.h has all of it */
    uint part_rows;
    uint span;
    uint first_row; /* of the launch, among those of the call */
    uint all_rows;  /* of the call */
    uint offset[MOST_SLOTS]; /* bytes from the start of a slot's buffer to the tensor's first */
} launch;

/* Views of the same buffers. */
layout(std430, set = 0, binding = 0) buffer words_t {
    uint w[];
} words[SLOTS];
layout(std430, set = 0, binding = 0) buffer pairs_t {
    uvec2 p[];
} pairs[SLOTS];
layout(std430, set = 0, binding = 0) buffer quads_t {
    uvec4 q[];
} quads[SLOTS];
#if STORAGE16
layout(std430, set = 0, binding = 0) buffer halfwords_t {
    uint16_t h[];
} halfwords[SLOTS];
#endif
