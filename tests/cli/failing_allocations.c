/* Linked into a build of the program whose allocations, and the library's, go through
 * tests/support/allocations.c:
 *
 *     ANYNORM_TEST_ALLOCATION=5    the fifth fails; 5+: so do all later ones
 *     ANYNORM_TEST_REPORT=FILE     where to write, at the end, how many were made, how many failed
 *                                  and how many were never freed; then the places that failed
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "allocations.h"

extern const char __executable_start;

static void __attribute__((constructor)) begin(void)
{
    const char *wanted = getenv("ANYNORM_TEST_ALLOCATION");
    char *end = NULL;
    unsigned long at = wanted ? strtoul(wanted, &end, 10) : 0;
    allocations_start(at, wanted && *end == '+');
    allocations_enter();
}

static void __attribute__((destructor)) report(void)
{
    const char *path = getenv("ANYNORM_TEST_REPORT");
    char text[4096];
    allocations_leave();
    int length = snprintf(text, sizeof(text), "%lu %lu %zu", allocations_now()->calls,
                          allocations_now()->fired, allocations_live());
    for (size_t i = 0; i < allocations_sites() && length < (int)sizeof(text) - 32; i++)
        length += snprintf(text + length, 32, " %#" PRIxPTR,
                           (uintptr_t)allocations_site(i) - (uintptr_t)&__executable_start);
    int file = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;
    if (file >= 0 && write(file, text, (size_t)length) != length)
        abort();
    if (file >= 0)
        close(file);
}
