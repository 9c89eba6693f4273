/* Programs, built once for each device and set of options, then shared by its plans; from source,
 * or from a binary of an earlier time. */
#include <stdlib.h>
#include <string.h>

#include "store/cache.h"
#include "base/log.h"
#include "opencl/opencl_backend.h"
#include "opencl/sources.h"
#include "base/status.h"

struct an_program {
    struct an_program *next;
    const struct an_source *source;
    cl_program handle;
    bool doubtful; /* built from a cached binary of which no kernel was made yet */
    bool unsaved;  /* built from source, to be cached */
    char options[];
};

/* ---- What a compiled program depends on ---- */

/* The most telling part comes first: where several differ, it is the one that a message names. */
#define KEY_TEXTS 6  /* of the driver */
struct program_key { /* points to what it is of, and to itself */
    struct an_key key;
    struct an_key_part parts[KEY_TEXTS + 5];
    char texts[KEY_TEXTS][512];
};

static anynorm_status make_key(const struct an_opencl_device *device,
                               const struct an_source *source, const char *options,
                               struct program_key *made)
{
    static const unsigned char pointer_bytes = sizeof(void *);
    static const struct {
        const char *name;
        bool of_platform;
        cl_uint what;
    } texts[KEY_TEXTS] = {
        {"platform", true, CL_PLATFORM_NAME},
        {"platform version", true, CL_PLATFORM_VERSION},
        {"vendor", false, CL_DEVICE_VENDOR},
        {"device", false, CL_DEVICE_NAME},
        {"device version", false, CL_DEVICE_VERSION},
        {"driver version", false, CL_DRIVER_VERSION},
    };
    const struct an_cl *cl = device->cl;
    cl_platform_id platform = NULL;
    cl_int code =
        cl->GetDeviceInfo(device->id, CL_DEVICE_PLATFORM, sizeof(platform), &platform, NULL);
    struct an_key_part *part = made->parts;
    memset(made, 0, sizeof(*made));
    *part++ = (struct an_key_part){"version of anynorm", ANYNORM_VERSION, strlen(ANYNORM_VERSION)};
    *part++ = (struct an_key_part){"pointer size", &pointer_bytes, sizeof(pointer_bytes)};
    for (int i = 0; i < KEY_TEXTS && code == CL_SUCCESS; i++) {
        char *text = made->texts[i];
        size_t room = sizeof(made->texts[i]) - 1;
        code = texts[i].of_platform
                   ? cl->GetPlatformInfo(platform, texts[i].what, room, text, NULL)
                   : cl->GetDeviceInfo(device->id, texts[i].what, room, text, NULL);
        *part++ = (struct an_key_part){texts[i].name, text, strlen(text)};
    }
    if (code != CL_SUCCESS)
        return an_fail(ANYNORM_UNSUPPORTED,
                       "%s: clGetDeviceInfo failed with %d to tell what binaries would be for",
                       device->head.info.id, (int)code);
    *part++ = (struct an_key_part){"schedule", source->name, strlen(source->name)};
    *part++ = (struct an_key_part){"set of build options", options, strlen(options)};
    *part++ = (struct an_key_part){"kernel source", source->text, source->length};
    made->key = (struct an_key){made->parts, (size_t)(part - made->parts)};
    return ANYNORM_OK;
}

/* ---- Building ---- */

/* Releases what was created where building fails. */
static anynorm_status build(struct an_opencl_device *d, const struct an_program *p,
                            cl_program created)
{
    cl_int code = d->cl->BuildProgram(created, 1, &d->id, p->options, NULL, NULL);
    if (code == CL_SUCCESS)
        return ANYNORM_OK;
    size_t size = 0;
    char *text = NULL;
    if (d->cl->GetProgramBuildInfo(created, d->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &size) ==
        CL_SUCCESS)
        text = calloc(1, size + 1);
    if (text)
        d->cl->GetProgramBuildInfo(created, d->id, CL_PROGRAM_BUILD_LOG, size, text, NULL);
    anynorm_status status = code == CL_OUT_OF_HOST_MEMORY || code == CL_OUT_OF_RESOURCES
                                ? ANYNORM_OUT_OF_MEMORY
                                : ANYNORM_BUILD_FAILED;
    status = an_fail(status, "%s: clBuildProgram failed with %d for %s with %s: %.3000s",
                     d->head.info.id, (int)code, p->source->name, p->options,
                     text && *text ? text : "the driver gave no log");
    free(text);
    d->cl->ReleaseProgram(created);
    return status;
}

static anynorm_status build_source(struct an_opencl_device *d, const struct an_program *p,
                                   cl_program *built)
{
    cl_int code = CL_SUCCESS;
    const char *text = p->source->text;
    *built = d->cl->CreateProgramWithSource(d->context, 1, &text, &p->source->length, &code);
    if (!*built)
        return an_cl_fail(code, "clCreateProgramWithSource");
    an_log(ANYNORM_LOG_DEBUG, "%s: building %s with %s", d->head.info.id, p->source->name,
           p->options);
    return build(d, p, *built);
}

/* `packed` is intact and of this program: a driver that refuses it has changed without a word. */
static bool build_binary(struct an_opencl_device *d, struct an_program *p, const void *packed)
{
    size_t size;
    const unsigned char *bytes = an_binary_program(packed, &size);
    cl_int code = CL_SUCCESS, verdict = CL_SUCCESS;
    p->handle =
        d->cl->CreateProgramWithBinary(d->context, 1, &d->id, &size, &bytes, &verdict, &code);
    if (p->handle && (code != CL_SUCCESS || verdict != CL_SUCCESS)) {
        d->cl->ReleaseProgram(p->handle);
        p->handle = NULL;
    }
    bool built = p->handle && build(d, p, p->handle) == ANYNORM_OK;
    an_log(ANYNORM_LOG_DEBUG, "%s: %s %s from a binary", d->head.info.id,
           built ? "built" : "the driver refuses", p->source->name);
    return built;
}

/* ---- The cache ---- */

/* False where there is no cache for the program. */
static bool open_cache(const struct an_opencl_device *d, const struct an_program *p,
                       struct an_cache *cache, struct program_key *key)
{
    return d->cached && make_key(d, p->source, p->options, key) == ANYNORM_OK &&
           an_cache_open(cache);
}

static bool load(struct an_opencl_device *d, struct an_program *p)
{
    struct an_cache cache;
    struct program_key key;
    if (!open_cache(d, p, &cache, &key))
        return false;
    void *packed = an_cache_load(&cache, &key.key);
    bool built = packed && build_binary(d, p, packed);
    if (packed && !built)
        an_cache_remove(&cache, &key.key);
    free(packed);
    an_cache_close(&cache);
    return built;
}

/* The binary of the device among the program's, which has one for each device of its context, to be
 * freed. */
static anynorm_status get_binary(struct an_opencl_device *d, cl_program program, void **binary,
                                 size_t *size)
{
    cl_uint count = 0;
    cl_int code =
        d->cl->GetProgramInfo(program, CL_PROGRAM_NUM_DEVICES, sizeof(count), &count, NULL);
    if (code != CL_SUCCESS)
        return an_cl_fail(code, "clGetProgramInfo");
    /* Three lists of as many. */
    void *lists = calloc(count, sizeof(cl_device_id) + sizeof(size_t) + sizeof(unsigned char *));
    cl_device_id *ids = lists;
    size_t *sizes = (void *)(ids + count), mine = 0;
    unsigned char **pointers = (void *)(sizes + count), *bytes = NULL;
    anynorm_status status = ANYNORM_OK;
    if (!lists)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a list of devices");
    code = d->cl->GetProgramInfo(program, CL_PROGRAM_DEVICES, count * sizeof(*ids), ids, NULL);
    if (code == CL_SUCCESS)
        code = d->cl->GetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, count * sizeof(*sizes),
                                     sizes, NULL);
    while (mine < count && ids[mine] != d->id)
        mine++;
    if (code == CL_SUCCESS && (mine == count || sizes[mine] == 0)) {
        status = an_fail(ANYNORM_UNSUPPORTED, "%s: the driver has no binaries", d->head.info.id);
    } else if (code == CL_SUCCESS && !(bytes = malloc(sizes[mine]))) {
        status = an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a binary");
    } else if (code == CL_SUCCESS) {
        pointers[mine] = bytes;
        code = d->cl->GetProgramInfo(program, CL_PROGRAM_BINARIES, count * sizeof(*pointers),
                                     pointers, NULL);
    }
    if (code != CL_SUCCESS)
        status = an_cl_fail(code, "clGetProgramInfo");
    *binary = bytes;
    *size = bytes ? sizes[mine] : 0;
    if (status != ANYNORM_OK)
        free(bytes);
    free(lists);
    return status;
}

static anynorm_status pack(struct an_opencl_device *d, const struct an_program *p,
                           const struct an_key *key, const char *label, void **packed, size_t *size)
{
    void *binary = NULL;
    size_t binary_size = 0;
    anynorm_status status = get_binary(d, p->handle, &binary, &binary_size);
    if (status != ANYNORM_OK)
        return status;
    *size = an_binary_size(key, binary_size);
    *packed = malloc(*size);
    if (*packed)
        an_binary_pack(key, label, binary, binary_size, *packed);
    else
        status = an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a binary");
    free(binary);
    return status;
}

static void save(struct an_opencl_device *d, const struct an_program *p)
{
    struct an_cache cache;
    struct program_key key;
    void *packed;
    size_t size;
    if (!open_cache(d, p, &cache, &key))
        return;
    if (pack(d, p, &key.key, "", &packed, &size) == ANYNORM_OK) {
        an_cache_store(&cache, &key.key, packed, size);
        free(packed);
    }
    an_cache_close(&cache);
}

/* ---- Programs and their kernels; all with the lock held ---- */

static struct an_program *find(const struct an_opencl_device *d, const struct an_source *source,
                               const char *options)
{
    struct an_program *p = d->programs;
    while (p && (p->source != source || strcmp(p->options, options) != 0))
        p = p->next;
    return p;
}

/* From the caller's binary, else from the cache, else from source. */
static anynorm_status make(struct an_opencl_device *d, const struct an_source *source,
                           const char *options, const void *binary, struct an_program **program)
{
    size_t length = strlen(options) + 1;
    struct an_program *p = calloc(1, sizeof(*p) + length);
    if (!p)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a program");
    memcpy(p->options, options, length);
    p->source = source;
    p->doubtful = (binary && build_binary(d, p, binary)) || load(d, p);
    p->unsaved = d->cached && !p->doubtful;
    anynorm_status status = p->doubtful ? ANYNORM_OK : build_source(d, p, &p->handle);
    if (status != ANYNORM_OK) {
        free(p);
        return status;
    }
    p->next = d->programs;
    d->programs = *program = p;
    return ANYNORM_OK;
}

/* Some drivers (Mali's) find out only here what a binary is worth, and compile only here: so a
 * program is saved after its first kernel. */
static anynorm_status make_kernel(struct an_opencl_device *d, struct an_program *p,
                                  cl_kernel *kernel)
{
    cl_int code = CL_SUCCESS;
    cl_kernel made = d->cl->CreateKernel(p->handle, "anynorm", &code);
    if (!made && p->doubtful) {
        cl_program fresh;
        anynorm_status status = build_source(d, p, &fresh);
        if (status != ANYNORM_OK)
            return status;
        d->cl->ReleaseProgram(p->handle);
        p->handle = fresh;
        p->unsaved = d->cached;
        made = d->cl->CreateKernel(p->handle, "anynorm", &code);
    }
    if (!made && code == CL_INVALID_KERNEL_NAME)
        /* A source whose kernel this compiler cannot have leaves it out. */
        return an_fail(ANYNORM_UNSUPPORTED, "%s: the compiler lacks what this kernel of %s needs",
                       d->head.info.id, p->source->name);
    if (!made)
        return an_cl_fail(code, "clCreateKernel");
    p->doubtful = false;
    if (p->unsaved)
        save(d, p);
    p->unsaved = false;
    *kernel = made;
    return ANYNORM_OK;
}

static anynorm_status check_binary(const struct an_opencl_device *d, const struct an_source *source,
                                   const char *options, const void *binary)
{
    struct program_key key;
    anynorm_status status = make_key(d, source, options, &key);
    const char *mismatch = status == ANYNORM_OK ? an_binary_mismatch(binary, &key.key) : NULL;
    if (!mismatch)
        return status;
    return an_fail(ANYNORM_UNSUPPORTED, "the plan's binary was made for another %s than %s has",
                   mismatch, d->head.info.id);
}

anynorm_status an_opencl_kernel(struct an_opencl_device *device, const char *schedule,
                                const char *options, const void *binary,
                                struct an_program **program, cl_kernel *kernel)
{
    const struct an_source *source = an_sources;
    anynorm_status status = ANYNORM_OK;
    while (source->name && strcmp(source->name, schedule) != 0)
        source++;
    if (!source->name)
        return an_fail(ANYNORM_UNSUPPORTED, "OpenCL has no kernel for %s", schedule);
    if (binary)
        status = check_binary(device, source, options, binary);
    if (status != ANYNORM_OK)
        return status;
    /* Held while building: a second thread that wants the same program shall wait, not build. */
    an_mutex_lock(&device->programs_lock);
    *program = find(device, source, options);
    if (!*program)
        status = make(device, source, options, binary, program);
    if (status == ANYNORM_OK)
        status = make_kernel(device, *program, kernel);
    an_mutex_unlock(&device->programs_lock);
    return status;
}

anynorm_status an_opencl_program_binary(struct an_opencl_device *device,
                                        const struct an_program *program, const char *label,
                                        void **packed, size_t *size)
{
    struct program_key key;
    anynorm_status status = make_key(device, program->source, program->options, &key);
    if (status != ANYNORM_OK)
        return status;
    an_mutex_lock(&device->programs_lock);
    status = pack(device, program, &key.key, label, packed, size);
    an_mutex_unlock(&device->programs_lock);
    return status;
}

void an_opencl_programs_free(struct an_opencl_device *device)
{
    while (device->programs) {
        struct an_program *program = device->programs;
        device->programs = program->next;
        device->cl->ReleaseProgram(program->handle);
        free(program);
    }
}
