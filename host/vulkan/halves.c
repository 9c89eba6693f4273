/* Whether the device converts halves as IEEE 754 rounds, which Vulkan does not promise: asked of it
 * once, by a kernel that tries all of them, before the first plan that has any. */
#include "base/log.h"
#include "base/status.h"
#include "vulkan/vulkan_backend.h"

/* As kernels/vulkan/halves.comp has it. */
enum { LOADS_DIFFER = 1, STORES_DIFFER = 2, ALL_TRIED = 4 };

/* Work-items of the one group: every device takes so many. */
#define GROUP 64

/* Runs the kernel, whose only buffer is `word`. */
static anynorm_status run(struct an_vulkan_device *d, struct an_vulkan_plan *plan, VkBuffer word)
{
    struct an_norm norm;
    struct an_launch *launched;
    an_norm_prepare_empty(plan, word, &norm);
    an_mutex_lock(&d->lock);
    anynorm_status status = an_norm_launch(d, &norm, NULL, &launched);
    an_mutex_unlock(&d->lock);
    if (status != ANYNORM_OK)
        return status;
    anynorm_event event = {.device = &d->head, .handle = launched, .valid = true};
    status = an_vulkan_event_wait(&event);
    an_vulkan_event_release(&event);
    return status;
}

static anynorm_status ask(struct an_vulkan_device *d, struct an_vulkan_plan *plan, uint32_t *answer)
{
    struct an_vulkan_memory memory;
    anynorm_status status = an_kernel_take(d, plan, &plan->choice, NULL, 0, &plan->kernel);
    if (status != ANYNORM_OK)
        return status;
    status = an_vulkan_allocate(d, sizeof(*answer), true, &memory);
    if (status == ANYNORM_OK) {
        *(volatile uint32_t *)(void *)memory.mapped = 0;
        status = run(d, plan, memory.buffer);
        *answer = *(volatile uint32_t *)(void *)memory.mapped;
        an_vulkan_free(d, &memory);
    }
    an_mutex_lock(&d->lock);
    an_launch_collect(d);
    an_kernel_release(d, plan->kernel);
    an_mutex_unlock(&d->lock);
    return status;
}

anynorm_status an_vulkan_halves_ask(struct an_vulkan_device *d, struct an_halves *halves)
{
    struct an_vulkan_plan plan = {
        .head = {.device = &d->head, .spec = {.sample_rows = 1, .parameters.rows = 1}},
        .choice = {.schedule = AN_EMPTY, .group = GROUP},
        .module = an_vulkan_module_named("halves", 0)};
    uint32_t answer = 0;
    for (int i = 0; i < AN_BUFFER_COUNT; i++)
        plan.interface.slot[i] = i == AN_X ? 0 : UINT32_MAX;
    plan.interface.slots = plan.interface.constants[AN_CONSTANT_SLOTS] = 1;
    plan.interface.constants[AN_CONSTANT_GROUP] = GROUP;
    plan.interface.constants[AN_CONSTANT_HALF_STORES] = 1; /* rounded as where it is used */
    anynorm_status status = an_vulkan_check_queue(d);
    if (status == ANYNORM_OK)
        status = ask(d, &plan, &answer);
    bool tried = status == ANYNORM_OK && answer / ALL_TRIED == GROUP;
    *halves = (struct an_halves){.loads = tried && !(answer & LOADS_DIFFER),
                                 .stores = tried && !(answer & STORES_DIFFER)};
    an_log(ANYNORM_LOG_DEBUG, "%s: its own words for halves: loads %s, stores %s", d->head.info.id,
           halves->loads ? "right" : "not used", halves->stores ? "right" : "not used");
    /* A device that cannot be asked has none; one that failed may be asked again. */
    bool failed = status == ANYNORM_OUT_OF_MEMORY || status == ANYNORM_DEVICE_LOST;
    return failed ? status : ANYNORM_OK;
}

/* A caller's queue is his: the same is asked of a device of our own, made for that alone. */
static anynorm_status ask_another(const struct an_vulkan_device *d, struct an_halves *halves)
{
    anynorm_device *device;
    anynorm_status status =
        an_vulkan_device_make(&d->instance, d->physical, d->head.info.id, NULL, &device);
    if (status == ANYNORM_OK) {
        struct an_vulkan_device *own = an_vulkan(device);
        own->features.rounds_halves = own->features.rounds_halves && d->features.rounds_halves;
        own->cached = false;
        status = an_vulkan_halves_ask(own, halves);
        device->backend->close(device);
    }
    /* What becomes of our device is not of his; there may not even be another. */
    return status == ANYNORM_OUT_OF_MEMORY ? status : ANYNORM_OK;
}

anynorm_status an_vulkan_halves(struct an_vulkan_device *d, struct an_halves *halves)
{
    anynorm_status status = ANYNORM_OK;
    an_mutex_lock(&d->halves_lock);
    if (!d->halves_asked)
        status = d->wrapped ? ask_another(d, &d->halves) : an_vulkan_halves_ask(d, &d->halves);
    d->halves_asked = status == ANYNORM_OK;
    *halves = d->halves;
    an_mutex_unlock(&d->halves_lock);
    return status;
}
