#!/bin/bash
# Mesa 22.3.6, lavapipe: branches that a specialization constant rules out cost as much as if they ran.
#
# A shader of many variants, each behind a test of one constant, is what specialization constants are for: the driver
# knows their values when it makes the pipeline. But it inlines every function and simplifies the whole before it
# drops what is never taken: here 120 functions of which one runs, and the same module with the constant put in and
# the dead code taken out by spirv-opt beforehand. The code is Mesa's common path for SPIR-V, before any code for a
# device is made.
# Seen 2026-12-01 on an x86-64 CPU: vkCreateComputePipelines 0.11 to 0.15 s as it is, 0.004 s of the small module.
# Fails when the first takes no longer ten times as long as the second.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq download mesa-vulkan-drivers=22.3.6-1+deb12u2 libllvm15=1:15.0.6-4+b1 libvulkan1=1.3.239.0-1 \
    libvulkan-dev=1.3.239.0-1 glslang-tools=12.0.0-2 spirv-tools=2023.1-2
for package in *.deb; do dpkg -x "$package" .; done
export PATH=$folder/usr/bin:$PATH LD_LIBRARY_PATH=$folder/usr/lib/x86_64-linux-gnu:$folder/usr/lib/llvm-15/lib
cat >lavapipe.json <<END
{"file_format_version": "1.0.0", "ICD": {"api_version": "1.3.230",
 "library_path": "$folder/usr/lib/x86_64-linux-gnu/libvulkan_lvp.so"}}
END
export VK_DRIVER_FILES=$folder/lavapipe.json VK_ICD_FILENAMES=$folder/lavapipe.json MESA_SHADER_CACHE_DISABLE=true

python3 - >shader.comp <<'END'
COUNT = 120
print("#version 450\nlayout(constant_id = 0) const uint WHICH = 0;")
print("layout(local_size_x = 64) in;\nlayout(binding = 0) buffer Data { uint data[]; };")
print("uint fetch(uint i) { if ((i & 1) == 0) return data[i]; return data[i ^ 5] * 3; }")
for i in range(COUNT):
    print(f"uint variant{i}(uint x) {{ for (uint k = 0; k < {i + 2}; k++) {{ x = x * {2 * i + 3} + fetch(x & 63);"
          f" if (x > {i * 977}) x ^= fetch(k); }} return x; }}")
print("void main() { uint x = gl_GlobalInvocationID.x;")
for i in range(COUNT):
    print(f"if (WHICH == {i}) x = variant{i}(x);")
print("data[gl_GlobalInvocationID.x] = x; }")
END
glslangValidator -S comp --target-env vulkan1.1 -o whole.spv shader.comp >log
spirv-opt whole.spv -o small.spv --set-spec-const-default-value="0:7" --freeze-spec-const \
    --fold-spec-const-op-composite --eliminate-dead-branches --eliminate-dead-functions

cat >time.c <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <vulkan/vulkan.h>

static void check(VkResult result) { if (result != VK_SUCCESS) exit(3); }

int main(int argc, char **argv)
{
    static uint32_t words[1 << 20];
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    size_t bytes = file ? fread(words, 1, sizeof words, file) : 0;
    VkApplicationInfo app = {VK_STRUCTURE_TYPE_APPLICATION_INFO, .apiVersion = VK_API_VERSION_1_1};
    VkInstanceCreateInfo instance_info = {VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &app};
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    uint32_t one = 1;
    check(vkCreateInstance(&instance_info, NULL, &instance));
    check(vkEnumeratePhysicalDevices(instance, &one, &physical));
    float priority = 1;
    VkDeviceQueueCreateInfo queue = {VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueCount = 1,
                                     .pQueuePriorities = &priority};
    VkDeviceCreateInfo device_info = {VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .queueCreateInfoCount = 1,
                                      .pQueueCreateInfos = &queue};
    check(vkCreateDevice(physical, &device_info, NULL, &device));
    VkDescriptorSetLayoutBinding binding = {0, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, NULL};
    VkDescriptorSetLayoutCreateInfo set_info = {VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
                                                .bindingCount = 1, .pBindings = &binding};
    VkDescriptorSetLayout set;
    check(vkCreateDescriptorSetLayout(device, &set_info, NULL, &set));
    VkPipelineLayoutCreateInfo layout_info = {VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                              .setLayoutCount = 1, .pSetLayouts = &set};
    VkPipelineLayout layout;
    check(vkCreatePipelineLayout(device, &layout_info, NULL, &layout));
    VkShaderModuleCreateInfo module_info = {VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = bytes, .pCode = words};
    VkShaderModule module;
    check(vkCreateShaderModule(device, &module_info, NULL, &module));
    uint32_t which = 7;
    VkSpecializationMapEntry entry = {0, 0, sizeof which};
    VkSpecializationInfo constants = {1, &entry, sizeof which, &which};
    VkComputePipelineCreateInfo info = {VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO, .layout = layout,
                                        .stage = {VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                                                  .stage = VK_SHADER_STAGE_COMPUTE_BIT, .module = module,
                                                  .pName = "main", .pSpecializationInfo = &constants}};
    VkPipeline pipeline;
    struct timespec begun, ended;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begun);
    check(vkCreateComputePipelines(device, VK_NULL_HANDLE, 1, &info, NULL, &pipeline));
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ended);
    printf("%.4f\n", (double)(ended.tv_sec - begun.tv_sec) + 1e-9 * (double)(ended.tv_nsec - begun.tv_nsec));
    return 0;
}
END
gcc -O1 -I"$folder/usr/include" time.c -o time -L"$folder/usr/lib/x86_64-linux-gnu" -lvulkan
whole=$(./time whole.spv)
small=$(./time small.spv)
echo "seconds for a pipeline: $whole with the constant given to the driver, $small with it put in beforehand"
awk -v whole="$whole" -v small="$small" 'BEGIN { exit !(whole > 10 * small) }'
