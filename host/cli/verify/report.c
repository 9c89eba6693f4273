#include "report.h"

#include <math.h>

static const char *separator(const struct json_text *json)
{
    return json->length ? ",\n  " : "\n  ";
}

/* A member of a number, with four digits more than the table has. */
static void add_number(struct json_text *json, const char *key, double value)
{
    json_add(json, ", \"%s\": ", key);
    json_add_number(json, value, 9);
}

void report_case(struct report *report, const char *schedule, const char *line,
                 const struct verify_case *c, struct report_error error,
                 const struct verify_result *result, const char *reason)
{
    struct json_text *json = &report->cases;
    char spec[512];

    if (!report->wanted)
        return;
    anynorm_spec_format(&c->spec, c->rows, spec, sizeof spec);
    json_add(json, "%s{\"schedule\": \"%s\", \"line\": \"%s\", \"type\": \"%s\", \"spec\": ",
             separator(json), schedule, line, anynorm_dtype_name(c->spec.x.type));
    json_add_string(json, spec);
    json_add(json, ", \"values\": \"%s\", \"result\": \"%s\"", verify_values_name(c->values),
             !result          ? "skipped"
             : *result->wrong ? "FAIL"
                              : "pass");
    add_number(json, "error", error.error);
    add_number(json, "bound", error.bound);
    add_number(json, "share", result ? result->share : (double)NAN);
    json_add(json, ", \"reason\": ");
    json_add_string(json, reason);
    json_add(json, "}");
}

void report_line(struct report *report, const char *schedule, const char *line, int cases,
                 struct report_error error, bool wrong)
{
    struct json_text *json = &report->lines;

    if (!report->wanted)
        return;
    json_add(json, "%s{\"schedule\": \"%s\", \"line\": \"%s\", \"cases\": %d, \"result\": \"%s\"",
             separator(json), schedule, line, cases,
             cases == 0 ? "skipped"
             : wrong    ? "FAIL"
                        : "pass");
    add_number(json, "error", error.error);
    add_number(json, "bound", error.bound);
    json_add(json, "}");
}

static void add_list(struct json_text *json, const char *key, const struct json_text *list)
{
    json_add(json, "\"%s\": [%s], ", key, list->length ? list->text : "");
    json->lacks_memory |= list->lacks_memory;
}

void report_add(struct json_text *json, const struct report *report, const char *first_failure,
                const char *way_out)
{
    add_list(json, "cases", &report->cases);
    add_list(json, "lines", &report->lines);
    json_add(json, "\"first_failure\": ");
    json_add_string(json, first_failure);
    json_add(json, ", \"way_out\": ");
    json_add_string(json, way_out);
}

void report_free(struct report *report)
{
    json_free(&report->cases);
    json_free(&report->lines);
}
