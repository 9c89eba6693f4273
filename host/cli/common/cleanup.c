#include "cleanup.h"

#include "platform/files.h"
#include "platform/signals.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* `used` is set after the path is complete, as a handler may run on any thread at any time; so none
 * is ever freed, but used again. */
struct cleanup {
    struct cleanup *next;
    size_t capacity;
    atomic_bool used;
    char path[];
};

static struct cleanup *_Atomic list;

static void remove_all(void)
{
    for (struct cleanup *c = atomic_load(&list); c; c = c->next) {
        if (atomic_load(&c->used))
            an_path_delete(c->path);
    }
}

void cleanup_install(void)
{
    an_signals_catch(remove_all, "anynorm: input: could not be read to its end; it was cut or its "
                                 "disk failed meanwhile\n");
}

struct cleanup *cleanup_add(const char *path)
{
    size_t size = strlen(path) + 1;
    struct cleanup *c = atomic_load(&list);

    while (c && (atomic_load(&c->used) || c->capacity < size))
        c = c->next;
    if (!c) {
        c = malloc(sizeof *c + size);
        if (!c)
            return NULL;
        c->next = atomic_load(&list);
        c->capacity = size;
        atomic_init(&c->used, false);
        atomic_store(&list, c);
    }
    memcpy(c->path, path, size);
    atomic_store(&c->used, true);
    return c;
}

void cleanup_remove(struct cleanup *cleanup)
{
    if (cleanup)
        atomic_store(&cleanup->used, false);
}
