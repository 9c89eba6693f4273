/* How many work-groups a launch has: enough for the device, never more than rows, or pieces, need.
 */
#include "support.h"

#include "choice/choice.h"

static void test_groups(void **state)
{
    (void)state;
    static const struct {
        struct an_choice choice;
        uint64_t rows, groups; /* on 2 units, 1000 groups at most */
    } cases[] = {
        /* Four rows to a group of sub-groups, whatever the units. */
        {{.schedule = AN_ROW_PER_SUBGROUP, .group = 128, .rows = 4}, 1, 1},
        {{.schedule = AN_ROW_PER_SUBGROUP, .group = 128, .rows = 4}, 9, 3},
        {{.schedule = AN_ROW_PER_GROUP, .group = 256, .rows = 1}, 9, 9},
        {{.schedule = AN_ROW_PER_GROUP, .group = 256, .rows = 16}, 100000, 1000},
        {{.schedule = AN_ROW_REREAD, .group = 256}, UINT64_MAX, 1000},
        /* Rows side by side only where every core has some; then up to 32 groups to a core. */
        {{.schedule = AN_ROW_PER_ITEM, .group = 1, .rows = 4}, 1, 1},
        {{.schedule = AN_ROW_PER_ITEM, .group = 1, .rows = 4}, 7, 7},
        {{.schedule = AN_ROW_PER_ITEM, .group = 1, .rows = 4}, 8, 2},
        {{.schedule = AN_ROW_PER_ITEM, .group = 1, .rows = 4}, 9, 3},
        {{.schedule = AN_ROW_PER_ITEM, .group = 1, .rows = 4}, 100000, 64},
        {{.schedule = AN_ROW_PER_ITEM, .group = 8, .rows = 1}, 100, 13},
        {{.schedule = AN_ROW_SPLIT, .group = 1}, 100000, 64},
        /* Strips of 16 rows, four at a time, but a strip for each core. */
        {{.schedule = AN_COLUMN_WALK, .group = 1, .vector = 16, .held = 4, .slices = 1}, 1, 1},
        {{.schedule = AN_COLUMN_WALK, .group = 1, .vector = 16, .held = 4, .slices = 1}, 48, 2},
        {{.schedule = AN_COLUMN_WALK, .group = 1, .vector = 16, .held = 4, .slices = 1}, 640, 10},
        {{.schedule = AN_COLUMN_WALK, .group = 64, .vector = 4, .held = 1, .slices = 8}, 640, 20},
        /* 100 columns of 4 bytes: at least 64 bytes to a work-item. */
        {{.schedule = AN_COPY, .group = 1}, 1, 7},
        {{.schedule = AN_COPY, .group = 64}, 10000, 64},
    };
    const anynorm_device_info info = {.compute_units = 2, .max_groups = 1000};
    const anynorm_spec spec = {.columns = 100};
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(an_grid_groups(&info, &spec, &cases[i].choice, cases[i].rows),
                         cases[i].groups);
}

/* Strips end where the inner level of rows does. */
static void test_inner_rows(void **state)
{
    (void)state;
    const anynorm_device_info info = {.compute_units = 2, .max_groups = 1000};
    const anynorm_spec spec = {.columns = 3, .inner_rows = 20};
    const struct an_choice choice = {
        .schedule = AN_COLUMN_WALK, .group = 1, .vector = 16, .held = 1, .slices = 1};
    assert_int_equal(an_grid_groups(&info, &spec, &choice, 100), 10);
    assert_int_equal(an_grid_groups(&info, &spec, &choice, 110), 11);
    assert_int_equal(an_grid_groups(&info, &spec, &choice, 118), 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_inner_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
