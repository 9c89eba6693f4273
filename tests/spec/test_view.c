/* From tensors with shape and strides to the rows of a spec, without a device: cases by hand, and
 * random views against index arithmetic. */
#include "refused.h"

#include <stdio.h>
#include <string.h>

#include "spec/spec.h"

/* ---- One by one ---- */

#define MOST 18

struct tensor {
    uint32_t rank;
    uint64_t shape[MOST];
    int64_t strides[MOST];
    bool dense; /* strides NULL */
};

static anynorm_view view_of(const struct tensor *tensor)
{
    return (anynorm_view){tensor->rank, tensor->shape, tensor->dense ? NULL : tensor->strides};
}

struct view_case {
    const char *what;
    struct tensor x;
    struct tensor y; /* rank 0: NULL */
    int axis;
    anynorm_status status;
    uint64_t rows, columns, inner, x_row, x_outer, y_row, y_outer; /* resolved */
};

#define REFUSED ANYNORM_INVALID_ARGUMENT, 0, 0, 0, 0, 0, 0, 0
#define CANNOT ANYNORM_UNSUPPORTED, 0, 0, 0, 0, 0, 0, 0

static const struct view_case view_cases[] = {
    {"dense", {3, {2, 3, 4}, {0}, true}, {0}, -1, 0, 6, 4, 0, 4, 0, 4, 0},
    {"axis 2", {3, {2, 3, 4}, {0}, true}, {0}, 2, 0, 6, 4, 0, 4, 0, 4, 0},
    {"axis 1", {3, {2, 3, 4}, {0}, true}, {0}, 1, 0, 2, 12, 0, 12, 0, 12, 0},
    {"axis 0", {3, {2, 3, 4}, {0}, true}, {0}, 0, 0, 1, 24, 0, 24, 0, 24, 0},
    {"axis -3", {3, {2, 3, 4}, {0}, true}, {0}, -3, 0, 1, 24, 0, 24, 0, 24, 0},
    {"a vector", {1, {7}, {1}, false}, {0}, 0, 0, 1, 7, 0, 7, 0, 7, 0},
    {"strides that are dense", {3, {2, 3, 4}, {12, 4, 1}, false}, {0}, -1, 0, 6, 4, 0, 4, 0, 4, 0},
    {"x[:, :4] of 10", {2, {5, 4}, {10, 1}, false}, {0}, -1, 0, 5, 4, 0, 10, 0, 4, 0},
    {"x[::2]", {2, {5, 4}, {8, 1}, false}, {0}, -1, 0, 5, 4, 0, 8, 0, 4, 0},
    {"into a slice",
     {2, {5, 4}, {0}, true},
     {2, {5, 4}, {9, 1}, false},
     -1,
     0,
     5,
     4,
     0,
     4,
     0,
     9,
     0},
    {"q of a fused qkv",
     {3, {100, 12, 64}, {2304, 64, 1}, false},
     {0},
     -1,
     0,
     1200,
     64,
     12,
     64,
     2304,
     64,
     768},
    {"q of a fused qkv with a batch",
     {4, {2, 50, 12, 64}, {115200, 2304, 64, 1}, false},
     {0},
     -1,
     0,
     1200,
     64,
     12,
     64,
     2304,
     64,
     768},
    {"both of a fused qkv",
     {3, {9, 2, 8}, {48, 8, 1}, false},
     {3, {9, 2, 8}, {48, 8, 1}, false},
     -1,
     0,
     18,
     8,
     2,
     8,
     48,
     8,
     48},
    {"heads before tokens",
     {3, {12, 100, 64}, {64, 768, 1}, false},
     {0},
     -1,
     0,
     1200,
     64,
     100,
     768,
     64,
     64,
     6400},
    {"odd strides of size 1",
     {4, {1, 5, 1, 4}, {-7, 4, 1000, 1}, false},
     {0},
     -1,
     0,
     5,
     4,
     0,
     4,
     0,
     4,
     0},
    {"size 1 normalized", {2, {5, 1}, {3, -9}, false}, {0}, -1, 0, 5, 1, 0, 3, 0, 1, 0},
    {"size 1 between normalized", {3, {2, 1, 4}, {4, 0, 1}, false}, {0}, 0, 0, 1, 8, 0, 8, 0, 8, 0},
    {"one row with any stride", {2, {1, 4}, {-100, 1}, false}, {0}, -1, 0, 1, 4, 0, 4, 0, 4, 0},
    {"no rows", {2, {0, 4}, {0}, true}, {0}, -1, 0, 0, 4, 0, 4, 0, 4, 0},
    {"no rows with wild strides",
     {3, {3, 0, 4}, {-1, 0, 1}, false},
     {0},
     -1,
     0,
     0,
     4,
     0,
     4,
     0,
     4,
     0},
    {"no rows of huge size",
     {2, {0, 2147483647}, {0}, true},
     {0},
     -1,
     0,
     0,
     2147483647,
     0,
     2147483647,
     0,
     2147483647,
     0},
    {"rank 16",
     {16, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 4}, {0}, true},
     {0},
     -1,
     0,
     6,
     4,
     0,
     4,
     0,
     4,
     0},
    {"most columns",
     {2, {1, 2147483647}, {0}, true},
     {0},
     -1,
     0,
     1,
     2147483647,
     0,
     2147483647,
     0,
     2147483647,
     0},
    {"three normalized axes apart", {4, {2, 3, 4, 5}, {300, 90, 7, 1}, false}, {0}, 1, CANNOT},
    {"no two normalized elements side by side", {3, {2, 3, 4}, {40, 10, 2}, false}, {0}, 1, CANNOT},
    {"elements side by side in y alone",
     {3, {2, 3, 4}, {40, 10, 2}, false},
     {3, {2, 3, 4}, {40, 10, 1}, false},
     1,
     CANNOT},
    {"normalized windows that slide", {3, {2, 3, 4}, {15, 2, 1}, false}, {0}, 1, CANNOT},
    {"normalized windows that slide in y",
     {3, {2, 3, 4}, {0}, true},
     {3, {2, 3, 4}, {15, 3, 1}, false},
     1,
     CANNOT},
    {"a broadcast of runs", {3, {2, 3, 4}, {4, 0, 1}, false}, {0}, 1, CANNOT},
    {"rows that meet in their runs", {3, {2, 3, 4}, {11, 5, 1}, false}, {0}, 1, CANNOT},
    {"normalized broadcast", {2, {5, 4}, {4, 0}, false}, {0}, -1, CANNOT},
    {"normalized broadcast in y", {2, {5, 4}, {0}, true}, {2, {5, 4}, {4, 0}, false}, -1, CANNOT},
    {"the channels of a padded image",
     {4, {2, 5, 7, 96}, {3840, 8, 1, 40}, false},
     {0},
     -1,
     CANNOT},
    {"normalized axes of one stride in x, two in y",
     {3, {5, 2, 3}, {1, 15, 5}, false},
     {3, {5, 2, 3}, {1, 5, 10}, false},
     1,
     CANNOT},
    {"a row stride that leads to another column", {2, {5, 4}, {6, 3}, false}, {0}, -1, CANNOT},
    {"x[::-1]", {2, {5, 4}, {-4, 1}, false}, {0}, -1, CANNOT},
    {"y[::-1]", {2, {5, 4}, {0}, true}, {2, {5, 4}, {-4, 1}, false}, -1, CANNOT},
    {"x[:, ::-1]", {2, {5, 4}, {4, -1}, false}, {0}, -1, CANNOT},
    {"broadcast rows", {2, {5, 4}, {0, 1}, false}, {0}, -1, CANNOT},
    {"broadcast rows of y", {2, {5, 4}, {0}, true}, {2, {5, 4}, {0, 1}, false}, -1, CANNOT},
    {"broadcast outer rows", {3, {2, 3, 4}, {0, 4, 1}, false}, {0}, -1, CANNOT},
    {"broadcast outer rows of y",
     {3, {2, 3, 4}, {0}, true},
     {3, {2, 3, 4}, {0, 4, 1}, false},
     -1,
     CANNOT},
    {"sliding windows", {2, {5, 4}, {1, 1}, false}, {0}, -1, CANNOT},
    {"three levels", {4, {2, 2, 2, 4}, {100, 30, 9, 1}, false}, {0}, -1, CANNOT},
    {"two levels here, two others there",
     {4, {2, 2, 2, 4}, {20, 8, 4, 1}, false},
     {4, {2, 2, 2, 4}, {20, 10, 4, 1}, false},
     -1,
     CANNOT},
    {"rank 0", {0, {0}, {0}, true}, {0}, 0, REFUSED},
    {"rank 17",
     {17, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 4}, {0}, true},
     {0},
     -1,
     REFUSED},
    {"y of rank 17",
     {1, {4}, {0}, true},
     {17, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 4}, {0}, true},
     -1,
     REFUSED},
    {"axis 2 of rank 2", {2, {5, 4}, {0}, true}, {0}, 2, REFUSED},
    {"axis -3 of rank 2", {2, {5, 4}, {0}, true}, {0}, -3, REFUSED},
    {"the least axis", {2, {5, 4}, {0}, true}, {0}, INT32_MIN, REFUSED},
    {"the greatest axis", {2, {5, 4}, {0}, true}, {0}, INT32_MAX, REFUSED},
    {"no columns", {2, {5, 0}, {0}, true}, {0}, -1, REFUSED},
    {"no rows and no columns", {2, {0, 0}, {0}, true}, {0}, -1, REFUSED},
    {"a zero among normalized", {3, {5, 0, 4}, {0}, true}, {0}, 1, REFUSED},
    {"2^31 columns", {2, {1, 2147483648}, {0}, true}, {0}, -1, REFUSED},
    {"2^31 columns of two axes", {3, {1, 65536, 32768}, {0}, true}, {0}, 1, REFUSED},
    {"another size", {2, {5, 4}, {0}, true}, {2, {6, 4}, {0}, true}, -1, REFUSED},
    {"another last size", {2, {5, 4}, {0}, true}, {2, {5, 3}, {0}, true}, -1, REFUSED},
    {"another rank", {2, {5, 4}, {0}, true}, {1, {4}, {0}, true}, -1, REFUSED},
    {"rows above 2^64",
     {3, {1ull << 40, 1ull << 40, 4}, {8, 4, 1}, false},
     {3, {1ull << 40, 1ull << 40, 4}, {8, 4, 1}, false},
     -1,
     REFUSED},
    {"columns above 2^64",
     {3, {1, 1ull << 40, 1ull << 40}, {0, 0, 1}, false},
     {3, {1, 1ull << 40, 1ull << 40}, {0, 0, 1}, false},
     1,
     REFUSED},
    {"dense rows above 2^64", {3, {1ull << 40, 1ull << 40, 4}, {8, 4, 1}, false}, {0}, -1, REFUSED},
    {"2^63 dense elements", {3, {1ull << 31, 1ull << 31, 2}, {0}, true}, {0}, -1, REFUSED},
    {"levels of x whose steps wrap to fit",
     {3, {2, 4, 4}, {0, 1ll << 62, 1}, false},
     {3, {2, 4, 4}, {16, 4, 1}, false},
     -1,
     CANNOT},
    {"levels of y whose steps wrap to fit",
     {3, {2, 4, 4}, {16, 4, 1}, false},
     {3, {2, 4, 4}, {0, 1ll << 62, 1}, false},
     -1,
     CANNOT},
    {"dense strides above 2^63", {3, {1ull << 31, 1ull << 31, 4}, {0}, true}, {0}, -1, REFUSED},
    {"a dense size of 2^64 - 1", {2, {UINT64_MAX, 4}, {0}, true}, {0}, -1, REFUSED},
};

/* The columns of a row apart in x, in y, or in both. */
static const struct {
    struct view_case view;
    uint64_t x_column, y_column, run;
} apart_cases[] = {
    {{"transposed", {2, {5, 4}, {1, 5}, false}, {0}, -1, 0, 5, 4, 0, 1, 0, 4, 0}, 5, 1, 1},
    {{"every second column", {2, {5, 4}, {8, 2}, false}, {0}, -1, 0, 5, 4, 0, 8, 0, 4, 0}, 2, 1, 1},
    {{"y's every second column",
      {2, {5, 4}, {0}, true},
      {2, {5, 4}, {8, 2}, false},
      -1,
      0,
      5,
      4,
      0,
      4,
      0,
      8,
      0},
     1,
     2,
     1},
    {{"the channels of an image",
      {4, {2, 5, 7, 96}, {3360, 7, 1, 35}, false},
      {4, {2, 5, 7, 96}, {3360, 7, 1, 35}, false},
      -1,
      0,
      70,
      96,
      35,
      1,
      3360,
      1,
      3360},
     35,
     35,
     1},
    {{"the channels, to channels last",
      {4, {2, 5, 7, 96}, {3360, 7, 1, 35}, false},
      {0},
      -1,
      0,
      70,
      96,
      35,
      1,
      3360,
      96,
      3360},
     35,
     1,
     1},
    {{"the channels of one pixel",
      {4, {2, 1, 1, 96}, {96, 1, 1, 1}, false},
      {0},
      -1,
      0,
      2,
      96,
      0,
      96,
      0,
      96,
      0},
     1,
     1,
     1},
    {{"one channel", {4, {2, 5, 7, 1}, {35, 7, 1, 35}, false}, {0}, -1, 0, 70, 1, 0, 1, 0, 1, 0},
     1,
     1,
     1},
    {{"two axes of one stride", {3, {5, 2, 3}, {1, 15, 5}, false}, {0}, 1, 0, 5, 6, 0, 1, 0, 6, 0},
     5,
     1,
     1},
    {{"columns in runs", {3, {2, 3, 4}, {15, 5, 1}, false}, {0}, 1, 0, 2, 12, 0, 15, 0, 12, 0},
     5,
     4,
     4},
    {{"columns in runs in y",
      {2, {3, 4}, {0}, true},
      {2, {3, 4}, {5, 1}, false},
      0,
      0,
      1,
      12,
      0,
      12,
      0,
      15,
      0},
     4,
     5,
     4},
    {{"groups of channels, channels last",
      {5, {2, 8, 7, 7, 4}, {1568, 4, 224, 32, 1}, false},
      {5, {2, 8, 7, 7, 4}, {1568, 4, 224, 32, 1}, false},
      2,
      0,
      16,
      196,
      8,
      4,
      1568,
      4,
      1568},
     32,
     32,
     4},
    {{"groups of channels, to channels first",
      {5, {2, 8, 7, 7, 4}, {1568, 4, 224, 32, 1}, false},
      {0},
      2,
      0,
      16,
      196,
      8,
      4,
      1568,
      196,
      1568},
     32,
     4,
     4},
    {{"groups of one channel",
      {5, {2, 32, 7, 7, 1}, {1568, 1, 224, 32, 1}, false},
      {5, {2, 32, 7, 7, 1}, {1568, 1, 224, 32, 1}, false},
      2,
      0,
      64,
      49,
      32,
      1,
      1568,
      1,
      1568},
     32,
     32,
     1},
    {{"groups of channels of one pixel",
      {5, {2, 8, 1, 1, 4}, {32, 4, 32, 32, 1}, false},
      {0},
      2,
      0,
      16,
      4,
      0,
      4,
      0,
      4,
      0},
     1,
     1,
     1},
};

static void check_view_case(const struct view_case *it, uint64_t x_column, uint64_t y_column,
                            uint64_t run)
{
    anynorm_view x = view_of(&it->x), y = view_of(&it->y);
    anynorm_spec spec = {.y.type = ANYNORM_BF16, .flags = 5, .statistic.eps = 0.25}, resolved;
    uint64_t rows = 77;
    anynorm_spec before = spec;
    make_message_stale();
    anynorm_status status =
        anynorm_spec_from_view(&spec, &x, it->y.rank ? &y : NULL, it->axis, &rows);
    if (status != it->status)
        fprintf(stderr, "view \"%s\"\n", it->what);
    if (it->status != ANYNORM_OK) {
        check_refused(status, it->status, __FILE__, __LINE__);
        assert_memory_equal(&spec, &before, sizeof(spec));
        assert_int_equal(rows, 77);
        return;
    }
    assert_ok(status);
    assert_ok(an_spec_resolve(&spec, &resolved));
    anynorm_spec expected = {.columns = it->columns,
                             .y.type = ANYNORM_BF16,
                             .flags = 5,
                             .statistic.eps = 0.25,
                             .inner_rows = it->inner,
                             .x.row_stride = it->x_row,
                             .x.outer_stride = it->x_outer,
                             .y.row_stride = it->y_row,
                             .y.outer_stride = it->y_outer,
                             .x.column_stride = x_column,
                             .y.column_stride = y_column,
                             .sample_rows = 1,
                             .parameters.rows = 1,
                             .parameters.run = 1,
                             .column_run = run,
                             .statistic.shards = 1};
    if (rows != it->rows || !same_spec(&expected, &resolved))
        fail_msg("view \"%s\" gave other rows", it->what);
}

static void test_view_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(view_cases); i++)
        check_view_case(&view_cases[i], 1, 1, 1);
    for (size_t i = 0; i < COUNT(apart_cases); i++)
        check_view_case(&apart_cases[i].view, apart_cases[i].x_column, apart_cases[i].y_column,
                        apart_cases[i].run);
}

static void test_view_bad_arguments(void **state)
{
    (void)state;
    const uint64_t shape[2] = {5, 4};
    const anynorm_view view = {2, shape, NULL}, no_shape = {2, NULL, NULL};
    anynorm_spec spec = {.columns = 9}, bad = {.flags = 1u << 9}, negative = {.statistic.eps = -1};
    uint64_t rows = 77;
    const anynorm_status invalid = ANYNORM_INVALID_ARGUMENT;
    assert_refused(anynorm_spec_from_view(NULL, &view, NULL, -1, &rows), invalid);
    assert_refused(anynorm_spec_from_view(&spec, NULL, NULL, -1, &rows), invalid);
    assert_refused(anynorm_spec_from_view(&spec, &view, NULL, -1, NULL), invalid);
    assert_refused(anynorm_spec_from_view(&spec, &no_shape, NULL, -1, &rows), invalid);
    assert_refused(anynorm_spec_from_view(&spec, &view, &no_shape, -1, &rows), invalid);
    assert_refused(anynorm_spec_from_view(&bad, &view, NULL, -1, &rows), invalid);
    assert_refused(anynorm_spec_from_view(&negative, &view, NULL, -1, &rows), invalid);
    assert_int_equal(rows, 77);
    assert_int_equal(spec.columns, 9);
}

/* ---- Against index arithmetic ---- */

/* Where element `column` of `row` lies, by walking the axes from the last. */
static int64_t element_at(const struct tensor *tensor, uint32_t first, uint64_t row,
                          uint64_t column)
{
    int64_t at = 0;
    int64_t dense = 1;
    for (uint32_t i = tensor->rank; i-- > 0;) {
        uint64_t *rest = i < first ? &row : &column;
        uint64_t size = tensor->shape[i];
        int64_t stride = tensor->dense ? dense : tensor->strides[i];
        if (size > 0) {
            at += (int64_t)(*rest % size) * stride;
            *rest /= size;
            dense *= (int64_t)size;
        }
    }
    return at;
}

/* Whether a step from row to row leads from none of the row's columns to another. */
static bool is_row_step(int64_t stride, const int64_t *columns, uint64_t count)
{
    for (uint64_t a = 0; a < count; a++) {
        for (uint64_t b = 0; b < count; b++) {
            if (columns[a] + stride == columns[b])
                return false;
        }
    }
    return stride > 0;
}

#define MOST_ELEMENTS 81

/* True if some inner_rows and strides of the spec's formula give each row's start. */
static bool two_levels_do(const int64_t *starts, uint64_t rows, uint64_t inner,
                          const int64_t *columns, uint64_t count)
{
    int64_t far = INT32_MAX; /* where there is no such step */
    int64_t row_stride = rows > 1 ? starts[1] : far;
    int64_t outer_stride = inner > 0 && rows > inner ? starts[inner] : far;
    for (uint64_t r = 0; r < rows; r++) {
        int64_t by_formula =
            inner == 0 ? (int64_t)r * row_stride
                       : (int64_t)(r / inner) * outer_stride + (int64_t)(r % inner) * row_stride;
        if (by_formula != starts[r])
            return false;
    }
    return is_row_step(row_stride, columns, count) && is_row_step(outer_stride, columns, count);
}

/* True if the columns lie as the formula has them with that run. */
static bool run_does(const int64_t *columns, uint64_t count, uint64_t run)
{
    int64_t stride = run < count ? columns[run] : (int64_t)run;
    for (uint64_t c = 0; c < count; c++) {
        if (columns[c] != (int64_t)(c / run) * stride + (int64_t)(c % run))
            return false;
    }
    return count % run == 0 && stride >= (int64_t)run;
}

static bool representable(const struct tensor *x, const struct tensor *y, uint32_t first,
                          uint64_t rows, uint64_t columns)
{
    int64_t x_starts[MOST_ELEMENTS] = {0}, y_starts[MOST_ELEMENTS] = {0};
    int64_t x_columns[MOST_ELEMENTS] = {0}, y_columns[MOST_ELEMENTS] = {0};
    assert_true(rows <= MOST_ELEMENTS && columns <= MOST_ELEMENTS);
    for (uint64_t c = 0; c < columns; c++) {
        x_columns[c] = element_at(x, first, 0, c);
        y_columns[c] = element_at(y, first, 0, c);
    }
    for (uint64_t r = 0; r < rows; r++) {
        x_starts[r] = element_at(x, first, r, 0);
        y_starts[r] = element_at(y, first, r, 0);
    }
    bool columns_do = false, rows_do = false;
    for (uint64_t run = 1; run <= columns; run++)
        columns_do =
            columns_do || (run_does(x_columns, columns, run) && run_does(y_columns, columns, run));
    for (uint64_t inner = 0; inner == 0 || inner < rows; inner++)
        rows_do =
            rows_do || (inner != 1 && two_levels_do(x_starts, rows, inner, x_columns, columns) &&
                        two_levels_do(y_starts, rows, inner, y_columns, columns));
    return columns_do && rows_do;
}

/* Strides as slicing, padding and permuting make them, and some that nothing sensible makes. */
static void random_strides(struct random *random, struct tensor *tensor)
{
    uint64_t style = random_below(random, 8);
    uint32_t order[4] = {0, 1, 2, 3};
    tensor->dense = style < 2;
    for (uint32_t i = 0; style == 7 && i + 1 < tensor->rank; i++) {
        uint32_t other = i + (uint32_t)random_below(random, tensor->rank - i), kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
    int64_t dense = 1;
    for (uint32_t i = tensor->rank; i-- > 0;) {
        uint32_t axis = order[i];
        uint64_t padding = style >= 4 && random_below(random, 3) == 0 ? random_below(random, 3) : 0;
        tensor->strides[axis] = dense;
        dense *= (int64_t)(tensor->shape[axis] + padding);
        if (style == 6 && random_below(random, 4) == 0)
            tensor->strides[axis] = (int64_t)random_below(random, 30) - 6;
        if (tensor->shape[axis] == 1 && random_below(random, 2))
            tensor->strides[axis] = (int64_t)random_below(random, 2000) - 1000;
    }
}

static void test_random_views(void **state)
{
    (void)state;
    struct random random = {11};
    int taken = 0, two_level = 0, apart = 0, runs = 0, refused = 0;
    for (int i = 0; i < (reduced() ? 20000 : 200000); i++) {
        struct tensor x = {.rank = 1 + (uint32_t)random_below(&random, 4)}, y;
        uint32_t first = (uint32_t)random_below(&random, x.rank);
        uint64_t rows = 1, columns = 1;
        for (uint32_t k = 0; k < x.rank; k++) {
            x.shape[k] = random_below(&random, 40) == 0 ? 0 : 1 + random_below(&random, 3);
            *(k < first ? &rows : &columns) *= x.shape[k];
        }
        y = x;
        random_strides(&random, &x);
        bool with_y = random_below(&random, 2);
        if (with_y)
            random_strides(&random, &y);
        else
            y.dense = true;

        anynorm_view x_view = view_of(&x), y_view = view_of(&y);
        anynorm_spec spec = {.statistic.eps = 1}, resolved;
        uint64_t found = UINT64_MAX;
        int axis = random_below(&random, 2) ? (int)first : (int)first - (int)x.rank;
        anynorm_status status =
            anynorm_spec_from_view(&spec, &x_view, with_y ? &y_view : NULL, axis, &found);
        if (columns == 0) {
            assert_status(status, ANYNORM_INVALID_ARGUMENT);
            continue;
        }
        if (!representable(&x, &y, first, rows, columns)) {
            assert_status(status, ANYNORM_UNSUPPORTED);
            refused++;
            continue;
        }
        assert_ok(status);
        assert_ok(an_spec_resolve(&spec, &resolved));
        assert_int_equal(found, rows);
        assert_int_equal(spec.columns, columns);
        struct an_layout x_layout = an_spec_layout(&resolved, &resolved.x);
        struct an_layout y_layout = an_spec_layout(&resolved, &resolved.y);
        for (uint64_t r = 0; r < rows; r++) {
            assert_int_equal(an_layout_start(&x_layout, r), element_at(&x, first, r, 0));
            assert_int_equal(an_layout_start(&y_layout, r), element_at(&y, first, r, 0));
        }
        for (uint64_t c = 0; c < columns; c++) {
            assert_int_equal(an_layout_column(&x_layout, c), element_at(&x, first, 0, c));
            assert_int_equal(an_layout_column(&y_layout, c), element_at(&y, first, 0, c));
        }
        taken++;
        two_level += resolved.inner_rows > 0;
        apart += !an_spec_side_by_side(&resolved);
        runs += resolved.column_run > 1;
    }
    fprintf(
        stderr,
        "# random views: %d taken, %d of them in two levels, %d with columns apart, %d of these "
        "in runs, %d refused\n",
        taken, two_level, apart, runs, refused);
    assert_true(taken > 1000 && two_level > 100 && apart > 100 && runs > 100 && refused > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_view_cases),
        cmocka_unit_test(test_view_bad_arguments),
        cmocka_unit_test(test_random_views),
    };
    return cmocka_run_group_tests_name("view", tests, NULL, NULL);
}
