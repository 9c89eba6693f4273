/* The variants that a tuner measures, on described devices. No device is needed. */
#include "fits.h"

/* Without sub-groups, and with local memory that may be an illusion. */
static anynorm_device_info plain_gpu(void)
{
    anynorm_device_info info = whole_gpu;
    info.subgroup = info.own_local_memory = false;
    info.subgroup_size = 0;
    info.shuffle = ANYNORM_SHUFFLE_NONE;
    return info;
}

static void check_variants(const anynorm_device_info *info, const anynorm_spec *spec)
{
    struct an_variants variants;
    struct an_choice first;
    char texts[ANYNORM_MAX_VARIANTS][128];
    bool any = first_that_fits(info, spec, &first);
    an_variants_list(info, spec, NULL, &variants);
    assert_true(variants.count > 0 || !any);
    assert_between(variants.count, 0, ANYNORM_MAX_VARIANTS);
    for (size_t i = 0; i < variants.count; i++) {
        struct an_choice again, parsed;
        an_choice_format(&variants.choices[i], texts[i], sizeof(texts[i]));
        /* What is told as text is had by that text, complete. */
        assert_ok(an_choice_parse(texts[i], &parsed));
        assert_true(fits(info, spec, &parsed, &again));
        assert_null(an_choice_unmet(&variants.choices[i], &again));
        assert_null(an_choice_unmet(&again, &variants.choices[i]));
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(texts[k], texts[i]);
    }
    if (any) {
        assert_int_equal(variants.choices[0].schedule, first.schedule);
        assert_null(an_choice_unmet(&first, &variants.choices[0]));
    }
}

static void test_variants(void **state)
{
    (void)state;
    static const uint64_t groups[] = {1, 7, 64, 1000, 1024};
    static const uint64_t columns[] = {1, 5, 64, 768, 4096, 5000, 70000, 1000000};
    for (size_t g = 0; g < COUNT(groups); g++) {
        for (size_t c = 0; c < COUNT(columns); c++) {
            for (int kind = 0; kind < 12; kind++) {
                anynorm_device_info info = plain_gpu();
                info.device_class = kind % 2 ? ANYNORM_CLASS_CPU : ANYNORM_CLASS_GPU;
                info.vector_width = kind % 2 ? 16 : 1;
                info.cache_bytes = kind & 2 ? 1 << 25 : 0;
                info.local_bytes = kind / 4 == 0 ? 65536 : kind / 4 == 1 ? 1024 : 0;
                info.max_work_group_size = groups[g];
                anynorm_spec spec = {.columns = columns[c],
                                     .x.type = kind & 2 ? ANYNORM_F64 : ANYNORM_F32};
                check_variants(&info, &spec);
                info.fp64 = false;
                check_variants(&info, &spec);
            }
        }
    }
}

/* Every schedule that fits has a say, and the preferred one the most. */
static void test_variants_of_every_schedule(void **state)
{
    (void)state;
    const anynorm_spec spec = {.columns = 1024};
    for (int cpu = 0; cpu < 2; cpu++) {
        anynorm_device_info info = plain_gpu();
        struct an_variants variants;
        size_t counts[AN_SCHEDULE_COUNT] = {0};
        enum an_schedule schedule, preferred = AN_REFERENCE;
        if (cpu) {
            info.device_class = ANYNORM_CLASS_CPU;
            info.vector_width = 16;
        }
        an_variants_list(&info, &spec, NULL, &variants);
        for (size_t i = 0; i < variants.count; i++)
            counts[variants.choices[i].schedule]++;
        for (size_t i = 0; an_select_order(&info, &spec, i, &schedule); i++) {
            struct an_choice choice;
            const struct an_choice wish = {.schedule = schedule};
            if (!fits(&info, &spec, &wish, &choice))
                continue;
            assert_between(counts[schedule], 1, ANYNORM_MAX_VARIANTS);
            if (preferred == AN_REFERENCE)
                preferred = schedule;
        }
        assert_true(counts[preferred] >= 5);
    }
}

static void test_the_first_variant(void **state)
{
    (void)state;
    const anynorm_spec spec = {.columns = 1024};
    const struct an_choice tuned = {.schedule = AN_ROW_REREAD, .group = 512};
    const struct an_choice unfit = {.schedule = AN_ROW_REREAD, .group = 2048};
    const anynorm_device_info gpu = plain_gpu();
    struct an_variants variants, without;
    an_variants_list(&gpu, &spec, &tuned, &variants);
    assert_int_equal(variants.choices[0].schedule, AN_ROW_REREAD);
    assert_int_equal(variants.choices[0].group, 512);
    an_variants_list(&gpu, &spec, &unfit, &variants);
    an_variants_list(&gpu, &spec, NULL, &without);
    assert_int_equal(variants.count, without.count);
    assert_int_equal(variants.choices[0].schedule, without.choices[0].schedule);
}

static void test_variants_of_the_reference(void **state)
{
    (void)state;
    anynorm_device *device = open_device("reference");
    const anynorm_spec spec = {.columns = 5}, bad = {.columns = 0};
    anynorm_variant variant;
    size_t count = 0;
    assert_ok(anynorm_plan_variant(device, &spec, 0, &variant, &count));
    assert_int_equal(count, 1);
    assert_string_equal(variant.choice, "reference group=1");
    assert_ok(anynorm_plan_variant(device, &spec, 0, &variant, NULL));
    assert_refused(anynorm_plan_variant(device, &spec, 1, &variant, &count),
                   ANYNORM_INVALID_ARGUMENT);
    assert_refused(anynorm_plan_variant(device, &bad, 0, &variant, &count),
                   ANYNORM_INVALID_ARGUMENT);
    assert_refused(anynorm_plan_variant(device, &spec, 0, NULL, &count), ANYNORM_INVALID_ARGUMENT);
    assert_refused(anynorm_plan_variant(NULL, &spec, 0, &variant, &count),
                   ANYNORM_INVALID_ARGUMENT);
    anynorm_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_variants),
        cmocka_unit_test(test_variants_of_every_schedule),
        cmocka_unit_test(test_the_first_variant),
        cmocka_unit_test(test_variants_of_the_reference),
    };
    return cmocka_run_group_tests_name("select_variants", tests, NULL, NULL);
}
