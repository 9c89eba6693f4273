/* `anynorm verify`: every schedule that fits a device, against the reference. What a user runs on
 * hardware that no test of ours has met. */
#include "commands.h"
#include "error.h"
#include "library.h"
#include "options.h"
#include "progress.h"
#include "verify_case.h"

#include <math.h>
#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct verify {
    anynorm_device *device;
    anynorm_device *reference;
    anynorm_device_info info;
    bool quick;
    bool failed;
    char first_failure[640];
    struct progress progress;
    uint64_t done;
};

/* One line of the table. */
struct tally {
    const char *schedule;
    anynorm_dtype type;
    int cases;
    int wrong;
    double worst;
};

static const uint32_t every_tensor =
    ANYNORM_WEIGHT | ANYNORM_BIAS | ANYNORM_MEAN_OUTPUT | ANYNORM_RSTD_OUTPUT;

/* The widest first, so that a mistake of scale shows at once; awkward to every width of vector,
 * sub-group and work-group. */
static const uint64_t columns_full[] = {16384, 7168, 5120, 4097, 4095, 1025, 1023, 769, 513, 511,
                                        300,   257,  255,  129,  127,  100,  65,   63,  33,  31,
                                        17,    16,   15,   8,    7,    5,    3,    2,   1};
static const uint64_t columns_quick[] = {4097, 768, 65, 3};
static const uint64_t rows_of[] = {5, 17, 8};

static void note_failure(struct verify *verify, const struct tally *tally,
                         const struct verify_case *c, const char *what)
{
    char text[256];

    verify->failed = true;
    if (verify->first_failure[0])
        return;
    anynorm_spec_format(&c->spec, c->rows, text, sizeof text);
    snprintf(verify->first_failure, sizeof verify->first_failure, "%s, \"%s\" (values %d): %s",
             tally->schedule, text, (int)c->values, what);
}

/* False, with *error, where the work itself fails. */
static bool run_case(struct verify *verify, struct tally *tally, const struct verify_case *c,
                     struct cli_error *error)
{
    double worst = 0;
    bool stray = false;
    char what[96];
    anynorm_status status =
        verify_case_run(verify->device, verify->reference, tally->schedule, c, &worst, &stray);

    progress_update(&verify->progress, ++verify->done);
    if (status == ANYNORM_UNSUPPORTED)
        return true; /* the schedule does not serve it here */
    if (status == ANYNORM_BUILD_FAILED || status == ANYNORM_DEVICE_LOST) {
        /* The device's own failure is a result here, not the end of the run. */
        tally->wrong++;
        tally->cases++;
        snprintf(what, sizeof what, "%.90s", anynorm_message());
        note_failure(verify, tally, c, what);
        return true;
    }
    if (status != ANYNORM_OK)
        return cli_fail_library(error, "verify", status);

    tally->cases++;
    tally->worst = fmax(tally->worst, worst);
    if (stray || worst > verify_bound(c->spec.y_type)) {
        tally->wrong++;
        if (stray)
            snprintf(what, sizeof what, "memory outside the outputs was written");
        else
            snprintf(what, sizeof what, "error %.3g", worst);
        note_failure(verify, tally, c, what);
    }
    return true;
}

static void print_heading(void)
{
    printf("%-16s  %-5s  %6s  %13s  %5s  %s\n", "SCHEDULE", "TYPE", "CASES", "LARGEST ERROR",
           "BOUND", "RESULT");
}

static void print_tally(const struct tally *tally)
{
    if (tally->cases == 0) {
        printf("%-16s  %-5s  %6d  %13s  %5s  skipped: does not fit here\n", tally->schedule,
               anynorm_dtype_name(tally->type), 0, "-", "-");
        return;
    }
    printf("%-16s  %-5s  %6d  %13.4f  %5.1f  %s\n", tally->schedule,
           anynorm_dtype_name(tally->type), tally->cases, tally->worst, verify_bound(tally->type),
           tally->wrong ? "FAIL" : "pass");
}

static bool run_tally(struct verify *verify, struct tally *tally, struct cli_error *error)
{
    const uint64_t *columns = verify->quick ? columns_quick : columns_full;
    size_t count = verify->quick ? COUNT(columns_quick) : COUNT(columns_full);

    for (size_t i = 0; i < count; i++) {
        for (int values = 0; values < VERIFY_VALUES; values++) {
            struct verify_case c = {.spec = {.columns = columns[i],
                                             .x_type = tally->type,
                                             .y_type = tally->type,
                                             .flags = every_tensor,
                                             .eps = ANYNORM_EPS_DEFAULT},
                                    .rows = rows_of[(i + (size_t)values) % COUNT(rows_of)],
                                    .values = (enum verify_values)values};

            if (verify_case_has_meaning(&c) && !run_case(verify, tally, &c, error))
                return false;
        }
    }
    return true;
}

static bool verify_all(struct verify *verify, struct cli_error *error)
{
    static const anynorm_dtype types[] = {ANYNORM_F32, ANYNORM_F16, ANYNORM_BF16, ANYNORM_F64};
    anynorm_spec probe = {.columns = 1};
    anynorm_candidate candidate;
    size_t schedules = 1;
    size_t type_count = verify->quick ? 3 : COUNT(types);
    struct tally tally;

    print_heading();
    for (size_t s = 0; s < schedules; s++) {
        anynorm_status status =
            anynorm_plan_candidate(verify->device, &probe, s, &candidate, &schedules);

        if (status != ANYNORM_OK)
            return cli_fail_library(error, "verify", status);
        if (s == 0)
            progress_start(&verify->progress,
                           schedules * type_count * VERIFY_VALUES *
                               (verify->quick ? COUNT(columns_quick) : COUNT(columns_full)));
        for (size_t t = 0; t < type_count; t++) {
            tally = (struct tally){.schedule = candidate.schedule, .type = types[t]};
            if (!run_tally(verify, &tally, error))
                return false;
            progress_end(&verify->progress);
            print_tally(&tally);
            fflush(stdout);
        }
    }
    return true;
}

static bool is_verifiable(const struct verify_case *c)
{
    const anynorm_spec *spec = &c->spec;
    bool dense = !(spec->inner_rows || spec->x_row_stride || spec->y_row_stride ||
                   spec->x_column_stride || spec->y_column_stride);

    return c->rows > 0 && dense && !(spec->flags & ~every_tensor) && spec->weight_offset == 0.0 &&
           spec->parameter_rows <= 1 && spec->parameter_run <= 1;
}

/* The one case of --case, with every kind of values. */
static bool verify_one(struct verify *verify, const char *text, struct cli_error *error)
{
    struct verify_case c = {.values = VERIFY_ACTIVATIONS};
    anynorm_candidate candidate;
    size_t schedules = 1;
    anynorm_status status = anynorm_spec_parse(text, &c.spec, &c.rows);

    if (status != ANYNORM_OK)
        return cli_fail_library(error, "--case", status);
    if (!is_verifiable(&c))
        return cli_fail(
            error, CLI_USAGE, "--case",
            "\"%.200s\" has strides, any-alignment, no rows or words of another norm; a "
            "dense layer-norm of 1 row or more can be verified",
            text);
    print_heading();
    for (size_t s = 0; s < schedules; s++) {
        struct tally tally = {.type = c.spec.y_type};

        status = anynorm_plan_candidate(verify->device, &c.spec, s, &candidate, &schedules);
        if (status != ANYNORM_OK)
            return cli_fail_library(error, "--case", status);
        tally.schedule = candidate.schedule;
        for (int values = 0; values < VERIFY_VALUES; values++) {
            c.values = (enum verify_values)values;
            if (!run_case(verify, &tally, &c, error))
                return false;
        }
        print_tally(&tally);
    }
    return true;
}

int cli_verify(int argc, char **argv)
{
    const char *device = NULL, *text = NULL;
    struct verify verify = {.quick = false};
    const struct cli_option options[] = {
        {"device", 0, CLI_TEXT, "NAME", "the device to verify (default: the best found)",
         .text = &device},
        {"quick", 0, CLI_FLAG, NULL, "a few cases of each type, in seconds", .flag = &verify.quick},
        {"case", 0, CLI_TEXT, "TEXT", "one case, such as \"layer-norm 5x300 f16 weight\"",
         .text = &text},
    };
    const struct cli_command command = {
        .name = "verify",
        .summary = "Checks every schedule that fits the device against a double-precision oracle.",
        .notes =
            "Errors of f32 and f64 are in units of 2^-23 and 2^-52 of max(1, |n|), n the value\n"
            "before the weight; those of f16 and bf16 in places of the result.\n"
            "Exit status: 0 all passed, 1 a schedule failed, 2 bad usage.\n",
        .options = options,
        .option_count = COUNT(options),
    };
    struct cli_error error;
    int exit_status;
    bool ran = false;

    if (!cli_parse(&command, argc, argv, &exit_status))
        return exit_status;
    if (!cli_open_device(device, &verify.device, &error))
        return cli_error_print(&error);
    if (cli_open_device("reference", &verify.reference, &error)) {
        anynorm_device_describe(verify.device, &verify.info);
        cli_print_device(&verify.info);
        ran = text ? verify_one(&verify, text, &error) : verify_all(&verify, &error);
        progress_end(&verify.progress);
    }
    anynorm_device_close(verify.reference);
    anynorm_device_close(verify.device);
    if (!ran || !cli_flush_stdout(&error))
        return cli_error_print(&error);
    if (verify.failed) {
        cli_fail(&error, CLI_FAILED, verify.info.id, "wrong results; first in %s",
                 verify.first_failure);
        return cli_error_print(&error);
    }
    return CLI_DONE;
}
