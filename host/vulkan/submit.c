/* <anynorm/vulkan.h>: enqueues between the caller's semaphores. */
#include <inttypes.h>

#include "vulkan/vulkan_backend.h" /* before vulkan.h: volk asks for headers without prototypes */
#include <anynorm/vulkan.h>

#include "base/status.h"

static anynorm_status copy_list(const struct an_vulkan_device *d, const char *name, uint32_t count,
                                const anynorm_vulkan_semaphore *list, VkSemaphore *semaphores,
                                uint64_t *values)
{
    if (count > ANYNORM_MAX_WAIT || (count > 0) != (list != NULL))
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "%s hold 0 to %d semaphores and are NULL where they hold none", name,
                       ANYNORM_MAX_WAIT);
    for (uint32_t i = 0; i < count; i++) {
        if (!list[i].semaphore)
            return an_fail(ANYNORM_INVALID_ARGUMENT, "%s[%" PRIu32 "] is no semaphore", name, i);
        if (list[i].value > 0 && !d->features.timeline)
            return an_fail(ANYNORM_INVALID_ARGUMENT,
                           "%s[%" PRIu32 "] has a value, but the device has no timelines", name, i);
        semaphores[i] = list[i].semaphore;
        values[i] = list[i].value;
    }
    return ANYNORM_OK;
}

static anynorm_status check(const anynorm_plan *plan, const anynorm_tensors *tensors, uint64_t rows)
{
    if (!plan || !tensors)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "plan or tensors is NULL");
    if (!an_is_vulkan(plan->device))
        return an_fail(ANYNORM_INVALID_ARGUMENT, "the plan is not of a Vulkan device");
    anynorm_status status = an_vulkan_check_queue(an_vulkan(plan->device));
    if (status == ANYNORM_OK && rows > 0)
        status = an_tensors_check(&plan->spec, tensors, rows, plan->device->owner);
    return status;
}

anynorm_status anynorm_vulkan_enqueue(anynorm_plan *plan, const anynorm_tensors *tensors,
                                      uint64_t rows, uint32_t wait_count,
                                      const anynorm_vulkan_semaphore *waits, uint32_t signal_count,
                                      const anynorm_vulkan_semaphore *signals, VkFence fence,
                                      anynorm_event *event)
{
    struct an_semaphores semaphores = {.wait_count = wait_count, .signal_count = signal_count};
    anynorm_status status = check(plan, tensors, rows);
    if (status != ANYNORM_OK)
        return status;
    struct an_vulkan_device *d = an_vulkan(plan->device);
    status = copy_list(d, "waits", wait_count, waits, semaphores.waits, semaphores.wait_values);
    if (status == ANYNORM_OK)
        status = copy_list(d, "signals", signal_count, signals, semaphores.signals,
                           semaphores.signal_values);
    if (status != ANYNORM_OK)
        return status;

    struct an_launch *launched;
    an_mutex_lock(&d->lock);
    status = an_vulkan_launch(d, an_vulkan_plan(plan), tensors, rows, VK_NULL_HANDLE, &semaphores,
                              &launched);
    bool submitted = status == ANYNORM_OK;
    if (submitted && fence) { /* of all that the queue was given up to here */
        VkResult result = an_queue_submit(d, NULL, fence);
        if (result != VK_SUCCESS)
            status = an_vk_fail(result, "vkQueueSubmit of the fence");
    }
    if (submitted && (status != ANYNORM_OK || !event))
        an_launch_release(d, launched);
    an_mutex_unlock(&d->lock);
    if (status == ANYNORM_OK && event)
        *event = (anynorm_event){.device = plan->device, .handle = launched, .valid = true};
    return status;
}
