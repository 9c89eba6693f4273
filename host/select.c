#include "select.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "spec.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Elements of a row one work-item may hold in registers: more spilled on the AMD compiler. */
#define HELD_BYTES 128

/* Work-items that hide memory latency; a larger group only waits longer at barriers. */
#define USUAL_GROUP 256

/* The longest row that one lane walks. Where lanes are what a device has, such a row is slow; and
 * Mesa's llvmpipe ends a work-item's loops, without an error, after 65535 rounds in all. */
#define MOST_COLUMNS_OF_A_LANE 65536

struct problem {
    const anynorm_device_info *info;
    const anynorm_spec *spec;
    uint32_t group_size; /* forced, or 0 */
    char *reason;
    size_t capacity;
};

static uint64_t power_of_two_at_least(uint64_t value)
{
    uint64_t power = 1;
    while (power < value)
        power *= 2;
    return power;
}

static uint64_t power_of_two_at_most(uint64_t value)
{
    uint64_t power = 1;
    while (power <= value / 2)
        power *= 2;
    return power;
}

static uint64_t accumulator_size(const anynorm_spec *spec)
{
    return an_spec_double(spec) ? sizeof(double) : sizeof(float);
}

static bool is_vector_cpu(const anynorm_device_info *info)
{
    return info->device_class == ANYNORM_CLASS_CPU && info->vector_width >= 4;
}

static bool fit_reference(const struct problem *p, struct an_choice *choice)
{
    bool fits = p->info->device_class == ANYNORM_CLASS_REFERENCE && p->group_size <= 1;
    choice->group_size = 1;
    snprintf(p->reason, p->capacity,
             fits ? "plain C in double" : "it is the reference backend's, on groups of 1");
    return fits;
}

static bool fit_row_per_item(const struct problem *p, struct an_choice *choice)
{
    if (!is_vector_cpu(p->info) && p->spec->columns > MOST_COLUMNS_OF_A_LANE) {
        snprintf(p->reason, p->capacity,
                 "%" PRIu64 " columns are too many for one lane of a device that has many",
                 p->spec->columns);
        return false;
    }
    uint64_t width = p->info->vector_width * sizeof(float) / accumulator_size(p->spec);
    choice->vector = width >= 16 ? 16 : width >= 8 ? 8 : 4;
    uint64_t group = is_vector_cpu(p->info) ? 1 : 64;
    if (group > p->info->max_work_group_size)
        group = power_of_two_at_most(p->info->max_work_group_size);
    choice->group_size = p->group_size ? p->group_size : (uint32_t)group;
    /* Streaming stores are a compiler's builtin that only CPU compilers are known to take. */
    if (is_vector_cpu(p->info))
        choice->stream_bytes = p->info->cache_bytes;
    snprintf(p->reason, p->capacity, "vectors of %" PRIu32 " suit a device whose own is %" PRIu32,
             choice->vector, p->info->vector_width);
    return true;
}

static bool has_local_memory(const struct problem *p, uint64_t group, uint64_t values)
{
    uint64_t need = group * values * accumulator_size(p->spec);
    if (need <= p->info->local_bytes)
        return true;
    snprintf(p->reason, p->capacity,
             "a group of %" PRIu64 " needs %" PRIu64 " bytes of local memory, there are %" PRIu64,
             group, need, p->info->local_bytes);
    return false;
}

/* Work-items per group where a power of two of at least `wanted` would suit the row, within what is
 * usual and what the device takes. */
static uint64_t usual_group(uint64_t wanted, uint64_t largest)
{
    uint64_t group = power_of_two_at_least(wanted);
    if (group < 32)
        group = 32;
    if (group > USUAL_GROUP)
        group = USUAL_GROUP;
    return group < largest ? group : largest;
}

static bool fit_row_per_group(const struct problem *p, struct an_choice *choice)
{
    uint64_t columns = p->spec->columns;
    uint64_t most_vectors = HELD_BYTES / (4 * accumulator_size(p->spec));
    uint64_t largest = power_of_two_at_most(p->info->max_work_group_size);
    uint64_t group = usual_group((columns + 7) / 8, largest);
    while (group * 4 * most_vectors < columns && group < largest)
        group *= 2;
    if (p->group_size)
        group = p->group_size;

    uint64_t vectors = power_of_two_at_least((columns + group * 4 - 1) / (group * 4));
    if (vectors > most_vectors) {
        snprintf(p->reason, p->capacity,
                 "%" PRIu64 " columns are more than %" PRIu64 " work-items hold at %" PRIu64
                 " elements each",
                 columns, group, 4 * most_vectors);
        return false;
    }
    if (!has_local_memory(p, group, 2))
        return false;
    choice->vector = 4;
    choice->group_size = (uint32_t)group;
    choice->vectors_per_item = (uint32_t)vectors;
    snprintf(p->reason, p->capacity,
             "%" PRIu64 " work-items hold the row at %" PRIu64 " elements each", group,
             4 * vectors);
    return true;
}

static bool fit_row_reread(const struct problem *p, struct an_choice *choice)
{
    uint64_t largest = power_of_two_at_most(p->info->max_work_group_size);
    uint64_t group = usual_group((p->spec->columns + 3) / 4, largest);
    if (p->group_size)
        group = p->group_size;
    if (!has_local_memory(p, group, 4))
        return false;
    choice->vector = 4;
    choice->group_size = (uint32_t)group;
    snprintf(p->reason, p->capacity, "any number of columns, read twice");
    return true;
}

static const struct {
    const char *name;
    bool (*fit)(const struct problem *problem, struct an_choice *choice);
} schedules[] = {
    [AN_REFERENCE] = {"reference", fit_reference},
    [AN_ROW_PER_ITEM] = {"row_per_item", fit_row_per_item},
    [AN_ROW_PER_GROUP] = {"row_per_group", fit_row_per_group},
    [AN_ROW_REREAD] = {"row_reread", fit_row_reread},
};

const char *an_schedule_name(enum an_schedule schedule)
{
    return schedules[schedule].name;
}

bool an_schedule_find(const char *name, enum an_schedule *schedule)
{
    for (size_t i = 0; i < COUNT(schedules); i++) {
        if (strcmp(schedules[i].name, name) == 0) {
            *schedule = (enum an_schedule)i;
            return true;
        }
    }
    return false;
}

bool an_select_order(const anynorm_device_info *info, size_t index, enum an_schedule *schedule)
{
    static const enum an_schedule of_reference[] = {AN_REFERENCE};
    static const enum an_schedule of_cpu[] = {AN_ROW_PER_ITEM, AN_ROW_PER_GROUP, AN_ROW_REREAD};
    static const enum an_schedule of_gpu[] = {AN_ROW_PER_GROUP, AN_ROW_REREAD, AN_ROW_PER_ITEM};
    const enum an_schedule *order = of_gpu;
    size_t count = COUNT(of_gpu);
    if (info->device_class == ANYNORM_CLASS_REFERENCE) {
        order = of_reference;
        count = COUNT(of_reference);
    } else if (is_vector_cpu(info)) {
        order = of_cpu;
        count = COUNT(of_cpu);
    }
    if (index >= count)
        return false;
    *schedule = order[index];
    return true;
}

bool an_select_fits(const anynorm_device_info *info, const anynorm_spec *spec,
                    enum an_schedule schedule, uint32_t group_size, struct an_choice *choice,
                    char *reason, size_t capacity)
{
    struct problem problem = {info, spec, group_size, reason, capacity};
    *choice = (struct an_choice){.schedule = schedule, .vector = 4, .vectors_per_item = 1};
    if (info->device_class == ANYNORM_CLASS_REFERENCE && schedule != AN_REFERENCE) {
        snprintf(reason, capacity, "the reference backend has one schedule");
        return false;
    }
    if (an_spec_double(spec) && !info->fp64) {
        snprintf(reason, capacity, "the device has no double precision for f64");
        return false;
    }
    if (group_size > info->max_work_group_size) {
        snprintf(reason, capacity,
                 "a group of %" PRIu32 " work-items is above the device's %" PRIu64, group_size,
                 info->max_work_group_size);
        return false;
    }
    return schedules[schedule].fit(&problem, choice);
}
