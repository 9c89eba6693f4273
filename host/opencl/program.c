/* Programs: built once for each device and set of options, then shared by its plans; from source,
 * or from a binary of an earlier time. */
#include <stdlib.h>
#include <string.h>

#include "store/cache.h"
#include "base/log.h"
#include "opencl/opencl_backend.h"
#include "base/status.h"

struct an_program {
    struct an_program *next;
    const char *schedule; /* of the static table of sources */
    char *options;
    cl_program handle;
    bool doubtful; /* built from a cached binary of which no kernel was made yet */
    bool unsaved;  /* built from source, to be cached */
};

static anynorm_status build_failed(struct an_opencl_device *d, cl_program program, cl_int code,
                                   const char *schedule, const char *options)
{
    size_t size = 0;
    char *text = NULL;
    if (d->cl->GetProgramBuildInfo(program, d->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &size) ==
        CL_SUCCESS)
        text = calloc(1, size + 1);
    if (text)
        d->cl->GetProgramBuildInfo(program, d->id, CL_PROGRAM_BUILD_LOG, size, text, NULL);
    anynorm_status status = ANYNORM_BUILD_FAILED;
    if (code == CL_OUT_OF_HOST_MEMORY || code == CL_OUT_OF_RESOURCES)
        status = ANYNORM_OUT_OF_MEMORY;
    status = an_fail(status, "%s: clBuildProgram failed with %d for %s with %s: %.3000s",
                     d->head.info.id, (int)code, schedule, options,
                     text && *text ? text : "the driver gave no log");
    free(text);
    return status;
}

/* Releases the program where building fails. */
static anynorm_status build(struct an_opencl_device *d, const char *schedule, const char *options,
                            cl_program program)
{
    cl_int code = d->cl->BuildProgram(program, 1, &d->id, options, NULL, NULL);
    if (code == CL_SUCCESS)
        return ANYNORM_OK;
    anynorm_status status = build_failed(d, program, code, schedule, options);
    d->cl->ReleaseProgram(program);
    return status;
}

static anynorm_status build_source(struct an_opencl_device *d, const struct an_source *source,
                                   const char *options, cl_program *program)
{
    cl_int code = CL_SUCCESS;
    const char *text = source->text;
    *program = d->cl->CreateProgramWithSource(d->context, 1, &text, &source->length, &code);
    if (!*program)
        return an_cl_fail(code, "clCreateProgramWithSource");
    an_log(ANYNORM_LOG_DEBUG, "%s: building %s with %s", d->head.info.id, source->name, options);
    return build(d, source->name, options, *program);
}

/* `packed` is intact and of this program: a driver that refuses it has changed without a word. */
static bool build_binary(struct an_opencl_device *d, const char *schedule, const char *options,
                         const void *packed, cl_program *program)
{
    size_t size;
    const unsigned char *bytes = an_binary_program(packed, &size);
    cl_int code = CL_SUCCESS, verdict = CL_SUCCESS;
    *program =
        d->cl->CreateProgramWithBinary(d->context, 1, &d->id, &size, &bytes, &verdict, &code);
    if (*program && (code != CL_SUCCESS || verdict != CL_SUCCESS)) {
        d->cl->ReleaseProgram(*program);
        *program = NULL;
    }
    bool built = *program && build(d, schedule, options, *program) == ANYNORM_OK;
    an_log(ANYNORM_LOG_DEBUG, "%s: %s %s from a binary", d->head.info.id,
           built ? "built" : "the driver refuses", schedule);
    return built;
}

/* ---- The cache ---- */

/* False where there is no cache for the program. */
static bool open_cache(const struct an_opencl_device *d, const struct an_source *source,
                       const char *options, struct an_cache *cache, struct an_program_key *key)
{
    return d->cached && an_opencl_program_key(d, source, options, key) == ANYNORM_OK &&
           an_cache_open(cache);
}

static bool load(struct an_opencl_device *d, const struct an_source *source, const char *options,
                 cl_program *program)
{
    struct an_cache cache;
    struct an_program_key key;
    if (!open_cache(d, source, options, &cache, &key))
        return false;
    void *packed = an_cache_load(&cache, &key.key);
    bool built = packed && build_binary(d, source->name, options, packed, program);
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
    cl_device_id *ids = calloc(count, sizeof(*ids));
    size_t *sizes = calloc(count, sizeof(*sizes)), mine = 0;
    unsigned char **pointers = calloc(count, sizeof(*pointers)), *bytes = NULL;
    anynorm_status status = ANYNORM_OK;
    if (!ids || !sizes || !pointers) {
        status = an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a list of devices");
        goto out;
    }
    code = d->cl->GetProgramInfo(program, CL_PROGRAM_DEVICES, count * sizeof(*ids), ids, NULL);
    if (code == CL_SUCCESS)
        code = d->cl->GetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, count * sizeof(*sizes),
                                     sizes, NULL);
    while (mine < count && ids[mine] != d->id)
        mine++;
    if (code == CL_SUCCESS && (mine == count || sizes[mine] == 0)) {
        status = an_fail(ANYNORM_UNSUPPORTED, "%s: the driver has no binaries", d->head.info.id);
        goto out;
    }
    bytes = code == CL_SUCCESS ? malloc(sizes[mine]) : NULL;
    if (code == CL_SUCCESS && !bytes) {
        status = an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a binary");
        goto out;
    }
    if (code == CL_SUCCESS) {
        pointers[mine] = bytes;
        code = d->cl->GetProgramInfo(program, CL_PROGRAM_BINARIES, count * sizeof(*pointers),
                                     pointers, NULL);
    }
    if (code != CL_SUCCESS) {
        status = an_cl_fail(code, "clGetProgramInfo");
        goto out;
    }
    *binary = bytes;
    *size = sizes[mine];
    bytes = NULL;

out:
    free(bytes);
    free(pointers);
    free(sizes);
    free(ids);
    return status;
}

static anynorm_status pack(struct an_opencl_device *d, const struct an_program *entry,
                           const struct an_key *key, const char *label, void **packed, size_t *size)
{
    void *binary = NULL;
    size_t binary_size = 0;
    anynorm_status status = get_binary(d, entry->handle, &binary, &binary_size);
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

static void save(struct an_opencl_device *d, const struct an_source *source,
                 const struct an_program *entry)
{
    struct an_cache cache;
    struct an_program_key key;
    void *packed;
    size_t size;
    if (!open_cache(d, source, entry->options, &cache, &key))
        return;
    if (pack(d, entry, &key.key, "", &packed, &size) == ANYNORM_OK) {
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
    while (p && (p->schedule != source->name || strcmp(p->options, options) != 0))
        p = p->next;
    return p;
}

/* From the caller's binary, else from the cache, else from source. */
static anynorm_status make(struct an_opencl_device *d, const struct an_source *source,
                           const char *options, const void *binary, struct an_program **program)
{
    anynorm_status status = ANYNORM_OK;
    struct an_program *entry = calloc(1, sizeof(*entry));
    if (entry)
        entry->options = malloc(strlen(options) + 1);
    if (!entry || !entry->options) {
        status = an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a program");
        goto fail;
    }
    strcpy(entry->options, options);
    entry->schedule = source->name;
    entry->doubtful = (binary && build_binary(d, source->name, options, binary, &entry->handle)) ||
                      load(d, source, options, &entry->handle);
    entry->unsaved = d->cached && !entry->doubtful;
    if (!entry->doubtful)
        status = build_source(d, source, options, &entry->handle);
    if (status != ANYNORM_OK)
        goto fail;
    entry->next = d->programs;
    d->programs = entry;
    *program = entry;
    return ANYNORM_OK;

fail:
    if (entry)
        free(entry->options);
    free(entry);
    return status;
}

/* Some drivers (Mali's) find out only here what a binary is worth, and compile only here: so a
 * program is saved after its first kernel. */
static anynorm_status make_kernel(struct an_opencl_device *d, const struct an_source *source,
                                  struct an_program *entry, cl_kernel *kernel)
{
    cl_int code = CL_SUCCESS;
    cl_kernel made = d->cl->CreateKernel(entry->handle, "anynorm", &code);
    if (!made && entry->doubtful) {
        cl_program fresh;
        anynorm_status status = build_source(d, source, entry->options, &fresh);
        if (status != ANYNORM_OK)
            return status;
        d->cl->ReleaseProgram(entry->handle);
        entry->handle = fresh;
        entry->unsaved = d->cached;
        made = d->cl->CreateKernel(entry->handle, "anynorm", &code);
    }
    if (!made && code == CL_INVALID_KERNEL_NAME)
        /* A source whose kernel this compiler cannot have leaves it out. */
        return an_fail(ANYNORM_UNSUPPORTED, "%s: the compiler lacks what this kernel of %s needs",
                       d->head.info.id, source->name);
    if (!made)
        return an_cl_fail(code, "clCreateKernel");
    entry->doubtful = false;
    if (entry->unsaved)
        save(d, source, entry);
    entry->unsaved = false;
    *kernel = made;
    return ANYNORM_OK;
}

static anynorm_status check_binary(const struct an_opencl_device *d, const struct an_source *source,
                                   const char *options, const void *binary)
{
    struct an_program_key key;
    anynorm_status status = an_opencl_program_key(d, source, options, &key);
    if (status != ANYNORM_OK)
        return status;
    const char *mismatch = an_binary_mismatch(binary, &key.key);
    if (mismatch)
        return an_fail(ANYNORM_UNSUPPORTED, "the plan's binary was made for another %s than %s has",
                       mismatch, d->head.info.id);
    return ANYNORM_OK;
}

static anynorm_status find_source(const char *schedule, const struct an_source **source)
{
    const struct an_source *at = an_sources;
    while (at->name && strcmp(at->name, schedule) != 0)
        at++;
    if (!at->name)
        return an_fail(ANYNORM_UNSUPPORTED, "OpenCL has no kernel for %s", schedule);
    *source = at;
    return ANYNORM_OK;
}

anynorm_status an_opencl_kernel(struct an_opencl_device *device, const char *schedule,
                                const char *options, const void *binary, cl_kernel *kernel)
{
    const struct an_source *source = NULL;
    anynorm_status status = find_source(schedule, &source);
    if (status == ANYNORM_OK && binary)
        status = check_binary(device, source, options, binary);
    if (status != ANYNORM_OK)
        return status;
    /* Held while building: a second thread that wants the same program shall wait, not build. */
    an_mutex_lock(&device->programs_lock);
    struct an_program *entry = find(device, source, options);
    if (!entry)
        status = make(device, source, options, binary, &entry);
    if (status == ANYNORM_OK)
        status = make_kernel(device, source, entry, kernel);
    an_mutex_unlock(&device->programs_lock);
    return status;
}

anynorm_status an_opencl_program_binary(struct an_opencl_device *device, const char *schedule,
                                        const char *options, const char *label, void **packed,
                                        size_t *size)
{
    const struct an_source *source = NULL;
    struct an_program_key key;
    anynorm_status status = find_source(schedule, &source);
    if (status == ANYNORM_OK)
        status = an_opencl_program_key(device, source, options, &key);
    if (status != ANYNORM_OK)
        return status;
    an_mutex_lock(&device->programs_lock);
    status = pack(device, find(device, source, options), &key.key, label, packed, size);
    an_mutex_unlock(&device->programs_lock);
    return status;
}

void an_opencl_programs_free(struct an_opencl_device *device)
{
    while (device->programs) {
        struct an_program *program = device->programs;
        device->programs = program->next;
        device->cl->ReleaseProgram(program->handle);
        free(program->options);
        free(program);
    }
}
