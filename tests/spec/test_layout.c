/* Where the elements of rows lie: how far they reach, and whether rows share one. No device is
 * needed. */
#include "support.h"

#include "spec/spec.h"

__extension__ typedef unsigned __int128 wide;

static bool shares_elements(const struct an_layout *layout, uint64_t rows, uint64_t *end)
{
    unsigned char taken[512] = {0};
    bool shared = false;
    *end = 0;
    for (uint64_t r = 0; r < rows; r++) {
        for (uint64_t c = 0; c < layout->columns; c++) {
            uint64_t at = an_layout_start(layout, r) +
                          c / layout->column_run * layout->column_stride + c % layout->column_run;
            assert_true(at < sizeof(taken));
            shared = shared || taken[at];
            taken[at] = 1;
            *end = at + 1 > *end ? at + 1 : *end;
        }
    }
    return shared;
}

static void test_layout_extent_and_disjoint(void **state)
{
    (void)state;
    struct random random = {2};
    int overlapping = 0, apart = 0, between = 0, runs = 0;
    for (int i = 0; i < 150000; i++) {
        struct an_layout layout = {.columns = 1 + random_below(&random, 3),
                                   .inner_rows = random_below(&random, 5),
                                   .column_stride = 1,
                                   .column_run = 1};
        uint64_t rows = random_below(&random, 13), extent, end;
        if (i % 2)
            layout.column_stride = 1 + random_below(&random, 14);
        layout.row_stride = layout.columns + random_below(&random, 20);
        if (i % 2 && random_below(&random, 2))
            layout.row_stride = 1;
        if (layout.inner_rows)
            layout.outer_stride = layout.columns + random_below(&random, 24);
        if (i % 3 == 0) { /* groups of channels, in any disorder */
            uint64_t run = 1 + random_below(&random, 3);
            layout.column_run = run;
            layout.columns *= run;
            layout.column_stride = run + random_below(&random, 9);
            layout.row_stride = random_below(&random, 2) ? run : layout.row_stride;
        }
        bool shared = shares_elements(&layout, rows, &end);
        assert_true(an_layout_extent(&layout, rows, &extent));
        assert_int_equal(extent, end);
        bool disjoint = an_layout_disjoint(&layout, rows);
        assert_false(disjoint && shared);
        /* Nested patterns, which tensors have, must be taken. */
        uint64_t inner = layout.inner_rows < rows ? layout.inner_rows : rows;
        uint64_t count = layout.columns / layout.column_run;
        uint64_t span = (count - 1) * layout.column_stride + layout.column_run;
        if (layout.row_stride >= span &&
            (layout.inner_rows == 0 ||
             (inner > 0 && (inner - 1) * layout.row_stride + span <= layout.outer_stride)))
            assert_true(disjoint);
        /* And so must rows that lie between the columns, or their runs. */
        if (layout.inner_rows > 0 && layout.row_stride == layout.column_run &&
            inner * layout.row_stride <= layout.column_stride &&
            count * layout.column_stride <= layout.outer_stride) {
            assert_true(disjoint);
            between += rows > layout.inner_rows && count > 1;
            runs += rows > layout.inner_rows && count > 1 && layout.column_run > 1;
        }
        overlapping += shared;
        apart += disjoint;
    }
    assert_true(overlapping > 1000 && apart > 1000 && between > 500 && runs > 100);
}

static uint64_t any_magnitude(struct random *random)
{
    return random_bits(random) >> random_below(random, 64);
}

static void test_layout_extent_overflow(void **state)
{
    (void)state;
    struct random random = {3};
    int too_far = 0, fine = 0;
    for (int i = 0; i < 100000; i++) {
        struct an_layout layout = {.columns = 1 + random_below(&random, 1000), .column_run = 1};
        layout.column_stride = i % 2 ? 1 : 1 + any_magnitude(&random) / 2;
        layout.row_stride = any_magnitude(&random) | layout.columns;
        if (i % 3 == 0) {
            layout.column_run = 1 + random_below(&random, 9);
            layout.columns *= layout.column_run;
            layout.column_stride |= 16;
        }
        if (random_below(&random, 2)) {
            layout.inner_rows = 1 + any_magnitude(&random) / 2;
            layout.outer_stride = any_magnitude(&random) | layout.columns;
        }
        uint64_t rows = 1 + any_magnitude(&random) / 2, extent;
        wide last = rows - 1, span, end;
        span = (wide)(layout.columns / layout.column_run - 1) * layout.column_stride +
               layout.column_run;
        if (layout.inner_rows == 0) {
            end = last * layout.row_stride + span;
        } else {
            wide outer = last / layout.inner_rows, inner = last % layout.inner_rows;
            end = outer * layout.outer_stride + inner * layout.row_stride + span;
            wide full = (outer - 1) * layout.outer_stride +
                        (wide)(layout.inner_rows - 1) * layout.row_stride + span;
            if (outer > 0 && full > end)
                end = full;
        }
        bool fits = an_layout_extent(&layout, rows, &extent);
        assert_int_equal(fits, end <= UINT64_MAX);
        if (fits)
            assert_int_equal(extent, (uint64_t)end);
        too_far += !fits;
        fine += fits;
        (void)an_layout_disjoint(&layout, rows);
    }
    assert_true(too_far > 1000 && fine > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout_extent_and_disjoint),
        cmocka_unit_test(test_layout_extent_overflow),
    };
    return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
