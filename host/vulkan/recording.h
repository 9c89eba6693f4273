/* What a recording keeps until it is reset. */
#ifndef AN_VULKAN_RECORDING_H
#define AN_VULKAN_RECORDING_H

#include "vulkan/vulkan_backend.h"

struct anynorm_vulkan_recording {
    struct an_vulkan_device *device; /* which it keeps alive */
    struct an_set_pool *pools;
    struct an_scratch_block *blocks;
    VkDescriptorSet *sets; /* one for each part, in their order; none with push descriptors */
    size_t set_count, set_room;
    struct an_kernel **kernels; /* each once, with a reference */
    size_t kernel_count, kernel_room;
};

anynorm_status an_recording_keep(struct anynorm_vulkan_recording *recording,
                                 struct an_kernel *kernel);
/* Memory that nothing else recorded has. */
anynorm_status an_recording_scratch(struct anynorm_vulkan_recording *recording, uint64_t bytes,
                                    VkDescriptorBufferInfo *scratch);
anynorm_status an_recording_add_set(struct anynorm_vulkan_recording *recording, uint32_t slots,
                                    VkDescriptorSet *set);

#endif
