/* The drivers' loaders, which are looked for when they are wanted. */
#ifndef AN_LIBRARIES_H
#define AN_LIBRARIES_H

enum an_library { AN_LIBRARY_OPENCL, AN_LIBRARY_VULKAN };

typedef void (*an_function)(void);

/* What the library is called here, for messages. */
const char *an_library_name(enum an_library which);

/* The first that there is of those by which this system knows it; NULL: none. */
void *an_library_open(enum an_library which);
void an_library_close(void *library);

/* NULL: it has no such function. */
an_function an_library_find(void *library, const char *symbol);

#endif
