/* Kernels: pipelines that plans of the same module and constants share. Those that no plan has any
 * longer are kept for a while, since the next plan is often one that there was before. */
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "vulkan/vulkan_backend.h"

#define MOST_IDLE 32

static void destroy(struct an_vulkan_device *d, struct an_kernel *kernel)
{
    d->vk.vkDestroyPipeline(d->handle, kernel->pipeline, NULL);
    d->vk.vkDestroyPipelineCache(d->handle, kernel->cache, NULL);
    an_vulkan_free(d, &kernel->moments);
    free(kernel);
}

/* With a reference more, or NULL. The lock is held. row_reread and row_split have the same
 * pipelines, but not as much scratch. */
static struct an_kernel *find(struct an_vulkan_device *d, const struct an_vulkan_plan *plan,
                              uint64_t moments_bytes)
{
    struct an_kernel *k = d->kernels;
    while (k && (k->module != plan->module || k->moments_bytes < moments_bytes ||
                 memcmp(k->constants, plan->interface.constants, sizeof(k->constants)) != 0))
        k = k->next;
    if (k)
        k->references++;
    return k;
}

static anynorm_status make(struct an_vulkan_device *d, const struct an_vulkan_plan *plan,
                           const struct an_choice *choice, const void *binary,
                           uint64_t moments_bytes, struct an_kernel **kernel)
{
    struct an_kernel *made = calloc(1, sizeof(*made));
    if (!made)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a kernel");
    made->references = 1;
    made->module = plan->module;
    made->moments_bytes = moments_bytes;
    memcpy(made->constants, plan->interface.constants, sizeof(made->constants));
    anynorm_status status = an_vulkan_pipeline_create(d, plan, choice, binary, made);
    if (status == ANYNORM_OK && moments_bytes > 0)
        status = an_vulkan_allocate(d, moments_bytes, false, &made->moments);
    if (status != ANYNORM_OK) {
        destroy(d, made);
        return status;
    }
    *kernel = made;
    return ANYNORM_OK;
}

anynorm_status an_kernel_take(struct an_vulkan_device *d, const struct an_vulkan_plan *plan,
                              const struct an_choice *choice, const void *binary,
                              uint64_t moments_bytes, struct an_kernel **kernel)
{
    anynorm_status status = ANYNORM_OK;
    /* Held while compiling: a second thread that wants the same kernel shall wait, not compile. */
    an_mutex_lock(&d->kernels_lock);
    an_mutex_lock(&d->lock);
    *kernel = find(d, plan, moments_bytes);
    an_mutex_unlock(&d->lock);
    if (!*kernel) {
        status = make(d, plan, choice, binary, moments_bytes, kernel);
        an_mutex_lock(&d->lock);
        if (status == ANYNORM_OK) {
            (*kernel)->next = d->kernels;
            d->kernels = *kernel;
        }
        an_mutex_unlock(&d->lock);
    }
    an_mutex_unlock(&d->kernels_lock);
    return status;
}

void an_kernel_release(struct an_vulkan_device *d, struct an_kernel *kernel)
{
    if (--kernel->references > 0)
        return;
    struct an_kernel **oldest = NULL;
    int idle = 0;
    for (struct an_kernel **k = &d->kernels; *k; k = &(*k)->next) {
        if ((*k)->references == 0) {
            oldest = k;
            idle++;
        }
    }
    if (idle > MOST_IDLE) {
        struct an_kernel *last = *oldest;
        *oldest = last->next;
        destroy(d, last);
    }
}

void an_kernels_free(struct an_vulkan_device *d)
{
    while (d->kernels) {
        struct an_kernel *kernel = d->kernels;
        d->kernels = kernel->next;
        destroy(d, kernel);
    }
}
