/* Plans: what a spec and a choice come to on the device. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/checked.h"
#include "spec/spec.h"
#include "base/status.h"
#include "vulkan/vulkan_backend.h"

/* Rows for each compute unit up to which they may be split: more fill the device as they are. */
#define SPLIT_ROWS_PER_UNIT 4

/* Pipelines of sub-groups whose size is told have a limit of their own. */
static anynorm_status check_group(const struct an_vulkan_device *d, const struct an_choice *choice,
                                  uint64_t *group_limit)
{
    uint64_t most = choice->subgroup * d->features.max_subgroups;
    if (choice->subgroup <= 1 || !d->features.size_choice || choice->group <= most)
        return ANYNORM_OK;
    *group_limit = most;
    return an_fail(ANYNORM_UNSUPPORTED,
                   "sub-groups of %" PRIu64 " are at most %" PRIu64 " work-items of a group",
                   choice->subgroup, most);
}

static anynorm_status check_slots(const struct an_vulkan_device *d, uint32_t slots)
{
    if (slots <= d->head.info.max_buffers)
        return ANYNORM_OK;
    return an_fail(ANYNORM_UNSUPPORTED,
                   "%s: the spec takes %" PRIu32 " buffers, of which a kernel has at most %" PRIu64,
                   d->head.info.id, slots, d->head.info.max_buffers);
}

anynorm_status an_vulkan_spec_check(const anynorm_device *device, const anynorm_spec *spec)
{
    const struct an_vulkan_device *d = an_vulkan(device);
    uint32_t slots = 0;
    for (int i = 0; i < AN_TENSOR_COUNT; i++)
        slots += an_tensor_expect(spec, (enum an_tensor)i).present;
    anynorm_status status = check_slots(d, slots);
    return status == ANYNORM_OK ? an_vulkan_row_check(d, spec) : status;
}

/* How many rows may be split, and the bytes of scratch for these. The kernel names that buffer,
 * whether or not a launch uses it. */
static uint64_t prepare_split(struct an_vulkan_plan *plan, const anynorm_device_info *info,
                              const anynorm_spec *spec, const struct an_choice *choice)
{
    uint64_t row_bytes = plan->segments * 4 * (an_spec_double(spec) ? 8 : 4);
    uint64_t rows = (uint64_t)info->compute_units * SPLIT_ROWS_PER_UNIT;
    rows = an_least(rows, an_least(info->max_alloc_bytes, info->max_range_bytes) / row_bytes);
    plan->moments_row_bytes = row_bytes;
    if (plan->segments > 1 && choice->schedule == AN_ROW_SPLIT)
        plan->split_rows = rows;
    return plan->split_rows > 0 ? rows * row_bytes : row_bytes;
}

static anynorm_status use_halves(struct an_vulkan_device *d, struct an_interface *interface)
{
    struct an_halves halves;
    anynorm_status status = an_vulkan_halves(d, &halves);
    interface->constants[AN_CONSTANT_HALF_LOADS] = halves.loads;
    interface->constants[AN_CONSTANT_HALF_STORES] = halves.stores;
    return status;
}

static anynorm_status fill(struct an_vulkan_plan *made, struct an_vulkan_device *d,
                           const anynorm_spec *spec, const struct an_choice *choice,
                           const void *binary, uint64_t *group_limit)
{
    const struct an_module *module = an_vulkan_module(&d->head.info, spec, choice);
    bool moments = (choice->schedule == AN_ROW_SPLIT || choice->schedule == AN_ROW_REREAD) &&
                   !an_spec_backward(spec);
    made->choice = an_choice_of_fours(choice);
    if (choice->segment > 0)
        made->segments = an_divide_up(spec->columns, choice->segment);
    an_interface_fill(&d->head.info, spec, choice, moments, &made->interface);
    if (!module)
        return an_fail(ANYNORM_UNSUPPORTED, "Vulkan has no such kernel of %s",
                       an_schedule_name(choice->schedule));
    anynorm_status status = check_group(d, choice, group_limit);
    if (status == ANYNORM_OK)
        status = check_slots(d, made->interface.slots); /* with row_split's scratch */
    if (status == ANYNORM_OK && an_interface_has(spec, ANYNORM_F16) &&
        !an_schedule_is_baseline(choice->schedule))
        status = use_halves(d, &made->interface);
    if (status != ANYNORM_OK)
        return status;
    made->module = module;
    snprintf(made->head.options, sizeof(made->head.options), "%s %" PRIu32, module->name,
             module->variant);
    an_interface_format(&made->interface, made->head.options, sizeof(made->head.options));
    if (binary)
        status = an_vulkan_binary_check(d, made, binary);
    uint64_t scratch = moments ? prepare_split(made, &d->head.info, spec, choice) : 0;
    if (status == ANYNORM_OK)
        status = an_kernel_take(d, made, choice, binary, scratch, &made->kernel);
    return status;
}

anynorm_status an_vulkan_plan_create(anynorm_device *device, const anynorm_spec *spec,
                                     const struct an_choice *choice, const void *binary,
                                     anynorm_plan **plan, uint64_t *group_limit)
{
    struct an_vulkan_device *d = an_vulkan(device);
    *group_limit = 0;
    struct an_vulkan_plan *made = calloc(1, sizeof(*made));
    if (!made)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a plan");
    made->head.device = device;
    anynorm_status status = fill(made, d, spec, choice, binary, group_limit);
    if (status != ANYNORM_OK) {
        free(made);
        return status;
    }
    *plan = &made->head;
    return ANYNORM_OK;
}

void an_vulkan_plan_destroy(anynorm_plan *plan)
{
    struct an_vulkan_device *d = an_vulkan(plan->device);
    struct an_vulkan_plan *p = an_vulkan_plan(plan);
    an_mutex_lock(&d->lock);
    an_launch_collect(d);
    an_kernel_release(d, p->kernel);
    an_mutex_unlock(&d->lock);
    free(p);
}
