/* What the library itself keeps on the host: bytes and allocations of an open device, of a plan,
 * and of each further one; drivers' own are left out, as they are another matter.
 *
 *     memory_held [DEVICE...]      (default: reference)
 *
 * malloc and its kin are replaced by ones that note what libanynorm.so asks for, told by the
 * address that they return to. What it has the C library allocate for it (strdup, say) is not seen.
 * glibc only. */
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <anynorm/anynorm.h>

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void __libc_free(void *memory);

enum { SLOTS = 1 << 16 };
static void *noted[SLOTS];
static size_t held, allocations;
static uintptr_t library; /* where it is loaded; 0 until it is looked for */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Seen from the library, too. */
#pragma GCC visibility push(default)
void *malloc(size_t bytes);
void *calloc(size_t count, size_t bytes);
void *realloc(void *memory, size_t bytes);
void free(void *memory);
#pragma GCC visibility pop

static bool is_of_library(const void *address)
{
    Dl_info info;
    return library && dladdr(address, &info) && (uintptr_t)info.dli_fbase == library;
}

/* The slot of a pointer, or the empty one where it would be. None is emptied between: a freed one
 * leaves a mark. */
static size_t slot_of(const void *memory)
{
    size_t slot = (size_t)((uintptr_t)memory >> 4) % SLOTS;
    while (noted[slot] && noted[slot] != memory)
        slot = (slot + 1) % SLOTS;
    return slot;
}

static void note(void *memory, const void *caller)
{
    if (!memory || !is_of_library(caller))
        return;
    pthread_mutex_lock(&lock);
    noted[slot_of(memory)] = memory;
    held += malloc_usable_size(memory);
    allocations++;
    pthread_mutex_unlock(&lock);
}

static void forget(void *memory)
{
    static char freed;
    pthread_mutex_lock(&lock);
    size_t slot = slot_of(memory);
    if (memory && noted[slot]) {
        noted[slot] = &freed;
        held -= malloc_usable_size(memory);
        allocations--;
    }
    pthread_mutex_unlock(&lock);
}

void *malloc(size_t bytes)
{
    void *memory = __libc_malloc(bytes);
    note(memory, __builtin_return_address(0));
    return memory;
}

void *calloc(size_t count, size_t bytes)
{
    void *memory = __libc_calloc(count, bytes);
    note(memory, __builtin_return_address(0));
    return memory;
}

void *realloc(void *memory, size_t bytes)
{
    forget(memory);
    void *moved = __libc_realloc(memory, bytes);
    note(moved, __builtin_return_address(0));
    return moved;
}

void free(void *memory)
{
    forget(memory);
    __libc_free(memory);
}

static void check(anynorm_status status)
{
    if (status != ANYNORM_OK) {
        fprintf(stderr, "memory_held: %s\n", anynorm_message());
        exit(1);
    }
}

static void tell(const char *what, size_t bytes, size_t count)
{
    printf("  %-44s %8zu bytes in %zu\n", what, held - bytes, allocations - count);
}

static void measure(const char *id)
{
    static const char *const texts[] = {"layer-norm 1x768 f32 weight bias",
                                        "layer-norm 1x1024 f32 weight bias",
                                        "rms-norm 1x768 f16 weight residual sum y=i8 y-scale"};
    anynorm_device *device;
    anynorm_plan *plans[sizeof(texts) / sizeof(*texts)];
    size_t bytes = held, count = allocations;
    check(anynorm_device_open(id, &device));
    printf("%s\n", id);
    tell("device", bytes, count);
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        anynorm_spec spec;
        uint64_t rows;
        check(anynorm_spec_parse(texts[i], &spec, &rows));
        bytes = held;
        count = allocations;
        check(anynorm_plan_create(device, &spec, NULL, &plans[i]));
        tell(texts[i], bytes, count);
    }
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        anynorm_plan_destroy(plans[i]);
    anynorm_device_close(device);
}

int main(int argc, char **argv)
{
    Dl_info info;
    /* Next to this program, in which a function's address may be that of a jump to it. */
    if (!dladdr(dlsym(RTLD_NEXT, "anynorm_device_open"), &info))
        return 1;
    library = (uintptr_t)info.dli_fbase;
    for (int i = 1; i < argc; i++)
        measure(argv[i]);
    if (argc == 1)
        measure("reference");
    return 0;
}
