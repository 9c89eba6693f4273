/* Rows that are cut into segments, split among work-groups or not: the same bits, and right ones.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "split.h"

/* Segments of the least size, so that small rows have many; by cores and by lanes. */
static const char *const choices[] = {"row_split segment=64", "row_reread segment=64",
                                      "row_split segment=64 group=32",
                                      "row_split segment=16 group=7", "row_split"};

/* Compiling takes the time: of a reduced run, the first. */
static size_t choice_count(void)
{
    return reduced() ? 2 : COUNT(choices);
}

/* What work.before has of it now. */
static void write_tensor(const struct caller *caller, const struct work *work, int tensor)
{
    assert_cl(clEnqueueWriteBuffer(caller->queue, work->memory[tensor], CL_TRUE, 0,
                                   (size_t)work->before.size[tensor], work->before.bytes[tensor], 0,
                                   NULL, NULL));
}

/* The first rows have the same bits whether they come alone, and are split, or with many others. */
static void same_bits(const struct caller *caller, const char *choice, const struct problem *many)
{
    anynorm_plan *plan = plan_if_fits(caller->device, &many->spec, choice);
    if (!plan)
        return;
    size_t row_bytes = (size_t)(many->spec.columns * anynorm_dtype_size(many->spec.y.type));
    struct work whole;
    work_make(caller, many, &whole);
    unsigned long most = run(caller, plan, &whole, many->rows), least = most;
    work_check(&whole, caller->queue, choice);
    unsigned char *expected = read_tensor(caller, &whole, AN_Y);
    unsigned char *expected_rstd = read_tensor(caller, &whole, AN_RSTD);
    for (uint64_t rows = 1; rows < many->rows; rows += rows < 9 ? 1 : 8) {
        write_tensor(caller, &whole, AN_Y);
        unsigned long kernels = run(caller, plan, &whole, rows);
        most = kernels > most ? kernels : most;
        least = kernels < least ? kernels : least;
        unsigned char *got = read_tensor(caller, &whole, AN_Y);
        unsigned char *rstd = read_tensor(caller, &whole, AN_RSTD);
        if (memcmp(got, expected, (size_t)rows * row_bytes) != 0 ||
            memcmp(rstd, expected_rstd, (size_t)rows * sizeof(float)) != 0) {
            fprintf(stderr, "%s, %s: other bits with %lu rows\n", choice, problem_text(many),
                    (unsigned long)rows);
            fail();
        }
        free(got);
        free(rstd);
    }
    /* Else this compares nothing: both ways of launching must have been met. */
    if (strstr(choice, "segment=64") && strncmp(choice, "row_split", 9) == 0 &&
        many->spec.columns > 64) {
        assert_int_equal(least, 1);
        assert_int_equal(most, 2);
    } else if (strncmp(choice, "row_reread", 10) == 0) {
        assert_int_equal(most, 1);
    }
    free(expected);
    free(expected_rstd);
    work_free(&whole);
    anynorm_plan_destroy(plan);
}

static void test_same_bits(void **state)
{
    (void)state;
    static const uint64_t columns[] = {1, 63, 64, 65, 200, 1024, 4099, 8192};
    static const anynorm_dtype types[] = {ANYNORM_F32, ANYNORM_F16, ANYNORM_BF16, ANYNORM_F64};
    FOR_EACH_CALLER (caller) {
        uint64_t rows = caller->info.compute_units * 4 + 2;
        for (size_t i = 0; i < COUNT(columns); i += reduced() ? 4 : 1) {
            for (size_t c = 0; c < choice_count(); c++) {
                anynorm_dtype type = types[(i + c) % COUNT(types)];
                if (type == ANYNORM_F64 && !caller->info.fp64)
                    type = ANYNORM_F32;
                struct problem many = cut(rows > 200 ? 200 : rows, columns[i], type);
                same_bits(caller, choices[c], &many);
                many.values = VALUES_MEAN_1E7;
                many.spec.x.type = many.spec.y.type = ANYNORM_F32;
                same_bits(caller, choices[c], &many);
            }
        }
    }
}

/* All kinds of values; few rows, so that they are split, and many. */
static void test_values(void **state)
{
    (void)state;
    static const uint64_t columns[] = {130, 1000, 8191};
    struct errors worst = {0};
    FOR_EACH_CALLER (caller) {
        for (int values = 0; values < VALUES_COUNT; values++) {
            for (size_t i = 0; i < COUNT(columns) - (reduced() ? 1 : 0); i++) {
                for (size_t c = 0; c < choice_count(); c++) {
                    struct problem problem = cut(1, columns[i], ANYNORM_F32);
                    problem.values = (enum values)values;
                    check_problem(caller->device, &problem, choices[c], 0, &worst);
                    problem = cut(19, columns[i], ANYNORM_BF16);
                    problem.values = (enum values)values;
                    check_problem(caller->device, &problem, choices[c], 0, &worst);
                }
            }
        }
    }
}

/* Segments whose means lie far apart, the first one's farthest: what each segment took for its
 * pivot is of no use to the row. */
static void test_drifting_means(void **state)
{
    (void)state;
    static const float steps[] = {1e3f, 1e5f, 3e6f};
    FOR_EACH_CALLER (caller) {
        for (size_t c = 0; c < choice_count(); c++) {
            for (size_t k = 0; k < COUNT(steps); k++) {
                struct problem problem = cut(2, 8000, ANYNORM_F32);
                struct work work;
                anynorm_plan *plan = plan_if_fits(caller->device, &problem.spec, choices[c]);
                if (!plan)
                    continue;
                work_make(caller, &problem, &work);
                float *x = (float *)(void *)work.before.bytes[AN_X];
                for (int i = 0; i < 16000; i++)
                    x[i] += i < 8000 ? (i < 64 ? steps[k] : 0) : (float)(i / 64 % 7) * steps[k];
                write_tensor(caller, &work, AN_X);
                run(caller, plan, &work, 1);
                run(caller, plan, &work, 2);
                work_check(&work, caller->queue, choices[c]);
                work_free(&work);
                anynorm_plan_destroy(plan);
            }
        }
    }
}

/* A NaN or an infinity in one segment spoils all of its row, and no other. */
static void test_not_numbers(void **state)
{
    (void)state;
    static const uint32_t bad[] = {0x7fc00000, 0x7f800000, 0xff800000};
    static const uint64_t places[] = {0, 1, 63, 64, 500, 935, 936, 999};
    FOR_EACH_CALLER (caller) {
        for (size_t c = 0; c < choice_count(); c++) {
            struct problem problem = cut(3, 1000, ANYNORM_F32);
            anynorm_plan *plan = plan_if_fits(caller->device, &problem.spec, choices[c]);
            for (size_t i = 0; plan && i < COUNT(places); i++) {
                struct work work;
                work_make(caller, &problem, &work);
                memcpy(work.before.bytes[AN_X] + (1000 + places[i]) * 4, &bad[i % COUNT(bad)], 4);
                write_tensor(caller, &work, AN_X);
                run(caller, plan, &work, 3);
                work_check(&work, caller->queue, choices[c]);
                work_free(&work);
            }
            anynorm_plan_destroy(plan);
        }
    }
}

static void test_layouts(void **state)
{
    (void)state;
    struct errors worst = {0};
    FOR_EACH_CALLER (caller) {
        for (size_t c = 0; c < choice_count(); c++) {
            for (uint64_t rows = 1; rows <= 5; rows += 2) {
                struct problem problem;
                /* In place, a piece that is done twice shows; so rows that end with part vectors.
                 */
                for (uint64_t columns = 1; columns <= 301; columns += 75) {
                    problem = cut(rows, columns, ANYNORM_F32);
                    problem.y_place = OVER_X;
                    check_problem(caller->device, &problem, choices[c], 0, &worst);
                }
                problem = cut(rows, 300, ANYNORM_F32);
                problem.y_place = OVER_X;
                check_problem(caller->device, &problem, choices[c], 0, &worst);
                problem.spec.x.row_stride = problem.spec.y.row_stride = 307;
                check_problem(caller->device, &problem, choices[c], 0, &worst);

                problem = cut(rows, 300, ANYNORM_BF16);
                problem.spec.inner_rows = 2;
                problem.spec.x.row_stride = 301;
                problem.spec.x.outer_stride = 4 * 301;
                check_problem(caller->device, &problem, choices[c], 0, &worst);

                problem = cut(rows, 300, ANYNORM_F32);
                problem.spec.flags |= ANYNORM_ANY_ALIGNMENT;
                for (uint64_t t = 0; t < 6; t++)
                    problem.offset[t] = 2 * t + 1;
                check_problem(caller->device, &problem, choices[c], 0, &worst);
            }
        }
    }
}

/* Few work-groups for many segments. */
static void test_limits(void **state)
{
    (void)state;
    static const char *const caps[] = {"max-groups=3", "max-groups=1"};
    struct errors worst = {0};
    FOR_EACH_CALLER (caller) {
        for (size_t i = 0; i < COUNT(caps); i++) {
            anynorm_device *device = open_device_with(caller->id, caps[i]);
            for (size_t c = 0; c < choice_count(); c++) {
                for (uint64_t rows = 1; rows < 20; rows += 6) {
                    struct problem problem = cut(rows, 1000, ANYNORM_F32);
                    check_problem(device, &problem, choices[c], 0, &worst);
                }
            }
            anynorm_device_close(device);
        }
    }
}

/* Statistics that are given leave nothing to the first launch; those that are all that is asked for
 * leave the second something to do only where a sum is written, but it is the one that merges. */
static void test_statistics_apart(void **state)
{
    (void)state;
    static const struct {
        anynorm_spec spec;
        unsigned long launches;
    } cases[] = {
        {{.flags = MEAN_IN | RSTD_IN | WEIGHT}, 1},
        {{.flags = RMS | RSTD_IN | RESIDUAL | SUM}, 1},
        {{.flags = PARTIALS_IN | MEAN_OUT | RSTD_OUT, .statistic.eps = 1e-5, .statistic.shards = 3},
         1},
        {{.flags = RMS | PARTIALS_IN | WEIGHT | RSTD_OUT,
          .statistic.eps = 1e-5,
          .statistic.shards = 2},
         1},
        {{.flags = PARTIALS_OUT}, 2},
        {{.flags = RMS | PARTIALS_OUT | RESIDUAL | SUM}, 2},
    };
    FOR_EACH_CALLER (caller) {
        for (size_t i = 0; i < COUNT(cases); i++) {
            for (size_t c = 0; c < choice_count(); c++) {
                bool cut_small = strncmp(choices[c], "row_split segment", 17) == 0;
                struct problem problem = {.spec = cases[i].spec, .seed = 77 + i};
                problem.spec.columns = 1000;
                anynorm_plan *plan = plan_if_fits(caller->device, &problem.spec, choices[c]);
                /* In few rows, then in more than are split. */
                for (int few = 1; plan && few >= 0; few--) {
                    struct work work;
                    problem.rows = few ? 1 : caller->info.compute_units * 4 + 1;
                    work_make(caller, &problem, &work);
                    unsigned long kernels = run(caller, plan, &work, problem.rows);
                    work_check(&work, caller->queue, choices[c]);
                    work_free(&work);
                    /* One core leaves no other idle, so that it splits nothing. */
                    if (caller->info.compute_units == 1)
                        continue;
                    assert_int_equal(kernels, few && cut_small ? cases[i].launches : 1);
                    if (few && cut_small)
                        assert_true(launched_groups > 1);
                }
                anynorm_plan_destroy(plan);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),        cmocka_unit_test(test_values),
        cmocka_unit_test(test_drifting_means),   cmocka_unit_test(test_not_numbers),
        cmocka_unit_test(test_layouts),          cmocka_unit_test(test_limits),
        cmocka_unit_test(test_statistics_apart),
    };
    return cmocka_run_group_tests_name("split", tests, count_launches, stop_counting);
}
