/* Finding, describing and opening OpenCL devices. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "store/cache.h"
#include "opencl/opencl_backend.h"
#include "choice/caps.h"
#include "base/status.h"
#include "base/text.h"

/* Of vendors' extensions; their headers are not everywhere. */
#define AN_WARP_SIZE_NV 0x4003
#define AN_MAX_WORK_GROUP_SIZE_AMD 0x4031
#define AN_WAVEFRONT_WIDTH_AMD 0x4043
#define AN_SUB_GROUP_SIZES_INTEL 0x4108

/* OpenCL states no limit of its own for work-groups; kernels loop over rows beyond this many, which
 * every device's grid can hold and which fills every device. */
#define MAX_GROUPS 65535

/* PoCL keeps what it compiles in a folder of its own, and compiles every kernel once more before it
 * hands out a binary. (Mesa's own cache leaves out the front end, so ours is of use there.) */
#define OWN_CACHE_PLATFORM "Portable Computing Language"

#define MAX_DEVICES 64

/* Of the machine's own processor. */
#define MOST_CACHE_LEVELS 8

static an_once once = AN_ONCE_READY;
static struct an_cl *library;
static cl_device_id found[MAX_DEVICES];
static size_t found_count;

/* Asked once: drivers do not agree on whether a second enumeration gives the same handles. */
static void find_devices(void)
{
    cl_platform_id platforms[16];
    cl_uint platform_count = 0;
    if (an_cl_load(&library) != ANYNORM_OK)
        return;
    if (library->GetPlatformIDs(16, platforms, &platform_count) != CL_SUCCESS)
        return; /* no implementation is installed */
    for (cl_uint p = 0; p < platform_count && p < 16; p++) {
        cl_uint count = 0;
        cl_uint room = (cl_uint)(MAX_DEVICES - found_count);
        const cl_device_type wanted =
            CL_DEVICE_TYPE_CPU | CL_DEVICE_TYPE_GPU | CL_DEVICE_TYPE_ACCELERATOR;
        if (room == 0 || library->GetDeviceIDs(platforms[p], wanted, room, found + found_count,
                                               &count) != CL_SUCCESS)
            continue; /* a platform without devices says so with an error */
        found_count += count < room ? count : room;
    }
}

size_t an_opencl_count(void)
{
    an_once_call(&once, find_devices);
    return found_count;
}

/* ---- Describing ---- */

static uint64_t get_number(const struct an_cl *cl, cl_device_id id, cl_device_info what)
{
    /* Numbers are 4 or 8 bytes wide, by the query and by the device's address width. */
    union {
        cl_uint narrow;
        cl_ulong wide;
    } value = {.wide = 0};
    size_t size = 0;
    if (cl->GetDeviceInfo(id, what, sizeof(value), &value, &size) != CL_SUCCESS)
        return 0;
    return size == sizeof(cl_uint) ? value.narrow : value.wide;
}

static void get_text(const struct an_cl *cl, cl_device_id id, cl_device_info what, char *text,
                     size_t capacity)
{
    char whole[512] = "";
    if (cl->GetDeviceInfo(id, what, sizeof(whole) - 1, whole, NULL) != CL_SUCCESS)
        whole[0] = 0;
    an_text_line(text, capacity, whole + strspn(whole, " "));
}

/* The names, with blanks between, to be freed; none where the driver does not tell. */
static anynorm_status get_extensions(const struct an_cl *cl, cl_device_id id, char **list)
{
    size_t size = 0;
    if (cl->GetDeviceInfo(id, CL_DEVICE_EXTENSIONS, 0, NULL, &size) != CL_SUCCESS)
        size = 0;
    *list = calloc(1, size + 1);
    if (!*list)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a list of extensions");
    if (size > 0 && cl->GetDeviceInfo(id, CL_DEVICE_EXTENSIONS, size, *list, NULL) != CL_SUCCESS)
        **list = 0;
    return ANYNORM_OK;
}

static bool has_extension(const char *list, const char *name)
{
    bool result = false;
    size_t length = strlen(name);
    for (const char *at = strstr(list, name); at && !result; at = strstr(at + 1, name))
        result = (at == list || at[-1] == ' ') && (at[length] == ' ' || at[length] == 0);
    return result;
}

/* A size that the compiler can be told to use: 16, which leaves a work-item twice the registers of
 * 32, if there is; and the least there is. */
static uint32_t required_size(const struct an_cl *cl, cl_device_id id, uint32_t *least)
{
    size_t sizes[16], bytes = 0;
    uint32_t best = 0;
    *least = 0;
    if (cl->GetDeviceInfo(id, AN_SUB_GROUP_SIZES_INTEL, sizeof(sizes), sizes, &bytes) != CL_SUCCESS)
        return 0;
    for (size_t i = 0; i < bytes / sizeof(sizes[0]) && i < COUNT(sizes); i++) {
        if (sizes[i] <= 128 && best != 16)
            best = (uint32_t)sizes[i];
        if (sizes[i] <= 128 && (*least == 0 || sizes[i] < *least))
            *least = (uint32_t)sizes[i];
    }
    return best;
}

/* Sub-groups, and the size of them and the words for exchanges that kernels may count on. */
static void describe_subgroups(const struct an_cl *cl, cl_device_id id, const char *extensions,
                               anynorm_device_info *info)
{
    info->subgroup = get_number(cl, id, CL_DEVICE_MAX_NUM_SUB_GROUPS) > 0 ||
                     has_extension(extensions, "cl_khr_subgroups") ||
                     has_extension(extensions, "cl_intel_subgroups");
    uint64_t size = 0;
    uint32_t least = 0;
    if (has_extension(extensions, "cl_nv_device_attribute_query")) {
        size = get_number(cl, id, AN_WARP_SIZE_NV);
        info->shuffle = ANYNORM_SHUFFLE_PTX;
    } else if (has_extension(extensions, "cl_amd_device_attribute_query")) {
        size = get_number(cl, id, AN_WAVEFRONT_WIDTH_AMD);
        info->shuffle = ANYNORM_SHUFFLE_AMD;
    } else if (has_extension(extensions, "cl_intel_required_subgroup_size")) {
        size = required_size(cl, id, &least);
        if (has_extension(extensions, "cl_intel_subgroups"))
            info->shuffle = ANYNORM_SHUFFLE_INTEL;
        else if (has_extension(extensions, "cl_khr_subgroup_shuffle"))
            info->shuffle = ANYNORM_SHUFFLE_KHR;
    }
    if (size < 2 || size > 128 || (size & (size - 1)) != 0)
        info->shuffle = ANYNORM_SHUFFLE_NONE;
    info->subgroup_size = info->shuffle == ANYNORM_SHUFFLE_NONE ? 0 : (uint32_t)size;
    info->subgroup_least = least ? least : info->subgroup_size;
}

/* AMD tells 256, and then that a kernel that says its size may have 1024. */
static uint64_t largest_group(const struct an_cl *cl, cl_device_id id, const char *extensions)
{
    uint64_t usual = get_number(cl, id, CL_DEVICE_MAX_WORK_GROUP_SIZE), most = 0;
    if (has_extension(extensions, "cl_amd_device_attribute_query"))
        most = get_number(cl, id, AN_MAX_WORK_GROUP_SIZE_AMD);
    return most > usual ? most : usual;
}

/* "32768K" */
static uint64_t read_size(const char *path)
{
    uint64_t size = 0;
    char unit = 0;
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    int fields = fscanf(file, "%" SCNu64 "%c", &size, &unit);
    fclose(file);
    unsigned shift = unit == 'K' ? 10 : unit == 'M' ? 20 : 0;
    return fields >= 1 && size <= UINT64_MAX >> shift ? size << shift : 0;
}

/* Bytes of the largest cache that the processor running this has, by what Linux tells of it; 0
 * elsewhere. */
static uint64_t host_cache(void)
{
    uint64_t largest = 0;
    for (int level = 0; level < MOST_CACHE_LEVELS; level++) {
        char path[80];
        snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu0/cache/index%d/size", level);
        uint64_t size = read_size(path);
        if (size > largest)
            largest = size;
    }
    return largest;
}

static anynorm_device_class class_of(uint64_t type)
{
    if (type & CL_DEVICE_TYPE_GPU)
        return ANYNORM_CLASS_GPU;
    return type & CL_DEVICE_TYPE_CPU ? ANYNORM_CLASS_CPU : ANYNORM_CLASS_ACCELERATOR;
}

static anynorm_status describe(const struct an_cl *cl, cl_device_id id, const char *name,
                               anynorm_device_info *info)
{
    char *extensions;
    anynorm_status status = get_extensions(cl, id, &extensions);
    if (status != ANYNORM_OK)
        return status;
    *info = (anynorm_device_info){0};
    snprintf(info->id, sizeof(info->id), "%s", name);
    get_text(cl, id, CL_DEVICE_NAME, info->name, sizeof(info->name));
    get_text(cl, id, CL_DEVICE_VENDOR, info->vendor, sizeof(info->vendor));
    get_text(cl, id, CL_DRIVER_VERSION, info->driver, sizeof(info->driver));
    get_text(cl, id, CL_DEVICE_VERSION, info->version, sizeof(info->version));
    cl_platform_id platform = NULL;
    if (cl->GetDeviceInfo(id, CL_DEVICE_PLATFORM, sizeof(platform), &platform, NULL) !=
            CL_SUCCESS ||
        cl->GetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof(info->platform) - 1, info->platform,
                            NULL) != CL_SUCCESS)
        info->platform[0] = 0;

    info->device_class = class_of(get_number(cl, id, CL_DEVICE_TYPE));
    info->compute_units = (uint32_t)get_number(cl, id, CL_DEVICE_MAX_COMPUTE_UNITS);
    info->vector_width = (uint32_t)get_number(cl, id, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT);
    info->max_work_group_size = largest_group(cl, id, extensions);
    info->max_groups = MAX_GROUPS;
    info->local_bytes = get_number(cl, id, CL_DEVICE_LOCAL_MEM_SIZE);
    info->global_bytes = get_number(cl, id, CL_DEVICE_GLOBAL_MEM_SIZE);
    info->max_alloc_bytes = get_number(cl, id, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
    info->cache_bytes = get_number(cl, id, CL_DEVICE_GLOBAL_MEM_CACHE_SIZE);
    /* Intel's CPU runtime tells of a core's own cache, where the one that all share counts. */
    uint64_t shared = info->device_class == ANYNORM_CLASS_CPU ? host_cache() : 0;
    if (info->cache_bytes < shared)
        info->cache_bytes = shared;
    info->fp16 = has_extension(extensions, "cl_khr_fp16");
    info->fp64 = has_extension(extensions, "cl_khr_fp64");
    info->storage16 = true;
    describe_subgroups(cl, id, extensions, info);
    free(extensions);
    info->own_local_memory = get_number(cl, id, CL_DEVICE_LOCAL_MEM_TYPE) == CL_LOCAL;
    info->unified_memory = get_number(cl, id, CL_DEVICE_HOST_UNIFIED_MEMORY) != 0;
    info->emulated = an_emulates(info->name, info->platform);
    return an_quirks_mask_device(info);
}

int an_opencl_version(const anynorm_device_info *info)
{
    int major, minor;
    return sscanf(info->version, "OpenCL %d.%d", &major, &minor) == 2 ? major * 10 + minor : 0;
}

/* What a driver did not tell, or tells there is none of: every launch would be of no work-groups.
 */
static const char *missing_number(const anynorm_device_info *info)
{
    if (info->compute_units == 0)
        return "compute units";
    if (info->max_work_group_size == 0)
        return "work-items per group";
    return info->max_alloc_bytes == 0 ? "bytes of memory per allocation" : NULL;
}

/* Fills info->unusable, and returns the status to fail with where it is not "". One that has a
 * context, `in_use`, is available. */
static anynorm_status judge(const struct an_cl *cl, cl_device_id id, bool in_use,
                            anynorm_device_info *info)
{
    const char *missing = missing_number(info);
    struct an_text why = {info->unusable, sizeof(info->unusable), 0};
    if (an_opencl_version(info) < 12) {
        an_text_put(&why, "\"%s\" is older than OpenCL 1.2", info->version);
        return ANYNORM_UNSUPPORTED;
    }
    if (!in_use && !get_number(cl, id, CL_DEVICE_AVAILABLE)) {
        an_text_put(&why, "the driver says that the device is not available");
        return ANYNORM_DEVICE_LOST;
    }
    if (missing) {
        an_text_put(&why, "clGetDeviceInfo failed to tell how many %s it has", missing);
        return ANYNORM_DEVICE_LOST;
    }
    if (!get_number(cl, id, CL_DEVICE_COMPILER_AVAILABLE)) {
        an_text_put(&why, "the driver has no compiler for OpenCL C");
        return ANYNORM_UNSUPPORTED;
    }
    return ANYNORM_OK;
}

anynorm_status an_opencl_list(size_t index, anynorm_device_info *info)
{
    char name[32];
    snprintf(name, sizeof(name), "opencl:%zu", index);
    anynorm_status status = describe(library, found[index], name, info);
    if (status == ANYNORM_OK)
        (void)judge(library, found[index], false, info);
    return status;
}

/* ---- Opening ---- */

anynorm_status an_opencl_device_make(struct an_cl *cl, cl_context context, cl_device_id id,
                                     const char *name, anynorm_device **device)
{
    anynorm_device_info info;
    anynorm_status status = describe(cl, id, name, &info);
    if (status == ANYNORM_OK) {
        status = judge(cl, id, context != NULL, &info);
        if (status != ANYNORM_OK)
            return an_fail(status, "%s: %s", name, info.unusable);
    }
    bool cached = false;
    if (status == ANYNORM_OK)
        status = an_cache_wanted(strcmp(info.platform, OWN_CACHE_PLATFORM) == 0, &cached);
    if (status != ANYNORM_OK)
        return status;
    struct an_opencl_device *made = calloc(1, sizeof(*made));
    if (!made)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a device");
    made->head.info = info;
    atomic_init(&made->head.references, 1);
    atomic_init(&made->head.warned, false);
    made->cl = cl;
    made->id = id;
    made->cached = cached;
    cl_ulong svm = get_number(cl, id, CL_DEVICE_SVM_CAPABILITIES);
    made->svm = svm != 0 && cl->SetKernelArgSVMPointer;
    an_mutex_init(&made->programs_lock);
    an_mutex_init(&made->queue_lock);

    cl_int code = CL_SUCCESS;
    if (context)
        status = an_cl_check(cl->RetainContext(context), "clRetainContext");
    else if (!(context = cl->CreateContext(NULL, 1, &id, NULL, NULL, &code)))
        status = an_cl_fail(code, "clCreateContext");
    if (status != ANYNORM_OK)
        goto fail;
    made->head.owner = made->context = context;
    made->queue = an_opencl_queue_make(made, &code);
    if (!made->queue) {
        status = an_cl_fail(code, "clCreateCommandQueue");
        goto fail;
    }
    *device = &made->head;
    return ANYNORM_OK;

fail:
    an_opencl_close(&made->head);
    return status;
}

anynorm_status an_opencl_device_open(size_t index, anynorm_device **device)
{
    char name[32];
    snprintf(name, sizeof(name), "opencl:%zu", index);
    return an_opencl_device_make(library, NULL, found[index], name, device);
}

void an_opencl_close(anynorm_device *device)
{
    struct an_opencl_device *d = an_opencl(device);
    an_opencl_programs_free(d);
    an_opencl_queue_free(d);
    if (d->context)
        d->cl->ReleaseContext(d->context);
    an_mutex_destroy(&d->programs_lock);
    free(d);
}
