#include "list.h"

#include "cases/ops.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- Plain LayerNorm ---- */

static const uint32_t every_tensor =
    ANYNORM_WEIGHT | ANYNORM_BIAS | ANYNORM_MEAN_OUTPUT | ANYNORM_RSTD_OUTPUT;

/* The widest first, so that a mistake of scale shows at once; awkward to every width of vector,
 * sub-group and work-group. */
static const uint64_t columns_full[] = {16384, 7168, 5120, 4097, 4095, 1025, 1023, 769, 513, 511,
                                        300,   257,  255,  129,  127,  100,  65,   63,  33,  31,
                                        17,    16,   15,   8,    7,    5,    3,    2,   1};
static const uint64_t columns_quick[] = {4097, 768, 65, 3};
static const uint64_t rows_of[] = {5, 17, 8};

bool verify_plain_case(bool quick, anynorm_dtype type, size_t index, struct verify_case *c)
{
    size_t i = index / VERIFY_VALUES, values = index % VERIFY_VALUES;

    if (i >= (quick ? COUNT(columns_quick) : COUNT(columns_full)))
        return false;
    *c = (struct verify_case){.spec = {.columns = quick ? columns_quick[i] : columns_full[i],
                                       .x.type = type,
                                       .y.type = type,
                                       .flags = every_tensor,
                                       .statistic.eps = ANYNORM_EPS_DEFAULT},
                              .rows = rows_of[(i + values) % COUNT(rows_of)],
                              .values = (enum verify_values)values};
    return true;
}

/* ---- The family ---- */

/* Each word of a spec by itself, and several that models have together. */
static const struct {
    const char *words;
    uint64_t run; /* which the columns are a multiple of; 0: any */
    bool quick;
} family[] = {
    {"rms-norm weight weight-offset=1 residual sum stored-sum rstd", 0, true},
    {"layer-norm residual gate sum scale shift sample-rows=3 mean rstd eps=1e-6", 0, true},
    {"layer-norm weight bias silu unbiased mean rstd parameter-rows=2 parameter-run=7", 7, true},
    {"rms-norm weight bias rstd-input pre-bias round-first sum y=f32 parameter-rows=3", 0, true},
    {"rms-norm weight rstd", 0, false},
    {"rms-norm l2 rstd eps=1e-12", 0, false},
    {"rms-norm l2 eps-outside eps=1e-3", 0, false},
    {"rms-norm weight round-first parameters=f16", 0, false},
    {"rms-norm weight residual sum", 0, false},
    {"layer-norm weight bias eps-outside mean rstd eps=1e-3", 0, false},
    {"layer-norm weight bias unbiased mean rstd", 0, false},
    {"layer-norm weight bias mean-input rstd-input", 0, false},
    {"layer-norm weight bias residual mean rstd", 0, false},
    {"layer-norm weight bias residual sum stored-sum sums=bf16", 0, false},
    {"layer-norm residual pre-bias stored-sum residuals=f32", 0, false},
    {"layer-norm pre-bias sum bias parameters=bf16", 0, false},
    {"layer-norm sum stored-sum sums=f16 mean", 0, false},
    {"layer-norm scale shift sample-rows=4 samples=f16 eps=1e-6", 0, false},
    {"layer-norm weight bias silu y=f32", 0, false},
    {"layer-norm weight bias parameter-rows=3", 0, false},
    {"layer-norm weight bias parameter-run=9 parameter-rows=4", 9, false},
};
static const uint64_t columns_family[] = {4099, 1030, 769, 100, 17, 2};
static const uint64_t columns_family_quick[] = {2051, 67};

/* The words that come next in the list, and which of them by `quick`. */
static bool find_words(bool quick, size_t index, size_t *found)
{
    for (*found = 0; *found < COUNT(family); ++*found) {
        if ((!quick || family[*found].quick) && index-- == 0)
            return true;
    }
    return false;
}

/* Every set of words in one type of 16 bits, in turn, and unless it is quick in f32, too; a
 * compiler takes its time for each. */
bool verify_family_case(bool quick, size_t index, struct verify_case *c)
{
    static const anynorm_dtype narrow[] = {ANYNORM_BF16, ANYNORM_F32, ANYNORM_F16};
    const uint64_t *columns = quick ? columns_family_quick : columns_family;
    size_t widths = quick ? COUNT(columns_family_quick) : COUNT(columns_family);
    size_t types = quick ? 1 : 2, words;

    if (!find_words(quick, index / (widths * types), &words))
        return false;
    anynorm_dtype type = index / widths % types == 0 ? narrow[words % COUNT(narrow)] : ANYNORM_F32;
    uint64_t run = family[words].run ? family[words].run : 1;
    struct shape shape = {.rows = rows_of[index % COUNT(rows_of)],
                          .columns = (columns[index % widths] + run - 1) / run * run};

    *c = (struct verify_case){.rows = shape.rows,
                              .values = (enum verify_values)(index * 3 % VERIFY_VALUES)};
    /* Words that cannot have the shape leave a spec that no plan takes. */
    spec_of_words(family[words].words, type, &shape, &c->spec);
    return true;
}
