/* What a compiled program depends on. The most telling part comes first: where several differ, it
 * is the one that a message names. */
#include <string.h>

#include "opencl/opencl_backend.h"
#include "base/status.h"

static const unsigned char pointer_bytes = sizeof(void *);

static cl_int get_texts(const struct an_opencl_device *d, char texts[AN_PROGRAM_KEY_TEXTS][512])
{
    static const cl_platform_info of_platform[] = {CL_PLATFORM_NAME, CL_PLATFORM_VERSION};
    static const cl_device_info of_device[] = {CL_DEVICE_VENDOR, CL_DEVICE_NAME, CL_DEVICE_VERSION,
                                               CL_DRIVER_VERSION};
    cl_platform_id platform = NULL;
    cl_int code =
        d->cl->GetDeviceInfo(d->id, CL_DEVICE_PLATFORM, sizeof(platform), &platform, NULL);
    for (int i = 0; i < AN_PROGRAM_KEY_TEXTS && code == CL_SUCCESS; i++) {
        memset(texts[i], 0, sizeof(texts[i]));
        code = i < 2 ? d->cl->GetPlatformInfo(platform, of_platform[i], sizeof(texts[i]) - 1,
                                              texts[i], NULL)
                     : d->cl->GetDeviceInfo(d->id, of_device[i - 2], sizeof(texts[i]) - 1, texts[i],
                                            NULL);
    }
    return code;
}

anynorm_status an_opencl_program_key(const struct an_opencl_device *device,
                                     const struct an_source *source, const char *options,
                                     struct an_program_key *made)
{
    static const char *const names[AN_PROGRAM_KEY_TEXTS] = {
        "platform", "platform version", "vendor", "device", "device version", "driver version"};
    struct an_key_part *part = made->parts;
    cl_int code = get_texts(device, made->texts);
    if (code != CL_SUCCESS)
        return an_fail(ANYNORM_UNSUPPORTED,
                       "%s: clGetDeviceInfo failed with %d to tell what binaries would be for",
                       device->head.info.id, (int)code);
    *part++ = (struct an_key_part){"version of anynorm", ANYNORM_VERSION, strlen(ANYNORM_VERSION)};
    *part++ = (struct an_key_part){"pointer size", &pointer_bytes, sizeof(pointer_bytes)};
    for (int i = 0; i < AN_PROGRAM_KEY_TEXTS; i++)
        *part++ = (struct an_key_part){names[i], made->texts[i], strlen(made->texts[i])};
    *part++ = (struct an_key_part){"schedule", source->name, strlen(source->name)};
    *part++ = (struct an_key_part){"set of build options", options, strlen(options)};
    *part++ = (struct an_key_part){"kernel source", source->text, source->length};
    made->key = (struct an_key){made->parts, (size_t)(part - made->parts)};
    return ANYNORM_OK;
}
