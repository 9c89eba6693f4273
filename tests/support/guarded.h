/* Memory between two pages that may not be touched. */
#ifndef AN_TEST_GUARDED_H
#define AN_TEST_GUARDED_H

#include <sys/mman.h>
#include <unistd.h>

#include "support.h"

struct guarded {
    unsigned char *map;
    size_t map_bytes;
    unsigned char *at;
};

/* `bytes` that end where the second page begins, or begin where the first ends. */
static inline struct guarded guarded_make(size_t bytes, bool at_end)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = (bytes + page - 1) / page * page;
    struct guarded memory = {.map_bytes = inner + 2 * page};
    memory.map = mmap(NULL, memory.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(memory.map, MAP_FAILED);
    assert_int_equal(mprotect(memory.map + page, inner, PROT_READ | PROT_WRITE), 0);
    memory.at = memory.map + page + (at_end ? inner - bytes : 0);
    return memory;
}

static inline void guarded_free(struct guarded *memory)
{
    assert_int_equal(munmap(memory->map, memory->map_bytes), 0);
}

#endif
