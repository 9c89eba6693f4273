/* Pages: one HTML file each, which needs no network, made of a text and the JSON in its middle. */
#ifndef ANYNORM_CLI_PAGE_H
#define ANYNORM_CLI_PAGE_H

#include "common/cli.h"
#include "files/output.h"

#include <anynorm/anynorm.h>

#include <stdbool.h>
#include <stddef.h>

/* What stands around the JSON: embed_page.py makes it of the folder page/ of a command. */
struct page_text {
    const char *before;
    size_t before_length;
    const char *after;
    size_t after_length;
};

extern const struct page_text page_of_bench, page_of_explain, page_of_verify;

/* Members of a JSON object: whose numbers they are (version, device, platform, driver, id), each
 * with a comma behind it. */
void page_add_device(struct json_text *json, const anynorm_device_info *info);

/* And how they came about: date, command and environment, which has those of the library's
 * variables that change what is run. `argv` begins with the command's name. */
void page_add_run(struct json_text *json, int argc, char *const *argv);

/* Makes the whole file of an output that was prepared. */
bool page_write(struct output *output, const struct page_text *text, const struct json_text *json);

#endif
