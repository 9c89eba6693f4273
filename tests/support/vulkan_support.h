/* What the tests of <anynorm/vulkan.h> share: an engine with a Vulkan device of its own, which the
 * validation layer watches where it is installed, and memory in it. */
#ifndef AN_TESTS_VULKAN_SUPPORT_H
#define AN_TESTS_VULKAN_SUPPORT_H

#include "refused.h"
#include "support.h"

#include "vulkan/library.h"
#include <anynorm/vulkan.h>

/* What the engine's device was made with. */
enum engine_kind {
    ENGINE_BARE,       /* Vulkan 1.1, nothing */
    ENGINE_EXTENSIONS, /* Vulkan 1.1, all wishes, by their own structures */
    ENGINE_CORE,       /* Vulkan 1.3, all wishes, by those of the versions */
    ENGINE_KINDS
};
extern const char *const engine_names[ENGINE_KINDS];

struct engine {
    const char *name;
    struct an_vulkan_instance instance;
    VkDebugUtilsMessengerEXT messenger;
    unsigned complaints; /* of the validation layer */
    VkPhysicalDevice physical;
    uint32_t family;
    VkDevice device;
    struct VolkDeviceTable vk;
    VkQueue queue;
    VkCommandPool pool;
    anynorm_vulkan_wishes wishes;
    anynorm_vulkan_handles handles;
    anynorm_device *anynorm; /* of our device */
    unsigned locked, unlocked;

    /* What handles.created_with points to. */
    float priority;
    VkDeviceQueueCreateInfo queue_info;
    VkPhysicalDeviceFeatures2 features;
    VkPhysicalDevice16BitStorageFeatures storage;
    VkPhysicalDeviceSubgroupSizeControlFeatures sizes;
    VkPhysicalDeviceTimelineSemaphoreFeatures timeline;
    VkPhysicalDeviceVulkan11Features core11;
    VkPhysicalDeviceVulkan12Features core12;
    VkPhysicalDeviceVulkan13Features core13;
    VkDeviceCreateInfo device_info;
};

/* On the Vulkan device `id`; false, with a word, where that does not serve the kind. The second
 * leaves out anynorm, of which only handles are filled. `engine` must not move. */
bool engine_open(struct engine *engine, const char *id, enum engine_kind kind);
bool engine_open_unwrapped(struct engine *engine, const char *id, enum engine_kind kind);
/* Wraps it once more, as poor as `caps` would have it. */
anynorm_device *engine_wrap(struct engine *engine, const char *caps);
/* Fails the test if the validation layer complained. */
void engine_close(struct engine *engine);
/* Runs a test on an engine of each kind that `id` serves. */
typedef void engine_test(struct engine *engine, enum engine_kind kind);
void on_each_engine(const char *id, engine_test *test);

/* Refused, with `word` in the message. */
#define assert_invalid(call, word) assert_refused_naming((call), ANYNORM_INVALID_ARGUMENT, word)

#define assert_vk(result) check_vk((result), #result, __FILE__, __LINE__)
void check_vk(VkResult result, const char *what, const char *file, int line);

VkCommandBuffer engine_commands(struct engine *engine, VkCommandBufferLevel level,
                                VkCommandBufferUsageFlags usage); /* begun */
void engine_end(struct engine *engine, VkCommandBuffer commands);
/* From all commands to all commands and the host. */
void engine_barrier(struct engine *engine, VkCommandBuffer commands);
/* Submits it so many times, one after the other, and waits. */
void engine_run(struct engine *engine, VkCommandBuffer commands, uint32_t times);
VkSemaphore engine_semaphore(struct engine *engine, bool timeline);
/* The semaphore's own word: a fence of the same submission may be signalled first. */
void engine_wait_semaphore(struct engine *engine, const anynorm_vulkan_semaphore *done);
VkFence engine_fence(struct engine *engine);

/* A VkBuffer that the host reaches. */
struct block {
    VkBuffer buffer;
    VkDeviceMemory memory;
    char *mapped;
    uint64_t bytes; /* a multiple of 4 */
};
void block_make(struct engine *engine, uint64_t bytes, struct block *block);
void block_free(struct engine *engine, struct block *block);

/* Seven rows, apart and at offsets, with all that a plain norm has. */
struct problem engine_problem(uint64_t seed, anynorm_dtype type);

/* One problem in buffers of the engine's. */
struct work {
    struct problem problem;
    struct images before;
    struct block blocks[AN_TENSOR_COUNT];
    anynorm_tensors tensors;
};
void work_make(struct engine *engine, const struct problem *problem, struct work *work);
/* Compares with the oracle; then poisons the outputs anew. */
void work_check(struct work *work, const char *label);
void work_free(struct engine *engine, struct work *work);

#endif
