/* Lists what the library compiles with OpenCL for GPUs that need not be here, for
 * ci/compile-kernels:
 *
 *     kernel_configurations FOLDER quick|all [TARGET...]
 *
 * makes plans on described devices (all, or the targets that are named), whose driver is a table of
 * functions below that compiles nothing; writes each program to FOLDER/PROGRAM.cl, and to stdout
 * the lines of configurations.h.
 */
#include "configurations.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opencl/opencl_backend.h"
#include "opencl/sources.h"
#include "base/status.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* ---- The devices ---- */

/* Queries of OpenCL 2.1 and of vendors' extensions. */
#define MAX_NUM_SUB_GROUPS 0x105c
#define WARP_SIZE_NV 0x4003
#define MAX_WORK_GROUP_SIZE_AMD 0x4031 /* that a kernel may ask for by an attribute of its own */
#define WAVEFRONT_WIDTH_AMD 0x4043
#define SUB_GROUP_SIZES_INTEL 0x4108

/* An answer to clGetDeviceInfo: the one of text, sizes and number that is there. */
struct fact {
    cl_device_info what;
    cl_ulong number;
    const char *text;
    size_t sizes[3]; /* as many as are not 0 */
};

#define MOST_FACTS 16 /* and an empty one, which ends the list */

/* What all devices of a vendor answer, as their drivers' published reports have it; of extensions,
 * those that are about kernels. */
struct vendor {
    const char *platform;
    struct fact facts[MOST_FACTS + 1];
};

static const struct fact of_all[] = {
    {CL_DEVICE_TYPE, .number = CL_DEVICE_TYPE_GPU},
    {CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, .number = 1},
    {CL_DEVICE_PREFERRED_VECTOR_WIDTH_FLOAT, .number = 1},
    {CL_DEVICE_LOCAL_MEM_TYPE, .number = CL_LOCAL},
    {CL_DEVICE_COMPILER_AVAILABLE, .number = CL_TRUE},
    {CL_DEVICE_AVAILABLE, .number = CL_TRUE},
    {CL_DEVICE_ADDRESS_BITS, .number = 64},
    {CL_DEVICE_MEM_BASE_ADDR_ALIGN, .number = 1024},
    {.what = 0},
};

static const struct vendor intel = {
    "Intel(R) OpenCL Graphics",
    {
        {CL_DEVICE_VENDOR, .text = "Intel(R) Corporation"},
        {CL_DEVICE_VENDOR_ID, .number = 0x8086},
        {CL_DEVICE_VERSION, .text = "OpenCL 3.0 NEO"},
        {CL_DRIVER_VERSION, .text = "22.43.24595"},
        {CL_DEVICE_LOCAL_MEM_SIZE, .number = 64 * KIB},
        {CL_DEVICE_MAX_MEM_ALLOC_SIZE, .number = 4 * GIB - 4 * KIB},
        {SUB_GROUP_SIZES_INTEL, .sizes = {8, 16, 32}},
    },
};

#define INTEL_EXTENSIONS                                                                           \
    "cl_khr_byte_addressable_store cl_khr_fp16 cl_khr_subgroups cl_intel_subgroups "               \
    "cl_intel_required_subgroup_size cl_intel_subgroups_short cl_intel_subgroups_char "            \
    "cl_intel_subgroups_long cl_khr_subgroup_extended_types cl_khr_subgroup_shuffle "              \
    "cl_khr_subgroup_shuffle_relative cl_khr_il_program"

static const struct vendor amd = {
    "AMD Accelerated Parallel Processing",
    {
        {CL_DEVICE_VENDOR, .text = "Advanced Micro Devices, Inc."},
        {CL_DEVICE_VENDOR_ID, .number = 0x1002},
        {CL_DEVICE_VERSION, .text = "OpenCL 2.0 "},
        {CL_DRIVER_VERSION, .text = "3590.0 (HSA1.1,LC)"},
        {CL_DEVICE_EXTENSIONS, .text = "cl_khr_fp64 cl_khr_fp16 cl_khr_byte_addressable_store "
                                       "cl_amd_device_attribute_query cl_amd_media_ops "
                                       "cl_khr_subgroups cl_amd_assembly_program"},
        {CL_DEVICE_MAX_WORK_GROUP_SIZE, .number = 256},
        {MAX_WORK_GROUP_SIZE_AMD, .number = 1024},
        {CL_DEVICE_LOCAL_MEM_SIZE, .number = 64 * KIB},
    },
};

static const struct vendor nvidia = {
    "NVIDIA CUDA",
    {
        {CL_DEVICE_VENDOR, .text = "NVIDIA Corporation"},
        {CL_DEVICE_VENDOR_ID, .number = 0x10de},
        {CL_DEVICE_VERSION, .text = "OpenCL 3.0 CUDA"},
        {CL_DRIVER_VERSION, .text = "580.82"},
        {CL_DEVICE_EXTENSIONS,
         .text = "cl_khr_byte_addressable_store cl_khr_fp64 cl_nv_compiler_options "
                 "cl_nv_device_attribute_query cl_nv_pragma_unroll "
                 "cl_khr_int64_base_atomics cl_khr_device_uuid"},
        {CL_DEVICE_MAX_WORK_GROUP_SIZE, .number = 1024},
        {CL_DEVICE_LOCAL_MEM_SIZE, .number = 48 * KIB},
        {WARP_SIZE_NV, .number = 32},
    },
};

static const struct vendor none = {.platform = "any"};

static const struct target {
    const char *name; /* as ci/compile-kernels knows its compiler */
    const struct vendor *vendor;
    struct {
        const char *device;
        cl_ulong units, memory, cache;
    } chip;
    struct fact own[MOST_FACTS + 1]; /* before the vendor's */
} targets[] = {
    {"skl",
     &intel,
     {"Intel(R) HD Graphics 530", 24, 12 * GIB, 512 * KIB},
     {{CL_DEVICE_MAX_WORK_GROUP_SIZE, .number = 256},
      {MAX_NUM_SUB_GROUPS, .number = 32},
      {CL_DEVICE_HOST_UNIFIED_MEMORY, .number = CL_TRUE},
      {CL_DEVICE_EXTENSIONS, .text = INTEL_EXTENSIONS " cl_khr_fp64"}}},
    {"tgllp",
     &intel,
     {"Intel(R) Iris(R) Xe Graphics", 96, 12 * GIB, 3840 * KIB},
     {{CL_DEVICE_MAX_WORK_GROUP_SIZE, .number = 512},
      {MAX_NUM_SUB_GROUPS, .number = 64},
      {CL_DEVICE_HOST_UNIFIED_MEMORY, .number = CL_TRUE},
      {CL_DEVICE_EXTENSIONS, .text = INTEL_EXTENSIONS}}},
    {"dg2",
     &intel,
     {"Intel(R) Arc(TM) A770 Graphics", 512, 16 * GIB, 16 * MIB},
     {{CL_DEVICE_MAX_WORK_GROUP_SIZE, .number = 1024},
      {MAX_NUM_SUB_GROUPS, .number = 128},
      {CL_DEVICE_EXTENSIONS, .text = INTEL_EXTENSIONS}}},
    {"mtl",
     &intel,
     {"Intel(R) Arc(TM) Graphics", 128, 12 * GIB, 4 * MIB},
     {{CL_DEVICE_MAX_WORK_GROUP_SIZE, .number = 1024},
      {MAX_NUM_SUB_GROUPS, .number = 128},
      {CL_DEVICE_HOST_UNIFIED_MEMORY, .number = CL_TRUE},
      {CL_DRIVER_VERSION, .text = "26.27.39122"},
      {CL_DEVICE_EXTENSIONS, .text = INTEL_EXTENSIONS " cl_khr_fp64"}}},
    {"pvc",
     &intel,
     {"Intel(R) Data Center GPU Max 1100", 448, 48 * GIB, 108 * MIB},
     {{CL_DEVICE_MAX_WORK_GROUP_SIZE, .number = 1024},
      {CL_DEVICE_LOCAL_MEM_SIZE, .number = 128 * KIB},
      {MAX_NUM_SUB_GROUPS, .number = 64},
      {SUB_GROUP_SIZES_INTEL, .sizes = {16, 32}},
      {CL_DRIVER_VERSION, .text = "26.27.39122"},
      {CL_DEVICE_EXTENSIONS, .text = INTEL_EXTENSIONS " cl_khr_fp64"}}},
    {"bmg",
     &intel,
     {"Intel(R) Arc(TM) B580 Graphics", 160, 12 * GIB, 18 * MIB},
     {{CL_DEVICE_MAX_WORK_GROUP_SIZE, .number = 1024},
      {CL_DEVICE_LOCAL_MEM_SIZE, .number = 128 * KIB},
      {MAX_NUM_SUB_GROUPS, .number = 64},
      {SUB_GROUP_SIZES_INTEL, .sizes = {16, 32}},
      {CL_DRIVER_VERSION, .text = "26.27.39122"},
      {CL_DEVICE_EXTENSIONS, .text = INTEL_EXTENSIONS " cl_khr_fp64"}}},
    {"lnl",
     &intel,
     {"Intel(R) Arc(TM) 140V GPU", 64, 16 * GIB, 8 * MIB},
     {{CL_DEVICE_MAX_WORK_GROUP_SIZE, .number = 1024},
      {CL_DEVICE_LOCAL_MEM_SIZE, .number = 128 * KIB},
      {MAX_NUM_SUB_GROUPS, .number = 64},
      {SUB_GROUP_SIZES_INTEL, .sizes = {16, 32}},
      {CL_DEVICE_HOST_UNIFIED_MEMORY, .number = CL_TRUE},
      {CL_DRIVER_VERSION, .text = "26.27.39122"},
      {CL_DEVICE_EXTENSIONS, .text = INTEL_EXTENSIONS " cl_khr_fp64"}}},
    {"ptl",
     &intel,
     {"Intel(R) Arc(TM) B390 GPU", 96, 16 * GIB, 16 * MIB},
     {{CL_DEVICE_MAX_WORK_GROUP_SIZE, .number = 1024},
      {CL_DEVICE_LOCAL_MEM_SIZE, .number = 128 * KIB},
      {MAX_NUM_SUB_GROUPS, .number = 64},
      {SUB_GROUP_SIZES_INTEL, .sizes = {16, 32}},
      {CL_DEVICE_HOST_UNIFIED_MEMORY, .number = CL_TRUE},
      {CL_DRIVER_VERSION, .text = "26.27.39122"},
      {CL_DEVICE_EXTENSIONS, .text = INTEL_EXTENSIONS " cl_khr_fp64"}}},
    {"gfx90a",
     &amd,
     {"gfx90a", 104, 64 * GIB, 16 * KIB},
     {{CL_DEVICE_MAX_MEM_ALLOC_SIZE, .number = 54 * GIB},
      {WAVEFRONT_WIDTH_AMD, .number = 64},
      {MAX_NUM_SUB_GROUPS, .number = 4}}},
    {"gfx942",
     &amd,
     {"gfx942", 304, 192 * GIB, 32 * KIB},
     {{CL_DEVICE_MAX_MEM_ALLOC_SIZE, .number = 163 * GIB},
      {WAVEFRONT_WIDTH_AMD, .number = 64},
      {MAX_NUM_SUB_GROUPS, .number = 4}}},
    {"gfx950",
     &amd,
     {"gfx950", 256, 288 * GIB, 32 * KIB},
     {{CL_DEVICE_MAX_MEM_ALLOC_SIZE, .number = 244 * GIB},
      {CL_DEVICE_LOCAL_MEM_SIZE, .number = 160 * KIB},
      {WAVEFRONT_WIDTH_AMD, .number = 64},
      {MAX_NUM_SUB_GROUPS, .number = 4}}},
    {"gfx1030",
     &amd,
     {"gfx1030", 40, 16 * GIB, 16 * KIB},
     {{CL_DEVICE_MAX_MEM_ALLOC_SIZE, .number = 13 * GIB},
      {WAVEFRONT_WIDTH_AMD, .number = 32},
      {MAX_NUM_SUB_GROUPS, .number = 8}}},
    {"gfx1100",
     &amd,
     {"gfx1100", 48, 24 * GIB, 32 * KIB},
     {{CL_DEVICE_MAX_MEM_ALLOC_SIZE, .number = 20 * GIB},
      {WAVEFRONT_WIDTH_AMD, .number = 32},
      {MAX_NUM_SUB_GROUPS, .number = 8}}},
    {"gfx1151",
     &amd,
     {"gfx1151", 20, 64 * GIB, 32 * KIB},
     {{CL_DEVICE_MAX_MEM_ALLOC_SIZE, .number = 54 * GIB},
      {CL_DEVICE_HOST_UNIFIED_MEMORY, .number = CL_TRUE},
      {WAVEFRONT_WIDTH_AMD, .number = 32},
      {MAX_NUM_SUB_GROUPS, .number = 8}}},
    {"gfx1201",
     &amd,
     {"gfx1201", 32, 16 * GIB, 32 * KIB},
     {{CL_DEVICE_MAX_MEM_ALLOC_SIZE, .number = 13 * GIB},
      {WAVEFRONT_WIDTH_AMD, .number = 32},
      {MAX_NUM_SUB_GROUPS, .number = 8}}},
    /* No report of it is public yet: local memory as LLVM's AMDGPU guide has it, the rest as those
     * before it. */
    {"gfx1250",
     &amd,
     {"gfx1250", 256, 288 * GIB, 32 * KIB},
     {{CL_DEVICE_MAX_MEM_ALLOC_SIZE, .number = 244 * GIB},
      {CL_DEVICE_LOCAL_MEM_SIZE, .number = 320 * KIB},
      {WAVEFRONT_WIDTH_AMD, .number = 32},
      {MAX_NUM_SUB_GROUPS, .number = 8}}},
    {"sm_75",
     &nvidia,
     {"Tesla T4", 40, 15 * GIB, 1280 * KIB},
     {{CL_DEVICE_MAX_MEM_ALLOC_SIZE, .number = 3 * GIB}}},
    {"sm_80",
     &nvidia,
     {"NVIDIA A100-SXM4-40GB", 108, 40 * GIB, 3024 * KIB},
     {{CL_DEVICE_MAX_MEM_ALLOC_SIZE, .number = 10 * GIB}}},
    {"sm_90",
     &nvidia,
     {"NVIDIA H100 80GB HBM3", 132, 80 * GIB, 4224 * KIB},
     {{CL_DEVICE_MAX_MEM_ALLOC_SIZE, .number = 20 * GIB}}},
    {"sm_100",
     &nvidia,
     {"NVIDIA B200", 148, 178 * GIB, 4736 * KIB},
     {{CL_DEVICE_MAX_MEM_ALLOC_SIZE, .number = 44 * GIB}}},
    {"sm_120",
     &nvidia,
     {"NVIDIA GeForce RTX 5090", 170, 31 * GIB, 5440 * KIB},
     {{CL_DEVICE_MAX_MEM_ALLOC_SIZE, .number = 8 * GIB}}},
    {"sm_121",
     &nvidia,
     {"NVIDIA GB10", 48, 119 * GIB, 1536 * KIB},
     {{CL_DEVICE_MAX_MEM_ALLOC_SIZE, .number = 30 * GIB}}},
    /* SPIR-V: GPUs that are none of those above, one with little more than OpenCL 1.2 demands (a
     * phone's, Mesa's), one with sub-groups and double precision. */
    {"spirv",
     &none,
     {"a GPU of OpenCL 1.2", 8, 2 * GIB, 0},
     {{CL_DEVICE_VERSION, .text = "OpenCL 1.2"},
      {CL_DEVICE_MAX_WORK_GROUP_SIZE, .number = 64},
      {CL_DEVICE_LOCAL_MEM_SIZE, .number = 32 * KIB},
      {CL_DEVICE_MAX_MEM_ALLOC_SIZE, .number = 512 * MIB},
      {CL_DEVICE_HOST_UNIFIED_MEMORY, .number = CL_TRUE}}},
    {"spirv",
     &none,
     {"a GPU of OpenCL 3.0", 64, 16 * GIB, 4 * MIB},
     {{CL_DEVICE_VERSION, .text = "OpenCL 3.0"},
      {CL_DEVICE_MAX_WORK_GROUP_SIZE, .number = 1024},
      {CL_DEVICE_LOCAL_MEM_SIZE, .number = 64 * KIB},
      {CL_DEVICE_MAX_MEM_ALLOC_SIZE, .number = 4 * GIB},
      {MAX_NUM_SUB_GROUPS, .number = 32},
      {CL_DEVICE_EXTENSIONS, .text = "cl_khr_fp16 cl_khr_fp64 cl_khr_subgroups"}}},
};

/* ---- Their driver: answers from the facts, and notes what is built ---- */

static const struct target *current;

/* What the last plan's kernel is of: the name in an_sources, NULL for none of them. */
static struct {
    const char *program;
    char options[CONFIGURATION_OPTIONS];
} built;

static const struct fact *find_fact(const struct fact *facts, cl_device_info what)
{
    for (; facts->what; facts++) {
        if (facts->what == what)
            return facts;
    }
    return NULL;
}

/* Hands out `bytes` as clGet...Info functions do. */
static cl_int answer(const void *from, size_t bytes, size_t room, void *value, size_t *size)
{
    if (size)
        *size = bytes;
    if (!value)
        return CL_SUCCESS;
    if (room < bytes)
        return CL_INVALID_VALUE;
    memcpy(value, from, bytes);
    return CL_SUCCESS;
}

/* A number as wide as there is room: callers that know its type give just that. */
static cl_int answer_number(cl_ulong number, size_t room, void *value, size_t *size)
{
    cl_uint narrow = (cl_uint)number;
    if (value && room < sizeof(number))
        return answer(&narrow, sizeof(narrow), room, value, size);
    return answer(&number, sizeof(number), room, value, size);
}

static cl_int CL_API_CALL get_device_info(cl_device_id id, cl_device_info what, size_t room,
                                          void *value, size_t *size)
{
    (void)id;
    if (what == CL_DEVICE_PLATFORM)
        return answer(&current, sizeof(current), room, value, size);
    const struct fact chip[] = {
        {CL_DEVICE_NAME, .text = current->chip.device},
        {CL_DEVICE_MAX_COMPUTE_UNITS, .number = current->chip.units},
        {CL_DEVICE_GLOBAL_MEM_SIZE, .number = current->chip.memory},
        {CL_DEVICE_GLOBAL_MEM_CACHE_SIZE, .number = current->chip.cache},
        {.what = 0},
    };
    const struct fact *const lists[] = {chip, current->own, current->vendor->facts, of_all};
    const struct fact *fact = NULL;
    for (size_t i = 0; i < COUNT(lists) && !fact; i++)
        fact = find_fact(lists[i], what);
    if (!fact)
        return CL_INVALID_VALUE;
    if (fact->text)
        return answer(fact->text, strlen(fact->text) + 1, room, value, size);
    size_t sizes = 0;
    while (sizes < COUNT(fact->sizes) && fact->sizes[sizes])
        sizes++;
    if (sizes)
        return answer(fact->sizes, sizes * sizeof(fact->sizes[0]), room, value, size);
    return answer_number(fact->number, room, value, size);
}

static cl_int CL_API_CALL get_platform_info(cl_platform_id id, cl_platform_info what, size_t room,
                                            void *value, size_t *size)
{
    (void)id;
    const char *text = what == CL_PLATFORM_NAME ? current->vendor->platform : "";
    return answer(text, strlen(text) + 1, room, value, size);
}

static cl_int CL_API_CALL keep_context(cl_context context)
{
    (void)context;
    return CL_SUCCESS;
}

static cl_command_queue CL_API_CALL create_queue(cl_context context, cl_device_id id,
                                                 cl_command_queue_properties properties,
                                                 cl_int *code)
{
    (void)id;
    (void)properties;
    *code = CL_SUCCESS;
    return (cl_command_queue)(void *)context;
}

static cl_int CL_API_CALL release_queue(cl_command_queue queue)
{
    (void)queue;
    return CL_SUCCESS;
}

/* A program is its text, and then its options: the driver's own copy, until it is released. */
struct program {
    const char *text;
    char options[sizeof(built.options)];
};

static cl_program CL_API_CALL create_program(cl_context context, cl_uint count, const char **texts,
                                             const size_t *lengths, cl_int *code)
{
    (void)context;
    (void)lengths;
    struct program *program = calloc(1, sizeof(*program));
    *code = program && count == 1 ? CL_SUCCESS : CL_OUT_OF_HOST_MEMORY;
    if (*code == CL_SUCCESS)
        program->text = texts[0];
    return (cl_program)(void *)program;
}

static cl_int CL_API_CALL build_program(cl_program handle, cl_uint count, const cl_device_id *ids,
                                        const char *options,
                                        void(CL_CALLBACK *notify)(cl_program, void *), void *user)
{
    (void)count;
    (void)ids;
    (void)notify;
    (void)user;
    struct program *program = (struct program *)(void *)handle;
    int length = snprintf(program->options, sizeof(program->options), "%s", options);
    return length < (int)sizeof(program->options) ? CL_SUCCESS : CL_INVALID_BUILD_OPTIONS;
}

static cl_int CL_API_CALL release_program(cl_program program)
{
    free(program);
    return CL_SUCCESS;
}

/* Every plan makes its kernels, also where it shares its program with earlier ones. */
static cl_kernel CL_API_CALL create_kernel(cl_program handle, const char *name, cl_int *code)
{
    (void)name;
    const struct program *program = (const struct program *)(const void *)handle;
    built.program = NULL;
    for (const struct an_source *source = an_sources; source->name; source++) {
        if (source->text == program->text)
            built.program = source->name;
    }
    memcpy(built.options, program->options, sizeof(built.options));
    *code = CL_SUCCESS;
    return (cl_kernel)(void *)&built;
}

static cl_int CL_API_CALL release_kernel(cl_kernel kernel)
{
    (void)kernel;
    return CL_SUCCESS;
}

static cl_int CL_API_CALL get_work_group_info(cl_kernel kernel, cl_device_id id,
                                              cl_kernel_work_group_info what, size_t room,
                                              void *value, size_t *size)
{
    (void)kernel;
    if (what == CL_KERNEL_WORK_GROUP_SIZE)
        return get_device_info(id, CL_DEVICE_MAX_WORK_GROUP_SIZE, room, value, size);
    cl_ulong number = 0;
    if (what == CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE) {
        /* Drivers answer with the size of sub-groups: the device's, or the one the kernel asks for.
         */
        const char *asked = strstr(built.options, "-DSUBGROUP=");
        const struct fact *fact = find_fact(current->vendor->facts, WARP_SIZE_NV);
        if (!fact)
            fact = find_fact(current->own, WAVEFRONT_WIDTH_AMD);
        number = fact ? fact->number : asked ? strtoull(strchr(asked, '=') + 1, NULL, 10) : 32;
    }
    return answer_number(number, room, value, size);
}

static cl_int CL_API_CALL set_argument(cl_kernel kernel, cl_uint index, size_t size,
                                       const void *value)
{
    (void)kernel;
    (void)index;
    (void)size;
    (void)value;
    return CL_SUCCESS;
}

static cl_mem CL_API_CALL create_buffer(cl_context context, cl_mem_flags flags, size_t bytes,
                                        void *host, cl_int *code)
{
    (void)context, (void)flags, (void)bytes, (void)host;
    *code = CL_SUCCESS;
    return (cl_mem)(void *)&built;
}

static cl_int CL_API_CALL release_buffer(cl_mem memory)
{
    (void)memory;
    return CL_SUCCESS;
}

static struct an_cl driver = {
    .GetDeviceInfo = get_device_info,
    .GetPlatformInfo = get_platform_info,
    .RetainContext = keep_context,
    .ReleaseContext = keep_context,
    .CreateCommandQueue = create_queue,
    .ReleaseCommandQueue = release_queue,
    .CreateBuffer = create_buffer,
    .ReleaseMemObject = release_buffer,
    .CreateProgramWithSource = create_program,
    .BuildProgram = build_program,
    .ReleaseProgram = release_program,
    .CreateKernel = create_kernel,
    .ReleaseKernel = release_kernel,
    .GetKernelWorkGroupInfo = get_work_group_info,
    .SetKernelArg = set_argument,
};

/* ---- What is asked of them ---- */

static anynorm_device *open_device(void)
{
    static int something; /* what handles point to */
    anynorm_device *device;
    if (an_opencl_device_make(&driver, (cl_context)(void *)&something,
                              (cl_device_id)(void *)&something, "opencl:0", &device) != ANYNORM_OK)
        die(anynorm_message());
    device->backend = &an_opencl_backend;
    return device;
}

static const char *tell(anynorm_plan *plan, char options[CONFIGURATION_OPTIONS])
{
    (void)plan;
    memcpy(options, built.options, sizeof(built.options));
    return built.program;
}

static bool write_sources(const char *folder)
{
    for (const struct an_source *source = an_sources; source->name; source++) {
        char path[4096];
        int length = snprintf(path, sizeof(path), "%s/%s.cl", folder, source->name);
        FILE *file = length < (int)sizeof(path) ? fopen(path, "wb") : NULL;
        bool done = file && fwrite(source->text, 1, source->length, file) == source->length;
        if (file && fclose(file) != 0)
            done = false;
        if (!done) {
            fprintf(stderr, "kernel_configurations: cannot write %s: %s\n", path, strerror(errno));
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    bool quick = argc >= 3 && strcmp(argv[2], "quick") == 0;
    if (argc < 3 || (!quick && strcmp(argv[2], "all") != 0)) {
        fprintf(stderr, "usage: kernel_configurations FOLDER quick|all [TARGET...]\n");
        return 2;
    }
    forget_settings();
    if (!write_sources(argv[1]))
        return 1;
    for (size_t i = 0; i < COUNT(targets); i++) {
        bool wanted = argc == 3;
        for (int k = 3; k < argc; k++)
            wanted |= strcmp(argv[k], targets[i].name) == 0;
        if (!wanted)
            continue;
        current = &targets[i];
        const struct lister lister = {current->name, open_device, anynorm_device_close, tell};
        list_configurations(&lister, quick);
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
