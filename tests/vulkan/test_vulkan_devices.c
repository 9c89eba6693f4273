/* Devices that an engine hands over, or that it is handed: what is enabled on them, what their
 * drivers say of themselves, and which are refused. */
#include "vulkan_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vulkan/vulkan_backend.h"

/* ---- Devices ---- */

static void check_info(struct engine *engine, enum engine_kind kind)
{
    anynorm_device_info info;
    assert_ok(anynorm_device_describe(engine->anynorm, &info));
    assert_string_equal(info.id, "vulkan:wrapped");
    bool bare = kind == ENGINE_BARE;
    const anynorm_vulkan_wishes *wishes = &engine->wishes;
    assert_int_equal(info.fp64, !bare && wishes->shader_float64);
    assert_int_equal(info.storage16, !bare && wishes->storage_buffer_16bit_access);
    assert_int_equal(info.subgroup_size > 0, !bare && wishes->subgroup_size_control);
    assert_false(info.fp16);
    assert_int_equal(wishes->subgroup_size_control, wishes->compute_full_subgroups);
    for (uint32_t i = 0; i < wishes->extension_count; i++)
        assert_memory_equal(wishes->extensions[i], "VK_", 3);

    /* Ours with every schedule's usual choice: the same calls as on a device that we open. */
    for (anynorm_dtype type = ANYNORM_F32; type <= ANYNORM_F64; type++) {
        struct problem problem = engine_problem(3, type);
        struct errors worst = {0};
        if (type == ANYNORM_F64 && !info.fp64)
            continue;
        anynorm_plan *plan = make_plan(engine->anynorm, &problem.spec, NULL);
        assert_ok(anynorm_plan_warm_up(plan, problem.rows));
        check_plan(engine->anynorm, plan, &problem, engine->name, &worst);
        anynorm_plan_destroy(plan);
    }
    assert_true(engine->locked > 0);
}

static void test_devices(void **state)
{
    on_each_engine(*state, check_info);
}

/* Handles of a device that the library opened, whose queue the caller uses under its lock. */
static void test_opened(void **state)
{
    const char *id = *state;
    anynorm_device *device = open_device(id);
    anynorm_vulkan_handles handles = {.queue_family = 77};
    anynorm_device_info info;
    assert_ok(anynorm_device_describe(device, &info));
    if (strncmp(id, "vulkan:", 7) != 0) {
        assert_invalid(anynorm_vulkan_device_handles(device, &handles), "not a Vulkan");
        assert_int_equal(handles.queue_family, 77);
        anynorm_device_close(device);
        return;
    }
    struct engine engine = {.name = "opened", .anynorm = device};
    struct work work;
    struct problem problem = engine_problem(5, ANYNORM_F32);
    anynorm_vulkan_recording *recording = NULL;
    assert_ok(anynorm_vulkan_device_handles(device, &handles));
    assert_true(an_vulkan_instance_load(handles.get_instance_proc_addr, handles.instance,
                                        handles.api_version, &engine.instance));
    an_vulkan_device_load(&engine.instance, handles.device, &engine.vk);
    engine.physical = handles.physical_device;
    engine.device = handles.device;
    engine.queue = handles.queue;
    const VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                          .queueFamilyIndex = handles.queue_family};
    assert_vk(engine.vk.vkCreateCommandPool(engine.device, &pool, NULL, &engine.pool));
    anynorm_plan *plan = make_plan(device, &problem.spec, NULL);
    assert_ok(anynorm_vulkan_recording_create(device, &recording));
    work_make(&engine, &problem, &work);
    VkCommandBuffer commands = engine_commands(&engine, VK_COMMAND_BUFFER_LEVEL_PRIMARY, 0);
    assert_ok(anynorm_vulkan_record(plan, recording, commands, &work.tensors, problem.rows));
    engine_barrier(&engine, commands);
    engine_end(&engine, commands);
    handles.lock_queue(handles.queue_user);
    engine_run(&engine, commands, 1);
    handles.unlock_queue(handles.queue_user);
    work_check(&work, engine.name);

    /* It is made with what it wishes: timelines too. */
    anynorm_vulkan_wishes wishes;
    assert_ok(anynorm_vulkan_device_wishes(&handles, &wishes));
    if (wishes.timeline_semaphore) {
        anynorm_vulkan_semaphore done = {engine_semaphore(&engine, true), 5};
        anynorm_event event;
        assert_ok(anynorm_vulkan_enqueue(plan, &work.tensors, problem.rows, 0, NULL, 1, &done,
                                         VK_NULL_HANDLE, &event));
        assert_ok(anynorm_event_wait(&event));
        anynorm_event_release(&event);
        engine_wait_semaphore(&engine, &done);
        work_check(&work, "timeline of an opened device");
        engine.vk.vkDestroySemaphore(engine.device, done.semaphore, NULL);
    }
    work_free(&engine, &work);
    engine.vk.vkDestroyCommandPool(engine.device, engine.pool, NULL);
    anynorm_plan_destroy(plan);
    anynorm_vulkan_recording_destroy(recording);
    anynorm_device_close(device);
}

static void check_without_queue(struct engine *engine, enum engine_kind kind)
{
    (void)kind;
    anynorm_device *wrapped = engine->anynorm;
    engine->handles.queue = VK_NULL_HANDLE;
    engine->anynorm = engine_wrap(engine, "no-unified");
    anynorm_device_close(wrapped);
    struct problem problem = engine_problem(6, ANYNORM_BF16);
    struct work work;
    anynorm_vulkan_recording *recording = NULL;
    anynorm_event event;
    anynorm_buffer buffer = {0};
    uint32_t word = 1;
    anynorm_plan *plan = make_plan(engine->anynorm, &problem.spec, NULL);
    work_make(engine, &problem, &work);
    assert_status(anynorm_enqueue(plan, &work.tensors, problem.rows, 0, NULL, &event),
                  ANYNORM_UNSUPPORTED);
    assert_non_null(strstr(anynorm_message(), "without a queue"));
    assert_status(anynorm_vulkan_enqueue(plan, &work.tensors, problem.rows, 0, NULL, 0, NULL,
                                         VK_NULL_HANDLE, NULL),
                  ANYNORM_UNSUPPORTED);
    assert_status(anynorm_plan_warm_up(plan, 1), ANYNORM_UNSUPPORTED);
    assert_ok(anynorm_buffer_create(engine->anynorm, 4, &buffer));
    assert_status(anynorm_buffer_write(engine->anynorm, &buffer, &word, 4), ANYNORM_UNSUPPORTED);
    assert_status(anynorm_buffer_read(engine->anynorm, &work.tensors.x, &word, 4),
                  ANYNORM_UNSUPPORTED);
    anynorm_buffer_destroy(engine->anynorm, &buffer);

    assert_ok(anynorm_vulkan_recording_create(engine->anynorm, &recording));
    VkCommandBuffer commands = engine_commands(engine, VK_COMMAND_BUFFER_LEVEL_PRIMARY, 0);
    assert_ok(anynorm_vulkan_record(plan, recording, commands, &work.tensors, problem.rows));
    engine_barrier(engine, commands);
    engine_end(engine, commands);
    engine_run(engine, commands, 1);
    work_check(&work, engine->name);
    assert_int_equal(engine->locked, 0);
    anynorm_vulkan_recording_destroy(recording);
    anynorm_plan_destroy(plan);
    work_free(engine, &work);
}

static void test_without_queue(void **state)
{
    on_each_engine(*state, check_without_queue);
}

/* ---- Drivers' own texts ---- */

/* What the driver is taken for. */
static const char *driver_name, *driver_info;
static PFN_vkGetInstanceProcAddr real_get;
static PFN_vkGetPhysicalDeviceProperties2 real_properties;

static VKAPI_ATTR void VKAPI_CALL lying_properties(VkPhysicalDevice physical,
                                                   VkPhysicalDeviceProperties2 *properties)
{
    real_properties(physical, properties);
    for (VkBaseOutStructure *at = properties->pNext; at; at = at->pNext) {
        if (at->sType != VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES)
            continue;
        VkPhysicalDeviceDriverProperties *driver = (VkPhysicalDeviceDriverProperties *)(void *)at;
        snprintf(driver->driverName, sizeof(driver->driverName), "%s", driver_name);
        snprintf(driver->driverInfo, sizeof(driver->driverInfo), "%s", driver_info);
    }
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL lying_get(VkInstance instance, const char *name)
{
    if (strcmp(name, "vkGetPhysicalDeviceProperties2") == 0)
        return (PFN_vkVoidFunction)lying_properties;
    return real_get(instance, name);
}

static bool wishes_to_push(const anynorm_vulkan_wishes *wishes)
{
    bool found = false;
    for (uint32_t i = 0; i < wishes->extension_count; i++)
        found = found || strcmp(wishes->extensions[i], VK_KHR_PUSH_DESCRIPTOR_EXTENSION_NAME) == 0;
    return found;
}

/* The device wrapped, and opened as our own, while its driver is said to be of that version. */
static void check_quirk(struct engine *engine, const char *version, bool broken)
{
    struct an_vulkan_instance liar = engine->instance;
    anynorm_vulkan_handles handles = engine->handles;
    anynorm_vulkan_wishes wishes;
    anynorm_device_info info, plain;
    anynorm_device *devices[2];
    driver_name = "Intel open-source Mesa driver";
    driver_info = version;
    liar.vkGetPhysicalDeviceProperties2 = lying_properties;
    handles.get_instance_proc_addr = lying_get;
    assert_ok(anynorm_vulkan_device_wishes(&handles, &wishes));
    assert_int_equal(wishes_to_push(&wishes), !broken && wishes_to_push(&engine->wishes));
    assert_ok(anynorm_vulkan_device_wrap(&handles, &devices[0]));
    assert_ok(an_vulkan_device_make(&liar, engine->physical, "vulkan:9", NULL, &devices[1]));
    assert_ok(anynorm_device_describe(engine->anynorm, &plain));
    for (size_t i = 0; i < COUNT(devices); i++) {
        bool pushes = i == 0 ? plain.push_descriptors : wishes_to_push(&engine->wishes);
        assert_ok(anynorm_device_describe(devices[i], &info));
        assert_string_equal(info.driver, version);
        assert_int_equal(strstr(info.quirks, "no-push-descriptors (https://") != NULL, broken);
        assert_int_equal(info.push_descriptors, pushes && !broken);
        assert_int_equal(an_vulkan(devices[i])->features.push_descriptors, pushes && !broken);
    }
    anynorm_device_close(devices[1]);
    anynorm_device_close(devices[0]);
}

static void check_quirks(struct engine *engine, enum engine_kind kind)
{
    (void)kind;
    anynorm_device_info info;
    assert_ok(anynorm_device_describe(engine->anynorm, &info));
    if (*info.quirks)
        return; /* which would hide those of the driver that it is taken for */
    real_get = engine->instance.get;
    real_properties = engine->instance.vkGetPhysicalDeviceProperties2;
    check_quirk(engine, "Mesa 22.2.5", false);
    check_quirk(engine, "Mesa 22.3.6", true);
    check_quirk(engine, "Mesa 23.1.1", false);
    assert_int_equal(setenv("ANYNORM_QUIRKS", "off", 1), 0);
    check_quirk(engine, "Mesa 22.3.6", false);
    assert_int_equal(unsetenv("ANYNORM_QUIRKS"), 0);
}

/* Qualcomm's driver tells of itself in several lines; the log, `anynorm tune`'s lines and whoever
 * prints a device have one. */
static void check_lines(struct engine *engine, enum engine_kind kind)
{
    (void)kind;
    anynorm_vulkan_handles handles = engine->handles;
    anynorm_device_info info;
    anynorm_device *device;
    real_get = engine->instance.get;
    real_properties = engine->instance.vkGetPhysicalDeviceProperties2;
    driver_name = "Qualcomm Technologies Inc.\nAdreno Vulkan Driver";
    driver_info = "Driver Build: 85da404\nDate: 11/30/20\r\n\tCompiler Version: EV031.31.04.01";
    handles.get_instance_proc_addr = lying_get;
    assert_ok(anynorm_vulkan_device_wrap(&handles, &device));
    assert_ok(anynorm_device_describe(device, &info));
    anynorm_device_close(device);
    assert_string_equal(info.platform, "Qualcomm Technologies Inc. Adreno Vulkan Driver");
    assert_string_equal(info.driver, "Driver Build: 85da404 Date: 11/30/20   "
                                     "Compiler Version: EV031.31.04.01");
}

static void test_lines(void **state)
{
    on_each_engine(*state, check_lines);
}

static void test_quirks(void **state)
{
    on_each_engine(*state, check_quirks);
}

/* ---- Drivers with less than all of Vulkan ---- */

static PFN_vkEnumerateDeviceExtensionProperties real_extensions;
static PFN_vkCreateDevice real_create;
static unsigned agreed; /* devices that were made as such a driver wants it */

/* The driver's own, and the one by which such a driver is known. */
static VKAPI_ATTR VkResult VKAPI_CALL more_extensions(VkPhysicalDevice physical, const char *layer,
                                                      uint32_t *count, VkExtensionProperties *list)
{
    uint32_t room = *count;
    VkResult result = real_extensions(physical, layer, count, list);
    if (result != VK_SUCCESS)
        return result;
    if (list && room <= *count)
        return VK_INCOMPLETE;
    if (list)
        list[*count] = (VkExtensionProperties){.extensionName = AN_PORTABILITY_SUBSET};
    ++*count;
    return VK_SUCCESS;
}

/* Refuses who did not enable it; to the driver that is here, it means nothing. */
static VKAPI_ATTR VkResult VKAPI_CALL create_subset(VkPhysicalDevice physical,
                                                    const VkDeviceCreateInfo *info,
                                                    const VkAllocationCallbacks *allocator,
                                                    VkDevice *device)
{
    const char *names[8];
    VkDeviceCreateInfo plain = *info;
    plain.enabledExtensionCount = 0;
    plain.ppEnabledExtensionNames = names;
    for (uint32_t i = 0; i < info->enabledExtensionCount && i < COUNT(names); i++) {
        const char *name = info->ppEnabledExtensionNames[i];
        if (strcmp(name, AN_PORTABILITY_SUBSET) != 0)
            names[plain.enabledExtensionCount++] = name;
    }
    if (plain.enabledExtensionCount + 1 != info->enabledExtensionCount)
        return VK_ERROR_EXTENSION_NOT_PRESENT;
    agreed++;
    return real_create(physical, &plain, allocator, device);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL subset_get(VkInstance instance, const char *name)
{
    if (strcmp(name, "vkEnumerateDeviceExtensionProperties") == 0)
        return (PFN_vkVoidFunction)more_extensions;
    return real_get(instance, name);
}

static unsigned count_subset(const anynorm_vulkan_wishes *wishes)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < wishes->extension_count; i++)
        count += strcmp(wishes->extensions[i], AN_PORTABILITY_SUBSET) == 0;
    return count;
}

/* It is enabled on a device of ours, and wished for on a caller's, where the driver has it alone.
 */
static void check_portability(struct engine *engine, enum engine_kind kind)
{
    (void)kind;
    struct an_vulkan_instance subset = engine->instance;
    anynorm_vulkan_handles handles = engine->handles;
    anynorm_vulkan_wishes wishes;
    anynorm_device *device = NULL;
    real_get = engine->instance.get;
    real_extensions = engine->instance.vkEnumerateDeviceExtensionProperties;
    real_create = engine->instance.vkCreateDevice;
    subset.vkEnumerateDeviceExtensionProperties = more_extensions;
    subset.vkCreateDevice = create_subset;
    agreed = 0;
    assert_ok(an_vulkan_device_make(&subset, engine->physical, "vulkan:9", NULL, &device));
    assert_int_equal(agreed, 1);
    struct problem problem = engine_problem(3, ANYNORM_F32);
    struct errors worst = {0};
    assert_true(check_problem(device, &problem, NULL, 0, &worst));
    anynorm_device_close(device);
    assert_int_equal(count_subset(&engine->wishes), 0);
    handles.get_instance_proc_addr = subset_get;
    assert_ok(anynorm_vulkan_device_wishes(&handles, &wishes));
    assert_int_equal(count_subset(&wishes), 1);
    assert_int_equal(wishes.extension_count, engine->wishes.extension_count + 1);
}

static void test_portability(void **state)
{
    on_each_engine(*state, check_portability);
}

/* ---- A device that is not there ---- */

static VKAPI_ATTR void VKAPI_CALL no_memory(VkPhysicalDevice physical,
                                            VkPhysicalDeviceMemoryProperties *memory)
{
    (void)physical;
    *memory = (VkPhysicalDeviceMemoryProperties){
        .memoryHeapCount = 1, .memoryHeaps = {{0, VK_MEMORY_HEAP_DEVICE_LOCAL_BIT}}};
}

/* RADV's null device, whose only heap is of 0 bytes, is described and refused. */
static void check_without_memory(struct engine *engine, enum engine_kind kind)
{
    (void)kind;
    struct an_vulkan_instance null = engine->instance;
    struct an_vulkan_features features;
    anynorm_device_info info;
    anynorm_device *device = NULL;
    null.vkGetPhysicalDeviceMemoryProperties = no_memory;
    assert_ok(an_vulkan_describe(&null, engine->physical, NULL, "vulkan:9", &info, &features));
    assert_status(an_vulkan_check(&features, &info), ANYNORM_DEVICE_LOST);
    assert_non_null(strstr(info.unusable, "has no memory"));
    assert_status(an_vulkan_device_make(&null, engine->physical, "vulkan:9", NULL, &device),
                  ANYNORM_DEVICE_LOST);
    assert_string_equal(anynorm_message(),
                        "vulkan:9: the device has no memory, as one that its driver only compiles "
                        "for");
    assert_null(device);
}

static void test_without_memory(void **state)
{
    on_each_engine(*state, check_without_memory);
}

/* ---- Refusals ---- */

static void refuse_handles(struct engine *engine, enum engine_kind kind)
{
    (void)kind;
    anynorm_vulkan_handles good = engine->handles, bad = good;
    anynorm_vulkan_wishes wishes = {.extension_count = 77};
    anynorm_device *device = NULL;
    assert_invalid(anynorm_vulkan_device_wrap(NULL, &device), "NULL");
    assert_invalid(anynorm_vulkan_device_wrap(&good, NULL), "NULL");
    assert_invalid(anynorm_vulkan_device_wishes(NULL, &wishes), "NULL");
    assert_invalid(anynorm_vulkan_device_wishes(&good, NULL), "NULL");
    bad.device = VK_NULL_HANDLE;
    assert_invalid(anynorm_vulkan_device_wrap(&bad, &device), "NULL");
    bad = good;
    bad.instance = VK_NULL_HANDLE;
    assert_invalid(anynorm_vulkan_device_wrap(&bad, &device), "instance");
    assert_invalid(anynorm_vulkan_device_wishes(&bad, &wishes), "instance");
    bad = good;
    bad.physical_device = an_vulkan(engine->anynorm)->physical;
    bad.instance = an_vulkan_instance()->handle; /* another one */
    assert_invalid(anynorm_vulkan_device_wrap(&bad, &device), "belong");
    bad = good;
    bad.api_version = VK_API_VERSION_1_0;
    assert_status(anynorm_vulkan_device_wrap(&bad, &device), ANYNORM_UNSUPPORTED);
    bad = good;
    bad.queue_family = 31;
    assert_invalid(anynorm_vulkan_device_wrap(&bad, &device), "queue_family");
    bad = good;
    bad.unlock_queue = NULL;
    assert_invalid(anynorm_vulkan_device_wrap(&bad, &device), "lock_queue");
    VkDeviceQueueCreateInfo queue = engine->queue_info;
    const VkDeviceCreateInfo other = {.queueCreateInfoCount = 1, .pQueueCreateInfos = &queue};
    queue.queueFamilyIndex++;
    bad = good;
    bad.created_with = &other;
    assert_invalid(anynorm_vulkan_device_wrap(&bad, &device), "queue_family");
    assert_int_equal(setenv("ANYNORM_CAPS", "no-such", 1), 0);
    assert_invalid(anynorm_vulkan_device_wrap(&good, &device), "no-such");
    assert_invalid(anynorm_vulkan_device_wishes(&good, &wishes), "no-such");
    assert_int_equal(unsetenv("ANYNORM_CAPS"), 0);
    assert_null(device);
    assert_int_equal(wishes.extension_count, 77);
    assert_invalid(anynorm_vulkan_device_handles(NULL, &bad), "NULL");
    assert_invalid(anynorm_vulkan_device_handles(engine->anynorm, NULL), "NULL");
}

static void test_refused_handles(void **state)
{
    on_each_engine(*state, refuse_handles);
}

int main(void)
{
    static const struct device_test tests[] = {
        {"devices", test_devices},
        {"opened", test_opened},
        {"without a queue", test_without_queue},
        {"driver of several lines", test_lines},
        {"quirks", test_quirks},
        {"portability", test_portability},
        {"without memory", test_without_memory},
        {"refused handles", test_refused_handles},
    };
    return run_on_devices("vulkan_devices", tests, COUNT(tests), NULL, NULL);
}
