#include "page.h"

#include "platform/environment.h"

#include <time.h>

static const char *const variables[] = {"ANYNORM_DEVICE", "ANYNORM_CAPS",   "ANYNORM_QUIRKS",
                                        "ANYNORM_CACHE",  "ANYNORM_TUNING", "ANYNORM_SCHEDULE"};

static void add_member(struct json_text *json, const char *key, const char *value)
{
    json_add(json, "\"%s\": ", key);
    json_add_string(json, value);
}

void page_add_device(struct json_text *json, const anynorm_device_info *info)
{
    const struct {
        const char *key;
        const char *value;
    } members[] = {{"version", ANYNORM_VERSION},
                   {"device", info->name},
                   {"platform", info->platform},
                   {"driver", info->driver},
                   {"id", info->id}};

    for (size_t i = 0; i < COUNT(members); i++) {
        add_member(json, members[i].key, members[i].value);
        json_add(json, ", ");
    }
}

static void add_date(struct json_text *json)
{
    const time_t now = time(NULL);
    const struct tm *date = gmtime(&now);
    char text[32] = "";

    if (date)
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", date);
    add_member(json, "date", text);
}

void page_add_run(struct json_text *json, int argc, char *const *argv)
{
    const char *separator = "";

    add_date(json);
    json_add(json, ", \"command\": [\"anynorm\"");
    for (int i = 0; i < argc; i++) {
        json_add(json, ", ");
        json_add_string(json, argv[i]);
    }
    json_add(json, "], \"environment\": {");
    for (size_t i = 0; i < COUNT(variables); i++) {
        const char *value = an_environment(variables[i]);

        if (!value)
            continue;
        json_add(json, "%s", separator);
        add_member(json, variables[i], value);
        separator = ", ";
    }
    json_add(json, "}, ");
}

bool page_write(struct output *output, const struct page_text *text, const struct json_text *json)
{
    return json_is_whole(json, output->path) && output_create(output) &&
           output_write(output, text->before, text->before_length) &&
           output_write(output, json->text, json->length) &&
           output_write(output, text->after, text->after_length) && output_close(output) &&
           output_commit(output, false);
}
