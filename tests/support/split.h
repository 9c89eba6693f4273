/* Rows that are split among work-groups: how many launches they take. */
#ifndef AN_TESTS_SPLIT_H
#define AN_TESTS_SPLIT_H

#include "driver_table.h"
#include "spec_flags.h"

/* All launches between cmocka's group setup and teardown, and the work-groups of the last one. */
extern unsigned long launches;
extern size_t launched_groups;
int count_launches(void **state);
int stop_counting(void **state);

/* How many kernels `rows` rows of the work take, on the caller's queue. Waits. */
unsigned long run(const struct caller *caller, anynorm_plan *plan, const struct work *work,
                  uint64_t rows);

struct problem cut(uint64_t rows, uint64_t columns, anynorm_dtype type);

/* To be freed. */
unsigned char *read_tensor(const struct caller *caller, const struct work *work, int tensor);

#endif
