/* Enqueues on the device's queue: recorded anew each time, in one command buffer. */
#include "vulkan/vulkan_backend.h"

/* The set of a launch of the norm's, the first of those left. */
static VkDescriptorSet next_set(void *left)
{
    struct an_launch **launch = left;
    VkDescriptorSet set = (*launch)->set;
    *launch = (*launch)->more;
    return set;
}

/* Each part of the norm but the first borrows the set of a launch of its own. */
static anynorm_status take(struct an_vulkan_device *d, const struct an_norm *norm,
                           struct an_launch **launch)
{
    struct an_launch *lender;
    uint32_t slots = norm->plan->interface.slots;
    anynorm_status status = an_launch_take(d, slots, launch);
    if (status != ANYNORM_OK)
        return status;
    lender = *launch;
    for (uint64_t i = 1; i < norm->parts && lender->set && status == ANYNORM_OK; i++) {
        status = an_launch_take(d, slots, &lender->more);
        if (status == ANYNORM_OK)
            lender = lender->more;
    }
    if (status != ANYNORM_OK)
        an_launch_drop(d, *launch);
    return status;
}

anynorm_status an_norm_launch(struct an_vulkan_device *d, const struct an_norm *norm,
                              const struct an_semaphores *semaphores, struct an_launch **launched)
{
    struct an_launch *made, *lender;
    anynorm_status status = take(d, norm, &made);
    if (status != ANYNORM_OK)
        return status;
    lender = made;
    status = an_launch_begin(d, made, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                             VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
    if (status == ANYNORM_OK) {
        an_norm_record(d, norm, made->commands, next_set, &lender);
        status = an_launch_submit(d, made, norm->plan->kernel,
                                  d->head.info.unified_memory || d->wrapped, semaphores);
    }
    if (status != ANYNORM_OK)
        an_launch_drop(d, made);
    *launched = made;
    return status;
}

/* The queue runs in order, so all that the wait list names comes first as it is. */
anynorm_status an_vulkan_enqueue(anynorm_plan *plan, const anynorm_tensors *tensors,
                                 const struct an_stretch *stretch, uint32_t wait_count,
                                 const anynorm_event *wait_list, anynorm_event *event)
{
    (void)wait_count;
    (void)wait_list;
    struct an_vulkan_device *d = an_vulkan(plan->device);
    struct an_norm norm;
    struct an_launch *launched;
    anynorm_status status = an_vulkan_check_queue(d);
    if (status == ANYNORM_OK)
        status = an_norm_prepare(d, an_vulkan_plan(plan), tensors, stretch, &norm);
    if (status != ANYNORM_OK)
        return status;
    an_mutex_lock(&d->lock);
    status = an_norm_launch(d, &norm, NULL, &launched);
    an_mutex_unlock(&d->lock);
    if (status == ANYNORM_OK)
        *event = (anynorm_event){.device = plan->device, .handle = launched, .valid = true};
    return status;
}

/* A pipeline is compiled when it is made; but some drivers put off what is left to the first
 * launch: one on no rows at all, where every buffer is the staging memory, and none is touched. */
anynorm_status an_vulkan_plan_warm_up(anynorm_plan *plan, uint64_t rows)
{
    (void)rows;
    struct an_vulkan_device *d = an_vulkan(plan->device);
    VkBuffer any;
    struct an_norm norm;
    struct an_launch *launched;
    anynorm_status status = an_vulkan_check_queue(d);
    if (status == ANYNORM_OK)
        status = an_vulkan_staging(d, &any);
    if (status != ANYNORM_OK)
        return status;
    an_norm_prepare_empty(an_vulkan_plan(plan), any, &norm);
    an_mutex_lock(&d->lock);
    status = an_norm_launch(d, &norm, NULL, &launched);
    an_mutex_unlock(&d->lock);
    if (status == ANYNORM_OK) {
        anynorm_event event = {.device = plan->device, .handle = launched, .valid = true};
        status = an_vulkan_event_wait(&event);
        an_vulkan_event_release(&event);
    }
    return status;
}
