/* Every schedule on every device against the oracle: every capability of a spec alone, and every
 * two of them together, with every type, layout and length of rows, as tests/support/pairs.h has
 * them.
 *
 *     ANYNORM_TEST_DEVICE=opencl:0   only this device
 *     ANYNORM_TEST_REDUCED=1         every pair once on a device, instead of on each schedule
 */
#include <stdlib.h>

#include "pairs.h"
#include "turns.h"

/* A spec wanted where any schedule of the device serves it, or this one does. */
static bool served_by_any(void *context, const anynorm_spec *spec)
{
    return servers(context, spec) != 0;
}

static bool served_by_this(void *context, const anynorm_spec *spec)
{
    return servers(context, spec) >> schedule_of(context) & 1;
}

/* Complete for each schedule; but in the short form, and for levels alone, for the device. */
static struct pairs *pairs_of(struct subject *subject, bool of_device)
{
    struct pairs *pairs = malloc(sizeof(*pairs));
    assert_non_null(pairs);
    pairs_find(pairs, of_device ? served_by_any : served_by_this, subject);
    assert_true(pairs->possible > 1000 || pairs->alone_count == 0); /* it serves nothing there */
    assert_int_equal(pairs->missing, 0);
    return pairs;
}

/* Long rows are few. */
static struct problem problem_of_pairs(const struct levels *levels, int way)
{
    static uint64_t seed;
    static const uint64_t rows[][PAIR_WAYS] = {{37, 11, 1}, {5, 1, 2}};
    anynorm_spec spec = pairs_spec(levels, way);
    struct problem problem = {
        .spec = spec, .rows = rows[spec.columns > 10000][way], .seed = 9000 + seed++};
    for (int t = 0; t < AN_TENSOR_COUNT; t++)
        problem.offset[t] = (uint64_t)(spec.flags & ANYNORM_ANY_ALIGNMENT ? 3 * t + 5 * way + 1
                                                                          : 8 * ((t + way) % 3));
    return problem;
}

static void test_alone(void **state)
{
    struct subject *subject = *state;
    struct pairs *pairs = pairs_of(subject, few(subject));
    for (size_t i = 0; i < pairs->alone_count; i++) {
        struct problem problem = problem_of_pairs(&pairs->alone[i], 1);
        bool plain = problem.spec.flags == 0; /* test_matrix has these */
        if (few(subject) && (plain || !has_turn(subject, &problem.spec, i)))
            continue;
        for (int values = 0; values < VALUES_COUNT; values += is_simulator(subject) ? 4 : 1) {
            problem.values = (enum values)values;
            take(subject, &problem);
        }
    }
    free(pairs);
}

/* Gives `to` the type and the strides of `from`, if it is of that type already. */
static bool make_alike(anynorm_spec *spec, enum an_tensor from, enum an_tensor to)
{
    uint64_t *const strides[AN_TENSOR_COUNT][3] = {
        [AN_X] = {&spec->x.row_stride, &spec->x.outer_stride, &spec->x.column_stride},
        [AN_Y] = {&spec->y.row_stride, &spec->y.outer_stride, &spec->y.column_stride},
        [AN_RESIDUAL] = {&spec->residual.row_stride, &spec->residual.outer_stride,
                         &spec->residual.column_stride},
        [AN_SUM] = {&spec->sum.row_stride, &spec->sum.outer_stride, &spec->sum.column_stride}};
    struct an_expectation is = an_tensor_expect(spec, from), will = an_tensor_expect(spec, to);
    for (int i = 0; i < 3; i++)
        *strides[to][i] = *strides[from][i];
    return is.present && will.present && is.type == will.type;
}

/* Each output over each input that it may lie over. */
static void check_places(struct subject *subject, const struct problem *apart)
{
    for (int way = 1; way < 9; way++) {
        struct problem problem = *apart;
        problem.y_place = (enum place)(way % 3);
        problem.sum_place = (enum place)(way / 3);
        if (problem.y_place != problem.sum_place &&
            (problem.y_place == APART ||
             make_alike(&problem.spec, image_of(&problem, AN_Y), AN_Y)) &&
            (problem.sum_place == APART ||
             make_alike(&problem.spec, image_of(&problem, AN_SUM), AN_SUM)))
            take(subject, &problem);
    }
}

static void test_pairs(void **state)
{
    struct subject *subject = *state;
    struct pairs *pairs = pairs_of(subject, reduced());
    for (size_t i = 0; i < pairs->count; i++) {
        anynorm_spec spec = pairs_spec(&pairs->specs[i], 0);
        if (reduced() && !has_turn(subject, &spec, i))
            continue;
        for (int way = 0; way < PAIR_WAYS; way++) {
            struct problem problem = problem_of_pairs(&pairs->specs[i], way);
            if (anynorm_spec_check(&problem.spec) != ANYNORM_OK) /* of one column */
                continue;
            take(subject, &problem);
            if (way == 1)
                check_places(subject, &problem);
        }
    }
    free(pairs);
}

int main(void)
{
    static const struct device_test tests[] = {
        {"alone", test_alone},
        {"pairs", test_pairs},
    };
    return run_on_schedules("pairs", tests, COUNT(tests));
}
