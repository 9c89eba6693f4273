/* The choice of a schedule: who walks a row, and with how many work-items. */
#ifndef AN_SELECT_H
#define AN_SELECT_H

#include <anynorm/anynorm.h>

enum an_schedule {
    AN_REFERENCE = 0,
    AN_ROW_PER_ITEM,
    AN_ROW_PER_GROUP,
    AN_ROW_REREAD,
};

/* A schedule with its numbers: all a backend needs beside the spec. */
struct an_choice {
    enum an_schedule schedule;
    uint32_t group_size;       /* work-items per group */
    uint32_t vector;           /* elements per vector: 4, 8 or 16 */
    uint32_t vectors_per_item; /* row_per_group: vectors of the row that a work-item holds */
    uint64_t stream_bytes; /* row_per_item: outputs above this go past the cache; 0: none does */
};

const char *an_schedule_name(enum an_schedule schedule);

/* True and *schedule if `name` is a schedule's name. */
bool an_schedule_find(const char *name, enum an_schedule *schedule);

/* The schedules in order of preference for the device: the one at `index`, false past the last. */
bool an_select_order(const anynorm_device_info *info, size_t index, enum an_schedule *schedule);

/* Whether `schedule` serves the resolved `spec` on the device; if so, *choice. `group_size` forces
 * the work-items per group, 0 leaves them open. Either way `reason` says why. */
bool an_select_fits(const anynorm_device_info *info, const anynorm_spec *spec,
                    enum an_schedule schedule, uint32_t group_size, struct an_choice *choice,
                    char *reason, size_t capacity);

#endif
