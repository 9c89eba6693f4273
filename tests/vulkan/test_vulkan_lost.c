/* A Vulkan device that is lost after work was submitted, or whose fences tell nothing: each wait
 * and each read says so, every time, and host memory gets no data.
 *
 *     ANYNORM_TEST_DEVICE=vulkan:0   only this device
 */
#include "support.h"

#include <string.h>

#include "vulkan/vulkan_backend.h"

static struct VolkDeviceTable inner;
static VkResult told;       /* by the calls below */
static unsigned long times; /* how often */

static VKAPI_ATTR VkResult VKAPI_CALL wait_for_fences(VkDevice a, uint32_t b, const VkFence *c,
                                                      VkBool32 d, uint64_t e)
{
    (void)inner.vkWaitForFences(a, b, c, d, e);
    times++;
    return told;
}

static VKAPI_ATTR VkResult VKAPI_CALL fence_status(VkDevice a, VkFence b)
{
    (void)a;
    (void)b;
    times++;
    return told;
}

static VKAPI_ATTR VkResult VKAPI_CALL submit(VkQueue a, uint32_t b, const VkSubmitInfo *c,
                                             VkFence d)
{
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    times++;
    return told;
}

struct scene {
    struct problem problem;
    struct images before;
    anynorm_device *device;
    anynorm_plan *plan;
    anynorm_tensors tensors;
};

static void make_scene(struct scene *scene, const char *id, const char *caps)
{
    *scene = (struct scene){.problem = dense_problem(3, 64, ANYNORM_F32, ANYNORM_MEAN_OUTPUT)};
    images_make(&scene->problem, &scene->before);
    scene->device = open_device_with(id, caps);
    scene->plan = make_plan(scene->device, &scene->problem.spec, NULL);
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        anynorm_buffer *slot = an_tensor_slot(&scene->tensors, (enum an_tensor)t);
        if (!scene->before.bytes[t])
            continue;
        assert_ok(anynorm_buffer_create(scene->device, scene->before.size[t], slot));
        assert_ok(anynorm_buffer_write(scene->device, slot, scene->before.bytes[t],
                                       scene->before.size[t]));
    }
    inner = an_vulkan(scene->device)->vk;
    times = 0;
}

static void restore(struct scene *scene)
{
    struct VolkDeviceTable *vk = &an_vulkan(scene->device)->vk;
    vk->vkWaitForFences = inner.vkWaitForFences;
    vk->vkGetFenceStatus = inner.vkGetFenceStatus;
    vk->vkQueueSubmit = inner.vkQueueSubmit;
}

static void free_scene(struct scene *scene)
{
    restore(scene);
    for (int t = 0; t < AN_TENSOR_COUNT; t++)
        anynorm_buffer_destroy(scene->device, an_tensor_slot(&scene->tensors, (enum an_tensor)t));
    anynorm_plan_destroy(scene->plan);
    anynorm_device_close(scene->device);
    images_free(&scene->before);
}

static bool is_loss(anynorm_status status)
{
    return status == ANYNORM_DEVICE_LOST || status == ANYNORM_OUT_OF_MEMORY;
}

/* The device's memory into y, which must stay as it is, and y by a norm of the host's. */
static void check_no_data(struct scene *scene)
{
    unsigned char y[4096], poison[4096];
    size_t size = (size_t)scene->before.size[AN_Y];
    assert_true(size <= sizeof(y));
    memset(poison, 0xA5, sizeof(poison));
    memcpy(y, poison, sizeof(y));
    anynorm_status status = anynorm_buffer_read(scene->device, &scene->tensors.y, y, size);
    assert_true(is_loss(status));
    assert_memory_equal(y, poison, sizeof(y));
    void *at[AN_TENSOR_COUNT] = {
        [AN_X] = scene->before.bytes[AN_X], [AN_Y] = y, [AN_MEAN] = scene->before.bytes[AN_MEAN]};
    anynorm_host_tensors host = host_tensors_at(at);
    status = anynorm_run(scene->plan, &host, scene->problem.rows);
    assert_true(is_loss(status));
    assert_memory_equal(y, poison, sizeof(y));
}

static const VkResult results[] = {VK_ERROR_DEVICE_LOST, VK_TIMEOUT, VK_ERROR_OUT_OF_HOST_MEMORY,
                                   VK_ERROR_UNKNOWN, (VkResult)-123456};
static const char *const caps[] = {"", "no-unified"};

static void lose_waits(const char *id, const char *mask, VkResult result)
{
    struct scene scene;
    anynorm_event event;
    uint64_t nanoseconds = 77;
    make_scene(&scene, id, mask);
    assert_ok(anynorm_enqueue(scene.plan, &scene.tensors, scene.problem.rows, 0, NULL, &event));
    told = result;
    an_vulkan(scene.device)->vk.vkWaitForFences = wait_for_fences;
    an_vulkan(scene.device)->vk.vkGetFenceStatus = fence_status;
    for (int i = 0; i < 3; i++) {
        assert_status(anynorm_event_wait(&event), ANYNORM_DEVICE_LOST);
        assert_int_not_equal(anynorm_event_elapsed(&event, &nanoseconds), ANYNORM_OK);
        assert_int_equal(nanoseconds, 77);
        check_no_data(&scene);
    }
    assert_true(is_loss(anynorm_plan_warm_up(scene.plan, 3)));
    assert_true(times >= 9);
    restore(&scene);
    assert_ok(anynorm_event_wait(&event)); /* it was only said */
    anynorm_event_release(&event);
    free_scene(&scene);
}

static void lose_submissions(const char *id, const char *mask, VkResult result)
{
    struct scene scene;
    anynorm_event event = {0};
    make_scene(&scene, id, mask);
    told = result;
    an_vulkan(scene.device)->vk.vkQueueSubmit = submit;
    for (int i = 0; i < 3; i++) {
        anynorm_status status =
            anynorm_enqueue(scene.plan, &scene.tensors, scene.problem.rows, 0, NULL, &event);
        assert_true(is_loss(status));
        assert_non_null(strstr(anynorm_message(), "vkQueueSubmit"));
        assert_false(event.valid);
        assert_true(is_loss(anynorm_plan_warm_up(scene.plan, 3)));
    }
    assert_true(times >= 6);
    restore(&scene); /* the same device goes on, where the driver does */
    assert_ok(anynorm_enqueue(scene.plan, &scene.tensors, scene.problem.rows, 0, NULL, &event));
    assert_ok(anynorm_event_wait(&event));
    anynorm_event_release(&event);
    free_scene(&scene);
}

static void on_each(const char *id, void (*lose)(const char *id, const char *mask, VkResult result))
{
    if (strncmp(id, "vulkan:", 7) != 0)
        return;
    for (size_t i = 0; i < COUNT(caps); i++) {
        for (size_t k = 0; k < COUNT(results); k++)
            lose(id, caps[i], results[k]);
    }
}

static void test_waits(void **state)
{
    on_each(*state, lose_waits);
}

static void test_submissions(void **state)
{
    on_each(*state, lose_submissions);
}

int main(void)
{
    static const struct device_test tests[] = {
        {"waits", test_waits},
        {"submissions", test_submissions},
    };
    return run_on_devices("vulkan lost", tests, COUNT(tests), NULL, NULL);
}
