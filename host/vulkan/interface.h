/* What the host gives to a kernel: kernels/vulkan/interface.glsl. Needs no device. */
#ifndef AN_VULKAN_INTERFACE_H
#define AN_VULKAN_INTERFACE_H

#include "choice/choice.h"
#include "spec/tensors.h"

/* The buffers that a kernel may have: those of the tensors, then row_split's scratch. */
#define AN_MOMENTS AN_TENSOR_COUNT
#define AN_BUFFER_COUNT (AN_TENSOR_COUNT + 1)

/* How many it may have at once: a norm has no tensor of gradients and these no y, y_scale and
 * scratch, and either x or sum. */
#define AN_MOST_SLOTS (AN_BUFFER_COUNT - 4)

/* The number of a specialization constant is its id. */
enum an_constant {
#define AN_CONSTANT(id, name) AN_CONSTANT_##name = id,
#include "vulkan/constants.def"
#undef AN_CONSTANT
    AN_CONSTANT_COUNT
};

/* The push constants, launch_t of the kernels. */
struct an_push {
    uint32_t rows;
    uint32_t parameter_first;
    uint32_t sample_first;
    uint32_t stage;
    uint32_t shard_rows;
    uint32_t parts; /* of struct an_parts */
    uint32_t part_rows;
    uint32_t span;
    uint32_t first_row; /* of struct an_stretch */
    uint32_t all_rows;
    uint32_t offset[AN_MOST_SLOTS];
};

_Static_assert(sizeof(struct an_push) <= 128, "Vulkan promises no more push constants");

/* What a launch of row_split.comp does, or one of backward.comp. */
enum an_stage {
    AN_STAGE_WHOLE,
    AN_STAGE_PARTIALS,
    AN_STAGE_FINISH,
    AN_STAGE_ROWS_OF_PARTS = 0,
    AN_STAGE_SUMS_OF_PARTS,
    /* Bits beside one of the last two: the parts are compensated, or hold whole samples. */
    AN_STAGE_COMPENSATED = 2,
    AN_STAGE_WHOLE_SAMPLES = 4
};

struct an_interface {
    uint32_t slots;                 /* buffers that are bound */
    uint32_t slot[AN_BUFFER_COUNT]; /* of each tensor; UINT32_MAX where the kernel has none */
    uint32_t constants[AN_CONSTANT_COUNT];
};

/* Whether one of its tensors is of such elements. */
bool an_interface_has(const anynorm_spec *spec, anynorm_dtype type);

/* The kernel's view of the resolved spec, walked as `choice` says. `moments`: row_split's scratch
 * is bound, too. */
void an_interface_fill(const anynorm_device_info *info, const anynorm_spec *spec,
                       const struct an_choice *choice, bool moments,
                       struct an_interface *interface);

/* Vulkan's vectors are of 4 elements, so a choice of wider ones means more of them. */
struct an_choice an_choice_of_fours(const struct an_choice *choice);

/* The constants that are not 0, as text. */
void an_interface_format(const struct an_interface *interface, char *text, size_t capacity);

#endif
