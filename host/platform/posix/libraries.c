#include "platform/libraries.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

/* Ended by NULL; the first is the one that messages tell. */
static const char *const names[][6] = {
#if defined(__APPLE__)
    [AN_LIBRARY_OPENCL] = {"/System/Library/Frameworks/OpenCL.framework/OpenCL"},
    [AN_LIBRARY_VULKAN] = {"libvulkan.1.dylib", "libMoltenVK.dylib"},
#else
    [AN_LIBRARY_OPENCL] = {"libOpenCL.so.1", "libOpenCL.so",
                           /* Android */
                           "/vendor/lib64/libOpenCL.so", "/vendor/lib/libOpenCL.so",
                           "/system/vendor/lib64/libOpenCL.so"},
    [AN_LIBRARY_VULKAN] = {"libvulkan.so.1", "libvulkan.so"},
#endif
};

const char *an_library_name(enum an_library which)
{
    return names[which][0];
}

void *an_library_open(enum an_library which)
{
    void *library = NULL;
    for (const char *const *name = names[which]; *name && !library; name++)
        library = dlopen(*name, RTLD_NOW | RTLD_LOCAL);
    return library;
}

void an_library_close(void *library)
{
    dlclose(library);
}

an_function an_library_find(void *library, const char *symbol)
{
    /* POSIX lets a data pointer carry a function's address; C has no cast for it. */
    void *address = dlsym(library, symbol);
    an_function function;
    memcpy(&function, &address, sizeof(function));
    return function;
}
