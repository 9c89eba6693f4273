/* The Vulkan backend: its table, and what its own files share. */
#ifndef AN_VULKAN_BACKEND_H
#define AN_VULKAN_BACKEND_H

#include "backend.h"
#include "platform/threads.h"
#include "spec/gradient.h"
#include "store/binary.h"
#include "vulkan/interface.h"
#include "vulkan/library.h"
#include "vulkan/modules.h"

/* What a device has beyond anynorm_device_info. */
struct an_vulkan_features {
    uint32_t version; /* of the device, at most that of the instance */
    uint32_t family;  /* of queues that compute; UINT32_MAX: none */
    uint32_t timestamp_bits;
    double timestamp_period;   /* nanoseconds */
    uint64_t offset_alignment; /* of a storage buffer's part */
    bool size_control;         /* pipelines can be of whole sub-groups of a size that is known */
    bool size_choice;          /* and can be told that size; else there is but one */
    uint64_t max_subgroups;    /* of a work-group, where the size is told */
    bool timeline;             /* semaphores can be of a number */
    bool push_descriptors;     /* a command can name its buffers without a descriptor set */
    bool creation_feedback;    /* the driver tells whether a pipeline came out of its cache */
    bool portability_subset;   /* it has less than all of Vulkan, and that must be agreed to */
    bool rounds_halves;        /* a module can ask for halves that are rounded to nearest */
};

/* What a caller says of his device. */
struct an_vulkan_enabled {
    uint32_t family; /* of queues that the device was made with */
    bool fp64, fp16, storage16, size_control, full_subgroups, timeline, push_descriptors,
        creation_feedback, float_controls;
};

/* Which conversions of halves are the device's own. */
struct an_halves {
    bool loads, stores;
};

/* Around each use of the queue; may be NULL. */
struct an_queue_lock {
    void (*lock)(void *user);
    void (*unlock)(void *user);
    void *user;
};

struct an_vulkan_memory {
    VkBuffer buffer;
    VkDeviceMemory memory;
    char *mapped; /* NULL where the host cannot reach it */
};

/* The commands of one enqueue, and all that they need; kept for the next when they are done. */
struct an_launch {
    VkCommandBuffer commands;
    VkFence fence;
    VkQueryPool times; /* of two; VK_NULL_HANDLE where the queue has no clock */
    VkDescriptorPool pool;
    VkDescriptorSet set;
    uint32_t slots;           /* of the set */
    bool in_flight;           /* submitted, and not yet known to be done */
    uint32_t references;      /* events', under the device's lock */
    struct an_kernel *kernel; /* kept alive while in flight */
    struct an_launch *next;   /* in one of the device's lists */
    struct an_launch *more;   /* of the same enqueue: lends its set only */
};

struct an_launches {
    struct an_launch *free[AN_MOST_SLOTS + 1]; /* by the slots of their sets */
    struct an_launch *oldest, *newest;         /* in flight, in the order of their submission */
};

/* A pipeline and what its launches need. */
struct an_kernel {
    uint32_t references; /* of plans, and of launches in flight; under the device's lock */
    const struct an_module *module;
    uint32_t constants[AN_CONSTANT_COUNT];
    VkPipeline pipeline;
    VkPipelineCache cache;           /* of this one alone: what plan_binary hands out */
    struct an_vulkan_memory moments; /* row_split's scratch, if it has any */
    uint64_t moments_bytes;
    struct an_kernel *next; /* of the device's */
};

struct an_vulkan_device {
    anynorm_device head;
    struct VolkDeviceTable vk;
    struct an_vulkan_instance instance;
    VkPhysicalDevice physical;
    VkDevice handle;
    bool wrapped; /* the caller's */
    struct an_vulkan_features features;
    bool cached; /* keep pipelines in the folder of cache.h */
    VkPhysicalDeviceMemoryProperties memory;
    VkQueue queue; /* VK_NULL_HANDLE: the caller gave none */
    struct an_queue_lock queue_lock;
    an_mutex queue_mutex; /* which that is, where the device is ours */
    VkCommandPool commands;
    VkDescriptorSetLayout set_layouts[AN_MOST_SLOTS + 1]; /* by slots; made when first needed */
    VkPipelineLayout layouts[AN_MOST_SLOTS + 1];
    an_mutex lock; /* of the queue, the command pool, launches, layouts, kernels */
    struct an_launches launches;
    struct an_kernel *kernels; /* the newest first */
    an_mutex kernels_lock;     /* held while one is made */
    an_mutex copy_lock;        /* of what copies need */
    struct an_vulkan_memory staging;
    bool copies_lost; /* whether one still runs is not known */
    an_mutex halves_lock;
    bool halves_asked;
    struct an_halves halves;
};

struct an_vulkan_plan {
    anynorm_plan head;
    struct an_kernel *kernel;
    const struct an_module *module;
    struct an_interface interface;
    struct an_choice choice;    /* in vectors of four */
    uint64_t segments;          /* of a row; 0: the kernel knows none */
    uint64_t split_rows;        /* no more rows than these are split */
    uint64_t moments_row_bytes; /* of row_split's scratch */
};

static inline struct an_vulkan_plan *an_vulkan_plan(anynorm_plan *plan)
{
    return (struct an_vulkan_plan *)(void *)plan;
}

static inline struct an_vulkan_device *an_vulkan(const anynorm_device *device)
{
    return (struct an_vulkan_device *)(void *)device;
}

/* features.c: a physical device, quirks and ANYNORM_CAPS applied; `enabled` NULL: all that it
 * offers. */
anynorm_status an_vulkan_describe(const struct an_vulkan_instance *instance,
                                  VkPhysicalDevice physical,
                                  const struct an_vulkan_enabled *enabled, const char *name,
                                  anynorm_device_info *info, struct an_vulkan_features *features);

#define AN_MOST_EXTENSIONS 6
/* The extensions that kernels and enqueues have a use for, or the device insists on, static, and
 * how many. */
uint32_t an_vulkan_extensions(const struct an_vulkan_features *features,
                              const char *names[AN_MOST_EXTENSIONS]);
/* Of what a caller made his device with, or NULL, that which matters here. */
void an_vulkan_find_enabled(const VkDeviceCreateInfo *info, struct an_vulkan_enabled *enabled);
VkResult an_vulkan_create_device(const struct an_vulkan_instance *instance,
                                 VkPhysicalDevice physical, const anynorm_device_info *info,
                                 const struct an_vulkan_features *features, VkDevice *device);

/* wrap.c */
bool an_is_vulkan(const anynorm_device *device);
anynorm_status an_not_vulkan(void);

/* device.c. Fails where it is too old, or cannot compute; info->unusable then says why. */
anynorm_status an_vulkan_check(const struct an_vulkan_features *features,
                               anynorm_device_info *info);
/* A caller's device. */
struct an_vulkan_given {
    VkDevice device;
    VkQueue queue;
    struct an_queue_lock queue_lock;
    struct an_vulkan_enabled enabled;
};
/* `given` NULL: opens one. */
anynorm_status an_vulkan_device_make(const struct an_vulkan_instance *instance,
                                     VkPhysicalDevice physical, const char *name,
                                     const struct an_vulkan_given *given, anynorm_device **device);

/* memory.c */
anynorm_status an_vulkan_memory_create(anynorm_device *device, uint64_t bytes,
                                       anynorm_buffer *buffer);
void an_vulkan_memory_destroy(anynorm_device *device, anynorm_buffer *buffer);
/* Memory that only the device needs, or one that the host reaches. On failure nothing is left. */
anynorm_status an_vulkan_allocate(struct an_vulkan_device *d, uint64_t bytes, bool host_reaches,
                                  struct an_vulkan_memory *memory);
void an_vulkan_free(struct an_vulkan_device *d, struct an_vulkan_memory *memory);
VkBuffer an_vulkan_buffer(const anynorm_buffer *buffer);
/* Where the host reaches the memory from its start on; NULL: nowhere. */
char *an_vulkan_mapped(const anynorm_buffer *buffer);

/* copy.c */
anynorm_status an_vulkan_memory_write(anynorm_device *device, const anynorm_buffer *buffer,
                                      const void *host, uint64_t bytes);
anynorm_status an_vulkan_memory_read(anynorm_device *device, const anynorm_buffer *buffer,
                                     void *host, uint64_t bytes);
/* A buffer of a few words or more that lives as long as the device. */
anynorm_status an_vulkan_staging(struct an_vulkan_device *d, VkBuffer *buffer);

/* launch.c. UNSUPPORTED where the caller gave no queue. */
anynorm_status an_vulkan_check_queue(const struct an_vulkan_device *d);
/* What follows, up to an_launch_drain, with the device's lock held. Takes back what is done; then a
 * launch with a set of `slots` descriptors, its command buffer ready to be begun. */
anynorm_status an_launch_take(struct an_vulkan_device *d, uint32_t slots,
                              struct an_launch **launch);
/* Gives one back that was not submitted, with its `more`. */
void an_launch_drop(struct an_vulkan_device *d, struct an_launch *launch);
/* Its commands; what the queue wrote before is for their stage `next`. */
anynorm_status an_launch_begin(struct an_vulkan_device *d, const struct an_launch *launch,
                               VkPipelineStageFlags next, VkAccessFlags access);
/* What a submission waits for and signals; values count for semaphores of the timeline kind. */
struct an_semaphores {
    uint32_t wait_count, signal_count;
    VkSemaphore waits[ANYNORM_MAX_WAIT], signals[ANYNORM_MAX_WAIT];
    uint64_t wait_values[ANYNORM_MAX_WAIT], signal_values[ANYNORM_MAX_WAIT];
};
/* Ends and submits it, with one reference for an event; `kernel` and `semaphores` may be NULL.
 * `host_reads`: the host may read what it wrote. */
anynorm_status an_launch_submit(struct an_vulkan_device *d, struct an_launch *launch,
                                struct an_kernel *kernel, bool host_reads,
                                const struct an_semaphores *semaphores);
/* To the device's queue, under its lock; `info` NULL: only the fence. */
VkResult an_queue_submit(struct an_vulkan_device *d, const VkSubmitInfo *info, VkFence fence);
/* Takes back what is done. */
void an_launch_collect(struct an_vulkan_device *d);
void an_launch_release(struct an_vulkan_device *d, struct an_launch *launch);
/* Waits for all that was submitted. */
anynorm_status an_launch_drain(struct an_vulkan_device *d);
/* Of the device, once it is idle. */
void an_launches_free(struct an_vulkan_device *d);
anynorm_status an_vulkan_event_wait(const anynorm_event *event);
anynorm_status an_vulkan_event_elapsed(const anynorm_event *event, uint64_t *nanoseconds);
void an_vulkan_event_release(anynorm_event *event);

/* commands.c. Rows that one dispatch can have. */
struct an_part {
    uint64_t rows;
    VkDescriptorBufferInfo
        buffers[AN_TENSOR_COUNT];     /* of the tensors there are, by enum an_tensor */
    uint32_t offset[AN_TENSOR_COUNT]; /* from there to the tensor's first element */
};
/* What a norm comes to in a command buffer. */
struct an_norm {
    const struct an_vulkan_plan *plan;
    const anynorm_tensors *tensors;
    struct an_stretch stretch; /* its rows */
    uint64_t parts;
    struct an_part first;           /* usually the only one */
    bool split;                     /* across work-groups */
    struct an_parts of_sums;        /* of gradients, which are parts in another sense */
    VkDescriptorBufferInfo moments; /* row_split's scratch: the kernel's, or another's */
};
/* All that can fail: UNSUPPORTED where not even one row lies within what a kernel reaches. */
anynorm_status an_norm_prepare(const struct an_vulkan_device *d, const struct an_vulkan_plan *plan,
                               const anynorm_tensors *tensors, const struct an_stretch *stretch,
                               struct an_norm *norm);
/* The kernel on none; `any` is a buffer of a word or more. */
void an_norm_prepare_empty(const struct an_vulkan_plan *plan, VkBuffer any, struct an_norm *norm);
/* A set for a part, which nothing recorded has; not asked for where there are push descriptors. */
typedef VkDescriptorSet an_next_set(void *sets);
void an_norm_record(struct an_vulkan_device *d, const struct an_norm *norm,
                    VkCommandBuffer commands, an_next_set *next_set, void *sets);
/* All that kernels wrote before, to kernels. */
void an_commands_order(struct an_vulkan_device *d, VkCommandBuffer commands);
/* Whether any tensor can be served. UNSUPPORTED. */
anynorm_status an_vulkan_row_check(const struct an_vulkan_device *d, const anynorm_spec *spec);

/* plan.c */
anynorm_status an_vulkan_spec_check(const anynorm_device *device, const anynorm_spec *spec);
anynorm_status an_vulkan_plan_create(anynorm_device *device, const anynorm_spec *spec,
                                     const struct an_choice *choice, const void *binary,
                                     anynorm_plan **plan, uint64_t *group_limit);
void an_vulkan_plan_destroy(anynorm_plan *plan);

/* pipeline.c. The module of a kernel; NULL: there is none. */
const struct an_module *an_vulkan_module(const anynorm_device_info *info, const anynorm_spec *spec,
                                         const struct an_choice *choice);
/* By its file's name and the features that it is to use, of those that its file knows. */
const struct an_module *an_vulkan_module_named(const char *name, uint32_t variant);
/* Whether an intact binary is of this very plan. UNSUPPORTED. */
anynorm_status an_vulkan_binary_check(const struct an_vulkan_device *d,
                                      const struct an_vulkan_plan *plan, const void *binary);
anynorm_status an_vulkan_plan_binary(anynorm_plan *plan, void **packed, size_t *size);
/* The kernel of the plan's module and constants, with scratch of `moments_bytes` or more; made if
 * there is none, from `binary` if that is not NULL. Without the lock. */
anynorm_status an_kernel_take(struct an_vulkan_device *d, const struct an_vulkan_plan *plan,
                              const struct an_choice *choice, const void *binary,
                              uint64_t moments_bytes, struct an_kernel **kernel);
/* With the lock held. */
void an_kernel_release(struct an_vulkan_device *d, struct an_kernel *kernel);
/* Of the device, once it is idle. */
void an_kernels_free(struct an_vulkan_device *d);

/* halves.c. Which of the device's own conversions are right: found out on its queue the first time,
 * of a caller's device on one of our own. OUT_OF_MEMORY, DEVICE_LOST. */
anynorm_status an_vulkan_halves(struct an_vulkan_device *d, struct an_halves *halves);
/* Asks again. */
anynorm_status an_vulkan_halves_ask(struct an_vulkan_device *d, struct an_halves *halves);

/* enqueue.c. Records and submits; a norm of no parts does nothing. With the lock held. */
anynorm_status an_norm_launch(struct an_vulkan_device *d, const struct an_norm *norm,
                              const struct an_semaphores *semaphores, struct an_launch **launched);
anynorm_status an_vulkan_enqueue(anynorm_plan *plan, const anynorm_tensors *tensors,
                                 const struct an_stretch *stretch, uint32_t wait_count,
                                 const anynorm_event *wait_list, anynorm_event *event);
anynorm_status an_vulkan_plan_warm_up(anynorm_plan *plan, uint64_t rows);

#endif
