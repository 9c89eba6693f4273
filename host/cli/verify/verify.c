/* `anynorm verify`: every schedule that fits a device, against the reference. What a user runs on
 * hardware that no test of ours has met. */
#include "common/cli.h"
#include "cases/tensors.h"
#include "files/output.h"
#include "pages/page.h"
#include "platform/environment.h"
#include "case.h"
#include "gradient_bounds.h"
#include "report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct failure {
    const char *schedule;
    struct verify_case c;
};

struct verify {
    anynorm_device *device;
    anynorm_device *reference;
    anynorm_device_info info;
    const struct verify_case *one; /* of --case; NULL: all */
    bool quick;
    bool failed;
    char first_failure[640];
    struct failure failures[40]; /* the first of each line of the table, as many as fit */
    size_t failure_count;
    char wrong[200], right[200]; /* schedules; of the second's none was wrong in any line */
    struct progress progress;
    uint64_t done;
    struct report report;
};

/* What a line of the table is of: plain LayerNorm of a type; the family's other norms of any; or
 * gradients of any, of --case with a line for each output. */
enum kind { PLAIN, FAMILY, BACKWARD };

struct tally {
    const char *schedule;
    enum kind kind;
    anynorm_dtype type; /* of a plain one */
    int cases;
    int wrong;
    double worst;
    double gradients[TENSORS];
};

static const char *line_name(const struct tally *tally)
{
    return tally->kind == FAMILY     ? "family"
           : tally->kind == BACKWARD ? "backward"
                                     : anynorm_dtype_name(tally->type);
}

static double line_bound(const struct tally *tally)
{
    return tally->kind == FAMILY ? 1 : tally->kind == BACKWARD ? GRADIENT_BOUND : VERIFY_BOUND;
}

/* ---- Cases ---- */

static void note_failure(struct verify *verify, struct tally *tally, const struct verify_case *c,
                         const char *what)
{
    char text[256];

    verify->failed = true;
    if (tally->wrong++ == 0 && verify->failure_count < COUNT(verify->failures))
        verify->failures[verify->failure_count++] = (struct failure){tally->schedule, *c};
    if (verify->first_failure[0])
        return;
    anynorm_spec_format(&c->spec, c->rows, text, sizeof text);
    snprintf(verify->first_failure, sizeof verify->first_failure, "%s, \"%s\" (values %d): %s",
             tally->schedule, text, (int)c->values, what);
}

static double error_of(const struct tally *tally, const struct verify_result *result)
{
    return tally->kind == FAMILY ? result->share : result->error;
}

static void note_errors(struct tally *tally, const struct verify_result *result)
{
    tally->worst = fmax(tally->worst, error_of(tally, result));
    for (int t = 0; t < TENSORS; t++)
        tally->gradients[t] = fmax(tally->gradients[t], result->gradients[t]);
}

/* False where the work itself fails. */
static bool run_case(struct verify *verify, struct tally *tally, const struct verify_case *c)
{
    struct verify_result result;
    anynorm_status status =
        verify_case_run(verify->device, verify->reference, tally->schedule, c, &result);

    progress_update(&verify->progress, ++verify->done);
    if (status == ANYNORM_UNSUPPORTED) { /* the schedule does not serve it here */
        report_case(&verify->report, tally->schedule, line_name(tally), c,
                    (struct report_error){(double)NAN, line_bound(tally)}, NULL, anynorm_message());
        return true;
    }
    if (status == ANYNORM_OUT_OF_MEMORY) /* the library's, or the program's own */
        return cli_fail(CLI_FAILED, "verify", "the memory for a case could not be had");
    if (status == ANYNORM_BUILD_FAILED || status == ANYNORM_DEVICE_LOST) {
        /* The device's own failure is a result here, not the end of the run. */
        snprintf(result.wrong, sizeof result.wrong, "%.150s", anynorm_message());
        result.error = result.share = (double)NAN;
    } else if (status != ANYNORM_OK) {
        return cli_fail_library("verify", status);
    } else {
        note_errors(tally, &result);
    }
    report_case(&verify->report, tally->schedule, line_name(tally), c,
                (struct report_error){error_of(tally, &result), line_bound(tally)}, &result,
                result.wrong);
    tally->cases++;
    if (*result.wrong)
        note_failure(verify, tally, c, result.wrong);
    return true;
}

static const anynorm_dtype types[] = {ANYNORM_F32, ANYNORM_F16, ANYNORM_BF16, ANYNORM_F64};

/* f64 is left out where it is quick. */
static size_t type_count(const struct verify *verify)
{
    return verify->quick ? COUNT(types) - 1 : COUNT(types);
}

/* The cases of gradients, of one type after the other. */
static bool find_backward_case(const struct verify *verify, size_t index, struct verify_case *c)
{
    size_t t = index % type_count(verify);

    return verify_backward_case(verify->quick, types[t], index / type_count(verify), c);
}

/* The cases of a line; that of --case with every kind of values. */
static bool find_case(const struct verify *verify, const struct tally *tally, size_t index,
                      struct verify_case *c)
{
    if (verify->one) {
        *c = *verify->one;
        c->values = (enum verify_values)index;
        return index < VERIFY_VALUES;
    }
    switch (tally->kind) {
    case FAMILY:
        return verify_family_case(verify->quick, index, c);
    case BACKWARD:
        return find_backward_case(verify, index, c);
    default:
        return verify_plain_case(verify->quick, tally->type, index, c);
    }
}

/* ---- The table ---- */

static void print_heading(const struct verify *verify)
{
    bool outputs = verify->one && verify->one->spec.gradients.flags;

    printf("%-16s  %-9s  %6s  %13s  %5s  %s\n", "SCHEDULE", outputs ? "OUTPUT" : "TYPE", "CASES",
           "LARGEST ERROR", "BOUND", "RESULT");
}

static void tell_line(struct verify *verify, const struct tally *tally, const char *name,
                      double worst, bool wrong)
{
    double bound = line_bound(tally);

    report_line(&verify->report, tally->schedule, name, tally->cases,
                (struct report_error){worst, bound}, wrong);
    printf("%-16s  %-9s  %6d  %13.4f  %5.1f  %s\n", tally->schedule, name, tally->cases, worst,
           bound, wrong ? "FAIL" : "pass");
}

/* A line for each output. What else is wrong, outside of all of them, fails each. */
static void tell_outputs(struct verify *verify, const struct tally *tally)
{
    const anynorm_spec *spec = &verify->one->spec;
    bool told = tally->worst <= GRADIENT_BOUND;

    for (int t = TENSOR_DX; t <= TENSOR_DSHIFT; t++) {
        struct cli_tensor_info info = tensor_info(spec, t, 1);
        double worst = tally->gradients[t];

        if (info.present)
            tell_line(verify, tally, info.name, worst,
                      told ? tally->wrong : !(worst <= GRADIENT_BOUND));
    }
}

static void tell_tally(struct verify *verify, const struct tally *tally)
{
    const char *name = line_name(tally);

    if (tally->cases == 0) {
        printf("%-16s  %-9s  %6d  %13s  %5s  skipped: does not fit here\n", tally->schedule, name,
               0, "-", "-");
        report_line(&verify->report, tally->schedule, name, 0,
                    (struct report_error){(double)NAN, line_bound(tally)}, false);
    } else if (verify->one && tally->kind == BACKWARD) {
        tell_outputs(verify, tally);
    } else {
        tell_line(verify, tally, name, tally->worst, tally->wrong);
    }
    fflush(stdout);
}

static bool run_tally(struct verify *verify, struct tally *tally)
{
    struct verify_case c;

    for (size_t i = 0; find_case(verify, tally, i, &c); i++) {
        if ((verify->one || verify_case_has_meaning(&c)) && !run_case(verify, tally, &c))
            return false;
    }
    progress_end(&verify->progress);
    tell_tally(verify, tally);
    return true;
}

static void add_name(char *list, size_t capacity, const char *name)
{
    size_t length = strlen(list);

    snprintf(list + length, capacity - length, "%s%s", length ? ", " : "", name);
}

static uint64_t count_cases(const struct verify *verify, const struct tally *line)
{
    struct verify_case c;
    uint64_t count = 0;

    while (find_case(verify, line, count, &c))
        count++;
    return count;
}

/* What the lines of a table are of, but for the schedule. */
struct lines {
    struct tally of[COUNT(types) + 2];
    size_t count;
};

static struct lines list_lines(const struct verify *verify)
{
    struct lines lines = {.count = 0};
    const anynorm_spec *one = verify->one ? &verify->one->spec : NULL;

    if (one) {
        enum kind kind = one->gradients.flags ? BACKWARD : verify_is_plain(one) ? PLAIN : FAMILY;

        lines.of[lines.count++] = (struct tally){.kind = kind, .type = one->y.type};
        return lines;
    }
    for (size_t t = 0; t < type_count(verify); t++)
        lines.of[lines.count++] = (struct tally){.kind = PLAIN, .type = types[t]};
    lines.of[lines.count++] = (struct tally){.kind = FAMILY};
    lines.of[lines.count++] = (struct tally){.kind = BACKWARD};
    return lines;
}

/* Whether the device knows the schedule for gradients, which fewer schedules find. */
static bool goes_back(const struct verify *verify, const char *schedule)
{
    const anynorm_spec any = {.columns = 1, .gradients.flags = ANYNORM_DX};
    anynorm_candidate candidate;
    size_t count = 1;

    for (size_t s = 0; s < count; s++) {
        if (anynorm_plan_candidate(verify->device, &any, s, &candidate, &count) == ANYNORM_OK &&
            strcmp(candidate.schedule, schedule) == 0)
            return true;
    }
    return false;
}

static bool run_schedule(struct verify *verify, const struct lines *lines, const char *schedule)
{
    int cases = 0, wrong = 0;

    for (size_t i = 0; i < lines->count; i++) {
        struct tally tally = lines->of[i];

        tally.schedule = schedule;
        if (tally.kind == BACKWARD && !goes_back(verify, schedule))
            continue;
        if (!run_tally(verify, &tally))
            return false;
        cases += tally.cases;
        wrong += tally.wrong;
    }
    if (wrong)
        add_name(verify->wrong, sizeof verify->wrong, schedule);
    else if (cases)
        add_name(verify->right, sizeof verify->right, schedule);
    return true;
}

/* The lines of each schedule: one for each type, the family's and, where it goes back, that of
 * gradients; or for --case the one it is of. */
static bool verify_schedules(struct verify *verify)
{
    const anynorm_spec any = {.columns = 1}, *probe = verify->one ? &verify->one->spec : &any;
    const struct lines lines = list_lines(verify);
    size_t schedules = 1;
    uint64_t cases = 0;
    anynorm_candidate candidate;

    print_heading(verify);
    for (size_t s = 0; s < schedules; s++) {
        anynorm_status status =
            anynorm_plan_candidate(verify->device, probe, s, &candidate, &schedules);

        if (status != ANYNORM_OK)
            return cli_fail_library(verify->one ? "--case" : "verify", status);
        if (s == 0 && !verify->one) {
            for (size_t i = 0; i < lines.count; i++)
                cases += count_cases(verify, &lines.of[i]);
            progress_start(&verify->progress, schedules * cases);
        }
        if (!run_schedule(verify, &lines, candidate.schedule))
            return false;
    }
    return true;
}

static bool parse_case(const char *text, struct verify_case *c)
{
    anynorm_status status = anynorm_spec_parse(text, &c->spec, &c->rows);

    if (status != ANYNORM_OK)
        return cli_fail_library("--case", status);
    if (c->rows == 0 || !spec_is_packed(&c->spec, c->rows))
        return cli_fail(CLI_USAGE, "--case",
                        "\"%.200s\" has gaps, any-alignment or no rows; 1 or more, dense or all of "
                        "them between each other's columns, can be verified",
                        text);
    if (tensor_info(&c->spec, TENSOR_PARTIALS, 1).present)
        return cli_fail(CLI_USAGE, "--case",
                        "\"%.200s\" has partials, a part of a norm; whole norms can be verified",
                        text);
    return anynorm_dtype_size(c->spec.y.type) > 1 ||
           cli_fail(CLI_USAGE, "--case",
                    "\"%.200s\" has a quantized y; f32, f16, bf16 and f64 can be verified", text);
}

/* ---- What a device that failed is right without: masks of ANYNORM_CAPS ---- */

enum { MOST_MASKS = 16 };

/* What is tried, and which of it at present. */
struct search {
    const struct verify *verify;
    const char *caps; /* what the user masks */
    const char *words[MOST_MASKS];
    size_t count;
    bool on[MOST_MASKS];
    bool lacks_memory; /* what failed then says nothing of a mask */
};

struct masks {
    char caps[512]; /* the value of ANYNORM_CAPS; "": none was found */
    size_t right;   /* how many of the failures are right with it */
    size_t refused; /* and how many are then neither right nor wrong, but refused */
};

/* Words that change something on the device, from the one that takes the least away. Not among them
 * are no-fp16, since no kernel computes in half, and limits of what is launched and allocated,
 * since the cases are small. */
static void list_words(struct search *search)
{
    const anynorm_device_info *info = &search->verify->info;
    const struct {
        const char *word;
        bool changes;
    } all[] = {
        {"no-push-descriptors", info->push_descriptors},
        {"no-storage16", info->storage16},
        {"no-unified", info->unified_memory},
        {"max-wg=256", info->max_work_group_size > 256},
        {"no-subgroup-size", info->subgroup_size > 0},
        {"no-subgroup", info->subgroup},
        {"max-wg=64", info->max_work_group_size > 64},
        {"max-local=8192", info->local_bytes > 8192},
        {"no-fp64", info->fp64},
    };

    for (size_t i = 0; i < COUNT(all) && search->count < MOST_MASKS - 1; i++) {
        if (all[i].changes)
            search->words[search->count++] = all[i].word;
    }
}

/* False where it does not fit. */
static bool write_caps(const struct search *search, struct masks *found)
{
    size_t length = (size_t)snprintf(found->caps, sizeof found->caps, "%s", search->caps);

    for (size_t i = 0; i < search->count && length < sizeof found->caps; i++) {
        if (search->on[i])
            length += (size_t)snprintf(found->caps + length, sizeof found->caps - length, "%s%s",
                                       length ? "," : "", search->words[i]);
    }
    return length < sizeof found->caps;
}

/* Whether the case is not wrong; *right: it ran. */
static bool is_not_wrong(struct search *search, anynorm_device *device, const char *schedule,
                         const struct verify_case *c, bool *right)
{
    struct verify_result result;
    anynorm_status status =
        verify_case_run(device, search->verify->reference, schedule, c, &result);

    search->lacks_memory |= status == ANYNORM_OUT_OF_MEMORY;
    if (status == ANYNORM_UNSUPPORTED)
        return true;
    if (status != ANYNORM_OK || *result.wrong)
        return false;
    *right = true;
    return true;
}

/* Whether no failure is left with the masks that are on. */
static bool try_masks(struct search *search, struct masks *found)
{
    anynorm_device *device = NULL;
    anynorm_status status = ANYNORM_INVALID_ARGUMENT;
    size_t i = 0;

    *found = (struct masks){.right = 0};
    if (write_caps(search, found) && an_environment_set("ANYNORM_CAPS", found->caps))
        status = anynorm_device_open(search->verify->info.id, &device);
    (void)an_environment_set("ANYNORM_CAPS", NULL);
    search->lacks_memory |= status == ANYNORM_OUT_OF_MEMORY;
    if (status != ANYNORM_OK)
        return false;
    for (; i < search->verify->failure_count; i++) {
        const struct failure *failure = &search->verify->failures[i];
        bool right = false;

        if (!is_not_wrong(search, device, failure->schedule, &failure->c, &right) ||
            !is_not_wrong(search, device, NULL, &failure->c, &right))
            break;
        if (right)
            found->right++;
        else
            found->refused++;
    }
    anynorm_device_close(device);
    return i == search->verify->failure_count;
}

static bool try_each(struct search *search, size_t first, struct progress *progress,
                     struct masks *found)
{
    memset(search->on, false, sizeof search->on);
    for (size_t i = first; i < search->count; i++) {
        search->on[i] = true;
        if (try_masks(search, found))
            return true;
        search->on[i] = false;
        progress_update(progress, i + 1);
    }
    return false;
}

/* All of them; then without one after the other, from the one that takes the most away, where it
 * can be done without. */
static bool try_together(struct search *search, struct progress *progress, struct masks *found)
{
    struct masks fewer;

    memset(search->on, true, search->count * sizeof *search->on);
    if (!try_masks(search, found))
        return false;
    for (size_t i = search->count; i-- > 0;) {
        search->on[i] = false;
        if (try_masks(search, &fewer))
            *found = fewer;
        else
            search->on[i] = true;
        progress_update(progress, 2 * search->count - i);
    }
    return true;
}

/* Tries masks, on top of the user's, until all failures are gone: each by itself, those that take
 * the least away first; then all together, less whatever is not needed; and no local memory at the
 * very last. Each failure is run with its schedule and with the library's own choice. The
 * environment's ANYNORM_CAPS is unset afterwards. False where none was found and a want of memory
 * may be why. */
static bool find_masks(const struct verify *verify, const char *caps, struct masks *found)
{
    struct search search = {.verify = verify, .caps = caps};
    struct progress progress;

    list_words(&search);
    progress_start(&progress, 2 * (search.count + 1));
    bool done = try_each(&search, 0, &progress, found) || try_together(&search, &progress, found);
    if (!done && verify->info.local_bytes > 1) {
        /* The last resort: work-items that share nothing. */
        search.words[search.count++] = "max-local=1";
        done = try_each(&search, search.count - 1, &progress, found) ||
               try_together(&search, &progress, found);
    }
    if (!done)
        *found = (struct masks){.right = 0};
    progress_end(&progress);
    return done || !search.lacks_memory;
}

/* The last line of the table, which is on stderr, too. */
static void find_way_out(struct verify *verify, const char *caps, char *text, size_t capacity)
{
    struct masks found;

    fflush(stdout);
    if (!find_masks(verify, caps, &found))
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

/* Its page, which has what failed, too: it is what a report of a fault is made of. What stdout did
 * not take is known before the page is put in its place. */
static bool write_page(const struct verify *verify, struct json_text *json, const char *way_out,
                       struct output *page)
{
    if (!verify->report.wanted)
        return true;
    report_add(json, &verify->report, verify->first_failure, way_out);
    json_add(json, "}\n");
    return cli_flush_stdout() && page_write(page, &page_of_verify, json);
}

int cli_verify(int argc, char **argv)
{
    const char *device = NULL, *text = NULL, *caps = getenv("ANYNORM_CAPS");
    const char *html = NULL;
    char own_caps[256], way_out[768] = "";
    struct json_text json = {.text = NULL};
    struct output page = {.path = NULL};
    struct verify verify = {.quick = false};
    struct verify_case one = {.rows = 0};
    const struct cli_option options[] = {
        {"device", 0, CLI_TEXT, "NAME", "the device to verify (default: the best found)",
         .text = &device},
        {"quick", 0, CLI_FLAG, NULL, "a few cases of each type, in seconds", .flag = &verify.quick},
        {"case", 0, CLI_TEXT, "TEXT",
         "one norm, such as \"rms-norm 5x300 f16 sum\", or its gradients (\"... backward\")",
         .text = &text},
        {"html", 0, CLI_TEXT, "FILE", "write a page with every case to FILE, too", .text = &html},
    };
    const struct cli_command command = {
        .name = "verify",
        .summary = "Checks every schedule that fits the device against a double-precision oracle.",
        .notes =
            "Errors are in units of 2^-23 (f64: 2^-52) of max(1, |n|), n the value before the\n"
            "weight; those of f16 and bf16 what they have beyond half a place of the result.\n"
            "Those of the family (all that a spec names beyond LayerNorm with weight and bias)\n"
            "are shares of what each may be. Statistics and sums must be right, too.\n"
            "Errors of gradients (backward) are what they have beyond half a place, in units of\n"
            "2^-23 (f64: 2^-52) of the row's largest rstd * |g| * max(1, |n|), g what the loss\n"
            "changes by with n; of a sum over rows of the root of the sum of its squared terms.\n"
            "A case of gradients has a line for each output.\n"
            "After a failure, masks of ANYNORM_CAPS are tried; the last line tells which helps.\n"
            "Exit status: 0 all passed, 1 a schedule failed, 2 bad usage.\n",
        .options = options,
        .option_count = COUNT(options),
    };
    int exit_status;
    bool ran = false;

    if (!cli_parse(&command, argc, argv, &exit_status))
        return exit_status;
    snprintf(own_caps, sizeof own_caps, "%s", caps ? caps : ""); /* before the oracle unsets it */
    verify.report.wanted = html;
    if ((!html || output_prepare(&page, html)) && cli_open_device(device, &verify.device)) {
        anynorm_device_describe(verify.device, &verify.info);
        json_add(&json, "{");
        page_add_device(&json, &verify.info);
        page_add_run(&json, argc, argv); /* also before */
        ran = cli_open_oracle(&verify.reference);
    }
    if (ran) {
        cli_print_device(&verify.info);
        if (text)
            verify.one = &one;
        ran = (!text || parse_case(text, &one)) && verify_schedules(&verify);
        progress_end(&verify.progress);
        if (ran && verify.failed)
            find_way_out(&verify, own_caps, way_out, sizeof way_out);
        ran = ran && write_page(&verify, &json, way_out, &page);
    }
    output_discard(&page);
    report_free(&verify.report);
    json_free(&json);
    anynorm_device_close(verify.reference);
    anynorm_device_close(verify.device);
    if (!ran || !cli_flush_stdout())
        return cli_error_print();
    if (verify.failed) {
        cli_fail(CLI_FAILED, verify.info.id, "wrong results; first in %s; %s", verify.first_failure,
                 way_out);
        return cli_error_print();
    }
    return CLI_DONE;
}
