/* What `anynorm verify` tells of every case, as JSON for its page. */
#ifndef ANYNORM_CLI_VERIFY_REPORT_H
#define ANYNORM_CLI_VERIFY_REPORT_H

#include "case.h"

#include "common/cli.h"

/* Zeroed: nothing is wanted, and what is added is dropped. */
struct report {
    bool wanted;
    struct json_text cases;
    struct json_text lines;
};

/* The error that a line of the table is of, and its bound; NaN: there is none. */
struct report_error {
    double error;
    double bound;
};

/* A case that ran, by *result; or, where that is NULL, one that was skipped for `reason`. `line`
 * names what the table's line is of. */
void report_case(struct report *report, const char *schedule, const char *line,
                 const struct verify_case *c, struct report_error error,
                 const struct verify_result *result, const char *reason);

/* A line of the table; of no cases where it was skipped. */
void report_line(struct report *report, const char *schedule, const char *line, int cases,
                 struct report_error error, bool wrong);

/* The members "cases", "lines", "first_failure" and "way_out" of an object. */
void report_add(struct json_text *json, const struct report *report, const char *first_failure,
                const char *way_out);

void report_free(struct report *report);

#endif
