#include "platform/libraries.h"

#include "wide.h"

const char *an_library_name(enum an_library which)
{
    return which == AN_LIBRARY_OPENCL ? "OpenCL.dll" : "vulkan-1.dll";
}

/* Out of the program's folder and the system's, never the working one or PATH's. */
void *an_library_open(enum an_library which)
{
    return LoadLibraryExA(an_library_name(which), NULL, LOAD_LIBRARY_SEARCH_DEFAULT_DIRS);
}

void an_library_close(void *library)
{
    FreeLibrary(library);
}

an_function an_library_find(void *library, const char *symbol)
{
    return (an_function)(void (*)(void))GetProcAddress(library, symbol);
}
