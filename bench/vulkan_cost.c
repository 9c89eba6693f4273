/* What anynorm adds to a dispatch: the host time of anynorm_vulkan_record and of
 * anynorm_vulkan_enqueue beside that of bare Vulkan calls for the same pipeline and buffers.
 *
 *     vulkan_cost [ROWSxCOLUMNS [REPETITIONS]]       (default 1x4096 1001; $ANYNORM_DEVICE)
 *
 * A bare norm binds the pipeline, writes or pushes its descriptors, pushes its constants and is
 * dispatched; a bare enqueue is that in a command buffer of its own with a barrier on either side,
 * which waits for nothing and signals a fence. All take turns in a new order each round; the
 * figures are medians.
 */
#include "vulkan/vulkan_backend.h" /* the loader's header, before Vulkan's own */

#include <anynorm/vulkan.h>

#include "choice/choice.h"
#include "rounds.h"

enum { RECORD, RECORD_BARE, ENQUEUE, ENQUEUE_BARE, KINDS };
enum { TENSORS = 4, BATCH = 32 };

static const char *const names[KINDS] = {"anynorm_vulkan_record", "the same commands, bare",
                                         "anynorm_vulkan_enqueue", "the same commands, submitted"};

struct bench {
    anynorm_device *device;
    anynorm_vulkan_handles handles;
    anynorm_spec spec;
    uint64_t rows;
    anynorm_plan *plan;
    anynorm_plan_info plan_info;
    anynorm_tensors tensors;
    anynorm_vulkan_recording *recording;
    VkCommandPool pool;
    VkCommandBuffer recorded;        /* of the first two kinds: never submitted */
    VkCommandBuffer commands[BATCH]; /* of the bare enqueues */
    VkFence fences[BATCH];
    VkDescriptorPool sets_of;
    VkDescriptorSet sets[BATCH];
    uint32_t slots;
    VkDescriptorBufferInfo bound[AN_MOST_SLOTS];
    struct an_push push;
};

static void demand_vk(VkResult result, const char *what)
{
    demand(result == VK_SUCCESS, what);
}

/* The least that a program has to make by itself. */
static void open_bare(struct bench *b)
{
    struct an_vulkan_device *d = an_vulkan(b->device);
    const struct an_vulkan_plan *plan = an_vulkan_plan(b->plan);
    const VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                          .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                          .queueFamilyIndex = b->handles.queue_family};
    demand_vk(d->vk.vkCreateCommandPool(d->handle, &pool, NULL, &b->pool), "command pool");
    VkCommandBufferAllocateInfo buffers = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                           .commandPool = b->pool,
                                           .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                           .commandBufferCount = BATCH};
    demand_vk(d->vk.vkAllocateCommandBuffers(d->handle, &buffers, b->commands), "commands");
    buffers.commandBufferCount = 1;
    demand_vk(d->vk.vkAllocateCommandBuffers(d->handle, &buffers, &b->recorded), "commands");
    const VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    for (int i = 0; i < BATCH; i++)
        demand_vk(d->vk.vkCreateFence(d->handle, &fence, NULL, &b->fences[i]), "fence");

    const anynorm_buffer *const tensors[TENSORS] = {&b->tensors.x, &b->tensors.y,
                                                    &b->tensors.weight, &b->tensors.bias};
    const int of[TENSORS] = {AN_X, AN_Y, AN_WEIGHT, AN_BIAS};
    demand(b->rows > plan->split_rows, "a row that is split takes two dispatches");
    b->slots = plan->interface.slots;
    for (int i = 0; i < TENSORS; i++)
        b->bound[plan->interface.slot[of[i]]] =
            (VkDescriptorBufferInfo){an_vulkan_buffer(tensors[i]), 0, VK_WHOLE_SIZE};
    if (plan->interface.slot[AN_MOMENTS] != UINT32_MAX)
        b->bound[plan->interface.slot[AN_MOMENTS]] =
            (VkDescriptorBufferInfo){plan->kernel->moments.buffer, 0, VK_WHOLE_SIZE};
    b->push.rows = (uint32_t)b->rows;
    if (d->features.push_descriptors)
        return;
    const VkDescriptorPoolSize size = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, b->slots * BATCH};
    const VkDescriptorPoolCreateInfo sets = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                             .maxSets = BATCH,
                                             .poolSizeCount = 1,
                                             .pPoolSizes = &size};
    demand_vk(d->vk.vkCreateDescriptorPool(d->handle, &sets, NULL, &b->sets_of), "pool of sets");
    for (int i = 0; i < BATCH; i++) {
        const VkDescriptorSetAllocateInfo set = {.sType =
                                                     VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                                 .descriptorPool = b->sets_of,
                                                 .descriptorSetCount = 1,
                                                 .pSetLayouts = &d->set_layouts[b->slots]};
        demand_vk(d->vk.vkAllocateDescriptorSets(d->handle, &set, &b->sets[i]), "set");
    }
}

static void open_bench(struct bench *b)
{
    demand(anynorm_device_open(NULL, &b->device) == ANYNORM_OK, "device");
    demand(anynorm_vulkan_device_handles(b->device, &b->handles) == ANYNORM_OK, "device");
    demand(anynorm_plan_create(b->device, &b->spec, NULL, &b->plan) == ANYNORM_OK &&
               anynorm_plan_describe(b->plan, &b->plan_info) == ANYNORM_OK,
           "plan");
    demand(anynorm_vulkan_recording_create(b->device, &b->recording) == ANYNORM_OK, "recording");
    anynorm_buffer *const slots[TENSORS] = {&b->tensors.x, &b->tensors.y, &b->tensors.weight,
                                            &b->tensors.bias};
    for (int t = 0; t < TENSORS; t++) {
        size_t count = (size_t)(b->spec.columns * (t < 2 ? b->rows : 1));
        float *data = make_values(count);
        demand(anynorm_buffer_create(b->device, count * sizeof(float), slots[t]) == ANYNORM_OK &&
                   anynorm_buffer_write(b->device, slots[t], data, count * sizeof(float)) ==
                       ANYNORM_OK,
               "buffer");
        free(data);
    }
    open_bare(b);
}

/* With the i-th set, if it takes one. */
static void record_bare(struct bench *b, VkCommandBuffer commands, int i)
{
    struct an_vulkan_device *d = an_vulkan(b->device);
    const struct an_vulkan_plan *plan = an_vulkan_plan(b->plan);
    VkPipelineLayout layout = d->layouts[b->slots];
    const VkWriteDescriptorSet write = {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                        .dstSet = b->sets[i],
                                        .descriptorCount = b->slots,
                                        .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                        .pBufferInfo = b->bound};
    d->vk.vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, plan->kernel->pipeline);
    if (d->features.push_descriptors) {
        d->vk.vkCmdPushDescriptorSetKHR(commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1,
                                        &write);
    } else {
        d->vk.vkUpdateDescriptorSets(d->handle, 1, &write, 0, NULL);
        d->vk.vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1,
                                      &b->sets[i], 0, NULL);
    }
    d->vk.vkCmdPushConstants(commands, layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(b->push),
                             &b->push);
    d->vk.vkCmdDispatch(
        commands, (uint32_t)an_grid_groups(&d->head.info, &b->spec, &plan->choice, b->rows), 1, 1);
}

static void begin(struct an_vulkan_device *d, VkCommandBuffer commands)
{
    const VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                           .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    demand_vk(d->vk.vkBeginCommandBuffer(commands, &info), "vkBeginCommandBuffer");
}

static void enqueue_bare(struct bench *b, int i)
{
    struct an_vulkan_device *d = an_vulkan(b->device);
    const VkSubmitInfo submit = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                                 .commandBufferCount = 1,
                                 .pCommandBuffers = &b->commands[i]};
    demand_vk(d->vk.vkResetFences(d->handle, 1, &b->fences[i]), "vkResetFences");
    begin(d, b->commands[i]);
    an_commands_order(d, b->commands[i]);
    record_bare(b, b->commands[i], i);
    an_commands_order(d, b->commands[i]);
    demand_vk(d->vk.vkEndCommandBuffer(b->commands[i]), "vkEndCommandBuffer");
    b->handles.lock_queue(b->handles.queue_user);
    demand_vk(d->vk.vkQueueSubmit(b->handles.queue, 1, &submit, b->fences[i]), "vkQueueSubmit");
    b->handles.unlock_queue(b->handles.queue_user);
}

/* The time of each of BATCH norms, of which none is waited for before all are on their way. */
static double time_turn(struct bench *b, int kind)
{
    struct an_vulkan_device *d = an_vulkan(b->device);
    anynorm_event events[BATCH];
    bool records = kind == RECORD || kind == RECORD_BARE;
    if (records) {
        demand(anynorm_vulkan_recording_reset(b->recording) == ANYNORM_OK, "reset");
        begin(d, b->recorded);
    }
    double start = seconds();
    for (int i = 0; i < BATCH; i++) {
        if (kind == RECORD)
            demand(anynorm_vulkan_record(b->plan, b->recording, b->recorded, &b->tensors,
                                         b->rows) == ANYNORM_OK,
                   "record");
        else if (kind == RECORD_BARE)
            record_bare(b, b->recorded, i);
        else if (kind == ENQUEUE)
            demand(anynorm_vulkan_enqueue(b->plan, &b->tensors, b->rows, 0, NULL, 0, NULL,
                                          VK_NULL_HANDLE, &events[i]) == ANYNORM_OK,
                   "enqueue");
        else
            enqueue_bare(b, i);
    }
    double took = (seconds() - start) / (double)BATCH;
    if (records)
        demand_vk(d->vk.vkEndCommandBuffer(b->recorded), "vkEndCommandBuffer");
    if (kind == ENQUEUE_BARE)
        demand_vk(d->vk.vkWaitForFences(d->handle, BATCH, b->fences, VK_TRUE, UINT64_MAX), "wait");
    for (int i = 0; i < BATCH && kind == ENQUEUE; i++) {
        demand(anynorm_event_wait(&events[i]) == ANYNORM_OK, "wait");
        anynorm_event_release(&events[i]);
    }
    return took;
}

static void close_bench(struct bench *b)
{
    struct an_vulkan_device *d = an_vulkan(b->device);
    for (int i = 0; i < BATCH; i++)
        d->vk.vkDestroyFence(d->handle, b->fences[i], NULL);
    d->vk.vkDestroyDescriptorPool(d->handle, b->sets_of, NULL);
    d->vk.vkDestroyCommandPool(d->handle, b->pool, NULL);
    anynorm_vulkan_recording_destroy(b->recording);
    anynorm_plan_destroy(b->plan);
    anynorm_buffer *const slots[TENSORS] = {&b->tensors.x, &b->tensors.y, &b->tensors.weight,
                                            &b->tensors.bias};
    for (int t = 0; t < TENSORS; t++)
        anynorm_buffer_destroy(b->device, slots[t]);
    anynorm_device_close(b->device);
}

int main(int argc, char **argv)
{
    char text[128];
    struct bench b = {0};
    snprintf(text, sizeof(text), "layer-norm %s f32 weight bias", argc > 1 ? argv[1] : "1x4096");
    demand(anynorm_spec_parse(text, &b.spec, &b.rows) == ANYNORM_OK, "arguments");
    int repetitions = argc > 2 ? atoi(argv[2]) : 1001;
    demand(repetitions > 0 && b.rows > 0, "arguments");
    open_bench(&b);

    double *times[KINDS];
    for (int kind = 0; kind < KINDS; kind++) {
        times[kind] = malloc((size_t)repetitions * sizeof(double));
        demand(times[kind] != NULL, "host memory");
    }
    int order[KINDS] = {RECORD, RECORD_BARE, ENQUEUE, ENQUEUE_BARE};
    uint64_t state = 1607;
    for (int i = -20; i < repetitions; i++) { /* twenty rounds that the later ones overwrite */
        shuffle(order, KINDS, &state);
        for (int k = 0; k < KINDS; k++)
            times[order[k]][i < 0 ? 0 : i] = time_turn(&b, order[k]);
    }

    double us[KINDS];
    printf("%s, %s, medians of %d rounds of %d, microseconds\n", text, b.plan_info.choice,
           repetitions, BATCH);
    for (int kind = 0; kind < KINDS; kind++) {
        us[kind] = median(times[kind], repetitions) * 1e6;
        printf("%-42s %10.2f\n", names[kind], us[kind]);
        free(times[kind]);
    }
    printf(
        "anynorm adds %+.2f us to the commands, %+.2f us to their submission (goal: at most 1)\n",
        us[RECORD] - us[RECORD_BARE], us[ENQUEUE] - us[ENQUEUE_BARE]);
    close_bench(&b);
    return 0;
}
