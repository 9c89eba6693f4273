/* `anynorm verify`: every schedule that fits a device, against the reference. What a user runs on
 * hardware that no test of ours has met. */
#include "common/commands.h"
#include "common/error.h"
#include "common/library.h"
#include "common/options.h"
#include "common/progress.h"
#include "cases/spec_tensors.h"
#include "list.h"
#include "masks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct verify {
    anynorm_device *device;
    anynorm_device *reference;
    anynorm_device_info info;
    bool quick;
    bool failed;
    char first_failure[640];
    struct verify_failures failures; /* the first of each line of the table */
    char wrong[200], right[200];     /* schedules; of the second's none was wrong in any line */
    struct progress progress;
    uint64_t done;
};

/* One line of the table: plain LayerNorm of a type, or the family's other norms of any. */
struct tally {
    const char *schedule;
    const char *name;
    double bound;
    bool family;
    int cases;
    int wrong;
    double worst;
};

static void note_failure(struct verify *verify, const struct tally *tally,
                         const struct verify_case *c, const char *what)
{
    char text[256];

    verify->failed = true;
    if (tally->wrong == 1)
        verify_failures_add(&verify->failures, tally->schedule, c);
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
    struct verify_result result;
    anynorm_status status =
        verify_case_run(verify->device, verify->reference, tally->schedule, c, &result);

    progress_update(&verify->progress, ++verify->done);
    if (status == ANYNORM_UNSUPPORTED)
        return true; /* the schedule does not serve it here */
    if (status == ANYNORM_BUILD_FAILED || status == ANYNORM_DEVICE_LOST) {
        /* The device's own failure is a result here, not the end of the run. */
        tally->wrong++;
        tally->cases++;
        snprintf(result.wrong, sizeof result.wrong, "%.150s", anynorm_message());
        note_failure(verify, tally, c, result.wrong);
        return true;
    }
    if (status == ANYNORM_OUT_OF_MEMORY) /* the library's, or the program's own */
        return cli_fail(error, CLI_FAILED, "verify", "the memory for a case could not be had");
    if (status != ANYNORM_OK)
        return cli_fail_library(error, "verify", status);

    tally->cases++;
    tally->worst = fmax(tally->worst, tally->family ? result.share : result.error);
    if (*result.wrong) {
        tally->wrong++;
        note_failure(verify, tally, c, result.wrong);
    }
    return true;
}

static void print_heading(void)
{
    printf("%-16s  %-6s  %6s  %13s  %5s  %s\n", "SCHEDULE", "TYPE", "CASES", "LARGEST ERROR",
           "BOUND", "RESULT");
}

static void print_tally(const struct tally *tally)
{
    if (tally->cases == 0) {
        printf("%-16s  %-6s  %6d  %13s  %5s  skipped: does not fit here\n", tally->schedule,
               tally->name, 0, "-", "-");
        return;
    }
    printf("%-16s  %-6s  %6d  %13.4f  %5.1f  %s\n", tally->schedule, tally->name, tally->cases,
           tally->worst, tally->bound, tally->wrong ? "FAIL" : "pass");
}

static void add_name(char *list, size_t capacity, const char *name)
{
    size_t length = strlen(list);

    snprintf(list + length, capacity - length, "%s%s", length ? ", " : "", name);
}

/* After the last line of a schedule. */
static void note_schedule(struct verify *verify, const char *schedule, int cases, int wrong)
{
    if (wrong)
        add_name(verify->wrong, sizeof verify->wrong, schedule);
    else if (cases)
        add_name(verify->right, sizeof verify->right, schedule);
}

static struct tally plain_tally(const char *schedule, anynorm_dtype type)
{
    return (struct tally){
        .schedule = schedule, .name = anynorm_dtype_name(type), .bound = VERIFY_BOUND};
}

static struct tally family_tally(const char *schedule)
{
    return (struct tally){.schedule = schedule, .name = "family", .bound = 1, .family = true};
}

/* The cases of a line: plain ones of the type, or the family's. */
static bool run_tally(struct verify *verify, struct tally *tally, anynorm_dtype type,
                      struct cli_error *error)
{
    struct verify_case c;

    for (size_t i = 0; tally->family ? verify_family_case(verify->quick, i, &c)
                                     : verify_plain_case(verify->quick, type, i, &c);
         i++) {
        if (verify_case_has_meaning(&c) && !run_case(verify, tally, &c, error))
            return false;
    }
    progress_end(&verify->progress);
    print_tally(tally);
    fflush(stdout);
    return true;
}

static const anynorm_dtype types[] = {ANYNORM_F32, ANYNORM_F16, ANYNORM_BF16, ANYNORM_F64};

static size_t type_count(const struct verify *verify)
{
    return verify->quick ? 3 : COUNT(types);
}

static uint64_t count_cases(const struct verify *verify)
{
    struct verify_case c;
    size_t plain = 0, family = 0;

    while (verify_plain_case(verify->quick, ANYNORM_F32, plain, &c))
        plain++;
    while (verify_family_case(verify->quick, family, &c))
        family++;
    return plain * type_count(verify) + family;
}

static bool verify_all(struct verify *verify, struct cli_error *error)
{
    anynorm_spec probe = {.columns = 1};
    anynorm_candidate candidate;
    size_t schedules = 1;
    struct tally tally;

    print_heading();
    for (size_t s = 0; s < schedules; s++) {
        int cases = 0, wrong = 0;
        anynorm_status status =
            anynorm_plan_candidate(verify->device, &probe, s, &candidate, &schedules);

        if (status != ANYNORM_OK)
            return cli_fail_library(error, "verify", status);
        if (s == 0)
            progress_start(&verify->progress, schedules * count_cases(verify));
        for (size_t t = 0; t < type_count(verify); t++) {
            tally = plain_tally(candidate.schedule, types[t]);
            if (!run_tally(verify, &tally, types[t], error))
                return false;
            cases += tally.cases;
            wrong += tally.wrong;
        }
        tally = family_tally(candidate.schedule);
        if (!run_tally(verify, &tally, ANYNORM_F32, error))
            return false;
        note_schedule(verify, candidate.schedule, cases + tally.cases, wrong + tally.wrong);
    }
    return true;
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
    if (c.rows == 0 || !spec_is_dense(&c.spec))
        return cli_fail(error, CLI_USAGE, "--case",
                        "\"%.200s\" has strides, any-alignment or no rows; dense rows, 1 or more, "
                        "can be verified",
                        text);
    if (c.spec.flags & (ANYNORM_PARTIALS_OUTPUT | ANYNORM_PARTIALS_INPUT))
        return cli_fail(error, CLI_USAGE, "--case",
                        "\"%.200s\" has partials, a part of a norm; whole norms can be verified",
                        text);
    if (anynorm_dtype_size(c.spec.y.type) == 1)
        return cli_fail(error, CLI_USAGE, "--case",
                        "\"%.200s\" has a quantized y; f32, f16, bf16 and f64 can be verified",
                        text);
    print_heading();
    for (size_t s = 0; s < schedules; s++) {
        struct tally tally;

        status = anynorm_plan_candidate(verify->device, &c.spec, s, &candidate, &schedules);
        if (status != ANYNORM_OK)
            return cli_fail_library(error, "--case", status);
        tally = verify_is_plain(&c.spec) ? plain_tally(candidate.schedule, c.spec.y.type)
                                         : family_tally(candidate.schedule);
        for (int values = 0; values < VERIFY_VALUES; values++) {
            c.values = (enum verify_values)values;
            if (!run_case(verify, &tally, &c, error))
                return false;
        }
        print_tally(&tally);
        note_schedule(verify, candidate.schedule, tally.cases, tally.wrong);
    }
    return true;
}

/* The last line of the table, which is on stderr, too. */
static void find_way_out(struct verify *verify, const char *caps, char *text, size_t capacity)
{
    struct verify_masks found;

    fflush(stdout);
    if (!verify_find_masks(&verify->info, verify->reference, caps, &verify->failures, &found))
        snprintf(text, capacity, "the memory to try masks of ANYNORM_CAPS could not be had");
    else if (*found.caps)
        snprintf(text, capacity, "with ANYNORM_CAPS=%s the first failed case of each line %s",
                 found.caps,
                 !found.refused ? "passes"
                 : found.right  ? "passes or is refused"
                                : "is refused");
    else if (*verify->right)
        snprintf(text, capacity,
                 "no mask of ANYNORM_CAPS helps; wrong: %s; never wrong, for ANYNORM_SCHEDULE: %s",
                 verify->wrong, verify->right);
    else
        snprintf(text, capacity, "no mask of ANYNORM_CAPS helps; wrong: %s", verify->wrong);
    puts(text);
}

int cli_verify(int argc, char **argv)
{
    const char *device = NULL, *text = NULL, *caps = getenv("ANYNORM_CAPS");
    char own_caps[256], way_out[768];
    struct verify verify = {.quick = false};
    const struct cli_option options[] = {
        {"device", 0, CLI_TEXT, "NAME", "the device to verify (default: the best found)",
         .text = &device},
        {"quick", 0, CLI_FLAG, NULL, "a few cases of each type, in seconds", .flag = &verify.quick},
        {"case", 0, CLI_TEXT, "TEXT", "one norm, such as \"rms-norm 5x300 f16 residual sum\"",
         .text = &text},
    };
    const struct cli_command command = {
        .name = "verify",
        .summary = "Checks every schedule that fits the device against a double-precision oracle.",
        .notes =
            "Errors are in units of 2^-23 (f64: 2^-52) of max(1, |n|), n the value before the\n"
            "weight; those of f16 and bf16 what they have beyond half a place of the result.\n"
            "Those of the family (all that a spec names beyond LayerNorm with weight and bias)\n"
            "are shares of what each may be. Statistics and sums must be right, too.\n"
            "After a failure, masks of ANYNORM_CAPS are tried; the last line tells which helps.\n"
            "Exit status: 0 all passed, 1 a schedule failed, 2 bad usage.\n",
        .options = options,
        .option_count = COUNT(options),
    };
    struct cli_error error;
    int exit_status;
    bool ran = false;

    if (!cli_parse(&command, argc, argv, &exit_status))
        return exit_status;
    snprintf(own_caps, sizeof own_caps, "%s", caps ? caps : ""); /* before the oracle unsets it */
    if (!cli_open_device(device, &verify.device, &error))
        return cli_error_print(&error);
    if (cli_open_oracle(&verify.reference, &error)) {
        anynorm_device_describe(verify.device, &verify.info);
        cli_print_device(&verify.info);
        ran = text ? verify_one(&verify, text, &error) : verify_all(&verify, &error);
        progress_end(&verify.progress);
        if (ran && verify.failed)
            find_way_out(&verify, own_caps, way_out, sizeof way_out);
    }
    anynorm_device_close(verify.reference);
    anynorm_device_close(verify.device);
    if (!ran || !cli_flush_stdout(&error))
        return cli_error_print(&error);
    if (verify.failed) {
        cli_fail(&error, CLI_FAILED, verify.info.id, "wrong results; first in %s; %s",
                 verify.first_failure, way_out);
        return cli_error_print(&error);
    }
    return CLI_DONE;
}
