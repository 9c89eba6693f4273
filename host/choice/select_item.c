/* row_per_item: a work-item walks whole rows. */
#include <string.h>

#include "select_fit.h"

/* A work-item of a CPU walks four rows at once where one's work does not outlast the latencies of
 * its sums, and where weight and bias outgrow the first cache, so that the four share their loads;
 * up to the length at which four rows do. Elements of 16 bits are more work, and four rows always
 * gain. */
#define SHORT_ROW 512
#define LONG_ROW 4096
#define LONGEST_OF_FOUR 16384

/* Finding a run outlasts those latencies, too; and four rows of runs take three times as long to
 * compile. */
static bool gains_by_four(const anynorm_spec *spec)
{
    if (spec->column_run > 1)
        return false;
    bool middling = spec->columns > SHORT_ROW && spec->columns < LONG_ROW;
    return spec->columns <= LONGEST_OF_FOUR && (!middling || anynorm_dtype_size(spec->x.type) == 2);
}

/* Work-items that a CPU's compiler puts side by side where it makes lanes of them; more only leave
 * fewer groups to the cores. */
#define LANES_OF_CPU 8

/* PoCL's compiler calls functions. One that inlines them all takes three times as long for four
 * rows at once (Intel's CPU runtime: 2.1 s instead of 0.6) and gains a tenth. */
static bool has_cheap_functions(const anynorm_device_info *info)
{
    return strcmp(info->platform, "Portable Computing Language") == 0;
}

bool an_fit_row_per_item(const struct problem *p, struct an_choice *choice)
{
    if (!is_vector_cpu(p->info) && p->spec->columns > MOST_COLUMNS_OF_A_LANE) {
        snprintf(p->reason, p->capacity,
                 "%" PRIu64 " columns are too many for one lane of a device that has many",
                 p->spec->columns);
        return false;
    }
    /* Vulkan's kernel knows but vectors of four, and a row at a time: a work-item's neighbours hide
     * its latencies. */
    bool plain = an_info_is_vulkan(p->info);
    choice->vector = p->wish->vector && !plain ? p->wish->vector : native_vector(p);
    uint64_t group = is_vector_cpu(p->info)                       ? 1
                     : p->info->device_class == ANYNORM_CLASS_CPU ? LANES_OF_CPU
                                                                  : 64;
    choice->group = p->wish->group ? p->wish->group : an_least(group, largest_group(p));
    choice->rows = plain ? 1 : p->wish->rows;
    if (!choice->rows) {
        bool four = is_vector_cpu(p->info) && has_cheap_functions(p->info);
        choice->rows = four && gains_by_four(p->spec) ? 4 : 1;
    }
    if (choice->rows != 1 && choice->rows != 4) {
        snprintf(p->reason, p->capacity, "a work-item walks 1 or 4 rows, not %" PRIu64,
                 choice->rows);
        return false;
    }
    /* Streaming stores are a compiler's builtin that only CPU compilers are known to take. */
    if (is_vector_cpu(p->info))
        choice->stream = stream_above(p);
    snprintf(p->reason, p->capacity, "vectors of %" PRIu64 " suit a device whose own is %" PRIu32,
             choice->vector, p->info->vector_width);
    return true;
}
