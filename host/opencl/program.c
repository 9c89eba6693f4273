/* Programs: built once for each device and set of options, then shared by its plans. */
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "opencl/opencl_backend.h"
#include "opencl/sources.h"
#include "status.h"

struct an_program {
    struct an_program *next;
    const char *schedule; /* of the static table of sources */
    char *options;
    cl_program handle;
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

static anynorm_status build(struct an_opencl_device *d, const struct an_source *source,
                            const char *options, cl_program *program)
{
    cl_int code = CL_SUCCESS;
    const char *text = source->text;
    cl_program made = d->cl->CreateProgramWithSource(d->context, 1, &text, &source->length, &code);
    if (!made)
        return an_cl_fail(code, "clCreateProgramWithSource");
    an_log(ANYNORM_LOG_DEBUG, "%s: building %s with %s", d->head.info.id, source->name, options);
    code = d->cl->BuildProgram(made, 1, &d->id, options, NULL, NULL);
    if (code != CL_SUCCESS) {
        anynorm_status status = build_failed(d, made, code, source->name, options);
        d->cl->ReleaseProgram(made);
        return status;
    }
    *program = made;
    return ANYNORM_OK;
}

static anynorm_status find_or_build(struct an_opencl_device *d, const struct an_source *source,
                                    const char *options, cl_program *program)
{
    for (struct an_program *p = d->programs; p; p = p->next) {
        if (p->schedule == source->name && strcmp(p->options, options) == 0) {
            *program = p->handle;
            return ANYNORM_OK;
        }
    }
    struct an_program *entry = calloc(1, sizeof(*entry));
    char *copy = malloc(strlen(options) + 1);
    anynorm_status status = ANYNORM_OK;
    if (!entry || !copy)
        status = an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a program");
    else
        status = build(d, source, options, program);
    if (status != ANYNORM_OK) {
        free(entry);
        free(copy);
        return status;
    }
    strcpy(copy, options);
    *entry = (struct an_program){d->programs, source->name, copy, *program};
    d->programs = entry;
    return ANYNORM_OK;
}

anynorm_status an_opencl_program(struct an_opencl_device *device, const char *schedule,
                                 const char *options, cl_program *program)
{
    const struct an_source *source = an_sources;
    while (source->name && strcmp(source->name, schedule) != 0)
        source++;
    if (!source->name)
        return an_fail(ANYNORM_UNSUPPORTED, "OpenCL has no kernel for %s", schedule);
    /* Held while building: a second thread that wants the same program shall wait, not build. */
    pthread_mutex_lock(&device->programs_lock);
    anynorm_status status = find_or_build(device, source, options, program);
    pthread_mutex_unlock(&device->programs_lock);
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
