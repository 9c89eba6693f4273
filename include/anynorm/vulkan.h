/* anynorm in a program that has its own Vulkan instance, device, queue and buffers.
 *
 * Include after nothing, or after <volk.h>, if the program uses that: this header brings in
 * <vulkan/vulkan.h> and uses only types of Vulkan 1.1 and the two of VK_KHR_timeline_semaphore. The
 * shared library neither links against libvulkan nor exports a symbol of it; all functions are
 * asked of the vkGetInstanceProcAddr that the caller names. A build of the library with
 * -Dvulkan=disabled does not have the functions below.
 *
 * THE TWO WAYS
 *
 *   record   anynorm_vulkan_record puts a norm into the caller's own command buffer, between his
 *            own dispatches. He submits it where, when and as often as he likes; anynorm has no
 *            part in that. No queue is needed.
 *   enqueue  anynorm_vulkan_enqueue, or anynorm_enqueue, submits on the queue that the device was
 *            wrapped with (or that of a device we opened), between the caller's semaphores.
 *
 * WHAT THE DEVICE NEEDS
 *  - Vulkan 1.1, of the instance too, and a queue family with VK_QUEUE_COMPUTE_BIT. No extension
 *    and no feature: f16 and bf16 are then taken out of 32-bit words.
 *  - Every feature that is *enabled* is used, none that is merely supported. Ask
 *    anynorm_vulkan_device_wishes what to enable, and hand in the VkDeviceCreateInfo that the
 * device was made with. shaderFloat64 alone decides what can be served: f64 tensors.
 *  - The first plan that has f16 tensors asks how the physical device rounds these, by a kernel on
 *    a VkDevice that is made for this alone and destroyed at once: where it does as IEEE 754 says,
 *    its own conversions are used, else some in integers. The results are the same, to the bit.
 *  - ANYNORM_CAPS and the rest of the environment apply as to any device.
 *
 * WHO OWNS WHAT UNTIL WHEN
 *  - Instance, device and queue are the caller's and must outlive the anynorm_device, all its plans
 *    and recordings, of which each keeps the anynorm_device (not the VkDevice) alive. What anynorm
 *    made on the VkDevice is gone when the last of these is closed or destroyed.
 *  - Buffers must live, and inputs stay unchanged, until the commands that name them are done.
 *  - Semaphores and fences must live until the work that waits for or signals them is done.
 *  - A plan may be destroyed at once: recordings and enqueues keep the pipeline that they use.
 *
 * THREADS
 * Functions take any thread unless they say otherwise. What Vulkan calls externally synchronized
 * remains so: of the command buffer that is recorded, and its pool, the caller takes care; of the
 * queue see anynorm_vulkan_handles. anynorm submits to that queue in anynorm_vulkan_enqueue,
 * anynorm_enqueue, anynorm_plan_warm_up, anynorm_buffer_write, anynorm_buffer_read and anynorm_run,
 * and in no other function. It never waits for the queue or the device to be idle, only for fences
 * of its own: in anynorm_event_wait, the three that copy, anynorm_plan_warm_up, and when a wrapped
 * device goes, for what was enqueued on it. A semaphore that nobody signals makes these wait for
 * ever.
 */
#ifndef ANYNORM_VULKAN_H
#define ANYNORM_VULKAN_H

#include <vulkan/vulkan.h>

#include <anynorm/anynorm.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Device ---------------------------------------------------------------------------------- */

/* A Vulkan device and its circumstances. Zero every field that is not set. */
typedef struct anynorm_vulkan_handles {
    PFN_vkGetInstanceProcAddr get_instance_proc_addr; /* that the instance was made with; NULL: the
                                                         system's libvulkan */
    VkInstance instance;
    VkPhysicalDevice physical_device; /* of the instance */
    VkDevice device;                  /* of the physical device, and no device group */
    VkQueue queue;                    /* VK_NULL_HANDLE: recording only */
    uint32_t queue_family;            /* of the queue. Must compute. Without a queue: any that the
                                         device was made with and that computes */
    uint32_t api_version;             /* VkApplicationInfo.apiVersion; 0: Vulkan 1.1 */
    const VkDeviceCreateInfo *created_with; /* as vkCreateDevice had it, with its pNext chain,
                                               pEnabledFeatures and names of extensions; read
                                               during the call only. NULL: nothing is enabled */

    /* Called around each vkQueueSubmit to the queue, on the thread that is in the call of anynorm;
     * neither may call anynorm. Both NULL: then the caller sees to it that nobody uses the queue
     * while any thread is in one of the functions named above. */
    void (*lock_queue)(void *user);
    void (*unlock_queue)(void *user);
    void *queue_user;
} anynorm_vulkan_handles;

/* What to enable on a device so that anynorm is at its best there: features by the names they have
 * in Vulkan's structures, true where the physical device has them and anynorm has a use. */
typedef struct anynorm_vulkan_wishes {
    bool shader_float64;              /* VkPhysicalDeviceFeatures: f64 tensors */
    bool storage_buffer_16bit_access; /* VkPhysicalDevice16BitStorageFeatures, or Vulkan11: faster
                                         f16 and bf16 */
    bool subgroup_size_control;  /* VkPhysicalDeviceSubgroupSizeControlFeatures, or Vulkan13: faster
                                    sums; with the next one or not at all */
    bool compute_full_subgroups; /* likewise */
    bool timeline_semaphore;     /* VkPhysicalDeviceTimelineSemaphoreFeatures, or Vulkan12: values
                                    in anynorm_vulkan_enqueue */
    uint32_t extension_count;
    const char *extensions[8]; /* by name, static; VK_KHR_push_descriptor, those that the features
                                  above need at this api_version, and, where the device has it,
                                  VK_KHR_portability_subset, without which it must not be made */
} anynorm_vulkan_wishes;

/* Of *handles only get_instance_proc_addr, instance, physical_device and api_version are read, so
 * that it can be asked before the device is made. ANYNORM_CAPS and the driver's quirks apply.
 * INVALID_ARGUMENT: a handle is NULL, or the physical device not of the instance; or a bad
 * ANYNORM_CAPS or ANYNORM_QUIRKS. UNSUPPORTED: no libvulkan, instance or device are older than
 * Vulkan 1.1, or the device has no queue that computes. DEVICE_LOST: it tells of no memory. */
ANYNORM_API anynorm_status anynorm_vulkan_device_wishes(const anynorm_vulkan_handles *handles,
                                                        anynorm_vulkan_wishes *wishes);

/* Makes a device of the caller's, to be closed with anynorm_device_close. Its id is
 * "vulkan:wrapped". Without a queue, the functions that submit (see THREADS) are UNSUPPORTED, but
 * anynorm_buffer_write and _read work on memory of anynorm_buffer_create that the host shares.
 * INVALID_ARGUMENT: as anynorm_vulkan_device_wishes; no device; a family that does not compute or
 * that the device, by `created_with`, was made without; one of the two lock functions; a bad
 * ANYNORM_CACHE. UNSUPPORTED: as anynorm_vulkan_device_wishes. OUT_OF_MEMORY, DEVICE_LOST. */
ANYNORM_API anynorm_status anynorm_vulkan_device_wrap(const anynorm_vulkan_handles *handles,
                                                      anynorm_device **device);

/* What is behind a device, for programs that start from one that anynorm_device_open opened. Valid
 * until it is closed; nothing is the caller's to destroy. `created_with` is NULL: a device that we
 * opened has what anynorm_vulkan_device_wishes names enabled, and nothing else. The queue is ours:
 * the caller calls lock_queue(queue_user) before and unlock_queue(queue_user) after each use, and
 * no function of anynorm between. Of a wrapped device it is what the caller handed in.
 * INVALID_ARGUMENT: not a Vulkan device. */
ANYNORM_API anynorm_status anynorm_vulkan_device_handles(const anynorm_device *device,
                                                         anynorm_vulkan_handles *handles);

/* ---- Buffer ---------------------------------------------------------------------------------- */

/* Describes the caller's VkBuffer as a buffer with offset 0; allocates nothing, and there is
 * nothing to destroy. `bytes` is the VkBuffer's size, a multiple of 4, since kernels reach memory
 * by whole words: a tensor ends where it ends, but words that it shares with other data are read
 * whole and, where 16-bit storage is not enabled, written by atomic operations that keep the other
 * bytes.
 *
 * The VkBuffer must be of the same VkDevice, bound to memory, not sparse, made with
 * VK_BUFFER_USAGE_STORAGE_BUFFER_BIT, and owned by the queue family (or shared by several) where
 * its commands run. anynorm_buffer_read wants VK_BUFFER_USAGE_TRANSFER_SRC_BIT as well, and
 * anynorm_buffer_write VK_BUFFER_USAGE_TRANSFER_DST_BIT. None of this can be checked. Neither can
 * it be seen whether two VkBuffers are bound to the same memory: they must not overlap but where
 * anynorm_enqueue allows it, and there be one VkBuffer. Buffers of one VkDevice serve every
 * anynorm_device that wraps it.
 * INVALID_ARGUMENT: not a Vulkan device, no VkBuffer, or bad bytes. UNSUPPORTED: on a 32-bit
 * machine, a handle that no pointer holds. */
ANYNORM_API anynorm_status anynorm_vulkan_buffer_wrap(anynorm_device *device, VkBuffer memory,
                                                      uint64_t bytes, anynorm_buffer *buffer);

/* ---- Record ---------------------------------------------------------------------------------- */

/* What recorded commands need until they are done for the last time: descriptor sets, memory for
 * the sums of rows that are split, and pipelines. Usually there is one beside each command buffer,
 * made, reset and destroyed with it; it may also serve several that are reset together. One thread
 * at a time, as with a VkCommandPool. */
typedef struct anynorm_vulkan_recording anynorm_vulkan_recording;

/* Allocates no device memory yet. INVALID_ARGUMENT: not a Vulkan device. OUT_OF_MEMORY. */
ANYNORM_API anynorm_status anynorm_vulkan_recording_create(anynorm_device *device,
                                                           anynorm_vulkan_recording **recording);

/* Forgets all that was recorded with it, and keeps the memory for what will be: from the second
 * time on, recording the same norms allocates nothing. The command buffers must not be pending, and
 * are invalid from then on: reset, begin or free them. INVALID_ARGUMENT. OUT_OF_MEMORY,
 * DEVICE_LOST: the driver's word; the recording can then only be destroyed. */
ANYNORM_API anynorm_status anynorm_vulkan_recording_reset(anynorm_vulkan_recording *recording);

/* Likewise, but gives everything back. */
ANYNORM_API void anynorm_vulkan_recording_destroy(anynorm_vulkan_recording *recording);

/* Records the plan on `rows` rows into `commands`, a primary or secondary command buffer in the
 * recording state, outside a render pass, of any queue family that computes. May be called as often
 * as wanted with one recording. What is written and refused is as anynorm_enqueue says; 0 rows
 * record nothing. The bits are those of anynorm_enqueue on as many rows.
 *
 * Recorded are a bound compute pipeline, descriptor set 0 of the compute bind point, 128 bytes of
 * push constants or less, and one dispatch; of few long rows two, and of tensors larger than a
 * kernel reaches (anynorm_device_info.max_range_bytes) one for each part. Of what the caller had
 * bound for compute nothing may be counted on afterwards; graphics state stays.
 *
 * Barriers. Those between our own dispatches are recorded, on memory of the recording too: the same
 * commands may run again and again. The caller's are:
 *   before   whatever wrote the inputs, and whatever read or wrote the memory of the outputs, made
 *            available to VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT with VK_ACCESS_SHADER_READ_BIT (the
 *            inputs) and VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT (the outputs, which
 *            share words with their neighbours)
 *   after    from VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT with VK_ACCESS_SHADER_WRITE_BIT to whatever
 *            reads or overwrites the outputs; and, without any access, to whatever overwrites the
 *            inputs
 * Between the caller's dispatch, ours and his next, one VkMemoryBarrier from compute shader's write
 * to compute shader's read and write on each side does it. Two norms, of which neither takes what
 * the other writes, need none between them.
 *
 * The command buffer may be submitted any number of times, to any queue of its family. Executions
 * write the same outputs, so a second one must wait for the first, by a barrier on the same queue
 * or a semaphore; then both may be pending at once (VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT).
 *
 * Any thread, one for a recording; the plan may be in use by others. INVALID_ARGUMENT: as
 * anynorm_enqueue, or plan and recording are not of one Vulkan device. UNSUPPORTED: a row, or the
 * parameters, reach further than the device's kernels. OUT_OF_MEMORY, DEVICE_LOST. On failure
 * nothing is recorded; memory taken up to then is kept for later. */
ANYNORM_API anynorm_status anynorm_vulkan_record(anynorm_plan *plan,
                                                 anynorm_vulkan_recording *recording,
                                                 VkCommandBuffer commands,
                                                 const anynorm_tensors *tensors, uint64_t rows);

/* ---- Enqueue --------------------------------------------------------------------------------- */

/* A semaphore of the device; `value` is 0 for a binary one, and what is waited for or signalled for
 * one of VK_SEMAPHORE_TYPE_TIMELINE. */
typedef struct anynorm_vulkan_semaphore {
    VkSemaphore semaphore;
    uint64_t value;
} anynorm_vulkan_semaphore;

/* anynorm_enqueue, on the same queue, between the caller's semaphores: the work starts after all of
 * `waits` and what was enqueued on this device before, and then signals `signals` and, unless it is
 * VK_NULL_HANDLE, `fence` (unsignalled, and of no pending submission). *event, where `event` is not
 * NULL, is to be released as ever. 0 rows only wait and signal.
 *
 * Barriers are ours here: on the queue, the work is ordered after the writes and before the reads
 * of shaders that compute and of transfers that other calls of anynorm submit. Against the caller's
 * own submissions it is ordered by the semaphores, which order everything; without them, an enqueue
 * starts after compute shaders and transfers submitted to the queue before, and the caller's later
 * commands need a barrier from VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT with
 * VK_ACCESS_SHADER_WRITE_BIT. What is written is available to the host once the event or the fence
 * is done (memory that is not coherent must still be invalidated).
 *
 * At most ANYNORM_MAX_WAIT of each. INVALID_ARGUMENT: as anynorm_enqueue; not a Vulkan plan; a NULL
 * semaphore; a list and its count do not agree; a value without timeline_semaphore enabled.
 * UNSUPPORTED: the device has no queue. OUT_OF_MEMORY, DEVICE_LOST: if the message names the fence,
 * the work was submitted all the same, and its semaphores are signalled. */
ANYNORM_API anynorm_status anynorm_vulkan_enqueue(
    anynorm_plan *plan, const anynorm_tensors *tensors, uint64_t rows, uint32_t wait_count,
    const anynorm_vulkan_semaphore *waits, uint32_t signal_count,
    const anynorm_vulkan_semaphore *signals, VkFence fence, anynorm_event *event);

#ifdef __cplusplus
}
#endif

#endif
