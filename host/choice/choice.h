/* A schedule with its numbers: what the selection decides, a caller may force, the tuning database
 * keeps, and a backend compiles. */
#ifndef AN_CHOICE_H
#define AN_CHOICE_H

#include <anynorm/anynorm.h>

enum an_schedule {
    AN_REFERENCE = 0,
    AN_ROW_PER_ITEM,
    AN_ROW_PER_SUBGROUP,
    AN_ROW_PER_GROUP,
    AN_ROW_IN_LOCAL,
    AN_ROW_REREAD,
    AN_ROW_SPLIT,
    AN_COLUMN_WALK,
    /* Baselines: for measuring, named by a caller only. They do not normalize. */
    AN_COPY,
    AN_COPY_STREAMING,
    AN_ADD,
    AN_EMPTY,
    AN_SCHEDULE_COUNT
};

static inline bool an_schedule_is_baseline(enum an_schedule schedule)
{
    return schedule >= AN_COPY;
}

/* Each number 0 where the schedule has no such thing, or, in a wish, where it is left open. */
struct an_choice {
    enum an_schedule schedule;
    uint64_t group;  /* work-items per work-group */
    uint64_t vector; /* elements per vector: 4, 8 or 16 */
    uint64_t rows;   /* rows that a work-item, or a work-group, has side by side */
    uint64_t held; /* vectors of a row that a work-item holds on chip; column_walk: vectors of rows
                      that it walks side by side */
    uint64_t slices;  /* column_walk: work-items that share the columns of a row */
    uint64_t segment; /* elements of the pieces that a row is cut into */
    /* Work-items of a sub-group, through which sums go; 1: sub-groups of the driver's own size;
     * 0: none, sums go through local memory. */
    uint64_t subgroup;
    uint64_t stream; /* bytes of output above which stores go past the cache; AN_NEVER */
};

#define AN_NEVER UINT64_MAX

/* The most segments of a row; a multiple of every vector. Longer rows have longer segments. */
#define AN_MOST_SEGMENTS 128

const char *an_schedule_name(enum an_schedule schedule);

/* True and *schedule if text[0..length) is a schedule's name. */
bool an_schedule_find(const char *text, size_t length, enum an_schedule *schedule);

/* Reads "row_per_group group=128 held=4": a schedule, then numbers in any order, each at most once;
 * those not given are 0, "never" is AN_NEVER. INVALID_ARGUMENT names the word. */
anynorm_status an_choice_parse(const char *text, struct an_choice *choice);

/* The same text, as snprintf. */
size_t an_choice_format(const struct an_choice *choice, char *text, size_t capacity);

/* The name of a number that `wish` gives and `choice` does not have with that value; NULL if the
 * wish is met. */
const char *an_choice_unmet(const struct an_choice *wish, const struct an_choice *choice);

#endif
