/* What partial statistics of a row's shards may hold: each cell of the table in the manual, in each
 * schedule on every device.
 *
 *     ANYNORM_TEST_DEVICE=opencl:0   only this device
 *     ANYNORM_TEST_REDUCED=1         a fraction of the cases
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "spec_flags.h"
#include "turns.h"

enum { COLUMNS = 36, SHARDS = 3, MOST_ROWS = 128 };
enum { PART_COUNT, PART_MEAN, PART_SQUARES };

/* By their bits: a compiler may pass a NaN on as another. */
static const uint32_t not_finite[] = {
    0x7fc00000, 0xffc00000, 0x7f800001, 0xff812345, /* NaN, two of them signalling */
    0x7f800000, 0xff800000,                         /* infinities */
};
static const uint32_t below_zero[] = {0xbf800000, 0x80800000, 0xff7fffff};

enum result { AS_CLEAN, AS_NAN, AS_NAN_BUT_MEAN, AS_ROW };

/* A row of partials, and what is to come of it: AS_ROW, the same as row `like`. */
struct cell {
    uint32_t numbers[SHARDS][3];
    enum result result;
    unsigned like;
};

static struct cell cells[MOST_ROWS];
static unsigned cell_count;

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static struct cell *add_cell(enum result result)
{
    static const float clean[SHARDS][3] = {{12, 0.5f, 9}, {20, -1, 40}, {4, 2, 3}};
    struct cell *cell = &cells[cell_count++];
    assert_true(cell_count <= MOST_ROWS);
    cell->result = result;
    cell->like = 0;
    for (int k = 0; k < SHARDS; k++) {
        for (int i = 0; i < 3; i++)
            cell->numbers[k][i] = bits_of(clean[k][i]);
    }
    return cell;
}

/* Each of the values in the place of one number, of one shard after the other. */
static void add_numbers(int part, const uint32_t *values, size_t count, enum result result)
{
    for (size_t i = 0; i < count; i++)
        add_cell(result)->numbers[(i + (size_t)part) % SHARDS][part] = values[i];
}

static void set_counts(struct cell *cell, float first, float second, float third)
{
    cell->numbers[0][PART_COUNT] = bits_of(first);
    cell->numbers[1][PART_COUNT] = bits_of(second);
    cell->numbers[2][PART_COUNT] = bits_of(third);
}

/* The table. */
static void make_cells(uint32_t flags)
{
    bool rms = flags & RMS;
    struct cell *cell;
    cell_count = 0;
    add_cell(AS_CLEAN);
    add_numbers(PART_COUNT, not_finite, COUNT(not_finite), AS_NAN);
    add_numbers(PART_COUNT, below_zero, COUNT(below_zero), AS_NAN);
    add_numbers(PART_MEAN, not_finite, COUNT(not_finite), rms ? AS_ROW : AS_NAN);
    add_numbers(PART_SQUARES, not_finite, COUNT(not_finite), AS_NAN);
    add_numbers(PART_SQUARES, below_zero, COUNT(below_zero), AS_NAN);
    /* A shard of no columns, whatever it holds; -0 is 0. */
    unsigned without = cell_count;
    set_counts(add_cell(AS_CLEAN), 12, 0, 4);
    for (size_t i = 0; i < COUNT(not_finite); i++) {
        cell = add_cell(AS_ROW);
        cell->like = without;
        set_counts(cell, 12, i % 2 ? -0.0f : 0, 4);
        cell->numbers[1][PART_MEAN] = cell->numbers[1][PART_SQUARES] = not_finite[i];
    }
    /* Squares of -0. */
    without = cell_count;
    add_cell(AS_CLEAN)->numbers[2][PART_SQUARES] = 0;
    cell = add_cell(AS_ROW);
    cell->like = without;
    cell->numbers[2][PART_SQUARES] = 0x80000000;
    /* No columns at all, and a single one. */
    set_counts(add_cell(flags & L2 ? AS_CLEAN : AS_NAN), 0, -0.0f, 0);
    set_counts(add_cell(flags & UNBIASED ? AS_NAN_BUT_MEAN : AS_CLEAN), 0, 1, 0);
    /* What is finite but whose sums are not, in f32. */
    cell = add_cell(flags & RMS ? AS_CLEAN : AS_NAN);
    cell->numbers[0][PART_MEAN] = bits_of(3e38f);
    cell->numbers[1][PART_MEAN] = bits_of(-3e38f);
}

static unsigned checked;

/* Of a row: its y, its rstd, and its mean, where that is written. */
static void check_row(const struct subject *subject, const anynorm_spec *spec, unsigned r,
                      const float *numbers, const float *like)
{
    char text[1024];
    enum result result = cells[r].result;
    (void)anynorm_spec_format(spec, cell_count, text, sizeof(text));
    for (int i = 0; i < COLUMNS + 2; i++) {
        bool as_nan = result == AS_NAN || (result == AS_NAN_BUT_MEAN && i <= COLUMNS);
        bool right = result == AS_ROW ? memcmp(&numbers[i], &like[i], sizeof(float)) == 0
                                      : as_nan == (bool)isnan(numbers[i]);
        if (!right)
            fail_msg("%s, %s: number %d of row %u is %g", subject->name, text, i, r,
                     (double)numbers[i]);
    }
    checked++;
}

static void check_cells(struct subject *subject, const anynorm_spec *spec)
{
    static double x[MOST_ROWS * COLUMNS];
    static float y[MOST_ROWS * COLUMNS], partials[SHARDS][MOST_ROWS * 3];
    static float rstd[MOST_ROWS], mean[MOST_ROWS], rows[MOST_ROWS][COLUMNS + 2];
    anynorm_plan *plan = offered_plan(subject, spec);
    if (!plan)
        return;
    memset(y, 0, sizeof(y));
    memset(rstd, 0, sizeof(rstd));
    for (unsigned r = 0; r < cell_count; r++) {
        for (uint64_t c = 0; c < COLUMNS; c++)
            anynorm_dtype_store(spec->x.type, x, r * COLUMNS + c, (double)(c % 7) - 3);
        for (unsigned k = 0; k < SHARDS; k++)
            memcpy(partials[0] + (k * cell_count + r) * 3, cells[r].numbers[k], 3 * sizeof(float));
    }
    anynorm_host_tensors tensors = {.x = x,
                                    .y = y,
                                    .rstd = rstd,
                                    .mean = spec->flags & MEAN_OUT ? mean : NULL,
                                    .partials = partials[0]};
    assert_ok(anynorm_run(plan, &tensors, cell_count));
    anynorm_plan_destroy(plan);
    for (unsigned r = 0; r < cell_count; r++) {
        memcpy(rows[r], y + r * COLUMNS, COLUMNS * sizeof(float));
        rows[r][COLUMNS] = rstd[r];
        rows[r][COLUMNS + 1] = spec->flags & MEAN_OUT ? mean[r] : rstd[r];
    }
    for (unsigned r = 0; r < cell_count; r++)
        check_row(subject, spec, r, rows[r], rows[cells[r].like]);
}

static void test_cells(void **state)
{
    struct subject *subject = *state;
    static const uint32_t norms[] = {MEAN_OUT, RMS, RMS | L2, UNBIASED | MEAN_OUT};
    static const uint32_t others[] = {0, EPS_OUTSIDE};
    size_t number = is_reference(&subject->info) ? 0 : schedule_of(subject);
    for (size_t i = 0; i < COUNT(norms) * 4; i++) {
        anynorm_spec spec = {.columns = COLUMNS,
                             .x.type = i % 2 ? ANYNORM_F64 : ANYNORM_F32,
                             .flags = norms[i / 4] | others[i / 2 % 2] | RSTD_OUT | PARTIALS_IN,
                             .statistic.eps = 1e-3,
                             .statistic.shards = SHARDS};
        if (spec.x.type == ANYNORM_F64 && !subject->info.fp64)
            continue;
        if (reduced() && !is_reference(&subject->info) && (i + i / 4 + number) % 4 != 0)
            continue; /* each of the norms in each schedule */
        make_cells(spec.flags);
        /* Double has room for the squares of 3e38. */
        if (spec.x.type == ANYNORM_F64 || is_reference(&subject->info))
            cell_count--;
        check_cells(subject, &spec);
    }
}

/* What the first step makes of rows that are no numbers, or whose squares leave f32, makes the row
 * of all shards NaN. */
static void test_first_step(void **state)
{
    struct subject *subject = *state;
    static const double values[] = {(double)NAN, (double)INFINITY, -(double)INFINITY, 3e30};
    enum { ROWS = COUNT(values) };
    float x[ROWS * COLUMNS], y[ROWS * COLUMNS], partials[2][ROWS][3];
    static const uint32_t norms[] = {0, RMS, RMS | L2};
    size_t number = is_reference(&subject->info) ? 0 : schedule_of(subject);
    for (size_t i = reduced() ? number % 3 : 0; i < COUNT(norms); i += reduced() ? 3 : 1) {
        anynorm_spec first = {.columns = COLUMNS, .flags = (norms[i] & RMS) | PARTIALS_OUT};
        anynorm_spec last = {.columns = COLUMNS,
                             .flags = norms[i] | PARTIALS_IN,
                             .statistic.eps = 1e-5,
                             .statistic.shards = 2};
        anynorm_plan *plans[] = {offered_plan(subject, &first), offered_plan(subject, &last)};
        for (int r = 0; r < ROWS; r++) {
            for (int c = 0; c < COLUMNS; c++)
                x[r * COLUMNS + c] = (float)(c == 20 ? values[r] : c % 7);
            memcpy(partials[1][r], (const float[]){COLUMNS, 3, 100}, sizeof(partials[1][r]));
        }
        if (plans[0] && plans[1]) {
            anynorm_host_tensors tensors = {.x = x, .partials = partials[0][0]};
            assert_ok(anynorm_run(plans[0], &tensors, ROWS));
            for (int c = 0; c < ROWS * COLUMNS; c++)
                x[c] = (float)(c % 5); /* those of another shard */
            tensors.y = y;
            assert_ok(anynorm_run(plans[1], &tensors, ROWS));
            for (int c = 0; c < ROWS * COLUMNS; c++)
                assert_true(isnan(y[c]));
            checked += ROWS;
        }
        anynorm_plan_destroy(plans[0]);
        anynorm_plan_destroy(plans[1]);
    }
}

int main(void)
{
    static const struct device_test tests[] = {{"cells", test_cells},
                                               {"the first step", test_first_step}};
    int result = run_on_schedules("partial numbers", tests, COUNT(tests));
    fprintf(stderr, "# partial numbers: %u rows as the manual says\n", checked);
    return result;
}
